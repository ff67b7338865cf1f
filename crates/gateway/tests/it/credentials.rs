//! Credentials of the gateway for its servers: they arrive there and nowhere else, and without one nothing
//! is sent.

use crate::client::Ask;
use crate::messages::{code, initialize, legacy, legacy_call, modern_call, reason, result};
use crate::rig::{Plan, Rig, sh};
use crate::sse_servers::ANSWER;
use crate::trail;
use crate::upstream::{Upstream, empty, json, typed};
use broker::{Broker, Config, ProviderType, Secret};
use event::{CacheUse, Event, Kind, Status};
use gateway::config::Server;
use gateway::tls::ServerTls;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const SECRET: &str = "canary-secret";

fn broker(config: &Config) -> Broker {
    let servers = [("srv", config)];
    Broker::new(servers, &|_| Some(Secret::new(SECRET.to_owned()))).unwrap()
}

fn fixed() -> Config {
    Config {
        provider_type: Some(ProviderType::Static),
        secret_env: Some("TOKEN".to_owned()),
        ..Config::default()
    }
}

/// Tokens of this issuer.
fn at_issuer(issuer: &Upstream) -> Config {
    Config {
        provider_type: Some(ProviderType::OauthClientCredentials),
        token_url: Some(format!("http://{}/token", issuer.address)),
        client_id: Some("gw".to_owned()),
        allow_insecure_loopback: true,
        ..fixed()
    }
}

fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// The details of events of this kind.
async fn told(rig: &Rig, kind: Kind) -> Vec<BTreeMap<String, String>> {
    let trail = rig.until(|_| true).await;
    let rows = trail.rows.into_iter().map(|row| row.event);
    rows.filter(|event| event.kind == kind).map(|event| event.details).collect()
}

/// A server that answers everything, and wants to be shown this.
async fn wanting(authorization: &'static str) -> Upstream {
    Upstream::start(move |seen| async move {
        if seen.headers.get_all("authorization").iter().ne([authorization]) {
            return Some(empty(401));
        }
        let id = seen.message()?["id"].to_string();
        Some(json(result(&id)))
    })
    .await
}

fn answered(events: &[Event]) -> Vec<&Event> {
    events.iter().filter(|event| event.kind == Kind::CallAnswered).collect()
}

#[tokio::test]
async fn the_server_is_shown_the_credential_and_never_the_token_of_the_client() {
    let upstream = wanting("Bearer canary-secret").await;
    let rig = Plan { credentials: broker(&fixed()), ..Plan::http(&upstream) }.start().await;
    let token = rig.token("alice");
    for id in ["1", "2"] {
        let ask = modern_call(id, "echo").header("x-kept", "1");
        assert_eq!(rig.send(ask).await.status, 200);
    }
    for seen in upstream.seen() {
        assert_eq!(seen.headers["x-kept"], "1");
        assert!(seen.headers.values().all(|value| !value.as_bytes().ends_with(token.as_bytes())));
    }
    let trail = rig.stop_with(|log| assert!(!trail::mentions(log, SECRET))).await;
    let events: Vec<Event> = trail.rows.into_iter().map(|row| row.event).collect();
    let kinds: Vec<_> =
        events.iter().map(|event| event.kind).filter(|k| *k != Kind::GatewayStarted).collect();
    // Asked, then the credential, then the answer; the second time it is at hand.
    assert_eq!(
        kinds[..5],
        [
            Kind::CallAsked,
            Kind::CredentialIssued,
            Kind::CallAnswered,
            Kind::CallAsked,
            Kind::CallAnswered
        ]
    );
    let issued = events.iter().find(|event| event.kind == Kind::CredentialIssued).unwrap();
    let sha256 = Secret::new(SECRET.to_owned()).sha256();
    assert_eq!(issued.details["sha256"], sha256);
    assert_eq!(issued.details["server"], "srv");
    let calls = answered(&events);
    assert_eq!(issued.details["call"], calls[0].call.unwrap().to_string());
    for (call, cache) in calls.iter().zip([CacheUse::Miss, CacheUse::Hit]) {
        let credential = call.credential.as_ref().unwrap();
        assert_eq!((credential.sha256.as_str(), credential.cache), (sha256.as_str(), cache));
        assert_eq!(
            (credential.provider.as_str(), credential.provider_type.as_str()),
            ("static", "static")
        );
    }
}

