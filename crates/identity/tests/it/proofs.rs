//! Tokens that are bound to a key: what their senders have to show, and everything that shows nothing. Each
//! row differs from a good request in one thing only.

use crate::fixture::{
    AUDIENCE, NOW_S, Scene, Scripted, after, block_on, config, issuer, now, provider, verifier,
};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use event::{Actor, Level, Proof, Time};
use identity::dev::ProofKey;
use identity::{
    ApiKey, ApiKeyConfig, Certificates, Config, Presented, ProofRule, ProviderConfig, Reason,
    Rejection, Verifier,
};
use serde_json::{Map, Value, json};

pub(crate) const URI: &str = "https://gw.example/mcp";

/// A client with a key, and an issuer that binds tokens to it.
pub(crate) struct Bound {
    pub(crate) scene: Scene,
    pub(crate) key: ProofKey,
    pub(crate) token: String,
}

impl Bound {
    pub(crate) fn new() -> Self {
        Self::with(provider())
    }

    fn with(provider: ProviderConfig) -> Self {
        let (scene, key) = (Scene::with(provider), ProofKey::generate().unwrap());
        let token = bound_to(&scene, &json!({"jkt": key.thumbprint()}));
        Self { scene, key, token }
    }

    pub(crate) fn proof(&self, jti: &str) -> String {
        self.key.proof(("POST", URI), &self.token, (jti, now())).unwrap()
    }

    /// What becomes of a request with these `DPoP` headers.
    pub(crate) fn show(&self, proofs: &[&str]) -> Result<Actor, Rejection> {
        let proofs: Vec<&[u8]> = proofs.iter().map(|proof| proof.as_bytes()).collect();
        let authorization = format!("DPoP {}", self.token);
        let authorization: &[&[u8]] = &[authorization.as_bytes()];
        let presented = Presented { authorization, dpop: &proofs, ..request() };
        block_on(self.scene.verifier.verify(&presented, now()))
    }

    /// A proof whose header and claims differ from a good one in this (null removes).
    fn changed(&self, header: &Value, claims: &Value) -> String {
        let proof = self.proof("j");
        let mut parts = proof.split('.').map(|part| {
            let bytes = URL_SAFE_NO_PAD.decode(part).unwrap();
            serde_json::from_slice::<Map<String, Value>>(&bytes).unwrap_or_default()
        });
        let good = [parts.next().unwrap(), parts.next().unwrap()];
        let [header, claims] = [(header, &good[0]), (claims, &good[1])].map(|(change, good)| {
            let mut changed = good.clone();
            for (name, value) in change.as_object().unwrap() {
                match value {
                    Value::Null => drop(changed.remove(name)),
                    value => drop(changed.insert(name.clone(), value.clone())),
                }
            }
            Value::Object(changed).to_string()
        });
        self.key.sign(&header, &claims).unwrap()
    }
}

/// A request to [`URI`] that shows nothing.
pub(crate) fn request() -> Presented<'static> {
    Presented { method: "POST", uri: URI, ..Presented::default() }
}

/// A token that is bound to this.
fn bound_to(scene: &Scene, cnf: &Value) -> String {
    let claims = json!({"sub": "agent-1", "aud": AUDIENCE, "cnf": cnf});
    scene.issuer.token_with(claims.as_object().unwrap().clone(), now(), 600).unwrap()
}

fn why(answer: Result<Actor, Rejection>) -> (Reason, Option<&'static str>) {
    let rejection = answer.unwrap_err();
    let attribute = rejection.details.attribute.map(|name| &*name.into_owned().leak());
    (rejection.reason, attribute)
}

#[test]
fn whoever_has_the_key_is_known_by_it() {
    let bound = Bound::new();
    for jti in ["1", "2", "3"] {
        let actor = bound.show(&[&bound.proof(jti)]).unwrap();
        assert_eq!((actor.id.as_str(), actor.level), ("agent-1", Level::VerifiedPop));
        let hop = &actor.chain[0];
        assert_eq!((hop.level, hop.evidence.proof), (Level::VerifiedPop, Some(Proof::Dpop)));
        assert_eq!(hop.evidence.proof_key, Some(bound.key.thumbprint()));
        assert_eq!(actor.bound_to(), Some(bound.key.thumbprint().as_str()));
        assert_eq!(hop.evidence.certificate, None);
    }
    assert_eq!(bound.scene.source.loads(), 1);
}

