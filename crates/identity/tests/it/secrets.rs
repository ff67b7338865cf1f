//! What operators read never contains a credential or what it claims.

use crate::fixture::{AUDIENCE, ISSUER, NOW_S, Scene, block_on, config, now, provider};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::{ApiKey, ApiKeyConfig, Config, Verifier};
use serde_json::json;

const CANARY: &str = "canary7c1b";

#[test]
fn rejections_show_issuer_key_id_and_algorithm_at_most() {
    let scene = Scene::new();
    let header = json!({"alg": "ES256", "kid": "k1", "typ": "JWT"}).to_string();
    let claims = |exp: i64, sub: &str, aud: &str| {
        json!({"iss": ISSUER, "aud": aud, "sub": sub, "exp": exp, "jti": CANARY, "email": CANARY,
               "act": {"sub": format!("{CANARY}\n")}})
        .to_string()
    };
    let sign = |header: &str, claims: &str| scene.issuer.sign(header, claims).unwrap();
    let exp = NOW_S + 60;
    let forged = {
        let token = sign(&header, &claims(exp, CANARY, AUDIENCE));
        format!("{}.{}", token.rsplit_once('.').unwrap().0, URL_SAFE_NO_PAD.encode(CANARY))
    };
    let tokens = [
        sign(&header, &claims(NOW_S - 60, CANARY, AUDIENCE)),
        sign(&header, &claims(exp, &format!("{CANARY}\n"), AUDIENCE)),
        sign(&header, &claims(exp, CANARY, CANARY)),
        sign(&header, &claims(exp, CANARY, AUDIENCE)),
        sign(&header.replace("JWT", CANARY), &claims(exp, CANARY, AUDIENCE)),
        sign(&header.replace("typ", "jku").replace("JWT", CANARY), &claims(exp, CANARY, AUDIENCE)),
        sign(&header, &format!("{{\"{CANARY}\":1,\"{CANARY}\":2}}")),
        sign(&header, &format!("{CANARY}{{")),
        forged,
        format!("{CANARY}.{CANARY}.{CANARY}"),
        CANARY.to_owned(),
        format!("cs_dev_{CANARY}"),
        format!("{CANARY}\u{e9}"),
    ];
    for token in tokens {
        let rejection = scene.present(&token).unwrap_err();
        let shown = format!(
            "{rejection} {rejection:?} {rejection:#?} {:?} {}",
            rejection.details,
            rejection.client_message()
        );
        for secret in [CANARY, &token, &URL_SAFE_NO_PAD.encode(CANARY)] {
            assert!(!shown.contains(secret), "{shown}");
        }
        // The record holds an audience or a type at most, and never the credential.
        let actual = rejection.details.actual.clone().unwrap_or_default();
        assert!(!actual.contains(&token) && !actual.contains("email"), "{actual}");
        let private = !matches!(rejection.details.attribute.as_deref(), Some("aud" | "typ"));
        assert!(!(private && actual.contains(CANARY)), "{rejection}: {actual}");
    }
}

#[test]
fn what_operators_read_is_bounded_and_printable() {
    let scene = Scene::new();
    let long = "i\u{1b}[2J\n".repeat(1_000);
    let claims = json!({"iss": long, "aud": AUDIENCE, "sub": "s", "exp": NOW_S + 60}).to_string();
    let header = json!({"alg": "x\n".repeat(500), "kid": "k\u{7}"}).to_string();
    let rejection = scene.present(&scene.issuer.sign(&header, &claims).unwrap()).unwrap_err();
    let shown = format!("{rejection} {rejection:?}");
    assert!(shown.len() < 2_000 && !shown.chars().any(char::is_control), "{shown}");
}

#[test]
fn verifiers_and_keys_show_no_key() {
    let key = ApiKey::generate().unwrap();
    let entry = ApiKeyConfig { name: "laptop".to_owned(), sha256: key.digest() };
    let issuer = crate::fixture::issuer("k1");
    let config = Config { api_key: vec![entry], ..config(provider()) };
    let sources = [("ci".to_owned(), issuer.key_source())];
    let verifier = Verifier::with_sources(&config, sources.into()).unwrap();
    let token = issuer.token(CANARY, AUDIENCE, now(), 60).unwrap();
    block_on(crate::fixture::present(&verifier, &token, now())).unwrap();
    let shown = format!("{verifier:?} {config:?} {key:?} {issuer:?}");
    let digest = key.digest().replace("sha256:", "");
    let x = issuer.jwk()["x"].as_str().unwrap().to_owned();
    for secret in [CANARY, key.plain_text(), &digest, &x, &token] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(shown.contains("ci") && shown.contains("laptop"));
}
