//! Access tokens for the gateway itself. The issuer here was written from RFC 6749 (sections 2.3.1, 4.4,
//! 5.1, 5.2), RFC 7523 (sections 2.2 and 3), RFC 8707 (section 2) and RFC 9110 (section 11.6.1).

use crate::fixture::{CANARY, NOW_S, Scene, alice, at, borrower, config, environment, put};
use crate::issuer::{Asked, Issuer, Reply};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use broker::{Borrower, Broker, Reason};
use event::{CacheUse, Kind};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn token(value: &str, expires_in: u64) -> Reply {
    let body = json!({"access_token": value, "token_type": "Bearer", "expires_in": expires_in});
    Reply::Json(200, body.to_string())
}

/// Numbers its tokens.
async fn counting(expires_in: u64) -> Issuer {
    let count = AtomicU64::new(0);
    let next = move |_: &Asked| {
        token(&format!("{CANARY}-{}", count.fetch_add(1, Ordering::SeqCst)), expires_in)
    };
    Issuer::start(next).await
}

fn table(issuer: &Issuer, more: &str) -> String {
    let secret =
        if more.contains("client_auth = 'private") { "" } else { "secret_file = 'DIR/secret'\n" };
    let url = format!("{}/token", issuer.origin);
    format!(
        "type = 'oauth-client-credentials'\ntoken_url = '{url}'\nclient_id = 'gw:1'\n\
         allow_insecure_loopback = true\n{secret}{more}"
    )
}

#[tokio::test]
async fn the_client_says_who_it_is_by_http_basic() {
    let issuer = counting(300).await;
    let more = "scope = 'read write'\nresource = 'https://srv.example/mcp'\naudience = 'srv'";
    let scene = Scene::new(&table(&issuer, more));
    put(scene.file("secret"), "p&ss w:rd%");
    let headers = scene.dressed(at(0)).await.unwrap();
    assert_eq!(headers["authorization"], format!("Bearer {CANARY}-0"));
    let asked = issuer.asked().remove(0);
    assert_eq!(asked.line, "POST /token");
    let pair = STANDARD.encode("gw%3A1:p%26ss+w%3Ard%25");
    assert_eq!(asked.headers["authorization"], format!("Basic {pair}"));
    let form = asked.form();
    assert_eq!(form["grant_type"], "client_credentials");
    assert_eq!(form["scope"], "read write");
    assert_eq!(form["resource"], "https://srv.example/mcp");
    assert_eq!(form["audience"], "srv");
    assert_eq!(form.len(), 4, "one way to authenticate, and no more");
    let entry = scene.entries().remove(0);
    assert_eq!(entry.kind, Kind::CredentialIssued);
    let details: Vec<_> = entry.details.keys().map(String::as_str).collect();
    assert_eq!(
        details,
        [
            "audience", "cache", "call", "expires", "provider", "resource", "scope", "server",
            "sha256", "type"
        ]
    );
    assert_eq!(entry.details["expires"], at(300).to_string());
}

#[tokio::test]
async fn or_in_the_body() {
    let issuer = counting(300).await;
    let scene = Scene::new(&table(&issuer, "client_auth = 'client_secret_post'"));
    scene.dressed(at(0)).await.unwrap();
    let asked = issuer.asked().remove(0);
    let form = asked.form();
    assert!(!asked.headers.contains_key("authorization"));
    assert_eq!((form["client_id"].as_str(), form["client_secret"].as_str()), ("gw:1", CANARY));
    assert_eq!(form.len(), 3);
}

