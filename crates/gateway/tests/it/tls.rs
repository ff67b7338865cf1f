//! TLS towards clients: the same gateway behind it, and a certificate that changes under way.

use crate::certificates::Authority;
use crate::client::{Ask, Http2};
use crate::messages::{modern_call, result};
use crate::rig::{Plan, Rig, SOON};
use crate::upstream::{Upstream, json};
use crate::within;
use event::Status;
use gateway::config::Limits;
use gateway::tls::{Identity, ListenerTls};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn behind_tls(identity: &Arc<Identity>, change: impl FnOnce(&mut Limits)) -> (Upstream, Rig) {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let tls = ListenerTls::new(Arc::clone(identity)).unwrap();
    let plan = Plan { tls: Some(tls), ..Plan::http(&upstream) }.limits(change);
    (upstream, plan.start().await)
}

fn call(rig: &Rig) -> Ask {
    modern_call("1", "echo").token(&rig.token("alice"))
}

#[tokio::test]
async fn both_versions_of_http_are_offered_by_alpn() {
    let authority = Authority::new();
    let (upstream, rig) = behind_tls(&authority.issue("127.0.0.1").identity(), |_| {}).await;
    for (offered, chosen) in
        [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
    {
        let stream = authority.connect(rig.address, offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen.map(str::as_bytes));
        let reply = if chosen == Some("h2") {
            let client = Http2::over(stream).await;
            client.send(call(&rig), &rig.address.to_string()).await.unwrap().bytes().await
        } else {
            call(&rig).over_http1(stream, rig.address).await.unwrap().bytes().await
        };
        assert_eq!(reply, result("1"), "{offered:?}");
    }
    // Who asks for nothing that we speak is told so.
    authority.connect(rig.address, &["h3"]).await.unwrap_err();
    assert_eq!(upstream.seen().len(), 3);
    let trail = rig.stop().await;
    assert!(trail.calls("tools/call").iter().all(|call| call.status() == Status::Ok));
}

#[tokio::test]
async fn a_new_certificate_leaves_connections_alone() {
    let (old, new) = (Authority::new(), Authority::new());
    let identity = old.issue("127.0.0.1").identity();
    let (_upstream, rig) = behind_tls(&identity, |_| {}).await;
    let host = rig.address.to_string();
    let open = Http2::over(old.connect(rig.address, &["h2"]).await.unwrap()).await;
    open.send(call(&rig), &host).await.unwrap().bytes().await;
    let (next, other) = (new.issue("127.0.0.1"), new.issue("127.0.0.1"));
    // A pair that does not go together changes nothing.
    identity.replace(next.certificate.as_bytes(), other.key.as_bytes()).unwrap_err();
    old.connect(rig.address, &["h2"]).await.unwrap();
    identity.replace(next.certificate.as_bytes(), next.key.as_bytes()).unwrap();
    old.connect(rig.address, &["h2"]).await.unwrap_err();
    open.send(call(&rig), &host).await.unwrap().bytes().await;
    let fresh = Http2::over(new.connect(rig.address, &["h2"]).await.unwrap()).await;
    fresh.send(call(&rig), &host).await.unwrap().bytes().await;
    assert_eq!(rig.stop().await.calls("tools/call").len(), 3);
}

#[tokio::test]
async fn who_does_not_shake_hands_is_cut_off() {
    let authority = Authority::new();
    let soon = |limits: &mut Limits| limits.handshake_timeout = SOON;
    let (upstream, rig) = behind_tls(&authority.issue("127.0.0.1").identity(), soon).await;
    let beginnings: [&[u8]; 4] = [
        b"",
        // The head of a handshake record, and nothing in it.
        b"\x16\x03\x01\x02\x00\x01",
        b"POST /mcp HTTP/1.1\r\nhost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for beginning in beginnings {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end, too.
        within("the connection closes", stream.read_to_end(&mut answer)).await.ok();
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    // Nor does it keep the gateway from stopping.
    let _silent = TcpStream::connect(rig.address).await.unwrap();
    assert!(upstream.seen().is_empty());
    rig.stop().await;
}

#[tokio::test]
async fn handshakes_that_stall_hold_up_others_for_their_own_time_only() {
    let authority = Authority::new();
    let change = |limits: &mut Limits| {
        limits.handshakes_max = 1;
        limits.handshake_timeout = 10 * SOON;
    };
    let (_upstream, rig) = behind_tls(&authority.issue("127.0.0.1").identity(), change).await;
    let mut stalled = TcpStream::connect(rig.address).await.unwrap();
    stalled.write_all(b"\x16\x03\x01").await.unwrap();
    within("the next one gets its turn", async {
        loop {
            if let Ok(stream) = authority.connect(rig.address, &["http/1.1"]).await {
                // It may have waited so long for its turn that its own time was over, too.
                if let Some(reply) = call(&rig).over_http1(stream, rig.address).await {
                    return assert_eq!(reply.status, 200);
                }
            }
        }
    })
    .await;
    rig.stop().await;
}
