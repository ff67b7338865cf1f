//! Tokens that must not be accepted, each with the reason that the record gives. The first column is the
//! attack; every one differs from a good token in one thing only.

use crate::fixture::{
    AUDIENCE, ISSUER, NOW_S, Scene, attribute, block_on, config, good, now, present, provider, show,
};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::{ApiKey, ApiKeyConfig, Config, ProviderConfig, Reason, TOKEN_BYTES_MAX, Verifier};
use serde_json::{Value, json};

const HEADER: &str = r#"{"alg":"ES256","kid":"k1","typ":"JWT"}"#;

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "s", "iat": NOW_S, "exp": NOW_S + 600})
}

fn with(mut object: Value, changes: &Value) -> String {
    let members = object.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(members.remove(name)),
            value => drop(members.insert(name.clone(), value.clone())),
        }
    }
    object.to_string()
}

fn header(changes: &Value) -> String {
    with(serde_json::from_str(HEADER).unwrap(), changes)
}

/// What the record says of a signed token with this header and these claims.
fn reason(scene: &Scene, header: &str, claims: &str) -> (Reason, Option<&'static str>) {
    let rejection = scene.present(&scene.issuer.sign(header, claims).unwrap()).unwrap_err();
    (rejection.reason, attribute(&rejection))
}

#[test]
fn the_unchanged_token_is_good() {
    let scene = Scene::new();
    let token = scene.issuer.sign(HEADER, &claims().to_string()).unwrap();
    assert_eq!(scene.present(&token).unwrap().id, "s");
}

/// An attack's name, what it changes (null removes), and what the record says.
type Row = (&'static str, Value, Reason, &'static str);

fn check_claims(table: &[Row]) {
    let scene = Scene::new();
    for (attack, changes, expected, attribute) in table {
        let found = reason(&scene, HEADER, &with(claims(), changes));
        assert_eq!(found, (*expected, Some(*attribute)), "{attack}");
    }
}

#[test]
fn claims_that_do_not_fit() {
    let table = [
        ("no aud", json!({"aud": null}), Reason::MissingClaim, "aud"),
        ("no iss", json!({"iss": null}), Reason::MissingClaim, "iss"),
        ("no sub", json!({"sub": null}), Reason::MissingClaim, "sub"),
        ("no exp", json!({"exp": null}), Reason::MissingClaim, "exp"),
        ("iss a number", json!({"iss": 5}), Reason::MalformedClaim, "iss"),
        ("iss an array", json!({"iss": ["https://evil", ISSUER]}), Reason::MalformedClaim, "iss"),
        ("iss an array of one", json!({"iss": [ISSUER]}), Reason::MalformedClaim, "iss"),
        ("iss with a slash", json!({"iss": format!("{ISSUER}/")}), Reason::UnknownIssuer, "iss"),
        ("iss in capitals", json!({"iss": "https://ISSUER.example"}), Reason::UnknownIssuer, "iss"),
        ("iss empty", json!({"iss": ""}), Reason::UnknownIssuer, "iss"),
        ("aud an object", json!({"aud": {}}), Reason::MalformedClaim, "aud"),
        ("aud a number", json!({"aud": 1}), Reason::MalformedClaim, "aud"),
        ("aud with a number", json!({"aud": [AUDIENCE, 1]}), Reason::MalformedClaim, "aud"),
        ("aud of another", json!({"aud": "https://other"}), Reason::WrongAudience, "aud"),
        ("aud a prefix", json!({"aud": "https://gw.example"}), Reason::WrongAudience, "aud"),
        ("aud with a slash", json!({"aud": format!("{AUDIENCE}/")}), Reason::WrongAudience, "aud"),
        ("aud empty", json!({"aud": ""}), Reason::WrongAudience, "aud"),
        ("aud none of many", json!({"aud": []}), Reason::WrongAudience, "aud"),
        ("aud ours and another", json!({"aud": [AUDIENCE, "o"]}), Reason::WrongAudience, "aud"),
        ("aud another and ours", json!({"aud": ["o", AUDIENCE]}), Reason::WrongAudience, "aud"),
        ("aud ours twice", json!({"aud": [AUDIENCE, AUDIENCE]}), Reason::WrongAudience, "aud"),
    ];
    check_claims(&table);
}

