//! Callers that show possession of a key, over TLS and both versions of HTTP; and others with their tokens.

use crate::certificates::{Authority, Pair};
use crate::client::{Ask, Http2, Reply};
use crate::messages::{
    INITIALIZED, code, initialize, legacy, legacy_call, modern_call, reason, result,
};
use crate::rig::{AUDIENCE, Plan, Rig};
use crate::trail;
use crate::upstream::{Upstream, json};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use event::{Level, Proof};
use gateway::tls::ListenerTls;
use http::Method;
use identity::dev::ProofKey;
use serde_json::Value;

/// A gateway that asks for certificates, and a client with a key.
struct Scene {
    authority: Authority,
    upstream: Upstream,
    rig: Rig,
    key: ProofKey,
}

impl Scene {
    async fn new() -> Self {
        Self::before(Upstream::start(|_| async { Some(json(result("1"))) }).await).await
    }

    async fn before(upstream: Upstream) -> Self {
        let authority = Authority::new();
        let identity = authority.issue("127.0.0.1").identity();
        let tls = ListenerTls::asking_for_certificates(identity).unwrap();
        let rig = Plan { tls: Some(tls), ..Plan::http(&upstream) }.start().await;
        Self { authority, upstream, rig, key: ProofKey::generate().unwrap() }
    }

    /// A token for `alice` that is bound to this.
    fn token(&self, cnf: &Value) -> String {
        let claims = serde_json::json!({"sub": "alice", "aud": AUDIENCE, "cnf": cnf});
        let (claims, now) = (claims.as_object().unwrap().clone(), self.rig.recorder.clock().now());
        self.rig.issuer.token_with(claims, now, 600).unwrap()
    }

    fn bound(&self) -> String {
        self.token(&serde_json::json!({"jkt": self.key.thumbprint()}))
    }

    /// With the token and a proof of this name.
    fn prove(&self, ask: Ask, token: &str, jti: &str) -> Ask {
        let uri = format!("https://{}/mcp", self.rig.address);
        let (method, now) = (ask.method.clone(), self.rig.recorder.clock().now());
        let proof = self.key.proof((method.as_str(), &uri), token, (jti, now)).unwrap();
        ask.header("authorization", &format!("DPoP {token}")).header("dpop", &proof)
    }

    async fn send(&self, ask: Ask, http: &str, own: Option<&Pair>) -> Reply {
        let address = self.rig.address;
        let stream = self.authority.connect_as(address, &[http], own).await.unwrap();
        match http {
            "h2" => Http2::over(stream).await.send(ask, &address.to_string()).await.unwrap(),
            _ => ask.over_http1(stream, address).await.unwrap(),
        }
    }
}

const BOTH: [&str; 2] = ["h2", "http/1.1"];