#[tokio::test]
async fn a_header_of_the_caller_by_the_same_name_ends_here() {
    let upstream = Upstream::start(|seen| async move {
        let id = seen.message()?["id"].to_string();
        Some(json(result(&id)))
    })
    .await;
    let config = Config { header: Some("X-API-Key".to_owned()), ..fixed() };
    let rig = Plan { credentials: broker(&config), ..Plan::http(&upstream) }.start().await;
    let ask = modern_call("1", "echo").header("x-api-key", "mine").another("x-api-key", "too");
    assert_eq!(rig.send(ask).await.status, 200);
    let headers = &upstream.seen()[0].headers;
    assert_eq!(headers.get_all("x-api-key").iter().collect::<Vec<_>>(), [SECRET]);
    assert!(!headers.contains_key("authorization"));
    rig.stop().await;
}

#[tokio::test]
async fn without_a_credential_nothing_is_sent() {
    let upstream = wanting("Bearer canary-secret").await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    put(&file, SECRET);
    let config = Config { secret_env: None, secret_file: Some(file.clone()), ..fixed() };
    let rig = Plan { credentials: broker(&config), ..Plan::http(&upstream) }.start().await;
    fs::remove_file(&file).unwrap();
    let reply = rig.send(modern_call("1", "echo")).await;
    assert_eq!(reply.status, 503);
    let error = reply.message().await;
    assert_eq!((code(&error), reason(&error)), (50_311, "credential.unavailable"));
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(upstream.seen().is_empty());
    let refused = told(&rig, Kind::CredentialRefused).await;
    assert_eq!(refused[0]["reason"], "credential.file");
    // It is there again.
    put(&file, SECRET);
    assert_eq!(rig.send(modern_call("2", "echo")).await.status, 200);
    let trail = rig.stop().await;
    let calls = trail.calls("tools/call");
    assert_eq!(calls[0].status(), Status::NoCredential);
    assert_eq!(calls[0].end.unwrap().credential, None);
    assert_eq!(refused[0]["call"], calls[0].asked.call.unwrap().to_string());
    assert_eq!(calls[1].status(), Status::Ok);
}

#[tokio::test]
async fn an_issuer_that_is_down_fails_the_call_and_not_the_gateway() {
    let upstream = wanting("Bearer token-1").await;
    let (issuer, mut waiting) = Upstream::held().await;
    let config = at_issuer(&issuer);
    let rig = Plan { credentials: broker(&config), ..Plan::http(&upstream) }.start().await;
    let ask = |id: &str| {
        tokio::spawn(modern_call(id, "echo").token(&rig.token("alice")).send(rig.address))
    };
    let first = ask("1");
    waiting.next().await.answer(typed(500, "text/plain", "canary-words"));
    assert_eq!(first.await.unwrap().status, 503);
    let second = ask("2");
    let held = waiting.next().await;
    assert!(
        !held.seen.headers["authorization"].as_bytes().ends_with(rig.token("alice").as_bytes())
    );
    held.answer(json(r#"{"access_token":"token-1","token_type":"Bearer","expires_in":300}"#));
    assert_eq!(second.await.unwrap().status, 200);
    assert_eq!((upstream.seen().len(), issuer.seen().len()), (1, 2));
    let trail = rig
        .stop_with(|log| {
            for text in [SECRET, "token-1", "canary-words"] {
                assert!(!trail::mentions(log, text), "{text}");
            }
        })
        .await;
    let statuses: Vec<_> = trail.calls("tools/call").iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::NoCredential, Status::Ok]);
}