#[test]
fn times_that_do_not_fit() {
    let table = [
        ("expired 30 s ago", json!({"exp": NOW_S - 30}), Reason::Expired, "exp"),
        ("exp in the stone age", json!({"exp": 0}), Reason::Expired, "exp"),
        (
            "exp never",
            json!({"exp": 1_000_000_000_000_000_000_u64}),
            Reason::LifetimeTooLong,
            "exp",
        ),
        ("exp a text", json!({"exp": "1800000600"}), Reason::MalformedClaim, "exp"),
        ("exp negative", json!({"exp": -1}), Reason::MalformedClaim, "exp"),
        ("lives a year", json!({"exp": NOW_S + 31_536_000}), Reason::LifetimeTooLong, "exp"),
        ("lives a second too long", json!({"exp": NOW_S + 3_601}), Reason::LifetimeTooLong, "exp"),
        ("issued a year ago", json!({"iat": NOW_S - 31_536_000}), Reason::LifetimeTooLong, "exp"),
        (
            "issued tomorrow",
            json!({"iat": NOW_S + 86_400, "exp": NOW_S + 87_000}),
            Reason::NotYetValid,
            "iat",
        ),
        (
            "no iat, lives long",
            json!({"iat": null, "exp": NOW_S + 3_601}),
            Reason::LifetimeTooLong,
            "exp",
        ),
        ("iat a text", json!({"iat": "now"}), Reason::MalformedClaim, "iat"),
        ("nbf in an hour", json!({"nbf": NOW_S + 3_600}), Reason::NotYetValid, "nbf"),
        ("nbf a text", json!({"nbf": "x"}), Reason::MalformedClaim, "nbf"),
    ];
    check_claims(&table);
}

#[test]
fn parties_that_do_not_fit() {
    let table = [
        ("sub empty", json!({"sub": ""}), Reason::MalformedClaim, "sub"),
        ("sub a number", json!({"sub": 5}), Reason::MalformedClaim, "sub"),
        ("sub with a line break", json!({"sub": "a\nb"}), Reason::MalformedClaim, "sub"),
        ("jti a number", json!({"jti": 5}), Reason::MalformedClaim, "jti"),
        ("bound to no key", json!({"cnf": {"jkt": "x"}}), Reason::MalformedClaim, "cnf"),
        ("act a text", json!({"act": "a"}), Reason::MalformedClaim, "act"),
        ("act without sub", json!({"act": {"iss": "x"}}), Reason::MalformedClaim, "act"),
        ("act with an empty sub", json!({"act": {"sub": ""}}), Reason::MalformedClaim, "act"),
        ("act iss a number", json!({"act": {"sub": "a", "iss": 1}}), Reason::MalformedClaim, "act"),
        (
            "inner act malformed",
            json!({"act": {"sub": "a", "act": []}}),
            Reason::MalformedClaim,
            "act",
        ),
    ];
    check_claims(&table);
}

#[test]
fn a_null_is_a_value_and_not_an_absence() {
    let scene = Scene::new();
    for name in ["iss", "aud", "sub", "exp", "iat", "nbf", "jti", "act"] {
        let mut object = claims();
        object[name] = Value::Null;
        let found = reason(&scene, HEADER, &object.to_string());
        assert_eq!(found, (Reason::MalformedClaim, Some(name)), "{name}");
    }
}

