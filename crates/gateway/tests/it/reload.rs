//! A configuration that changes while calls are in progress: nothing is lost, nothing is refused.

use crate::messages::{legacy_call, modern_call, result};
use crate::rig::{Plan, Rig};
use crate::upstream::{Upstream, json};
use crate::within;
use event::Status;
use gateway::config::{Limits, NamedServer, Quota, Server};
use gateway::tls::ServerTls;
use gateway::{Changeable, Reloaded};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn named(name: &str, upstream: &Upstream) -> NamedServer {
    let url = format!("http://{}/mcp", upstream.address).parse().unwrap();
    let server = Server::Http { url, tls: ServerTls::default() };
    NamedServer { name: name.to_owned(), prefix: name.to_owned(), server, quota: Quota::default() }
}

fn changed(rig: &Rig, servers: Vec<NamedServer>, limits: Limits) -> Changeable {
    Changeable { servers, limits, ..rig.changeable.clone() }
}

#[tokio::test]
async fn no_call_is_lost_or_refused_while_the_configuration_changes_in_a_loop() {
    let upstream = Upstream::start(|seen| async move {
        let id = seen.message()?["id"].to_string();
        Some(json(result(&id)))
    })
    .await;
    let rig = Plan::http(&upstream).start().await;
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..4 {
        let (address, token) = (rig.address, rig.token(&format!("caller-{caller}")));
        callers.spawn(async move {
            for id in 0..40 {
                let mut ask = modern_call(&id.to_string(), "echo").token(&token);
                ask.path = "/s/srv/mcp".to_owned();
                let reply = ask.send(address).await;
                assert_eq!(reply.status, 200, "call {id} of caller {caller}");
                assert_eq!(reply.message().await["id"], id);
            }
        });
    }
    let (gateway, changes) = (Arc::clone(&rig.gateway), rig.changeable.clone());
    let (stop, other) = (Arc::clone(&over), named("other", &upstream));
    let reloading = tokio::spawn(async move {
        let mut reloads = 0_u32;
        while !stop.load(Ordering::Relaxed) {
            let mut next = changes.clone();
            if reloads.is_multiple_of(2) {
                next.servers.push(other.clone());
            }
            next.limits.reply_timeout = Duration::from_secs(100 + u64::from(reloads % 3));
            gateway.reload(&next).unwrap();
            reloads += 1;
            tokio::task::yield_now().await;
        }
        reloads
    });
    while let Some(done) = within("all calls are answered", callers.join_next()).await {
        done.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    assert!(reloading.await.unwrap() > 10);
    let trail = rig.stop().await;
    assert!(trail.refusals().is_empty());
    let calls = trail.calls("tools/call");
    assert_eq!(calls.len(), 160);
    assert!(calls.iter().all(|call| call.status() == Status::Ok));
}

#[tokio::test]
async fn a_server_that_stays_keeps_its_sessions() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    let limits = Limits { connect_timeout: Duration::from_secs(3), ..Limits::default() };
    let servers = rig.changeable.servers.clone();
    let reloaded = rig.gateway.reload(&changed(&rig, servers, limits)).unwrap();
    assert_eq!(reloaded, Reloaded::default());
    let ask = legacy_call(&session, "1", "echo").token(&rig.token("alice"));
    let call = tokio::spawn(ask.send(rig.address));
    waiting.next().await.answer(json(result("1")));
    assert_eq!(call.await.unwrap().status, 200);
    rig.stop().await;
}

#[tokio::test]
async fn a_server_that_goes_ends_its_calls_and_then_its_sessions() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    let ask = legacy_call(&session, "1", "echo").token(&rig.token("alice"));
    let call = tokio::spawn(ask.send(rig.address));
    let held = waiting.next().await;
    let servers = vec![named("new", &upstream)];
    let reloaded = rig.gateway.reload(&changed(&rig, servers, Limits::default())).unwrap();
    assert_eq!(reloaded.added, ["new"]);
    assert_eq!(reloaded.removed, ["srv"]);
    held.answer(json(result("1")));
    assert_eq!(call.await.unwrap().status, 200);
    let trail = rig.until(crate::trail::Trail::sessions_ended).await;
    assert_eq!(trail.call("tools/call").status(), Status::Ok);
    let gone = rig.send(legacy_call(&session, "2", "echo")).await;
    assert_eq!(gone.status, 404);
    rig.stop().await;
}

#[tokio::test]
async fn a_server_that_goes_waits_for_calls_from_before_an_earlier_change() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    let ask = legacy_call(&session, "1", "echo").token(&rig.token("alice"));
    let call = tokio::spawn(ask.send(rig.address));
    let held = waiting.next().await;
    let limits = Limits { connect_timeout: Duration::from_secs(3), ..Limits::default() };
    let servers = rig.changeable.servers.clone();
    rig.gateway.reload(&changed(&rig, servers, limits.clone())).unwrap();
    let servers = vec![named("new", &upstream)];
    let reloaded = rig.gateway.reload(&changed(&rig, servers, limits)).unwrap();
    assert_eq!(reloaded.removed, ["srv"]);
    held.answer(json(result("1")));
    assert_eq!(call.await.unwrap().status, 200);
    let trail = rig.until(crate::trail::Trail::sessions_ended).await;
    assert_eq!(trail.call("tools/call").status(), Status::Ok);
    rig.stop().await;
}

#[tokio::test]
async fn a_server_that_is_another_now_begins_anew() {
    let (upstream, _waiting) = Upstream::with_sessions().await;
    let second = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    let servers = vec![named("srv", &second)];
    let reloaded = rig.gateway.reload(&changed(&rig, servers, Limits::default())).unwrap();
    assert_eq!(reloaded.changed, ["srv"]);
    assert_eq!(rig.send(legacy_call(&session, "1", "echo")).await.status, 404);
    assert_eq!(rig.send(modern_call("1", "echo")).await.status, 200);
    rig.stop().await;
}

#[tokio::test]
async fn hosts_and_bounds_are_those_of_the_new_configuration() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let rig = Plan::http(&upstream).start().await;
    let mut next = rig.changeable.clone();
    next.allowed_hosts = vec!["other.example".to_owned()];
    next.limits.request_bytes_max = 700;
    rig.gateway.reload(&next).unwrap();
    assert_eq!(rig.send(modern_call("1", "echo")).await.status, 403);
    let named = |ask: crate::client::Ask| ask.header("host", "other.example");
    assert_eq!(rig.send(named(modern_call("1", "echo"))).await.status, 200);
    assert_eq!(rig.send(named(modern_call("1", &"x".repeat(700)))).await.status, 413);
    rig.stop().await;
}

#[tokio::test]
async fn bounds_on_sessions_change_while_sessions_are_kept() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    let limits = Limits { sessions_max: 1, ..Limits::default() };
    let servers = rig.changeable.servers.clone();
    rig.gateway.reload(&changed(&rig, servers.clone(), limits.clone())).unwrap();
    assert_eq!(rig.send(crate::messages::initialize()).await.status, 503, "there is one already");
    let ask = legacy_call(&session, "1", "echo").token(&rig.token("alice"));
    let call = tokio::spawn(ask.send(rig.address));
    waiting.next().await.answer(json(result("1")));
    assert_eq!(call.await.unwrap().status, 200);
    let limits = Limits { session_idle: Duration::ZERO, ..limits };
    rig.gateway.reload(&changed(&rig, servers, limits)).unwrap();
    assert_eq!(rig.send(legacy_call(&session, "2", "echo")).await.status, 404, "idle already");
    rig.stop().await;
}