/// What a refused caller is told: the reason, and how to do better.
async fn refused(reply: Reply) -> (String, String) {
    let challenges = reply.headers.get_all("www-authenticate").iter();
    let challenges: Vec<_> = challenges.map(|one| one.to_str().unwrap().to_owned()).collect();
    assert_eq!((reply.status, challenges.len()), (401, 1));
    let message = reply.message().await;
    assert_eq!(code(&message), 40_100);
    (reason(&message).to_owned(), challenges[0].clone())
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_key_is_good_with_a_proof_only() {
    let scene = Scene::new().await;
    let token = scene.bound();
    let call = || modern_call("1", "echo");
    for http in BOTH {
        for jti in ["1", "2"] {
            let ask = scene.prove(call(), &token, &format!("{http} {jti}"));
            assert_eq!(scene.send(ask, http, None).await.bytes().await, result("1"));
        }
        let again = scene.prove(call(), &token, &format!("{http} 1"));
        let (reason, challenge) = refused(scene.send(again, http, None).await).await;
        assert_eq!(reason, "identity.replayed");
        assert!(challenge.starts_with("DPoP error=\"invalid_dpop_proof\", algs=\"RS256 "));
        let stolen = call().token(&token);
        let (reason, challenge) = refused(scene.send(stolen, http, None).await).await;
        assert_eq!(reason, "identity.proof-missing");
        assert!(challenge.starts_with("DPoP error=\"invalid_token\", algs=\""), "{challenge}");
        let none = call().header("authorization", &format!("DPoP {token}"));
        let (reason, challenge) = refused(scene.send(none, http, None).await).await;
        assert_eq!(reason, "identity.proof-missing");
        assert!(challenge.contains("invalid_dpop_proof"), "{challenge}");
        let elsewhere = scene.prove(Ask { method: Method::GET, ..call() }, &token, "3");
        let elsewhere = Ask { method: Method::POST, ..elsewhere };
        let (reason, _) = refused(scene.send(elsewhere, http, None).await).await;
        assert_eq!(reason, "identity.proof-invalid");
        let twice = scene.prove(call(), &token, "4");
        let proof = twice.headers["dpop"].to_str().unwrap().to_owned();
        let (reason, _) =
            refused(scene.send(twice.another("dpop", &proof), http, None).await).await;
        assert_eq!(reason, "identity.proof-invalid");
    }
    let seen = scene.upstream.seen();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|seen| !seen.headers.contains_key("dpop")));
    let trail = scene.rig.stop().await;
    let calls = trail.calls("tools/call");
    assert_eq!((calls.len(), trail.refusals().len()), (4, 10));
    for call in calls {
        let actor = call.asked.actor.as_ref().unwrap();
        assert_eq!((actor.id.as_str(), actor.level), ("alice", Level::VerifiedPop));
        let evidence = &actor.chain[0].evidence;
        assert_eq!(evidence.proof, Some(Proof::Dpop));
        assert_eq!(evidence.proof_key, Some(scene.key.thumbprint()));
    }
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_certificate_is_good_on_its_connections_only() {
    let scene = Scene::new().await;
    let (own, other) = (Authority::new().issue("alice"), scene.authority.issue("alice"));
    let x5t = URL_SAFE_NO_PAD.encode(digest(&SHA256, &own.der()));
    let token = scene.token(&serde_json::json!({ "x5t#S256": x5t }));
    let call = || modern_call("1", "echo").token(&token);
    for http in BOTH {
        let reply = scene.send(call(), http, Some(&own)).await;
        assert_eq!(reply.bytes().await, result("1"));
        let (reason, challenge) = refused(scene.send(call(), http, None).await).await;
        assert_eq!(reason, "identity.proof-missing");
        assert!(challenge.starts_with("Bearer error=\"invalid_token\", error_desc"), "{challenge}");
        let (reason, _) = refused(scene.send(call(), http, Some(&other)).await).await;
        assert_eq!(reason, "identity.binding-mismatch");
    }
    // A certificate by itself makes no difference to others.
    let bearer = modern_call("1", "echo").token(&scene.rig.token("bob"));
    assert_eq!(scene.send(bearer, "h2", Some(&other)).await.status, 200);
    let trail = scene.rig.stop().await;
    for call in trail.calls("tools/call").iter().take(2) {
        let actor = call.asked.actor.as_ref().unwrap();
        assert_eq!(actor.level, Level::VerifiedPop);
        let evidence = &actor.chain[0].evidence;
        assert_eq!((evidence.proof, evidence.proof_key.as_ref()), (Some(Proof::Mtls), None));
        let sha256 = &evidence.certificate.as_ref().unwrap().sha256;
        let hex: String =
            digest(&SHA256, &own.der()).as_ref().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(*sha256, hex);
    }
    let last = trail.calls("tools/call").pop().unwrap();
    assert_eq!(last.asked.actor.as_ref().unwrap().level, Level::VerifiedBearer);
}

#[tokio::test]
async fn a_session_of_a_key_is_not_for_a_stolen_token_of_the_same_name() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let scene = Scene::before(upstream).await;
    let token = scene.bound();
    let opened = scene.send(scene.prove(initialize(), &token, "1"), "h2", None).await;
    let session = opened.session();
    opened.bytes().await;
    let said = scene.prove(legacy(&session, INITIALIZED), &token, "2");
    assert_eq!(scene.send(said, "h2", None).await.status, 202);
    let bearer = scene.rig.token("alice");
    let stolen = legacy_call(&session, "1", "echo").token(&bearer);
    let reply = scene.send(stolen, "h2", None).await;
    assert_eq!((reply.status, reason(&reply.message().await)), (404, "session.unknown"));
    let ask = scene.prove(legacy_call(&session, "1", "echo"), &token, "3");
    let (reply, ()) = tokio::join!(scene.send(ask, "h2", None), async {
        waiting.next().await.answer(json(result("1")));
    });
    assert_eq!(reply.bytes().await, result("1"));
    let trail = scene.rig.stop().await;
    assert_eq!(trail::reason(trail.refusal()), "session.of-another");
}
