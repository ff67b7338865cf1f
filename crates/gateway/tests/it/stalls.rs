//! Clients that are there and do not read what they asked for.

use crate::client::Ask;
use crate::messages::{call_body, event, legacy_call, modern_call};
use crate::rig::{Plan, Rig, SOON};
use crate::upstream::{Stream, Upstream, Waiting};
use event::Status;
use gateway::config::Limits;
use std::collections::BTreeMap;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// More than the system and the gateway hold for one client.
pub(crate) async fn flood(stream: Stream) {
    let notice = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"data":"{}"}}}}"#,
        "x".repeat(1 << 20)
    );
    let notice = event(&notice);
    while stream.offer(&notice).await {}
}

fn stalled() -> BTreeMap<String, String> {
    BTreeMap::from([("client".to_owned(), "stalled".to_owned())])
}

async fn rig(change: impl FnOnce(&mut Limits)) -> (Upstream, Waiting, Rig) {
    let (upstream, waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).limits(change).start().await;
    (upstream, waiting, rig)
}

/// Sends a request and reads nothing.
pub(crate) async fn silent(rig: &Rig, ask: Ask) -> TcpStream {
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let ask = ask.token(&rig.token("alice"));
    let mut text = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", ask.method, ask.path, rig.address);
    for (name, value) in &ask.headers {
        text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n", ask.body.len()));
    stream.write_all(&[text.as_bytes(), &ask.body].concat()).await.unwrap();
    stream
}

#[tokio::test]
async fn who_does_not_read_is_taken_to_be_gone() {
    let (_upstream, mut waiting, rig) = rig(|limits| limits.write_timeout = SOON).await;
    let session = rig.session().await;
    for ask in [modern_call("1", "echo"), legacy_call(&session, "1", "echo")] {
        let open = silent(&rig, ask).await;
        flood(waiting.next().await.stream()).await;
        rig.until(|trail| trail.is_settled()).await;
        drop(open);
    }
    let trail = rig.stop().await;
    for call in trail.calls("tools/call") {
        assert_eq!(call.status(), Status::ClientGone);
        assert_eq!(call.end.unwrap().details, stalled());
    }
    assert_eq!(trail.calls("tools/call").len(), 2);
}

#[tokio::test]
async fn a_stream_of_events_that_nobody_reads_ends_with_its_session() {
    let (_upstream, mut waiting, rig) = rig(|limits| limits.write_timeout = SOON).await;
    let get = Ask { path: "/sse".to_owned(), ..Ask::new(http::Method::GET) };
    let mut opened = rig.send(get).await;
    let first = opened.event().await;
    let endpoint = first.strip_prefix("event: endpoint\ndata: ").unwrap().trim().to_owned();
    let say = |body: String| Ask { path: endpoint.clone(), ..Ask::post(body) };
    assert_eq!(rig.send(say(crate::messages::INITIALIZE.to_owned())).await.status, 202);
    opened.event().await;
    assert_eq!(rig.send(say(call_body("1", "echo"))).await.status, 202);
    // From now on it reads nothing.
    flood(waiting.next().await.stream()).await;
    let closing = waiting.next().await;
    assert_eq!(closing.seen.method, http::Method::DELETE);
    closing.answer(crate::upstream::empty(200));
    let trail = rig.until(|trail| trail.is_settled()).await;
    assert_eq!(trail.call("tools/call").status(), Status::ClientGone);
    rig.stop().await;
}

#[tokio::test]
async fn who_does_not_read_does_not_hold_up_the_end() {
    let (_upstream, mut waiting, rig) = rig(|limits| limits.shutdown_grace = SOON).await;
    let open = silent(&rig, modern_call("1", "echo")).await;
    let flooding = tokio::spawn(flood(waiting.next().await.stream()));
    let trail = rig.stop().await;
    flooding.await.unwrap();
    assert_eq!(trail.call("tools/call").status(), Status::Unknown);
    drop(open);
}
