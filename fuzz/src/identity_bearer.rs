//! Credentials: a token is accepted as it was issued or not at all, and no record repeats one.

use crate::json::Json;
use crate::script::{Script, patch};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use event::{Actor, Time};
use identity::dev::TokenIssuer;
use identity::{
    ApiKey, ApiKeyConfig, Config, KeySource, LEEWAY_S, Loading, Presented, ProviderConfig,
    Rejection, Verifier,
};
use std::collections::HashMap;
use std::sync::LazyLock;

/// The first byte chooses what the rest is: `Authorization` headers, changes to a good one, the
/// content of a token, claims to be signed, or a key set.
pub fn identity_bearer(data: &[u8]) {
    let mut script = Script::new(data);
    match script.byte() % 5 {
        0 => {
            let headers: Vec<&[u8]> = script.rest().split(|byte| *byte == b'\n').collect();
            check_headers(&headers);
        }
        1 => {
            let credentials = [CREDENTIALS.token.as_str(), CREDENTIALS.api_key.plain_text()];
            let credential = *script.choose(&credentials);
            let mut header = format!("Bearer {credential}").into_bytes();
            patch(&mut header, &mut script);
            check_headers(&[&header]);
        }
        2 => check_parts(&mut script),
        3 => check_claims(&mut script),
        _ => check_key_set(&mut script),
    }
}

/// What is good in this process. Keys are made anew by each, as there is no way to give one.
struct Credentials {
    issuer: TokenIssuer,
    token: String,
    api_key: ApiKey,
}

static CREDENTIALS: LazyLock<Credentials> = LazyLock::new(|| {
    let issuer = TokenIssuer::generate(ISSUER, "k1").expect("a key can be made");
    let token = issuer.token("agent-1", AUDIENCE, now(), 600).expect("a token can be signed");
    Credentials { issuer, token, api_key: ApiKey::generate().expect("a key can be made") }
});

fn now() -> Time {
    Time::from_unix_us(NOW_S * 1_000_000)
}

/// Asks a new verifier twice, the second time with the token remembered if it was accepted.
fn verify(source: Box<dyn KeySource>, headers: &[&[u8]]) -> Result<Actor, Rejection> {
    let config = Config {
        audience: AUDIENCE.to_owned(),
        api_key: vec![ApiKeyConfig {
            name: "dev".to_owned(),
            sha256: CREDENTIALS.api_key.digest(),
        }],
        provider: vec![ProviderConfig {
            name: "ci".to_owned(),
            issuer: ISSUER.to_owned(),
            jwks_url: Some("https://issuer.example/jwks".to_owned()),
            ..ProviderConfig::default()
        }],
        ..Config::default()
    };
    let sources = HashMap::from([("ci".to_owned(), source)]);
    let verifier = Verifier::with_sources(&config, sources).expect("the configuration is good");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let presented = Presented { authorization: headers, ..Presented::default() };
    let answer = runtime.block_on(verifier.verify(&presented, now()));
    let again = runtime.block_on(verifier.verify(&presented, now()));
    assert_eq!(again, answer, "the second time is another");
    if let Err(rejection) = &answer {
        let shown = format!("{rejection} {rejection:?}");
        let (_, signature) = CREDENTIALS.token.rsplit_once('.').expect("a token has parts");
        for secret in [signature, CREDENTIALS.api_key.plain_text()] {
            // Whoever knows a credential may also write it where an issuer is named: that is shown.
            let bytes = secret.as_bytes();
            let is_in = |header: &&[u8]| header.windows(bytes.len()).any(|part| part == bytes);
            let presented = headers.iter().any(is_in);
            assert!(!presented || !shown.contains(secret), "a rejection repeats a credential");
        }
    }
    answer
}

/// Headers are accepted if and only if there is one, and it holds a good credential to the byte.
fn check_headers(headers: &[&[u8]]) {
    let answer = verify(CREDENTIALS.issuer.key_source(), headers);
    let credential = match headers {
        [header] => {
            header.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "))
        }
        _ => None,
    };
    let credential = credential.map(|(_, credential)| credential.trim_ascii());
    match credential {
        Some(text) if text == CREDENTIALS.token.as_bytes() => {
            let actor = answer.expect("a good token is accepted");
            assert_eq!((actor.id.as_str(), actor.provider.as_str()), ("agent-1", "ci"));
            assert!(!actor.development);
        }
        Some(text) if text == CREDENTIALS.api_key.plain_text().as_bytes() => {
            let actor = answer.expect("a good key is accepted");
            assert_eq!((actor.id.as_str(), actor.development), ("dev", true));
        }
        _ => assert!(answer.is_err(), "a credential that nobody issued: {answer:?}"),
    }
}

