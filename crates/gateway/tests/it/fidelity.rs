//! The law that bytes pass: whatever a message is spelled like, the server gets what the client sent,
//! and the client gets what the server sent, byte for byte. On lines, and in events, separators of Unicode
//! within strings are escaped (`src/upstream/one_line.rs`).

use crate::client::{Ask, Http2};
use crate::messages::META;
use crate::rig::{Plan, Rig};
use crate::upstream::{Answer, Seen, Upstream, json, typed, with};
use crate::wrap::Wrapped;
use bytes::Bytes;
use http::HeaderMap;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::sync::{Arc, Mutex};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// Messages that are sent in each test.
const CASES: u32 = 150;

/// White space between tokens; lines of their own only where a message may have them.
fn blank(lines: bool) -> BoxedStrategy<&'static str> {
    let all = ["", "", "", " ", "\t", "  ", "\n", "\r\n", " \n\t"];
    select(if lines { all.to_vec() } else { all[..6].to_vec() }).boxed()
}

/// Numbers in forms that a program which reads and writes again would change.
fn number() -> impl Strategy<Value = String> {
    let odd = [
        "0",
        "-0",
        "1.0",
        "1.10",
        "1e2",
        "1E+2",
        "1e-7",
        "0.1e1",
        "12345678901234567890",
        "-9223372036854775809",
        "3.141592653589793238462643383279",
        "1e400",
        "-1E-400",
    ];
    prop_oneof![
        select(odd.to_vec()).prop_map(str::to_owned),
        any::<i64>().prop_map(|n| n.to_string())
    ]
}

/// The inside of a string: plain, escaped without need, and beyond the first plane.
fn text() -> impl Strategy<Value = String> {
    let odd = [
        "a",
        "b c",
        "\\u0061",
        "\\/",
        "/",
        "\\\\",
        "\\\"",
        "\\n",
        "\\u000a",
        "\\u0000",
        "é",
        "e\u{301}",
        "\u{2028}",
        "\u{feff}",
        "\u{7f}",
        "😀",
        "\\ud83d\\ude00",
        "\\uD83D\\uDE00",
        "日本",
        "<script>",
        "data: x",
        "__proto__",
    ];
    prop::collection::vec(select(odd.to_vec()), 0..6).prop_map(|parts| parts.concat())
}

/// Members in any order; keys are told apart by a number, so that none is there twice.
fn object(members: Vec<(String, String)>, blank: &str) -> String {
    let members: Vec<String> = members
        .into_iter()
        .map(|(key, value)| format!("{blank}\"{key}\"{blank}:{blank}{value}{blank}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn value(lines: bool) -> impl Strategy<Value = String> {
    let literal = select(vec!["null", "true", "false", "[]", "{}"]).prop_map(str::to_owned);
    let deep =
        (1_usize..80).prop_map(|depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    let text = text().prop_map(|text| format!("\"{text}\""));
    let leaf = prop_oneof![4 => number(), 4 => text, 2 => literal, 1 => deep];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        let items = prop::collection::vec(inner, 0..5);
        prop_oneof![
            (items.clone(), blank(lines)).prop_map(|(items, blank)| format!(
                "[{blank}{}{blank}]",
                items.join(&format!("{blank},"))
            )),
            (items, blank(lines)).prop_flat_map(
                |(items, blank)| unknown(items).prop_map(move |members| object(members, blank))
            ),
        ]
    })
}

/// Members of names that nobody knows.
fn unknown(values: Vec<String>) -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(text(), values.len()).prop_map(move |names| {
        let numbered = names.into_iter().enumerate();
        numbered
            .zip(values.clone())
            .map(|((i, name), value)| (format!("{i}{name}"), value))
            .collect()
    })
}

/// An object of these members and of some that nobody knows, in any order.
fn open(known: Vec<(&'static str, String)>, lines: bool) -> impl Strategy<Value = String> {
    let more = prop::collection::vec(value(lines), 0..4).prop_flat_map(unknown);
    (more, blank(lines)).prop_flat_map(move |(more, blank)| {
        let known = known.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        let members: Vec<_> = known.chain(more).collect();
        Just(members).prop_shuffle().prop_map(move |members| object(members, blank))
    })
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i32>().prop_map(|n| n.to_string()),
        "[a-z]{1,8}".prop_map(|id| format!("\"{id}\""))
    ]
}

fn version() -> (&'static str, String) {
    ("jsonrpc", "\"2.0\"".to_owned())
}

