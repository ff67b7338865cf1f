//! TLS towards servers: whom the gateway trusts, who it says it is, and which HTTP it speaks.

use crate::certificates::Authority;
use crate::messages::{modern_call, result};
use crate::rig::Plan;
use crate::upstream::{Upstream, json};
use event::Status;
use gateway::config::Server;
use gateway::tls::{Roots, ServerTls};
use http::Version;
use std::sync::Arc;
use tokio::task::JoinSet;

fn plan(upstream: &Upstream, tls: ServerTls) -> Plan {
    let url = format!("https://{}/mcp", upstream.address).parse().unwrap();
    Plan::in_front_of(Server::Http { url, tls })
}

fn trusting(authority: &Authority) -> ServerTls {
    ServerTls::default().trust_only(Arc::new(Roots::new(authority.pem().as_bytes()).unwrap()))
}

#[tokio::test]
async fn http_2_is_spoken_where_alpn_agrees_on_it() {
    let authority = Authority::new();
    let pair = authority.issue("127.0.0.1");
    for (offered, spoken) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let tls = Authority::acceptor(&pair, offered, None);
        let upstream = Upstream::serving(Some(tls), |_| async { Some(json(result("1"))) }).await;
        let rig = plan(&upstream, trusting(&authority)).start().await;
        assert_eq!(rig.send(modern_call("1", "echo")).await.bytes().await, result("1"));
        assert_eq!(upstream.seen()[0].version, spoken, "{offered:?}");
        assert_eq!(upstream.seen()[0].shown, None);
        rig.stop().await;
    }
    // Never on plain http, although this server would understand it.
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let rig = Plan::http(&upstream).start().await;
    rig.send(modern_call("1", "echo")).await.bytes().await;
    assert_eq!(upstream.seen()[0].version, Version::HTTP_11);
    rig.stop().await;
}

#[tokio::test]
async fn a_server_that_cannot_be_trusted_gets_no_call() {
    let (authority, other) = (Authority::new(), Authority::new());
    let wrong_name = Authority::acceptor(&authority.issue("elsewhere.example"), &[], None);
    let right_name = || Authority::acceptor(&authority.issue("127.0.0.1"), &[], None);
    for (acceptor, trust) in [
        (right_name(), ServerTls::default()),
        (right_name(), trusting(&other)),
        (wrong_name, trusting(&authority)),
    ] {
        let upstream =
            Upstream::serving(Some(acceptor), |_| async { Some(json(result("1"))) }).await;
        let rig = plan(&upstream, trust).start().await;
        assert_eq!(rig.send(modern_call("1", "echo")).await.status, 502);
        assert!(upstream.seen().is_empty());
        let trail = rig.stop().await;
        assert_eq!(trail.call("tools/call").status(), Status::Unreachable);
    }
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_the_newest() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let pair = authority.issue("127.0.0.1");
    let upstream = |protocol| {
        let tls = Authority::acceptor(&pair, &[protocol], Some(&clients));
        Upstream::serving(Some(tls), |_| async { Some(json(result("1"))) })
    };
    let without = upstream("http/1.1").await;
    let rig = plan(&without, trusting(&authority)).start().await;
    assert_eq!(rig.send(modern_call("1", "echo")).await.status, 502);
    assert!(without.seen().is_empty());
    rig.stop().await;
    for protocol in ["h2", "http/1.1"] {
        let upstream = upstream(protocol).await;
        let (first, second) = (clients.issue("gateway"), clients.issue("gateway"));
        let identity = first.identity();
        let tls = trusting(&authority).identified_by(identity.clone());
        let rig = plan(&upstream, tls.clone()).start().await;
        rig.send(modern_call("1", "echo")).await.bytes().await;
        assert_eq!(upstream.seen()[0].shown.as_deref(), Some(&*first.der()));
        rig.stop().await;
        identity.replace(second.certificate.as_bytes(), second.key.as_bytes()).unwrap();
        let rig = plan(&upstream, tls).start().await;
        rig.send(modern_call("1", "echo")).await.bytes().await;
        assert_eq!(upstream.seen()[1].shown.as_deref(), Some(&*second.der()));
        rig.stop().await;
    }
}

/// Each request of the upstream has a connection of its own here: nothing of an old one is resumed.
#[tokio::test]
async fn authorities_are_exchanged_while_the_gateway_serves() {
    let (first, second) = (Authority::new(), Authority::new());
    let roots = Arc::new(Roots::new(first.pem().as_bytes()).unwrap());
    let tls = Authority::acceptor(&first.issue("127.0.0.1"), &["http/1.1"], None);
    let upstream = Upstream::serving(Some(tls), |_| async {
        let mut answer = json(result("1"));
        answer.headers_mut().insert("connection", http::HeaderValue::from_static("close"));
        Some(answer)
    })
    .await;
    let rig = plan(&upstream, ServerTls::default().trust_only(roots.clone())).start().await;
    let status = async || rig.send(modern_call("1", "echo")).await.status;
    assert_eq!(status().await, 200);
    roots.replace(second.pem().as_bytes()).unwrap();
    assert_eq!(status().await, 502, "nobody vouches for it any more");
    let both = format!("{}{}", first.pem(), second.pem());
    roots.replace(both.as_bytes()).unwrap();
    assert_eq!(status().await, 200);
    assert_eq!(upstream.seen().len(), 2);
    rig.stop().await;
}

/// Servers allow about 100 streams on a connection; streams that stay open must not use them up.
#[tokio::test]
async fn answers_that_stay_open_leave_room_for_others() {
    let authority = Authority::new();
    let tls = Authority::acceptor(&authority.issue("127.0.0.1"), &["h2"], None);
    let (upstream, mut waiting) = Upstream::held_behind(Some(tls)).await;
    let rig = plan(&upstream, trusting(&authority)).start().await;
    let (token, address) = (rig.token("alice"), rig.address);
    let mut calls = JoinSet::new();
    for _ in 0..OPEN {
        calls.spawn(modern_call("1", "echo").token(&token).send(address));
    }
    let mut held = Vec::new();
    while held.len() < OPEN {
        held.push(waiting.next().await);
    }
    assert!(upstream.seen().iter().all(|seen| seen.version == Version::HTTP_2));
    for one in held {
        one.answer(json(result("1")));
    }
    while let Some(reply) = calls.join_next().await {
        assert_eq!(reply.unwrap().bytes().await, result("1"));
    }
    rig.stop().await;
}

/// More than the 200 streams that the server allows on one connection.
const OPEN: usize = 260;