#[test]
fn what_a_delegate_does_rests_on_the_key_of_the_token() {
    let (scene, key) = (Scene::new(), ProofKey::generate().unwrap());
    let claims = json!({
        "sub": "user", "aud": AUDIENCE, "cnf": {"jkt": key.thumbprint()}, "act": {"sub": "agent"},
    });
    let token = scene.issuer.token_with(claims.as_object().unwrap().clone(), now(), 600).unwrap();
    let bound = Bound { scene, key, token };
    let actor = bound.show(&[&bound.proof("j")]).unwrap();
    let levels: Vec<_> = actor.chain.iter().map(|hop| hop.level).collect();
    assert_eq!(levels, [Level::VerifiedPop, Level::IssuerAsserted]);
    assert_eq!(actor.chain[1].evidence.proof, None);
}

#[test]
fn proofs_that_do_not_fit() {
    let bound = Bound::new();
    let none = || json!({});
    let other = ProofKey::generate().unwrap();
    let table = [
        ("no typ", json!({"typ": null}), none(), "typ"),
        ("typ of a token", json!({"typ": "JWT"}), none(), "typ"),
        ("typ of another proof", json!({"typ": "wpt+jwt"}), none(), "typ"),
        ("alg none", json!({"alg": "none"}), none(), "alg"),
        ("alg symmetric", json!({"alg": "HS256"}), none(), "alg"),
        ("alg of another family", json!({"alg": "RS256"}), none(), "jwk"),
        ("alg of another curve", json!({"alg": "ES384"}), none(), "jwk"),
        ("alg in lower case", json!({"alg": "es256"}), none(), "alg"),
        ("no alg", json!({"alg": null}), none(), "alg"),
        ("crit", json!({"crit": ["exp"]}), none(), "crit"),
        ("b64", json!({"b64": false}), none(), "b64"),
        ("key at an address", json!({"jku": "https://evil"}), none(), "jku"),
        ("key in a certificate", json!({"x5c": ["AAAA"]}), none(), "x5c"),
        ("no key", json!({"jwk": null}), none(), "jwk"),
        ("key a text", json!({"jwk": "x"}), none(), "jwk"),
        ("key empty", json!({"jwk": {}}), none(), "jwk"),
        ("key symmetric", json!({"jwk": {"kty": "oct", "k": "AAAA"}}), none(), "jwk"),
        ("key private", json!({"jwk": with(&bound.key.jwk(), "d", "AAAA")}), none(), "jwk"),
        ("key to encrypt", json!({"jwk": with(&bound.key.jwk(), "use", "enc")}), none(), "jwk"),
        ("key off its curve", json!({"jwk": with(&bound.key.jwk(), "x", "AAAA")}), none(), "jwk"),
        ("other method", none(), json!({"htm": "GET"}), "htm"),
        ("method in lower case", none(), json!({"htm": "post"}), "htm"),
        ("no method", none(), json!({"htm": null}), "htm"),
        ("other path", none(), json!({"htu": "https://gw.example/other"}), "htu"),
        ("other host", none(), json!({"htu": "https://evil.example/mcp"}), "htu"),
        ("other scheme", none(), json!({"htu": "http://gw.example/mcp"}), "htu"),
        ("other port", none(), json!({"htu": "https://gw.example:8443/mcp"}), "htu"),
        ("only a path", none(), json!({"htu": "/mcp"}), "htu"),
        ("htu a list", none(), json!({"htu": [URI]}), "htu"),
        ("no uri", none(), json!({"htu": null}), "htu"),
        ("other token", none(), json!({"ath": other.thumbprint()}), "ath"),
        ("no token", none(), json!({"ath": null}), "ath"),
        ("hash in hex", none(), json!({"ath": "00".repeat(32)}), "ath"),
        ("expired", none(), json!({"iat": NOW_S - 301}), "iat"),
        ("of the future", none(), json!({"iat": NOW_S + 301}), "iat"),
        ("time a text", none(), json!({"iat": NOW_S.to_string()}), "iat"),
        ("no time", none(), json!({"iat": null}), "iat"),
        ("of the stone age", none(), json!({"iat": 0}), "iat"),
        ("at the end of days", none(), json!({"iat": 1e300}), "iat"),
        ("with an end of its own", none(), json!({"exp": NOW_S - 6}), "exp"),
        ("with a beginning of its own", none(), json!({"nbf": NOW_S + 6}), "nbf"),
        ("no name", none(), json!({"jti": null}), "jti"),
        ("empty name", none(), json!({"jti": ""}), "jti"),
        ("name a number", none(), json!({"jti": 5}), "jti"),
        ("long name", none(), json!({"jti": "j".repeat(1_025)}), "jti"),
    ];
    for (attack, header, claims, attribute) in &table {
        let proof = bound.changed(header, claims);
        let found = why(bound.show(&[&proof]));
        assert_eq!(found, (Reason::ProofInvalid, Some(*attribute)), "{attack}");
    }
    // None of them has used the name up.
    bound.show(&[&bound.changed(&none(), &none())]).unwrap();
}

