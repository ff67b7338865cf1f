use super::SigningKey;
use crate::refused::Reason;
use aws_lc_rs::encoding::{AsBigEndian as _, AsDer as _};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

fn pem(label: &str, der: &[u8]) -> String {
    let lines = STANDARD.encode(der);
    let lines = lines.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap());
    let body = lines.collect::<Vec<_>>().join("\n");
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

fn read(text: &str) -> Result<SigningKey, crate::Refused> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    SigningKey::read(&path)
}

fn ec(algorithm: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    EcdsaKeyPair::generate(algorithm).unwrap()
}

#[test]
fn keys_are_read_in_every_form_and_sign() {
    let p256 = ec(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let p256_der = p256.to_pkcs8v1().unwrap();
    let point = p256.public_key().as_ref();
    let d = p256.private_key().as_be_bytes().unwrap();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let p256_jwk = json!({"kty": "EC", "crv": "P-256", "d": text(d.as_ref()),
        "x": text(&point[1..33]), "y": text(&point[33..]), "kid": "ignored"});
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    let seed = ed25519.seed().unwrap().as_be_bytes().unwrap();
    let ed25519_jwk = json!({"kty": "OKP", "crv": "Ed25519", "d": text(seed.as_ref())});
    let rsa = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa_der: Vec<u8> = rsa.as_der().unwrap().as_ref().to_vec();
    let inner = pkcs8::PrivateKeyInfoRef::try_from(rsa_der.as_slice()).unwrap();
    let rsa_inner = inner.private_key.as_bytes();
    for (text, algorithm) in [
        (pem("PRIVATE KEY", p256_der.as_ref()), Algorithm::ES256),
        (p256_jwk.to_string(), Algorithm::ES256),
        (pem("PRIVATE KEY", ed25519.to_pkcs8().unwrap().as_ref()), Algorithm::EdDSA),
        (pem("PRIVATE KEY", ed25519.to_pkcs8v1().unwrap().as_ref()), Algorithm::EdDSA),
        (ed25519_jwk.to_string(), Algorithm::EdDSA),
        (pem("PRIVATE KEY", &rsa_der), Algorithm::RS256),
        (pem("RSA PRIVATE KEY", rsa_inner), Algorithm::RS256),
    ] {
        let key = read(&text).unwrap();
        assert_eq!(key.algorithm, algorithm);
        let public = Jwk::from_encoding_key(&key.key, algorithm).unwrap();
        for kid in [Some("k1".to_owned()), None] {
            let token = key.sign(kid.as_deref(), &json!({"sub": "a"})).unwrap();
            let mut validation = Validation::new(algorithm);
            validation.required_spec_claims.clear();
            validation.validate_exp = false;
            let public = DecodingKey::from_jwk(&public).unwrap();
            let read = jsonwebtoken::decode::<Value>(token.expose(), &public, &validation).unwrap();
            let expected = kid.unwrap_or_else(|| key.thumbprint().unwrap());
            assert_eq!(read.header.kid, Some(expected));
            assert_eq!(read.claims["sub"], "a");
        }
        assert_eq!(format!("{key:?}"), format!("SigningKey {{ algorithm: {algorithm:?}, .. }}"));
    }
}

#[test]
fn the_name_of_a_key_is_that_of_the_standard() {
    // RFC 8037, appendix A.1 and A.3.
    let jwk = json!({"kty": "OKP", "crv": "Ed25519",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let key = read(&jwk.to_string()).unwrap();
    assert_eq!(key.thumbprint().unwrap(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn what_is_no_usable_key_is_said_and_not_shown() {
    let p384 = ec(&ECDSA_P384_SHA384_FIXED_SIGNING).to_pkcs8v1().unwrap();
    let p256 = ec(&ECDSA_P256_SHA256_FIXED_SIGNING).to_pkcs8v1().unwrap();
    let canary = URL_SAFE_NO_PAD.encode("canary");
    for (text, says) in [
        (String::new(), "no private key"),
        ("canary".to_owned(), "no private key"),
        (pem("CERTIFICATE", b"canary"), "no private key"),
        (pem("PRIVATE KEY", b"canary"), "no private key"),
        (pem("EC PRIVATE KEY", b"canary"), "openssl pkcs8"),
        (pem("RSA PRIVATE KEY", b"canary"), "RSA key"),
        (pem("PRIVATE KEY", p384.as_ref()), "P-256"),
        (pem("PUBLIC KEY", p256.as_ref()), "no private key"),
        ("{\"kty\":\"OKP\",\"d\":\"canary\"".to_owned(), "no private key"),
        (json!({"kty": "oct", "k": canary, "d": canary}).to_string(), "another type"),
        (json!({"kty": "RSA", "n": canary, "d": canary}).to_string(), "PEM only"),
        (json!({"kty": "OKP", "crv": "Ed25519", "d": canary}).to_string(), "no private key"),
        (json!({"kty": "OKP", "crv": "Ed25519", "d": "canary!"}).to_string(), "no private key"),
        (json!({"kty": "EC", "crv": "P-256", "d": canary}).to_string(), "no private key"),
    ] {
        let refused = read(&text).unwrap_err();
        assert_eq!(refused.reason, Reason::File);
        assert!(refused.problem.contains(says), "{text}: {refused}");
        let shown = format!("{refused} {refused:?}");
        assert!(!shown.contains("canary") && !shown.contains(&canary), "{shown}");
    }
}
