//! Tokens that are accepted, and every word of what is recorded about them.

use crate::fixture::{
    AUDIENCE, ISSUER, NOW_S, Scene, Scripted, block_on, config, good, issuer, jwks, now, present,
    provider, show, verifier,
};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use event::{ActorKind, Evidence, EvidenceKind, HopRole, Level, Time};
use identity::{Algorithm, CallerKind, Config, Presented, ProviderConfig, Reason};
use serde_json::{Value, json};

fn header(alg: &str, kid: &str) -> String {
    json!({"alg": alg, "kid": kid}).to_string()
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "s", "exp": NOW_S + 600})
}

#[test]
fn the_evidence_is_complete() {
    let scene = Scene::new();
    let mut claims = claims();
    claims["iat"] = json!(NOW_S - 10);
    claims["jti"] = json!("token-7");
    let token = scene.issuer.sign(&header("ES256", "k1"), &claims.to_string()).unwrap();
    let actor = scene.present(&token).unwrap();
    assert_eq!((actor.id.as_str(), actor.provider.as_str()), ("s", "ci"));
    assert_eq!((actor.kind, actor.level), (ActorKind::Workload, Level::VerifiedBearer));
    assert!(!actor.development);
    assert_eq!(actor.chain.len(), 1);
    assert_eq!(actor.chain[0].role, HopRole::Workload);
    assert_eq!(actor.chain[0].level, Level::VerifiedBearer);

    let jwk = scene.issuer.jwk();
    let canonical = json!({"crv": "P-256", "kty": "EC", "x": jwk["x"], "y": jwk["y"]}).to_string();
    let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()));
    let hash = digest(&SHA256, token.as_bytes());
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let at = |seconds: i64| Some(Time::from_unix_us(seconds * 1_000_000));
    assert_eq!(
        actor.chain[0].evidence,
        Evidence {
            alg: Some("ES256".to_owned()),
            aud: Some(AUDIENCE.to_owned()),
            exp: at(NOW_S + 600),
            iat: at(NOW_S - 10),
            iss: Some(ISSUER.to_owned()),
            jti: Some("token-7".to_owned()),
            key_thumbprint: Some(thumbprint),
            keys_fetched: Some(now()),
            kid: Some("k1".to_owned()),
            kind: EvidenceKind::Jwt,
            token_sha256: Some(hex),
            ..Evidence::new(EvidenceKind::Jwt)
        }
    );
}

#[test]
fn optional_things_may_be_absent() {
    let scene = Scene::new();
    let sign = |header: Value, claims: &Value| {
        scene.issuer.sign(&header.to_string(), &claims.to_string()).unwrap()
    };
    for header in [
        json!({"alg": "ES256"}),
        json!({"alg": "ES256", "typ": "jwt", "kid": "k1"}),
        json!({"alg": "ES256", "typ": "application/AT+JWT"}),
        json!({"alg": "ES256", "x5t": "abc", "cty": "json"}),
    ] {
        assert!(scene.present(&sign(header.clone(), &claims())).is_ok(), "{header}");
    }
    let mut array = claims();
    array["aud"] = json!([AUDIENCE]);
    assert!(scene.present(&sign(json!({"alg": "ES256"}), &array)).is_ok());
}

#[test]
fn switches_of_a_provider() {
    let several = json!({"iss": ISSUER, "aud": ["o", AUDIENCE], "sub": "s", "exp": NOW_S + 600});
    let scene = Scene::with(ProviderConfig {
        allow_multiple_audiences: true,
        kind: CallerKind::Human,
        ..provider()
    });
    let token = scene.issuer.sign(&header("ES256", "k1"), &several.to_string()).unwrap();
    let actor = scene.present(&token).unwrap();
    assert_eq!(actor.kind, ActorKind::Human);
    assert_eq!(actor.chain[0].role, HopRole::Human);
    assert_eq!(actor.chain[0].evidence.aud.as_deref(), Some(AUDIENCE));

    let own = Scene::with(ProviderConfig { audience: "own".to_owned(), ..provider() });
    assert!(own.present(&good(&own.issuer)).is_err());
    assert!(own.present(&own.issuer.token("s", "own", now(), 60).unwrap()).is_ok());

    let strict = Scene::with(ProviderConfig { typ: Some(vec!["at+jwt".to_owned()]), ..provider() });
    assert!(strict.present(&good(&strict.issuer)).is_err());
    let untyped = strict.issuer.sign(&header("ES256", "k1"), &claims().to_string()).unwrap();
    assert!(strict.present(&untyped).is_err());
    let typed = json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"}).to_string();
    let typed = strict.issuer.sign(&typed, &claims().to_string()).unwrap();
    assert!(strict.present(&typed).is_ok());
}

#[test]
fn delegation_stands_in_the_order_of_time() {
    let scene = Scene::new();
    let mut claims = claims();
    claims["sub"] = json!("user");
    claims["act"] = json!({"sub": "second", "act": {"sub": "first", "iss": "https://elsewhere"}});
    let token = scene.issuer.sign(&header("ES256", "k1"), &claims.to_string()).unwrap();
    let actor = scene.present(&token).unwrap();
    assert_eq!(actor.id, "user");
    let hops: Vec<_> =
        actor.chain.iter().map(|hop| (hop.id.as_str(), hop.role, hop.level)).collect();
    assert_eq!(
        hops,
        [
            ("user", HopRole::Workload, Level::VerifiedBearer),
            ("first", HopRole::Agent, Level::IssuerAsserted),
            ("second", HopRole::Agent, Level::IssuerAsserted),
        ]
    );
    assert_eq!(actor.chain[1].evidence.iss.as_deref(), Some("https://elsewhere"));
    assert_eq!(actor.chain[2].evidence.iss.as_deref(), Some(ISSUER));
    assert_eq!(actor.chain[2].evidence.token_sha256, actor.chain[0].evidence.token_sha256);
    assert_eq!(actor.chain[2].evidence.alg, None, "the signature is not the delegate's");
}