/// A call, and the answer to it.
fn exchange(lines: bool) -> impl Strategy<Value = (String, String)> {
    id().prop_flat_map(move |id| {
        let arguments = value(lines).prop_map(|value| format!("{{\"a\":{value}}}"));
        let params = arguments.prop_flat_map(move |arguments| {
            let (_, meta) = META.split_once(':').unwrap_or_default();
            let name = select(vec!["\"echo\"", "\"ec\\u0068o\"", "\"\\u0065cho\""]);
            let meta = meta.to_owned();
            name.prop_flat_map(move |name| {
                let known = vec![
                    ("name", name.to_owned()),
                    ("arguments", arguments.clone()),
                    ("_meta", meta.clone()),
                ];
                open(known, lines)
            })
        });
        let (asked, answered) = (id.clone(), id);
        let request = params.prop_flat_map(move |params| {
            let method = ("method", "\"tools/call\"".to_owned());
            open(vec![version(), method, ("id", asked.clone()), ("params", params)], lines)
        });
        let result = prop::collection::vec(value(lines), 0..4).prop_flat_map(move |values| {
            open(vec![("content", format!("[{}]", values.join(",")))], lines)
        });
        let answer = result.prop_flat_map(move |result| {
            open(vec![version(), ("id", answered.clone()), ("result", result)], lines)
        });
        (request, answer)
    })
}

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
    run(&(exchange(true), headers()), |((request, answer), headers)| {
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

/// The one thing that does not pass where messages are lines: what some readers take for the end of one.
fn on_one_line(message: &str) -> String {
    message.replace('\u{2028}', "\\u2028")
}

/// Keeps what it hears, and says what it is told to, line by line.
const PARROT: &str = r#"
exec 3<"$DIRECTORY/answers"
while IFS= read -r line; do
  printf '%s\n' "$line" >>"$DIRECTORY/seen"
  IFS= read -r answer <&3
  printf '%s\n' "$answer"
done
"#;

#[tokio::test]
async fn lines_pass_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let mut runner = TestRunner::default();
    let cases: Vec<(String, String)> =
        (0..CASES).map(|_| exchange(false).new_tree(&mut runner).unwrap().current()).collect();
    let lines = |pick: fn(&(String, String)) -> &String| -> String {
        cases.iter().map(|case| format!("{}\n", pick(case))).collect()
    };
    std::fs::write(directory.path().join("answers"), lines(|case| &case.1)).unwrap();
    let path = directory.path().to_str().unwrap();
    let mut wrapped = Wrapped::start(&PARROT.replace("$DIRECTORY", path));
    for (request, answer) in &cases {
        wrapped.say(&format!("{request}\n")).await;
        assert_eq!(wrapped.hear().await, format!("{}\n", on_one_line(answer)), "{request}");
    }
    let (_, rest, trail) = wrapped.close().await;
    assert_eq!(rest, "");
    let seen = std::fs::read_to_string(directory.path().join("seen")).unwrap();
    assert_eq!(seen, on_one_line(&lines(|case| &case.0)));
    assert_eq!(trail.calls("tools/call").len(), cases.len());
}

/// Clients over HTTP may break the lines of a message, a program's is one line; nothing else differs.
#[tokio::test]
async fn messages_become_lines_and_pass_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let mut runner = TestRunner::default();
    let cases: Vec<(String, String)> =
        (0..CASES).map(|_| exchange(true).new_tree(&mut runner).unwrap().current()).collect();
    let line = |text: &str| text.replace(['\r', '\n'], " ");
    let answers: String = cases.iter().map(|case| line(&case.1) + "\n").collect();
    std::fs::write(directory.path().join("answers"), answers).unwrap();
    let path = directory.path().to_str().unwrap();
    let rig = Plan::sh(&PARROT.replace("$DIRECTORY", path)).start().await;
    for (request, answer) in &cases {
        let reply = rig.send(call(request, &[])).await;
        assert_eq!(reply.status, 200, "{request}");
        let (got, sent) = (reply.bytes().await, line(answer));
        assert_eq!(got.trim_ascii_end(), sent.trim_end().as_bytes(), "{request}");
    }
    let trail = rig.stop().await;
    let seen = std::fs::read_to_string(directory.path().join("seen")).unwrap();
    let asked: String = cases.iter().map(|case| on_one_line(&line(&case.0)) + "\n").collect();
    assert_eq!(seen, asked);
    assert_eq!(trail.calls("tools/call").len(), cases.len());
}

#[test]
fn streams_pass_unchanged() {
    let echo = Echo::start(|bytes| typed(200, "text/event-stream", bytes));
    let ends = select(vec!["\n", "\r\n", "\r"]);
    let around = subsequence(
        vec![": c", "id: 7", "retry: 5", "unknown: f", "event: message", "data"],
        0..=6,
    );
    let note = open(
        vec![("jsonrpc", "\"2.0\"".to_owned()), ("method", "\"notifications/x\"".to_owned())],
        false,
    );
    run(&(exchange(false), note, ends, around), |((request, answer), note, end, around)| {
        let mut stream = String::new();
        for message in [&note, &answer].map(|message| on_one_line(message)) {
            let fields: String = around.iter().map(|field| format!("{field}{end}")).collect();
            stream += &format!("{fields}data: {message}{end}{end}");
        }
        // What comes after the last blank line is no event.
        let (seen, _, bytes) = echo.carry(call(&request, &[]), format!("{stream}: left").into());
        prop_assert_eq!(&seen.body, &request);
        prop_assert_eq!(&bytes, &stream);
        Ok(())
    });
    echo.end();
}
