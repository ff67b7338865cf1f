//! Which keys of a set are used, and for which token. RSA, P-256 and Ed25519 keys are the published
//! examples of RFC 7638, RFC 7515 and RFC 8037.

use super::KeySet;
use crate::config::Algorithm;
use crate::source::KeyError;
use serde_json::{Value, json};

const RSA_N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

fn rsa() -> Value {
    json!({"kty": "RSA", "n": RSA_N, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"})
}

fn p256() -> Value {
    json!({
        "kty": "EC", "crv": "P-256", "kid": "ec",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    })
}

fn ed25519() -> Value {
    json!({
        "kty": "OKP", "crv": "Ed25519", "kid": "ed",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    })
}

fn parse(keys: &[Value]) -> Result<KeySet, KeyError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

fn with(mut key: Value, change: &[(&str, Value)]) -> Value {
    for (name, value) in change {
        match value {
            Value::Null => drop(key.as_object_mut().unwrap().remove(*name)),
            value => key[*name] = value.clone(),
        }
    }
    key
}

#[test]
fn published_thumbprints() {
    let set = parse(&[rsa(), ed25519()]).unwrap();
    // RFC 7638 section 3.1.
    let rsa = set.find(Algorithm::Rs256, Some("2011-04-29")).unwrap();
    assert_eq!(rsa.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    // RFC 8037 appendix A.3.
    let ed = set.find(Algorithm::EdDsa, Some("ed")).unwrap();
    assert_eq!(ed.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn unusable_keys_are_left_out() {
    let n_of = |bits: usize| {
        // The top bit of the last of `bits` bits and the lowest bit are set.
        let mut n = vec![0x55_u8; bits.div_ceil(8)];
        n[0] = 1 << ((bits - 1) % 8);
        *n.last_mut().unwrap() |= 1;
        base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, n)
    };
    let unusable = [
        with(p256(), &[("use", json!("enc"))]),
        with(p256(), &[("use", json!(1))]),
        with(p256(), &[("key_ops", json!(["encrypt"]))]),
        with(p256(), &[("key_ops", json!(["sign"]))]),
        with(p256(), &[("key_ops", json!([]))]),
        with(p256(), &[("key_ops", json!("verify"))]),
        with(p256(), &[("alg", json!("ES384"))]),
        with(p256(), &[("alg", json!("RS256"))]),
        with(p256(), &[("alg", json!("HS256"))]),
        with(p256(), &[("alg", json!(1))]),
        with(p256(), &[("crv", json!("P-384"))]),
        with(p256(), &[("crv", json!("P-521"))]),
        with(p256(), &[("crv", json!("secp256k1"))]),
        with(p256(), &[("crv", Value::Null)]),
        with(p256(), &[("kid", json!(""))]),
        with(p256(), &[("kid", json!(7))]),
        with(p256(), &[("kid", json!("k".repeat(257)))]),
        with(p256(), &[("d", json!("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"))]),
        with(p256(), &[("y", json!("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a1"))]),
        with(p256(), &[("y", json!("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"))]),
        with(p256(), &[("x", json!("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU="))]),
        with(p256(), &[("kty", json!("OKP"))]),
        json!({"kty": "oct", "k": "AAAA", "kid": "ec", "alg": "HS256"}),
        json!({"kty": "oct", "k": "AAAA"}),
        with(rsa(), &[("n", json!(n_of(1024)))]),
        with(rsa(), &[("n", json!(n_of(2047)))]),
        with(rsa(), &[("n", json!(n_of(8193)))]),
        with(rsa(), &[("e", json!("AQ"))]),
        with(rsa(), &[("e", json!("Ag"))]),
        with(rsa(), &[("e", json!(""))]),
        with(rsa(), &[("e", json!("AAEAAQ"))]),
        with(rsa(), &[("n", json!(format!("AAAA{RSA_N}")))]),
        with(rsa(), &[("k", json!("AAAA"))]),
        with(ed25519(), &[("x", json!("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUQ"))]),
        with(ed25519(), &[("crv", json!("X25519"))]),
        json!({}),
        json!("key"),
    ];
    for key in unusable {
        let alone = parse(std::slice::from_ref(&key));
        assert_eq!(alone.unwrap_err(), KeyError::NoUsableKey { dropped: 1 }, "{key}");
        // Beside a good key it does no harm.
        assert!(parse(&[key, rsa()]).unwrap().find(Algorithm::Rs256, Some("2011-04-29")).is_some());
    }
    for bits in [2048, 8192] {
        assert!(parse(&[with(rsa(), &[("n", json!(n_of(bits)))])]).is_ok(), "{bits}");
    }
}

#[test]
fn a_key_serves_only_its_algorithm() {
    let fits = |key: Value, algorithm| parse(&[key]).unwrap().find(algorithm, None).is_some();
    for algorithm in Algorithm::ALL {
        let name = algorithm.as_str();
        assert_eq!(fits(rsa(), algorithm), name == "RS256", "{name}");
        let open = with(rsa(), &[("alg", Value::Null)]);
        assert_eq!(fits(open, algorithm), name.starts_with('R') || name.starts_with('P'), "{name}");
        assert_eq!(fits(p256(), algorithm), name == "ES256", "{name}");
        assert_eq!(fits(ed25519(), algorithm), name == "EdDSA", "{name}");
    }
}

#[test]
fn key_ids_decide_and_their_absence_only_for_a_single_key() {
    let second = with(p256(), &[("kid", json!("second"))]);
    let set = parse(&[p256(), second, rsa()]).unwrap();
    let finds = |kid| set.find(Algorithm::Es256, kid).is_some();
    assert!(finds(Some("ec")) && finds(Some("second")));
    assert!(!finds(Some("third")) && !finds(Some("2011-04-29")) && !finds(None));
    assert!(set.find(Algorithm::Rs256, None).is_some());
    // A key without an id is not the key of any id.
    let unnamed = parse(&[with(p256(), &[("kid", Value::Null)])]).unwrap();
    assert!(unnamed.find(Algorithm::Es256, Some("ec")).is_none());
    assert!(unnamed.find(Algorithm::Es256, None).is_some());
}

#[test]
fn sets_that_say_two_things_or_nothing_are_refused() {
    let twice = parse(&[p256(), with(rsa(), &[("kid", json!("ec"))])]).unwrap_err();
    assert_eq!(twice, KeyError::DuplicateKid { kid: "ec".to_owned() });
    // An encryption key of the same id is not used, so it does not count.
    assert!(parse(&[p256(), with(rsa(), &[("kid", json!("ec")), ("use", json!("enc"))])]).is_ok());
    for text in [
        "",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[],"keys":[]}"#,
        "<html>",
        r#"{"keys":[{"kty":"RSA","kty":"EC"}]}"#,
    ] {
        let error = KeySet::parse(text.as_bytes()).unwrap_err();
        assert!(matches!(error, KeyError::Malformed { .. }), "{text}: {error}");
    }
    assert_eq!(parse(&[]).unwrap_err(), KeyError::NoUsableKey { dropped: 0 });
    let crowd: Vec<_> = (0..101).map(|i| with(p256(), &[("kid", json!(i.to_string()))])).collect();
    assert!(matches!(parse(&crowd).unwrap_err(), KeyError::Malformed { .. }));
}
