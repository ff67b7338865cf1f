//! HTTP/2 without TLS, by prior knowledge; and which host a request is for, in either version.

use crate::client::{Ask, End, Http2};
use crate::messages::{code, modern_call, result};
use crate::rig::{Plan, SOON};
use crate::upstream::{Upstream, events, json};
use crate::within;
use event::Status;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test]
async fn many_calls_share_one_connection() {
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).start().await;
    let (token, host) = (rig.token("alice"), rig.address.to_string());
    let client = Http2::over(TcpStream::connect(rig.address).await.unwrap()).await;
    let call = |id: &str| client.send(modern_call(id, "echo").token(&token), &host);
    let answering = async {
        let (first, second) = (waiting.next().await, waiting.next().await);
        // The later one is answered first.
        for held in [second, first] {
            let id = held.seen.message().unwrap()["id"].to_string();
            let (stream, answer) = events();
            held.answer(answer);
            stream.message(&result(&id)).await;
        }
    };
    let (one, two, ()) = tokio::join!(call("1"), call("2"), answering);
    for (reply, id) in [(one, "1"), (two, "2")] {
        let mut reply = reply.unwrap();
        assert!(reply.event().await.contains(&result(id)));
        assert_eq!(reply.rest().await, End::Orderly);
    }
    let trail = rig.stop().await;
    assert_eq!(trail.calls("tools/call").len(), 2);
    assert!(trail.calls("tools/call").iter().all(|call| call.status() == Status::Ok));
}

#[tokio::test]
async fn a_stream_that_is_reset_ends_its_call_and_no_other() {
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).start().await;
    let (token, host) = (rig.token("alice"), rig.address.to_string());
    let client = Http2::over(TcpStream::connect(rig.address).await.unwrap()).await;
    let call = |id: &str| client.send(modern_call(id, "echo").token(&token), &host);
    let gone = {
        let mut sent = std::pin::pin!(call("1"));
        tokio::select! {
            _ = sent.as_mut() => panic!("nobody answered"),
            held = waiting.next() => held,
        }
    };
    gone.abandoned().await;
    let (reply, ()) = tokio::join!(call("2"), async {
        waiting.next().await.answer(json(result("2")));
    });
    assert_eq!(reply.unwrap().bytes().await, result("2"));
    let trail = rig.stop().await;
    let statuses: Vec<_> = trail.calls("tools/call").iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::Cancelled, Status::Ok]);
}

#[tokio::test]
async fn an_answer_that_is_cut_short_does_not_look_complete() {
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).start().await;
    let (token, host) = (rig.token("alice"), rig.address.to_string());
    let client = Http2::over(TcpStream::connect(rig.address).await.unwrap()).await;
    let (reply, stream) =
        tokio::join!(client.send(modern_call("1", "echo").token(&token), &host), async {
            waiting.next().await.stream()
        });
    let mut reply = reply.unwrap();
    stream.send(": here\n\n").await;
    reply.event().await;
    stream.break_off().await;
    assert_eq!(reply.rest().await, End::Broken);
    rig.stop().await;
}

#[tokio::test]
async fn a_request_names_one_host_in_http_2() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let rig = Plan::http(&upstream).start().await;
    let (token, own) = (rig.token("alice"), rig.address.to_string());
    let client = Http2::over(TcpStream::connect(rig.address).await.unwrap()).await;
    for (authority, host, status) in [
        (&*own, None, 200),
        (&own, Some(&*own), 200),
        ("evil.example", None, 403),
        ("evil.example", Some(&*own), 403),
        (&own, Some("evil.example"), 403),
    ] {
        let ask = modern_call("1", "echo").token(&token);
        let ask = match host {
            Some(host) => ask.header("host", host),
            None => ask,
        };
        let reply = client.send(ask, authority).await.unwrap();
        assert_eq!(reply.status, status, "{authority} {host:?}");
        if status == 403 {
            assert_eq!(code(&reply.message().await), 40_310);
        }
    }
    assert_eq!(upstream.seen().len(), 2);
    let trail = rig.stop().await;
    assert_eq!(trail.refusals().len(), 3);
}

#[tokio::test]
async fn a_request_names_one_host_in_http_1() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let rig = Plan::http(&upstream).start().await;
    let own = rig.address.to_string();
    for (target, hosts, status) in [
        (format!("http://{own}/mcp"), vec![&*own], "HTTP/1.1 200"),
        (format!("http://{own}/mcp"), vec!["evil.example"], "HTTP/1.1 403"),
        ("http://evil.example/mcp".to_owned(), vec![&own], "HTTP/1.1 403"),
        ("/mcp".to_owned(), vec![&own, &own], "HTTP/1.1 403"),
        ("/mcp".to_owned(), vec![], "HTTP/1.1 403"),
        ("/mcp".to_owned(), vec!["127.0.0.1"], "HTTP/1.1 403"),
    ] {
        let ask = modern_call("1", "echo").token(&rig.token("alice"));
        let answer = raw(&rig.address, &target, &hosts, &ask).await;
        assert!(answer.starts_with(status), "{target} {hosts:?}: {answer}");
    }
    assert_eq!(upstream.seen().len(), 1);
    rig.stop().await;
}

async fn raw(address: &std::net::SocketAddr, target: &str, hosts: &[&str], ask: &Ask) -> String {
    let mut request = format!("POST {target} HTTP/1.1\r\nconnection: close\r\n");
    for host in hosts {
        request += &format!("host: {host}\r\n");
    }
    for (name, value) in &ask.headers {
        request += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    let body = std::str::from_utf8(&ask.body).unwrap();
    request += &format!("content-length: {}\r\n\r\n{body}", body.len());
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("the answer ends", stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn a_connection_on_which_nothing_happens_is_closed() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let plan = Plan::http(&upstream).limits(|limits| limits.idle_timeout = SOON);
    let rig = plan.start().await;
    let client = Http2::over(TcpStream::connect(rig.address).await.unwrap()).await;
    let ask = modern_call("1", "echo").token(&rig.token("alice"));
    let reply = client.send(ask, &rig.address.to_string()).await.unwrap();
    assert_eq!(reply.bytes().await, result("1"));
    client.closed().await;
    rig.stop().await;
}

#[tokio::test]
async fn an_open_answer_keeps_a_connection() {
    let (upstream, mut waiting) = Upstream::held().await;
    let plan = Plan::http(&upstream).limits(|limits| limits.idle_timeout = SOON);
    let rig = plan.start().await;
    let (token, host) = (rig.token("alice"), rig.address.to_string());
    let long = Http2::over(TcpStream::connect(rig.address).await.unwrap()).await;
    let short = Http2::over(TcpStream::connect(rig.address).await.unwrap()).await;
    let call = |client| Http2::send(client, modern_call("1", "echo").token(&token), &host);
    let (reply, stream) = tokio::join!(call(&long), async { waiting.next().await.stream() });
    // This one falls silent later, and is closed before the other gets its answer.
    tokio::join!(call(&short), async { waiting.next().await.answer(json(result("1"))) });
    short.closed().await;
    stream.message(&result("1")).await;
    assert!(reply.unwrap().event().await.contains("result"));
    drop(stream);
    long.closed().await;
    rig.stop().await;
}