#[test]
fn headers_that_nobody_should_honour() {
    let scene = Scene::new();
    let jwk = scene.issuer.jwk();
    let table = [
        (
            "crit of an extension",
            json!({"crit": ["exp2"], "exp2": 1}),
            Reason::CriticalHeader,
            "crit",
        ),
        ("crit of b64", json!({"crit": ["b64"], "b64": false}), Reason::CriticalHeader, "crit"),
        ("crit empty", json!({"crit": []}), Reason::CriticalHeader, "crit"),
        ("b64 false", json!({"b64": false}), Reason::ForbiddenHeader, "b64"),
        ("b64 true", json!({"b64": true}), Reason::ForbiddenHeader, "b64"),
        ("own key", json!({"jwk": jwk}), Reason::ForbiddenHeader, "jwk"),
        ("own key set", json!({"jku": "https://evil.example/"}), Reason::ForbiddenHeader, "jku"),
        ("own certificate", json!({"x5c": ["MIIB"]}), Reason::ForbiddenHeader, "x5c"),
        ("own certificate address", json!({"x5u": "https://evil"}), Reason::ForbiddenHeader, "x5u"),
        ("compressed", json!({"zip": "DEF"}), Reason::ForbiddenHeader, "zip"),
        ("encrypted", json!({"enc": "A256GCM"}), Reason::ForbiddenHeader, "enc"),
        ("typ of a workload token", json!({"typ": "wit+jwt"}), Reason::WrongType, "typ"),
        ("typ of a proof", json!({"typ": "dpop+jwt"}), Reason::WrongType, "typ"),
        ("typ of a transaction", json!({"typ": "txntoken+jwt"}), Reason::WrongType, "typ"),
        ("typ of a grant", json!({"typ": "oauth-id-jag+jwt"}), Reason::WrongType, "typ"),
        ("typ of anything", json!({"typ": "banana"}), Reason::WrongType, "typ"),
        ("typ empty", json!({"typ": ""}), Reason::WrongType, "typ"),
        ("typ a number", json!({"typ": 1}), Reason::MalformedToken, "typ"),
        ("alg absent", json!({"alg": null}), Reason::MalformedToken, "alg"),
        ("alg a number", json!({"alg": 1}), Reason::MalformedToken, "alg"),
        ("alg none", json!({"alg": "none"}), Reason::UnsupportedAlgorithm, "alg"),
        ("alg None", json!({"alg": "None"}), Reason::UnsupportedAlgorithm, "alg"),
        ("alg symmetric", json!({"alg": "HS256"}), Reason::UnsupportedAlgorithm, "alg"),
        ("alg in lower case", json!({"alg": "es256"}), Reason::UnsupportedAlgorithm, "alg"),
        ("alg we do not do", json!({"alg": "ES512"}), Reason::UnsupportedAlgorithm, "alg"),
        ("alg not on the list", json!({"alg": "RS512"}), Reason::UnsupportedAlgorithm, "alg"),
        ("alg of no key", json!({"alg": "ES384"}), Reason::UnknownKey, "kid"),
        ("alg of another family", json!({"alg": "EdDSA"}), Reason::UnknownKey, "kid"),
        ("kid unknown", json!({"kid": "k2"}), Reason::UnknownKey, "kid"),
        ("kid a path", json!({"kid": "../../dev/null"}), Reason::UnknownKey, "kid"),
        ("kid empty", json!({"kid": ""}), Reason::MalformedToken, "kid"),
        ("kid too long", json!({"kid": "k".repeat(257)}), Reason::MalformedToken, "kid"),
        ("kid a number", json!({"kid": 1}), Reason::MalformedToken, "kid"),
    ];
    for (attack, changes, expected, attribute) in table {
        let found = reason(&scene, &header(&changes), &claims().to_string());
        assert_eq!(found, (expected, Some(attribute)), "{attack}");
    }
}