#[tokio::test]
async fn or_by_a_token_that_it_signs() {
    let issuer = counting(300).await;
    let directory = tempfile::tempdir().unwrap();
    // RFC 8037, appendix A.1.
    let key =
        json!({"kty": "OKP", "crv": "Ed25519", "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"});
    put(directory.path().join("key"), &key.to_string());
    let more = "client_auth = 'private_key_jwt'\nkey_file = 'DIR/key'\nmargin_s = 1";
    let scene = Scene::within(directory, &table(&issuer, more));
    scene.dressed(at(0)).await.unwrap();
    scene.dressed(at(300)).await.unwrap();
    let mut ids = Vec::new();
    for (asked, now) in issuer.asked().iter().zip([0, 300]) {
        let form = asked.form();
        assert!(!asked.headers.contains_key("authorization"));
        assert_eq!(
            form["client_assertion_type"],
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        let parts: Vec<_> = form["client_assertion"].split('.').collect();
        let part = |n: usize| -> Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[n]).unwrap()).unwrap()
        };
        let (header, claims) = (part(0), part(1));
        assert_eq!((&header["alg"], &header["typ"]), (&json!("EdDSA"), &json!("JWT")));
        assert_eq!(header["kid"], "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("gw:1"), &json!("gw:1")));
        assert_eq!(claims["aud"], json!(format!("{}/token", issuer.origin)));
        assert_eq!(claims["iat"], json!(NOW_S + now));
        assert_eq!(claims["exp"], json!(NOW_S + now + 60));
        ids.push(claims["jti"].clone());
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_token_is_shared_until_shortly_before_it_expires() {
    let issuer = counting(300).await;
    let scene = Scene::new(&table(&issuer, "margin_s = 20"));
    let of = async |who: &str, second| {
        let lent = scene.lend(&borrower(who, Some(at(1))), at(second)).await.unwrap();
        (lent.on_record().unwrap().cache, lent.on_record().unwrap().sha256)
    };
    let first = of("alice", 0).await;
    assert_eq!(first.0, CacheUse::Miss);
    assert_eq!(of("bob", 279).await, (CacheUse::Hit, first.1.clone()));
    let second = of("bob", 280).await;
    assert_eq!(second.0, CacheUse::Miss);
    assert_ne!(second.1, first.1);
    assert_eq!(issuer.asked().len(), 2);
    scene.broker.forget();
    of("bob", 281).await;
    assert_eq!(issuer.asked().len(), 3);
    assert_eq!(scene.kinds(), [Kind::CredentialIssued; 3]);
}

#[tokio::test]
async fn short_and_unknown_lives_are_used_as_far_as_they_go() {
    let issuer = counting(10).await;
    let scene = Scene::new(&table(&issuer, ""));
    for second in [0, 4, 5] {
        scene.dressed(at(second)).await.unwrap();
    }
    assert_eq!(issuer.asked().len(), 2, "half of a short life");

    let body = json!({"access_token": "t", "token_type": "bearer"}).to_string();
    let issuer = Issuer::saying(Reply::Json(200, body)).await;
    let scene = Scene::new(&table(&issuer, ""));
    for second in [0, 59, 60] {
        scene.dressed(at(second)).await.unwrap();
    }
    assert_eq!(issuer.asked().len(), 2);
    assert!(!scene.entries()[0].details.contains_key("expires"));
}

#[tokio::test]
async fn many_who_need_one_ask_once() {
    let issuer = counting(300).await;
    let scene = Arc::new(Scene::new(&table(&issuer, "")));
    let calls: Vec<_> = (0..50)
        .map(|n| {
            let scene = Arc::clone(&scene);
            tokio::spawn(async move {
                scene.lend(&borrower(&format!("caller-{n}"), None), at(0)).await.unwrap()
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!((issuer.asked().len(), scene.entries().len()), (1, 1));
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_cut_off_the_others() {
    let issuer = counting(300).await;
    let scene = Scene::new(&table(&issuer, ""));
    let borrower = alice();
    let mut first = Box::pin(scene.lend(&borrower, at(0)));
    let polled = std::future::poll_fn(|context| {
        std::task::Poll::Ready(first.as_mut().poll(context).is_pending())
    });
    assert!(polled.await);
    drop(first);
    scene.dressed(at(0)).await.unwrap();
    assert_eq!(issuer.asked().len(), 1);
}

#[tokio::test]
async fn a_token_that_the_server_does_not_take_is_replaced() {
    let issuer = counting(300).await;
    let scene = Scene::new(&table(&issuer, ""));
    let first = scene.lend(&alice(), at(0)).await.unwrap();
    first.reject(Instant::now());
    let second = scene.lend(&alice(), at(1)).await.unwrap();
    assert_eq!(issuer.asked().len(), 2);
    second.reject(Instant::now());
    scene.dressed(at(2)).await.unwrap();
    assert_eq!(issuer.asked().len(), 2, "a third one would fare no better");
    second.reject(Instant::now() + Duration::from_secs(20));
    scene.dressed(at(20)).await.unwrap();
    assert_eq!(issuer.asked().len(), 3);
}

#[tokio::test]
async fn other_policies_forget_what_was_issued_under_those_before() {
    let issuer = counting(300).await;
    let scene = Scene::new(&table(&issuer, ""));
    let under = |policy_set: &str| Borrower { policy_set: policy_set.to_owned(), ..alice() };
    for (policy_set, asked) in [("one", 1), ("one", 1), ("two", 2), ("two", 2), ("one", 3)] {
        scene.lend(&under(policy_set), at(0)).await.unwrap();
        assert_eq!(issuer.asked().len(), asked, "{policy_set}");
    }
}

#[tokio::test]
async fn refusals_are_told_by_their_code_and_never_in_the_words_of_the_server() {
    let said = |status: u16, error: &str| {
        let body = json!({"error": error, "error_description": CANARY, "error_uri": CANARY});
        Reply::Json(status, body.to_string())
    };
    for (reply, reason, says) in [
        (said(400, "invalid_scope"), Reason::Denied, "400, `invalid_scope`"),
        (said(401, "invalid_client"), Reason::Denied, "401, `invalid_client`"),
        (said(400, "invalid_target"), Reason::Denied, "400, `invalid_target`"),
        (said(400, CANARY), Reason::Denied, "(HTTP status 400)"),
        (said(429, "slow"), Reason::Unreachable, "429"),
        (
            said(503, "temporarily_unavailable"),
            Reason::Unreachable,
            "503, `temporarily_unavailable`",
        ),
        (Reply::Json(500, CANARY.to_owned()), Reason::Unreachable, "500"),
        (Reply::Json(302, CANARY.to_owned()), Reason::Malformed, "302"),
        (Reply::Json(200, format!("<html>{CANARY}")), Reason::Malformed, "no token"),
        (
            Reply::Json(200, json!({"access_token": CANARY}).to_string()),
            Reason::Malformed,
            "no token",
        ),
        (
            Reply::Json(200, json!({"access_token": CANARY, "token_type": "DPoP"}).to_string()),
            Reason::Malformed,
            "another type",
        ),
        (token(CANARY, 0), Reason::Malformed, "no time left"),
        (
            Reply::Json(
                200,
                json!({"access_token": CANARY, "token_type": "Bearer", "expires_in": "soon"})
                    .to_string(),
            ),
            Reason::Malformed,
            "no time left",
        ),
        (token("", 300), Reason::Malformed, "no credential"),
        (token(&format!("{CANARY}\r\nx-evil: 1"), 300), Reason::Malformed, "no credential"),
        (Reply::Json(200, "x".repeat(300_000)), Reason::Malformed, "larger"),
        (
            Reply::Raw(format!("SSH-2.0-{CANARY}\r\n\r\n").into_bytes()),
            Reason::Unreachable,
            "cannot be reached",
        ),
        (Reply::Raw(Vec::new()), Reason::Unreachable, "cannot be reached"),
    ] {
        let issuer = Issuer::saying(reply.clone()).await;
        let scene = Scene::new(&table(&issuer, ""));
        let refused = scene.dressed(at(0)).await.unwrap_err();
        assert_eq!(refused.reason, reason, "{reply:?}: {refused}");
        assert!(refused.problem.contains(says), "{reply:?}: {refused}");
        let shown = format!("{refused} {refused:?} {:?} {scene:?}", scene.entries());
        assert!(!shown.contains(CANARY), "{shown}");
        assert_eq!(scene.kinds(), [Kind::CredentialRefused]);
        assert_eq!(scene.entries()[0].details["reason"], reason.as_str());
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let target = counting(300).await;
    for status in [301, 302, 303, 307, 308] {
        let head = format!("HTTP/1.1 {status} X\r\nlocation: {}/\r\n", target.origin);
        let issuer =
            Issuer::saying(Reply::Raw(format!("{head}content-length: 0\r\n\r\n").into_bytes()))
                .await;
        let scene = Scene::new(&table(&issuer, ""));
        scene.dressed(at(0)).await.unwrap_err();
    }
    assert!(target.asked().is_empty());
}

#[tokio::test]
async fn an_issuer_that_is_not_there_is_said_so() {
    let issuer = counting(300).await;
    let table = table(&issuer, "timeout_ms = 50");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = table.replace(issuer.origin.trim_start_matches("http://"), &closed.to_string());
    assert_eq!(Scene::new(&gone).dressed(at(0)).await.unwrap_err().reason, Reason::Unreachable);
    let silent = Issuer::saying(Reply::Silence).await;
    let table = table.replace(&issuer.origin, &silent.origin);
    let refused = Scene::new(&table).dressed(at(0)).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Unreachable);
    assert!(refused.problem.ends_with("no answer in time"), "{refused}");
}

#[tokio::test]
async fn files_of_authorities_and_keys_are_looked_at_at_the_start() {
    let issuer = counting(300).await;
    let directory = tempfile::tempdir().unwrap();
    put(directory.path().join("secret"), CANARY);
    put(directory.path().join("empty"), "no certificate");
    for more in [
        "roots = 'DIR/none'",
        "roots = 'DIR/empty'",
        "client_auth = 'private_key_jwt'\nkey_file = 'DIR/secret'",
    ] {
        let config = config(&directory, &table(&issuer, more));
        let error = Broker::new([("srv", &config)], &environment).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(CANARY), "{error}");
    }
}