fn with(jwk: &Value, name: &str, value: &str) -> Value {
    let mut changed = jwk.clone();
    changed.as_object_mut().unwrap().insert(name.to_owned(), json!(value));
    changed
}

#[test]
fn proofs_of_somebody_else() {
    let bound = Bound::new();
    let thief = ProofKey::generate().unwrap();
    let own = thief.proof(("POST", URI), &bound.token, ("j", now())).unwrap();
    assert_eq!(why(bound.show(&[&own])), (Reason::BindingMismatch, Some("jwk")));
    // With the public key of the owner, signed by the thief.
    let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": bound.key.jwk()}).to_string();
    let good = bound.proof("j");
    let claims = URL_SAFE_NO_PAD.decode(good.split('.').nth(1).unwrap()).unwrap();
    let forged = thief.sign(&header, std::str::from_utf8(&claims).unwrap()).unwrap();
    assert_eq!(why(bound.show(&[&forged])), (Reason::ProofInvalid, Some("signature")));
    // With the public key as the secret of a symmetric algorithm.
    let header = json!({"typ": "dpop+jwt", "alg": "HS256", "jwk": bound.key.jwk()}).to_string();
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(&claims));
    let secret = hmac::Key::new(hmac::HMAC_SHA256, bound.key.jwk().to_string().as_bytes());
    let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&secret, signed.as_bytes()));
    assert_eq!(why(bound.show(&[&format!("{signed}.{tag}")])), (Reason::ProofInvalid, Some("alg")));
    // With a key of another curve, which is not the one that the token is bound to.
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let point = p384.public_key().as_ref();
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwk =
        json!({"kty": "EC", "crv": "P-384", "x": part(&point[1..49]), "y": part(&point[49..])});
    let header = json!({"typ": "dpop+jwt", "alg": "ES384", "jwk": jwk}).to_string();
    let signed = format!("{}.{}", part(header.as_bytes()), part(&claims));
    let signature = p384.sign(&aws_lc_rs::rand::SystemRandom::new(), signed.as_bytes()).unwrap();
    let other = format!("{signed}.{}", part(signature.as_ref()));
    assert_eq!(why(bound.show(&[&other])), (Reason::BindingMismatch, Some("jwk")));
    bound.show(&[&good]).unwrap();
}

