//! Somebody who vouches for callers takes it back: what they showed so far counts no more, at once and after a
//! restart, and all of it is on record.

use crate::program::{run, text};
use crate::serve::{Site, exchange};
use event::Time;
use identity::dev::TokenIssuer;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

const IDP: &str = "https://idp.example";
const AUDIENCE: &str = "https://gw.example/mcp";
const PUSHED_TO: &str = "https://gw.example/ssf/events";

fn seconds_ago(seconds: i64) -> Time {
    #[expect(clippy::disallowed_methods, reason = "the program under test reads the same clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    Time::from_unix_us(i64::try_from(now).unwrap() - seconds * 1_000_000)
}

/// A gateway that trusts an issuer for tokens and for what it tells of them.
fn site(issuer: &TokenIssuer) -> Site {
    let site = Site::new();
    std::fs::write(site.path("idp.json"), issuer.jwks()).unwrap();
    let lines = format!(
        "[[identity.provider]]\nname = \"idp\"\nissuer = \"{IDP}\"\naudience = \"{AUDIENCE}\"\n\
         jwks_file = \"idp.json\"\n[[signals.transmitter]]\nname = \"idp\"\nissuer = \"{IDP}\"\n\
         audience = \"{PUSHED_TO}\"\njwks_file = \"idp.json\"\n"
    );
    let written = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), format!("{written}\n{lines}")).unwrap();
    site
}

fn call(site: &Site, token: &str) -> String {
    let head = format!(
        "POST /mcp HTTP/1.1\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\n"
    );
    exchange(site.address, &head, r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#)
}

fn push(site: &Site, body: &str) -> String {
    let head = "POST /ssf/events HTTP/1.1\r\ncontent-type: application/secevent+jwt\r\n";
    exchange(site.address, head, body)
}

fn revoked(issuer: &TokenIssuer, sub: &str) -> String {
    let header = json!({"alg": "ES256", "kid": "k1", "typ": "secevent+jwt"}).to_string();
    let at = |seconds: i64| seconds_ago(seconds).unix_us() / 1_000_000;
    let event = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
    let claims = json!({"iss": IDP, "aud": PUSHED_TO, "iat": at(0), "jti": "set-1",
        "sub_id": {"format": "iss_sub", "iss": IDP, "sub": sub},
        "events": {event: {"event_timestamp": at(10)}}});
    issuer.sign(&header, &claims.to_string()).unwrap()
}

#[test]
fn a_revoked_caller_is_refused_at_once_and_after_a_restart() {
    let issuer = TokenIssuer::generate(IDP, "k1").unwrap();
    let site = site(&issuer);
    let token = |sub: &str, age_s| issuer.token(sub, AUDIENCE, seconds_ago(age_s), 600).unwrap();
    let (alice, bob) = (token("alice", 20), token("bob", 20));
    let running = site.serve();
    // Permitted; the server behind is not there.
    assert!(call(&site, &alice).starts_with("HTTP/1.1 502 "));
    let signal = revoked(&issuer, "alice");
    let received = push(&site, &signal);
    assert!(received.starts_with("HTTP/1.1 202 "), "{received}");
    let refused = call(&site, &alice);
    assert!(refused.starts_with("HTTP/1.1 401 ") && refused.contains("revoked"), "{refused}");
    assert!(call(&site, &bob).starts_with("HTTP/1.1 502 "), "nobody said anything of bob");
    assert!(call(&site, &token("alice", 0)).starts_with("HTTP/1.1 502 "), "signed in anew");
    let nonsense = push(&site, &signal.replace('.', ""));
    assert!(nonsense.starts_with("HTTP/1.1 400 ") && nonsense.contains("invalid_request"));
    let looked = exchange(site.address, "GET /ssf/events HTTP/1.1\r\n", "");
    assert!(looked.starts_with("HTTP/1.1 405 "), "{looked}");
    running.ask_to_stop();
    let said = running.end();
    assert_eq!(said.status, Some(0), "{said:#?}");
    assert!(!said.err.contains(&signal) && !said.err.contains(&alice));

    let running = site.serve();
    assert!(call(&site, &alice).starts_with("HTTP/1.1 401 "));
    running.ask_to_stop();
    running.end();
    on_record(&site);
}

fn on_record(site: &Site) {
    let records = site.search();
    let of = |kind: &str| -> Vec<Value> {
        let found = records.iter().filter(|record| record["kind"] == kind);
        found.map(|record| record["details"].clone()).collect()
    };
    let [received] = &*of("signal.received") else { panic!("{records:#?}") };
    let expected = [("effect", "revoked"), ("iss", IDP), ("sub", "alice"), ("transmitter", "idp")];
    for (name, value) in expected {
        assert_eq!(received[name], value);
    }
    let [refused] = &*of("signal.refused") else { panic!("{records:#?}") };
    assert_eq!(refused["reason"], "invalid_request");
    let reasons = records.iter().filter(|record| record["refusal"]["reason"] == "identity.revoked");
    assert_eq!(reasons.count(), 2);
    let (log, key) = (site.path("log"), site.path("keys/log.key.pub"));
    run(&["verify", text(&log), "--key", text(&key)]).good();
}

#[test]
fn a_damaged_book_of_revocations_stops_the_start() {
    let issuer = TokenIssuer::generate(IDP, "k1").unwrap();
    let site = site(&issuer);
    std::fs::write(site.path("revoked.jsonl"), "{\"iss\":\n").unwrap();
    let said = run(&["serve", "--config", text(&site.config())]).bad();
    assert!(said.contains("revoked.jsonl` line 1 is no revocation"), "{said}");
}
