//! Whose credential was revoked is let in no more, and what goes on in its name ends at once.

use crate::client::{Ask, End};
use crate::messages::{initialize, reason, result};
use crate::rig::{ISSUER, Plan, Rig};
use crate::upstream::{Upstream, json};
use http::Method;
use identity::Subject;

fn revoke(rig: &Rig, sub: &str) {
    let subject = Subject { iss: ISSUER.to_owned(), sub: sub.to_owned() };
    let now = rig.recorder.clock().now();
    rig.changeable.identity.revocations().revoke(subject, now, now).unwrap();
}

#[tokio::test]
async fn streams_of_a_revoked_caller_end_and_those_of_others_go_on() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let (alice, bob) = (rig.token("alice"), rig.token("bob"));
    let mut streams = Vec::new();
    for token in [&alice, &bob] {
        let session = initialize().token(token).send(rig.address).await.session();
        let listening = Ask::new(Method::GET).session(&session).token(token).send(rig.address);
        let listening = tokio::spawn(listening);
        streams.push((waiting.next().await.stream(), listening.await.unwrap()));
    }
    let sse = Ask { path: "/sse".to_owned(), ..Ask::new(Method::GET) };
    let mut sse = sse.token(&alice).send(rig.address).await;
    revoke(&rig, "alice");
    let mut of_bob = streams.pop().unwrap();
    let (server, mut of_alice) = streams.pop().unwrap();
    assert_eq!((of_alice.rest().await, sse.rest().await), (End::Orderly, End::Orderly));
    server.abandoned().await;
    let refused = initialize().token(&alice).send(rig.address).await;
    assert_eq!((refused.status, reason(&refused.message().await)), (401, "identity.revoked"));
    of_bob.0.send(": here\n\n").await;
    assert_eq!(of_bob.1.event().await, ": here\n\n");
    drop(of_bob);
    let trail = rig.stop().await;
    assert_eq!(trail.refusals().len(), 1);
}

#[tokio::test]
async fn streams_of_all_servers_end_likewise() {
    let (server, mut waiting) = Upstream::with_sessions().await;
    let quiet = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let rig = Plan::http(&server).and("quiet", quiet.address).start().await;
    let alice = rig.token("alice");
    let session = initialize().token(&alice).send(rig.address).await.session();
    let listening = Ask::new(Method::GET).session(&session).token(&alice).send(rig.address);
    let listening = tokio::spawn(listening);
    let stream = waiting.next().await.stream();
    let mut reply = listening.await.unwrap();
    revoke(&rig, "alice");
    assert_eq!(reply.rest().await, End::Orderly);
    stream.abandoned().await;
    rig.stop().await;
}