#[tokio::test]
async fn everything_in_a_session_goes_with_the_credential() {
    let upstream = Upstream::start(|seen| async move {
        if seen.headers.get_all("authorization").iter().ne(["Bearer canary-secret"]) {
            return Some(empty(401));
        }
        match seen.rpc_method().as_deref() {
            Some("initialize") => Some(crate::upstream::opened_of("s", "2025-11-25")),
            Some("tools/call") => Some(json(result("1"))),
            _ => Some(empty(202)),
        }
    })
    .await;
    let rig = Plan { credentials: broker(&fixed()), ..Plan::http(&upstream) }.start().await;
    let session = rig.session().await;
    assert_eq!(rig.send(legacy_call(&session, "1", "echo")).await.status, 200);
    assert_eq!(rig.send(Ask::new(http::Method::DELETE).session(&session)).await.status, 202);
    assert_eq!(upstream.seen().len(), 4);
    let sent = upstream.seen();
    assert!(sent.iter().all(|seen| seen.headers["authorization"] == "Bearer canary-secret"));
    rig.stop().await;
}

#[tokio::test]
async fn answers_to_questions_of_the_server_do_too() {
    let question = r#"{"jsonrpc":"2.0","id":"q","method":"roots/list"}"#;
    let sampling = r#"{"jsonrpc":"2.0","id":"s","method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}"#;
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan { credentials: broker(&fixed()), ..Plan::http(&upstream) }.start().await;
    let session = rig.session().await;
    let ask = legacy_call(&session, "1", "echo").token(&rig.token("alice"));
    let sent = tokio::spawn(ask.send(rig.address));
    let stream = waiting.next().await.stream();
    let mut reply = sent.await.unwrap();
    // One that no policy permits is answered by the gateway, one by the client.
    stream.message(sampling).await;
    let own = waiting.next().await;
    assert_eq!(own.seen.headers["authorization"], "Bearer canary-secret");
    own.answer(empty(202));
    stream.message(question).await;
    reply.event().await;
    let answer = legacy(&session, r#"{"jsonrpc":"2.0","id":"q","result":{"roots":[]}}"#);
    let answering = tokio::spawn(answer.token(&rig.token("alice")).send(rig.address));
    let heard = waiting.next().await;
    assert_eq!(heard.seen.headers["authorization"], "Bearer canary-secret");
    heard.answer(empty(202));
    assert_eq!(answering.await.unwrap().status, 202);
    stream.message(&result("1")).await;
    drop(stream);
    reply.rest().await;
    rig.stop().await;
}

#[tokio::test]
async fn a_server_of_http_with_sse_is_shown_it_on_the_stream_and_with_each_message() {
    let (upstream, mut waiting) = Upstream::held().await;
    let url = format!("http://{}/events", upstream.address).parse().unwrap();
    let plan = Plan::in_front_of(Server::Sse { url, tls: ServerTls::default() });
    let rig = Plan { credentials: broker(&fixed()), ..plan }.start().await;
    let opening = tokio::spawn(initialize().token(&rig.token("alice")).send(rig.address));
    let held = waiting.next().await;
    assert_eq!(held.seen.headers["authorization"], "Bearer canary-secret");
    let stream = held.stream();
    stream.send("event: endpoint\ndata: /in\n\n").await;
    let posted = waiting.next().await;
    assert_eq!(posted.seen.headers["authorization"], "Bearer canary-secret");
    posted.answer(empty(202));
    stream.message(ANSWER).await;
    assert_eq!(opening.await.unwrap().status, 200);
    rig.stop().await;
}

/// An issuer that numbers its tokens, and what is asked of it.
async fn numbering() -> (Upstream, Broker) {
    let count = Arc::new(AtomicU64::new(0));
    let issuer = Upstream::start(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let token = format!("token-{number}");
        let body =
            serde_json::json!({"access_token": token, "token_type": "Bearer", "expires_in": 300});
        async move { Some(json(body.to_string())) }
    })
    .await;
    let config = at_issuer(&issuer);
    (issuer, broker(&config))
}