#[test]
fn members_named_twice() {
    let scene = Scene::new();
    let body = claims().to_string();
    let twice = |extra: &str| body.replacen('{', &format!("{{{extra},"), 1);
    for claims in [
        twice(r#""sub":"other""#),
        twice(r#""\u0073ub":"other""#),
        twice(r#""repository":"mine","repository":"yours""#),
        twice(r#""deep":{"list":[{"x":1,"x":2}]}"#),
    ] {
        assert_eq!(
            reason(&scene, HEADER, &claims),
            (Reason::DuplicateKey, Some("claims")),
            "{claims}"
        );
    }
    let header = r#"{"alg":"ES256","kid":"k1","kid":"k1"}"#;
    assert_eq!(reason(&scene, header, &body), (Reason::DuplicateKey, Some("header")));
}

#[test]
fn symmetric_signatures_with_public_material() {
    let scene = Scene::new();
    let x = scene.issuer.jwk()["x"].as_str().unwrap().to_owned();
    for secret in [scene.issuer.jwks(), x] {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let signed =
            format!("{}.{}", part(&header(&json!({"alg": "HS256"}))), part(&claims().to_string()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
        let rejection = scene.present(&format!("{signed}.{tag}")).unwrap_err();
        assert_eq!(rejection.reason, Reason::UnsupportedAlgorithm);
    }
}

#[test]
fn signatures_that_are_not() {
    let scene = Scene::new();
    let token = good(&scene.issuer);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let stranger = crate::fixture::issuer("k1");
    let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let table = [
        ("another's key under the same id", good(&stranger)),
        ("none at all", format!("{signed}.")),
        ("zeros (CVE-2022-21449)", format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 64]))),
        ("cut short", format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&raw[..63]))),
        (
            "with a byte more",
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode([&raw[..], &[0]].concat())),
        ),
        ("of another token", {
            let other = scene.issuer.token("agent-2", AUDIENCE, now(), 600).unwrap();
            format!("{}.{signature}", other.rsplit_once('.').unwrap().0)
        }),
    ];
    for (attack, token) in table {
        assert_eq!(scene.present(&token).unwrap_err().reason, Reason::InvalidSignature, "{attack}");
    }
}

#[test]
fn texts_that_are_no_tokens() {
    let scene = Scene::new();
    let token = good(&scene.issuer);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (head, body) = signed.split_once('.').unwrap();
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let sign = |head: &str, body: &str| scene.issuer.sign(head, body).unwrap();
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(40), "]".repeat(40));
    let many = json!({"groups": (0..2_001).collect::<Vec<_>>()}).to_string();
    for token in [
        "abc".to_owned(),
        "..".to_owned(),
        ".".to_owned(),
        signed.to_owned(),
        format!("{token}.{signature}"),
        format!("{token}."),
        format!("{token}="),
        format!("{head}=.{body}.{signature}"),
        format!("{}.{body}.{signature}", head.replace('J', "+")),
        format!("{body}.{head}.{signature}"),
        format!("{}.{body}.{signature}", part("[]")),
        format!("{head}.{}.{signature}", part("\"text\"")),
        format!("{head}.{}.{signature}", part("{} {}")),
        format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode(b"{\"a\":\"\xff\"}")),
        sign(HEADER, &deep),
        sign(HEADER, &many),
    ] {
        assert_eq!(scene.present(&token).unwrap_err().reason, Reason::MalformedToken, "{token}");
    }
    let large = "a".repeat(TOKEN_BYTES_MAX + 1);
    assert_eq!(scene.present(&large).unwrap_err().reason, Reason::TokenTooLarge);
    assert_eq!(scene.source.loads(), 0, "nothing of this is a reason to load keys");
}

#[test]
fn unknown_issuers_lead_to_no_load() {
    let scene = Scene::new();
    let claims = with(claims(), &json!({"iss": "https://evil.example"}));
    let rejection = scene.present(&scene.issuer.sign(HEADER, &claims).unwrap()).unwrap_err();
    assert_eq!(rejection.reason, Reason::UnknownIssuer);
    assert_eq!(rejection.details.iss.as_deref(), Some("https://evil.example"));
    assert_eq!(rejection.details.provider, None);
    assert_eq!(scene.source.loads(), 0);
}