#[test]
fn headers_that_are_no_proof() {
    let bound = Bound::new();
    let (one, two) = (bound.proof("1"), bound.proof("2"));
    assert_eq!(why(bound.show(&[])), (Reason::ProofMissing, Some("dpop")));
    for headers in [[one.as_str(), two.as_str()], [&one, &one], [&one, ""]] {
        assert_eq!(why(bound.show(&headers)), (Reason::ProofInvalid, Some("dpop")));
    }
    let both = format!("{one}, {two}");
    let large = "a".repeat(8 * 1_024 + 1);
    for text in ["", "abc", "a.b", "a.b.c", ".", "..", "e30.e30.", &both, &large, &bound.token] {
        assert_eq!(why(bound.show(&[text])).0, Reason::ProofInvalid, "{text}");
    }
    let twin = one.split('.').next().unwrap();
    let claims = URL_SAFE_NO_PAD.encode(r#"{"jti":"a","jti":"b"}"#);
    let twins = format!("{twin}.{claims}.AAAA");
    assert_eq!(why(bound.show(&[&twins])), (Reason::ProofInvalid, Some("claims")));
    bound.show(&[&one]).unwrap();
}

#[test]
fn one_proof_is_good_for_one_request() {
    let bound = Bound::new();
    let proof = bound.proof("j");
    bound.show(&[&proof]).unwrap();
    assert_eq!(why(bound.show(&[&proof])), (Reason::Replayed, Some("jti")));
    // Signed anew, under the same name.
    assert_eq!(why(bound.show(&[&bound.proof("j")])), (Reason::Replayed, Some("jti")));
    // The same name from another key.
    let other = Bound { key: ProofKey::generate().unwrap(), ..Bound::new() };
    let token = bound_to(&other.scene, &json!({"jkt": other.key.thumbprint()}));
    let other = Bound { token, ..other };
    other.show(&[&other.proof("j")]).unwrap();
}

#[test]
fn proofs_are_remembered_across_changes_of_the_configuration() {
    let bound = Bound::new();
    let proof = bound.proof("j");
    bound.show(&[&proof]).unwrap();
    let changed = Config { proof_age_max_s: 60, ..config(provider()) };
    let next = verifier(&changed, &bound.scene.source).remembering(&bound.scene.verifier);
    let bound = Bound { scene: Scene { verifier: next, ..bound.scene }, ..bound };
    assert_eq!(why(bound.show(&[&proof])), (Reason::Replayed, Some("jti")));
    bound.show(&[&bound.proof("k")]).unwrap();
}

#[test]
fn when_no_more_proofs_can_be_remembered_none_is_taken() {
    let small = Config { proof_memory_entries_max: 2, proof_age_max_s: 60, ..config(provider()) };
    let bound = Bound::new();
    let verifier = verifier(&small, &bound.scene.source);
    let show = |jti: &str, now: Time| {
        let proof = bound.key.proof(("POST", URI), &bound.token, (jti, now)).unwrap();
        let authorization = format!("DPoP {}", bound.token);
        let authorization: &[&[u8]] = &[authorization.as_bytes()];
        let presented = Presented { authorization, dpop: &[proof.as_bytes()], ..request() };
        block_on(verifier.verify(&presented, now))
    };
    show("1", now()).unwrap();
    show("2", after(30)).unwrap();
    let full = show("3", after(60)).unwrap_err();
    assert_eq!((full.reason, full.is_retryable()), (Reason::ReplaysFull, true));
    show("3", after(61)).unwrap();
    assert_eq!(show("4", after(61)).unwrap_err().reason, Reason::ReplaysFull);
}

#[test]
fn the_window_can_be_smaller() {
    let bound = Bound::new();
    let changed = Config { proof_age_max_s: 10, ..config(provider()) };
    let next = verifier(&changed, &bound.scene.source);
    let bound = Bound { scene: Scene { verifier: next, ..bound.scene }, ..bound };
    for (iat, good) in [(-11, false), (-10, true), (10, true), (11, false)] {
        let proof =
            bound.changed(&json!({}), &json!({"iat": NOW_S + iat, "jti": format!("{iat}")}));
        assert_eq!(bound.show(&[&proof]).is_ok(), good, "{iat}");
    }
}

#[test]
fn the_uri_may_be_written_in_any_of_its_forms() {
    let bound = Bound::new();
    for htu in [
        "https://gw.example:443/mcp",
        "HTTPS://GW.EXAMPLE/mcp",
        "https://gw.example/mcp?a=b#c",
        "https://gw.example/%6dcp",
        "https://gw.example/./a/../mcp",
    ] {
        let proof = bound.changed(&json!({}), &json!({"htu": htu, "jti": htu}));
        bound.show(&[&proof]).unwrap();
    }
}

#[test]
fn how_a_token_is_bound_says_how_it_is_presented() {
    let bound = Bound::new();
    let proof = bound.proof("j");
    let verify = |scheme: &str, token: &str, certificates: Option<&Certificates>| {
        let authorization = format!("{scheme} {token}");
        let authorization: &[&[u8]] = &[authorization.as_bytes()];
        let presented =
            Presented { authorization, dpop: &[proof.as_bytes()], certificates, ..request() };
        block_on(bound.scene.verifier.verify(&presented, now()))
    };
    // RFC 9449 section 7.2: stolen, or by a client that knows no better.
    let missing = verify("Bearer", &bound.token, None).unwrap_err();
    assert_eq!((missing.reason, missing.details.proof), (Reason::ProofMissing, Some(Proof::Dpop)));
    let unbound = crate::fixture::good(&bound.scene.issuer);
    assert_eq!(why(verify("DPoP", &unbound, None)), (Reason::BindingMismatch, Some("cnf")));
    let actor = verify("Bearer", &unbound, None).unwrap();
    assert_eq!(
        (actor.level, actor.bound_to()),
        (Level::VerifiedBearer, None),
        "a proof of nothing"
    );
    let own = Certificates::new(vec![b"certificate".to_vec()]);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"certificate");
    let x5t = bound_to(&bound.scene, &json!({"x5t#S256": URL_SAFE_NO_PAD.encode(digest)}));
    assert_eq!(why(verify("DPoP", &x5t, own.as_ref())), (Reason::BindingMismatch, Some("cnf")));
    verify("Bearer", &x5t, own.as_ref()).unwrap();
}

