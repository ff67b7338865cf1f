//! The law that bytes pass: whatever a message is spelled like, the server gets what the client sent,
//! and the client gets what the server sent, byte for byte, but for what a transport cannot carry
//! (`framing`).

mod clients;
mod dialogues;
mod framing;
mod odd;
mod servers;

use self::framing::line;
use self::odd::{Era, exchange, notification};
use crate::client::{Ask, Http2};
use crate::rig::{Plan, Rig};
use crate::upstream::{Answer, Seen, Upstream, json, typed, with};
use bytes::Bytes;
use http::HeaderMap;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::sync::{Arc, Mutex};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// Messages that are sent in each test.
const CASES: u32 = 150;

/// Headers beside the ones that every call has.
fn headers() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    subsequence(
        vec![
            ("mcp-param-region", "eu-west-1"),
            ("mcp-param-name", "=?base64?Zm9v?="),
            ("mcp-future", "1"),
            ("x-unknown", " a\tb "),
            ("x-empty", ""),
            ("x-obs", "caf\u{e9}"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("x-twice", "1"),
            ("x-twice", "2"),
        ],
        0..=9,
    )
}

fn call(body: &str, headers: &[(&str, &str)]) -> Ask {
    let ask = Ask::post(body.to_owned())
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "echo");
    headers.iter().fold(ask, |ask, (name, value)| ask.another(name, value))
}

/// A gateway before a server that gives the answer it is told to.
struct Echo {
    runtime: Runtime,
    upstream: Upstream,
    rig: Rig,
    next: Arc<Mutex<Bytes>>,
    token: String,
}

impl Echo {
    fn start(make: fn(Bytes) -> Answer) -> Self {
        let runtime = Runtime::new().unwrap();
        let next = Arc::new(Mutex::new(Bytes::new()));
        let told = Arc::clone(&next);
        let (upstream, rig) = runtime.block_on(async {
            let upstream = Upstream::start(move |_| {
                let answer = make(told.lock().unwrap().clone());
                async move { Some(answer) }
            })
            .await;
            let rig = Plan::http(&upstream).start().await;
            (upstream, rig)
        });
        let token = rig.token("alice");
        Self { runtime, upstream, rig, next, token }
    }

    /// Sends and receives; what the server saw and what the client got.
    fn carry(&self, ask: Ask, answer: Bytes) -> (Seen, HeaderMap, Bytes) {
        *self.next.lock().unwrap() = answer;
        self.runtime.block_on(async {
            let stream = TcpStream::connect(self.rig.address).await.unwrap();
            let ask = ask.token(&self.token);
            let reply = if ask.body.len().is_multiple_of(2) {
                let client = Http2::over(stream).await;
                client.send(ask, &self.rig.address.to_string()).await
            } else {
                ask.over_http1(stream, self.rig.address).await
            };
            let reply = reply.unwrap();
            let headers = reply.headers.clone();
            let bytes = reply.bytes().await;
            (self.upstream.seen().pop().unwrap(), headers, bytes)
        })
    }

    fn end(self) {
        let trail = self.runtime.block_on(self.rig.stop());
        assert!(trail.refusals().is_empty());
    }
}

fn run<S: Strategy>(strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(strategy, test).unwrap_or_else(|error| panic!("{error}"));
}

fn values<'h>(map: &'h HeaderMap, name: &str) -> Vec<&'h [u8]> {
    map.get_all(name).iter().map(http::HeaderValue::as_bytes).collect()
}

#[test]
fn json_passes_unchanged() {
    let echo = Echo::start(|bytes| with(json(bytes), "mcp-future", "2"));
    run(&(exchange(Era::Stateless), headers()), |((request, answer), headers)| {
        let (seen, got, bytes) = echo.carry(call(&request, &headers), answer.clone().into());
        prop_assert_eq!(&seen.body, &request);
        prop_assert_eq!(&bytes, &answer);
        prop_assert_eq!(values(&got, "mcp-future"), [b"2"]);
        for (name, _) in &headers {
            let sent = headers.iter().filter(|(other, _)| other == name);
            let sent: Vec<&[u8]> = sent.map(|(_, value)| value.trim().as_bytes()).collect();
            prop_assert_eq!(values(&seen.headers, name), sent, "{}", name);
        }
        Ok(())
    });
    echo.end();
}

#[test]
fn streams_pass_unchanged() {
    let echo = Echo::start(|bytes| typed(200, "text/event-stream", bytes));
    let ends = select(vec!["\n", "\r\n", "\r"]);
    let around = subsequence(
        vec![": c", "id: 7", "retry: 5", "unknown: f", "event: message", "data"],
        0..=6,
    );
    let note = notification("notifications/x");
    run(
        &(exchange(Era::Stateless), note, ends, around),
        |((request, answer), note, end, around)| {
            let mut stream = String::new();
            for message in [&note, &answer].map(|message| line(message)) {
                let message = message.trim_end_matches(['\r', '\n']);
                let fields: String = around.iter().map(|field| format!("{field}{end}")).collect();
                stream += &format!("{fields}data: {message}{end}{end}");
            }
            // What comes after the last blank line is no event.
            let (seen, _, bytes) =
                echo.carry(call(&request, &[]), format!("{stream}: left").into());
            prop_assert_eq!(&seen.body, &request);
            prop_assert_eq!(&bytes, &stream);
            Ok(())
        },
    );
    echo.end();
}