/// Any header, claims and signature, each well encoded; the signature may be that of a good token.
fn check_parts(script: &mut Script<'_>) {
    let mut good = CREDENTIALS.token.split('.');
    let mut part = |script: &mut Script<'_>| {
        let good = good.next().unwrap_or_default().to_owned();
        let borrowed = script.byte() & 1 == 1;
        if borrowed { good } else { URL_SAFE_NO_PAD.encode(script.piece()) }
    };
    let parts = [part(script), part(script), part(script)];
    check_headers(&[format!("Bearer {}", parts.join(".")).as_bytes()]);
}

/// Any header and claims, signed by the issuer itself: accepted only if they say what they must.
fn check_claims(script: &mut Script<'_>) {
    let text = String::from_utf8_lossy(script.rest()).into_owned();
    let (header, claims) = text.split_once('\n').unwrap_or((GOOD_HEADER, &text));
    let token = CREDENTIALS.issuer.sign(header, claims).expect("it can be signed");
    let header_field = format!("Bearer {token}");
    let answer = verify(CREDENTIALS.issuer.key_source(), &[header_field.as_bytes()]);
    let Ok(actor) = answer else { return };
    let read = |text| Json::parse(text, usize::MAX).expect("what is accepted is JSON");
    let (header, claims) = (read(header), read(claims));
    assert!(!header.has_twin_keys_anywhere() && !claims.has_twin_keys_anywhere());
    let is =
        |of: &Json, name: &str, text: &str| of.get(name).is_some_and(|found| found.is_text(text));
    assert!(is(&header, "alg", "ES256"));
    assert!(header.get("kid").is_none() || is(&header, "kid", "k1"));
    for name in ["b64", "crit", "enc", "jku", "jwk", "x5c", "x5u", "zip"] {
        assert!(header.get(name).is_none(), "`{name}` is accepted");
    }
    assert!(is(&claims, "iss", ISSUER) && is(&claims, "sub", &actor.id));
    let audience = claims.get("aud").expect("an accepted token has an audience");
    let one = matches!(audience.items(), [one] if one.is_text(AUDIENCE));
    assert!(one || audience.is_text(AUDIENCE), "a token for somebody else");
    assert!(claims.get("cnf").is_none(), "a token bound to a key");
    let date = |name: &str| {
        claims.get(name).map(|date| match date {
            Json::Number(literal) => literal.parse::<f64>().expect("a number"),
            other => panic!("a date that is {other:?}"),
        })
    };
    let (now, leeway) = (1_800_000_000.0, f64::from(u8::try_from(LEEWAY_S).unwrap_or(u8::MAX)));
    let expiry = date("exp").expect("an accepted token ends");
    assert!(now < expiry + leeway && expiry <= now + 3_900.0 + leeway, "a token out of its time");
    for name in ["nbf", "iat"] {
        assert!(date(name).is_none_or(|date| date <= now + leeway), "a token of the future");
    }
    assert_eq!((actor.provider.as_str(), actor.development), ("ci", false));
}

/// A key set from the network, made of anything or of the good one with changes.
fn check_key_set(script: &mut Script<'_>) {
    let mut set = CREDENTIALS.issuer.jwks().into_bytes();
    if script.byte() & 1 == 1 {
        patch(&mut set, script);
    } else {
        set = script.rest().to_vec();
    }
    let own = CREDENTIALS.issuer.jwk();
    let text = String::from_utf8_lossy(&set).into_owned();
    let header = format!("Bearer {}", CREDENTIALS.token);
    if verify(Box::new(GivenKeys(set)), &[header.as_bytes()]).is_ok() {
        let keys = Json::parse(&text, usize::MAX).expect("a used key set is JSON");
        let keys = keys.get("keys").expect("a key set has keys").items();
        let fits = |key: &Json| {
            ["x", "y", "crv", "kty"].iter().all(|name| {
                let own = own[name].as_str().expect("the own key is complete");
                key.get(name).is_some_and(|found| found.is_text(own))
            })
        };
        assert!(keys.iter().any(fits), "a signature by a key that is not in the set");
    }
}

#[derive(Debug)]
struct GivenKeys(Vec<u8>);

impl KeySource for GivenKeys {
    fn load(&self) -> Loading<'_> {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }
}

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "https://gw.example/mcp";
/// 2027-01-15T08:00:00Z, in seconds since 1970.
const NOW_S: i64 = 1_800_000_000;
const GOOD_HEADER: &str = r#"{"alg":"ES256","kid":"k1","typ":"JWT"}"#;