/// RFC 8705 appendix A: the certificate, and the digest of it in a token.
const CERTIFICATE: &str = "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=";
const X5T: &str = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0";

#[test]
fn a_token_can_be_bound_to_a_certificate() {
    let bound = Bound::new();
    let der = base64::engine::general_purpose::STANDARD.decode(CERTIFICATE).unwrap();
    let own = Certificates::new(vec![der]);
    let other = Certificates::new(vec![b"another".to_vec()]);
    let show = |token: &str, scheme: &str, certificates: Option<&Certificates>, jti: &str| {
        let authorization = format!("{scheme} {token}");
        let authorization: &[&[u8]] = &[authorization.as_bytes()];
        let proof = bound.key.proof(("POST", URI), token, (jti, now())).unwrap();
        let dpop: &[&[u8]] = &[proof.as_bytes()];
        let presented = Presented { authorization, dpop, certificates, ..request() };
        block_on(bound.scene.verifier.verify(&presented, now()))
    };
    let token = bound_to(&bound.scene, &json!({ "x5t#S256": X5T }));
    let missing = show(&token, "Bearer", None, "").unwrap_err();
    assert_eq!((missing.reason, missing.details.proof), (Reason::ProofMissing, Some(Proof::Mtls)));
    // The first time and when the token is remembered.
    for _ in 0..2 {
        let wrong = why(show(&token, "Bearer", other.as_ref(), ""));
        assert_eq!(wrong, (Reason::BindingMismatch, Some("certificate")));
        let actor = show(&token, "Bearer", own.as_ref(), "").unwrap();
        let evidence = &actor.chain[0].evidence;
        assert_eq!((actor.level, evidence.proof), (Level::VerifiedPop, Some(Proof::Mtls)));
        let certificate = evidence.certificate.as_ref().unwrap();
        assert_eq!(certificate.issuer.as_deref(), Some("CN=mtls"));
        assert_eq!(certificate.serial.as_deref(), Some("02"));
        assert_eq!(actor.bound_to(), Some(certificate.sha256.as_str()));
    }
    // Both: neither is enough.
    let both = bound_to(&bound.scene, &json!({"x5t#S256": X5T, "jkt": bound.key.thumbprint()}));
    assert_eq!(show(&both, "Bearer", own.as_ref(), "1").unwrap_err().reason, Reason::ProofMissing);
    assert_eq!(show(&both, "DPoP", None, "1").unwrap_err().reason, Reason::ProofMissing);
    assert_eq!(
        show(&both, "DPoP", other.as_ref(), "1").unwrap_err().reason,
        Reason::BindingMismatch
    );
    let actor = show(&both, "DPoP", own.as_ref(), "1").unwrap();
    assert_eq!(actor.chain[0].evidence.proof, Some(Proof::Dpop));
    assert!(actor.chain[0].evidence.certificate.is_some());
    assert_eq!(actor.bound_to(), Some(bound.key.thumbprint().as_str()));
}