#[test]
fn delegation_is_at_most_ten_hops_deep() {
    let scene = Scene::new();
    let nested = |levels: usize| {
        let mut claims = claims();
        claims["act"] =
            (1..levels).fold(json!({"sub": "a"}), |act, _| json!({"sub": "a", "act": act}));
        scene.issuer.sign(&header("ES256", "k1"), &claims.to_string()).unwrap()
    };
    assert_eq!(scene.present(&nested(10)).unwrap().chain.len(), 11);
    let rejection = scene.present(&nested(11)).unwrap_err();
    assert_eq!(rejection.details.expected.as_deref(), Some("at most 10 levels"));
}

/// Every family of algorithms, signed with the cryptographic library directly.
#[test]
fn every_family_of_algorithms() {
    let rng = SystemRandom::new();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let ed = Ed25519KeyPair::generate().unwrap();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let rsa_public = rsa.public_key();
    let point = p384.public_key().as_ref();
    let keys = jwks(&[
        json!({
            "kty": "RSA", "kid": "rsa",
            "n": text(rsa_public.modulus().big_endian_without_leading_zero()),
            "e": text(rsa_public.exponent().big_endian_without_leading_zero()),
        }),
        json!({"kty": "EC", "crv": "P-384", "kid": "p384", "x": text(&point[1..49]), "y": text(&point[49..])}),
        json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": text(ed.public_key().as_ref())}),
        json!({"kty": "oct", "k": text(b"secret"), "kid": "oct"}),
    ]);
    let provider = ProviderConfig { algorithms: Some(Algorithm::ALL.to_vec()), ..provider() };
    let verifier = verifier(&config(provider), &Scripted::new(Ok(keys)));

    let sign_rsa = |encoding: &'static dyn RsaEncoding, message: &[u8]| {
        let mut signature = vec![0; rsa.public_modulus_len()];
        rsa.sign(encoding, &rng, message, &mut signature).unwrap();
        signature
    };
    type Sign<'a> = Box<dyn Fn(&[u8]) -> Vec<u8> + 'a>;
    let table: [(&str, &str, Sign<'_>); 4] = [
        ("RS256", "rsa", Box::new(|message| sign_rsa(&RSA_PKCS1_SHA256, message))),
        ("PS512", "rsa", Box::new(|message| sign_rsa(&RSA_PSS_SHA512, message))),
        ("ES384", "p384", Box::new(|message| p384.sign(&rng, message).unwrap().as_ref().to_vec())),
        ("EdDSA", "ed", Box::new(|message| ed.sign(message).as_ref().to_vec())),
    ];
    for (alg, kid, sign) in table {
        let signed = format!(
            "{}.{}",
            text(header(alg, kid).as_bytes()),
            text(claims().to_string().as_bytes())
        );
        let token = format!("{signed}.{}", text(&sign(signed.as_bytes())));
        let actor = block_on(present(&verifier, &token, now())).unwrap();
        assert_eq!(actor.chain[0].evidence.alg.as_deref(), Some(alg));
        let wrong = format!("{signed}.{}", text(&sign(b"something else")));
        assert!(block_on(present(&verifier, &wrong, now())).is_err(), "{alg}");
    }
}

#[test]
fn without_an_audience_of_its_own_a_token_is_for_one_endpoint() {
    let issuer = issuer("k1");
    let source = Scripted::new(Ok(issuer.jwks()));
    let provided = Config {
        audience: String::new(),
        has_resources: true,
        ..config(ProviderConfig { audience: String::new(), ..provider() })
    };
    let verifier = verifier(&provided, &source);
    let token = issuer.token("s", "https://gw.example/s/a/mcp", now(), 600).unwrap();
    let header = format!("Bearer {token}");
    let at = |resource: &str| {
        let authorization: &[&[u8]] = &[header.as_bytes()];
        let presented = Presented { authorization, resource, ..Presented::default() };
        block_on(verifier.verify(&presented, now()))
    };
    let wrong = |resource: &str| at(resource).unwrap_err().reason;
    assert_eq!(wrong("https://gw.example/s/b/mcp"), Reason::WrongAudience);
    let actor = at("https://gw.example/s/a/mcp").unwrap();
    assert_eq!(actor.chain[0].evidence.aud.as_deref(), Some("https://gw.example/s/a/mcp"));
    // That it was accepted elsewhere a moment ago makes no difference.
    assert_eq!(wrong("https://gw.example/s/b/mcp"), Reason::WrongAudience);
    assert!(at("https://gw.example/s/a/mcp").is_ok());
    let nobody = issuer.token("s", "", now(), 600).unwrap();
    let presented = format!("Bearer {nobody}");
    let shown = block_on(show(&verifier, &[presented.as_bytes()], now()));
    assert_eq!(shown.unwrap_err().reason, Reason::WrongAudience);
}