#[test]
fn one_issuer_cannot_speak_for_another() {
    // Two providers, each with its own keys under the same key id.
    let (mine, yours) = (crate::fixture::issuer("k1"), crate::fixture::issuer("k1"));
    let other = ProviderConfig {
        name: "other".to_owned(),
        issuer: "https://other.example".to_owned(),
        ..provider()
    };
    let both = Config { provider: vec![provider(), other], ..config(provider()) };
    let sources = [("ci".to_owned(), mine.key_source()), ("other".to_owned(), yours.key_source())];
    let verifier = Verifier::with_sources(&both, sources.into()).unwrap();
    let verify = |token: &str| block_on(present(&verifier, token, now()));
    assert_eq!(verify(&good(&mine)).unwrap().provider, "ci");
    assert_eq!(verify(&good(&yours)).unwrap_err().reason, Reason::InvalidSignature);
    let foreign = with(claims(), &json!({"iss": "https://other.example"}));
    let rejection = verify(&mine.sign(HEADER, &foreign).unwrap()).unwrap_err();
    assert_eq!(rejection.reason, Reason::InvalidSignature);
    assert_eq!(verify(&yours.sign(HEADER, &foreign).unwrap()).unwrap().provider, "other");
}

#[test]
fn keys_that_say_they_are_for_something_else() {
    let base = Scene::new();
    for change in [
        json!({"use": "enc"}),
        json!({"alg": "ES384"}),
        json!({"key_ops": ["encrypt"]}),
        json!({"crv": "P-384"}),
    ] {
        let key: Value = serde_json::from_str(&with(base.issuer.jwk(), &change)).unwrap();
        base.source.answers(Ok(crate::fixture::jwks(&[key])));
        let verifier = crate::fixture::verifier(&config(provider()), &base.source);
        let token = good(&base.issuer);
        let rejection = block_on(present(&verifier, &token, now())).unwrap_err();
        assert_eq!(rejection.reason, Reason::KeysUnavailable, "{change}");
        let actual = rejection.details.actual.unwrap();
        assert!(actual.contains("no usable signature key"), "{actual}");
    }
}

#[test]
fn header_lines_that_are_no_credential() {
    let anonymous = Config { allow_anonymous: true, ..config(provider()) };
    let issuer = crate::fixture::issuer("k1");
    let source = crate::fixture::Scripted::new(Ok(issuer.jwks()));
    let token = format!("Bearer {}", good(&issuer));
    for config in [config(provider()), anonymous] {
        let verifier = crate::fixture::verifier(&config, &source);
        let verify = |headers: &[&[u8]]| block_on(show(&verifier, headers, now()));
        let table: [&[&[u8]]; 4] = [
            &[token.as_bytes(), token.as_bytes()],
            &[b"Basic dXNlcjpwYXNz"],
            &[b""],
            &[b"Bearer "],
        ];
        for headers in table {
            // A bad credential is never treated as none.
            assert_eq!(verify(headers).unwrap_err().reason, Reason::MalformedHeader);
        }
        assert_eq!(verify(&[b"Bearer abc"]).unwrap_err().reason, Reason::MalformedToken);
        match verify(&[]) {
            Ok(actor) => assert!(config.allow_anonymous && actor == event::Actor::anonymous()),
            Err(rejection) => {
                assert!(!config.allow_anonymous);
                assert_eq!(rejection.reason, Reason::Missing);
            }
        }
    }
}

#[test]
fn development_keys() {
    let key = ApiKey::generate().unwrap();
    let entry = ApiKeyConfig { name: "laptop".to_owned(), sha256: key.digest() };
    let verifier = Verifier::new(&Config { api_key: vec![entry], ..Config::default() }).unwrap();
    let verify = |text: &str| block_on(present(&verifier, text, now()));
    let actor = verify(key.plain_text()).unwrap();
    assert_eq!((actor.id.as_str(), actor.provider.as_str()), ("laptop", "api-key"));
    assert!(actor.development);
    let other = ApiKey::generate().unwrap();
    let digest = key.digest().replace("sha256:", "");
    for text in [other.plain_text(), "cs_dev_", "x", &digest] {
        assert_eq!(verify(text).unwrap_err().reason, Reason::UnknownApiKey, "{text}");
    }
    assert_eq!(verify("cs_dev_a.b.c").unwrap_err().reason, Reason::MalformedToken);
    assert_eq!(verify(other.plain_text()).unwrap_err().details.token_sha256, None);
}