#[test]
fn a_provider_may_want_proof_of_everybody() {
    let strict = ProviderConfig { proof: ProofRule::Required, ..provider() };
    let bound = Bound::with(strict);
    let bearer = crate::fixture::good(&bound.scene.issuer);
    let missing = bound.scene.present(&bearer).unwrap_err();
    assert_eq!(missing.details.attribute.as_deref(), Some("cnf"));
    assert_eq!((missing.reason, missing.details.proof), (Reason::ProofMissing, Some(Proof::Dpop)));
    bound.show(&[&bound.proof("j")]).unwrap();
}

#[test]
fn static_keys_are_no_tokens() {
    let key = ApiKey::generate().unwrap();
    let own = ApiKeyConfig { name: "dev".to_owned(), sha256: key.digest() };
    let config = Config { api_key: vec![own], ..config(provider()) };
    let verifier = Verifier::new(&config).unwrap();
    let show = |scheme: &str| {
        let authorization = format!("{scheme} {}", key.plain_text());
        let authorization: &[&[u8]] = &[authorization.as_bytes()];
        block_on(verifier.verify(&Presented { authorization, ..request() }, now()))
    };
    assert!(show("Bearer").is_ok());
    assert_eq!(show("DPoP").unwrap_err().reason, Reason::UnknownApiKey);
}

#[test]
fn a_rejection_says_whose_token_it_was() {
    let bound = Bound::new();
    let stale = bound.changed(&json!({}), &json!({"iat": 0}));
    // The second time the token is remembered.
    let mut seen = Vec::new();
    for jti in ["1", "2"] {
        let rejection = bound.show(&[&stale]).unwrap_err();
        let details = &rejection.details;
        assert_eq!(details.provider.as_deref(), Some("ci"));
        assert_eq!(details.iss.as_deref(), Some(crate::fixture::ISSUER));
        assert!(details.token_sha256.is_some() && details.kid.is_some());
        assert_eq!(details.proof, Some(Proof::Dpop));
        seen.push(format!("{rejection}"));
        bound.show(&[&bound.proof(jti)]).unwrap();
    }
    assert_eq!(seen[0], seen[1]);
    assert!(!seen[0].contains(&bound.token) && !seen[0].contains("gw.example/mcp"));
}

#[test]
fn a_proof_does_not_outlive_its_token() {
    let bound = Bound::new();
    bound.show(&[&bound.proof("1")]).unwrap();
    let authorization = format!("DPoP {}", bound.token);
    let authorization: &[&[u8]] = &[authorization.as_bytes()];
    let late = bound.key.proof(("POST", URI), &bound.token, ("2", after(700))).unwrap();
    let presented = Presented { authorization, dpop: &[late.as_bytes()], ..request() };
    let expired = block_on(bound.scene.verifier.verify(&presented, after(700))).unwrap_err();
    assert_eq!((expired.reason, expired.details.proof), (Reason::Expired, Some(Proof::Dpop)));
}

/// An issuer whose keys were exchanged: the token that was remembered is verified again, and its proof too.
#[test]
fn another_key_of_the_issuer_changes_nothing_for_the_proof() {
    let bound = Bound::new();
    bound.show(&[&bound.proof("1")]).unwrap();
    let other = issuer("k2");
    let keys = crate::fixture::jwks(&[bound.scene.issuer.jwk(), other.jwk()]);
    let source = Scripted::new(Ok(keys));
    let next = verifier(&config(provider()), &source).remembering(&bound.scene.verifier);
    let bound = Bound { scene: Scene { verifier: next, source, ..bound.scene }, ..bound };
    assert_eq!(why(bound.show(&[&bound.proof("1")])).0, Reason::Replayed);
    bound.show(&[&bound.proof("2")]).unwrap();
}