#[tokio::test]
async fn a_token_that_the_server_does_not_take_is_not_used_again() {
    let upstream = wanting("Bearer token-2").await;
    let (issuer, credentials) = numbering().await;
    let rig = Plan { credentials, ..Plan::http(&upstream) }.start().await;
    // No call is sent twice.
    for (id, status) in [("1", 401), ("2", 200), ("3", 200)] {
        assert_eq!(rig.send(modern_call(id, "echo")).await.status, status);
    }
    assert_eq!((upstream.seen().len(), issuer.seen().len()), (3, 2));
    let trail = rig.stop().await;
    let calls = trail.calls("tools/call");
    let used = |n: usize| calls[n].end.unwrap().credential.clone().unwrap();
    assert_eq!((used(0).cache, used(1).cache), (CacheUse::Miss, CacheUse::Miss));
    assert_ne!(used(0).sha256, used(1).sha256);
    assert_eq!((used(2).cache, used(2).sha256), (CacheUse::Hit, used(1).sha256));
}

#[tokio::test]
async fn a_server_that_takes_no_token_is_no_reason_to_ask_for_one_with_every_call() {
    let upstream = wanting("Bearer none").await;
    let (issuer, credentials) = numbering().await;
    let rig = Plan { credentials, ..Plan::http(&upstream) }.start().await;
    for id in ["1", "2", "3", "4"] {
        assert_eq!(rig.send(modern_call(id, "echo")).await.status, 401);
    }
    assert_eq!((upstream.seen().len(), issuer.seen().len()), (4, 2));
    rig.stop().await;
}

#[tokio::test]
async fn a_reload_forgets_what_was_issued() {
    let upstream = wanting("Bearer canary-secret").await;
    let rig = Plan { credentials: broker(&fixed()), ..Plan::http(&upstream) }.start().await;
    assert_eq!(rig.send(modern_call("1", "echo")).await.status, 200);
    let mut next = rig.changeable.clone();
    next.credentials = broker(&Config { name: Some("second".to_owned()), ..fixed() });
    rig.gateway.reload(&next).unwrap();
    assert_eq!(rig.send(modern_call("2", "echo")).await.status, 200);
    next.credentials = Broker::default();
    rig.gateway.reload(&next).unwrap();
    assert_eq!(rig.send(modern_call("3", "echo")).await.status, 401);
    let issued = told(&rig, Kind::CredentialIssued).await;
    let names: Vec<_> = issued.iter().map(|details| details["provider"].as_str()).collect();
    assert_eq!(names, ["static", "second"]);
    rig.stop().await;
}

#[tokio::test]
async fn a_local_program_gets_it_when_it_starts() {
    const SERVER: &str = r#"
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%[,\}]*}
  case $line in
    *'"method":"notifications/'*) ;;
    *) printf '%s\n' '{"jsonrpc":"2.0","id":'"$id"',"result":{"content":[],"has":"'"$API_TOKEN$OTHER"'"}}' ;;
  esac
done
"#;
    let mut command = sh(SERVER);
    command.environment =
        ["API_TOKEN", "OTHER"].map(|name| (name.to_owned(), "-".to_owned())).into();
    let config = Config { variable: Some("API_TOKEN".to_owned()), ..fixed() };
    let plan = Plan::in_front_of(Server::Stdio(command));
    let rig = Plan { credentials: broker(&config), ..plan }.start().await;
    let reply = rig.send(modern_call("1", "echo")).await.message().await;
    assert_eq!(reply["result"]["has"], format!("{SECRET}-"));
    let session = rig.session().await;
    let reply = rig.send(legacy_call(&session, "1", "echo")).await.message().await;
    assert_eq!(reply["result"]["has"], format!("{SECRET}-"));
    let trail = rig.stop_with(|log| assert!(!trail::mentions(log, SECRET))).await;
    assert!(trail.calls("tools/call")[0].end.unwrap().credential.is_none());
}
