//! Laws over all inputs: nothing makes the verifier panic, and a token is accepted as issued or not at
//! all.

use crate::fixture::{Scene, block_on, good, now, present, show};
use crate::proofs::Bound;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::Reason;
use proptest::prelude::{ProptestConfig, any, proptest};

#[test]
fn no_single_byte_of_a_token_can_be_changed() {
    let scene = Scene::new();
    let token = good(&scene.issuer);
    block_on(async {
        present(&scene.verifier, &token, now()).await.unwrap();
        for at in 0..token.len() {
            for replacement in *b"AZaz09-_.=+/" {
                let mut changed = token.clone().into_bytes();
                if changed[at] == replacement {
                    continue;
                }
                changed[at] = replacement;
                let header = [b"Bearer ", changed.as_slice()].concat();
                let result = show(&scene.verifier, &[&header], now()).await;
                assert!(result.is_err(), "byte {at} as {}", char::from(replacement));
            }
        }
    });
}

#[test]
fn no_single_byte_of_a_proof_can_be_changed() {
    let bound = Bound::new();
    let mut number = 0..;
    let proof = bound.proof("law");
    for at in 0..proof.len() {
        for replacement in *b"AZaz09-_.=" {
            let mut changed = proof.clone().into_bytes();
            if changed[at] == replacement {
                continue;
            }
            changed[at] = replacement;
            let changed = String::from_utf8(changed).unwrap();
            let result = bound.show(&[&changed]);
            assert!(result.is_err(), "byte {at} as {}", char::from(replacement));
        }
        if at % 64 == 0 {
            // The token is remembered, or is not: it makes no difference.
            let good = bound.proof(&number.next().map_or_else(String::new, |n: i32| n.to_string()));
            bound.show(&[&good]).unwrap();
        }
    }
    bound.show(&[&proof]).unwrap();
}

#[test]
fn the_unused_bits_of_the_last_character_count() {
    // 64 bytes of signature are 85 characters and four bits: sixteen texts of one content.
    let scene = Scene::new();
    let token = good(&scene.issuer);
    let (rest, last) = token.split_at(token.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let index = alphabet.find(last).unwrap();
    let lenient = base64::engine::GeneralPurpose::new(
        &base64::alphabet::URL_SAFE,
        base64::engine::general_purpose::NO_PAD.with_decode_allow_trailing_bits(true),
    );
    let signature = |token: &str| token.rsplit_once('.').unwrap().1.to_owned();
    let mut same = 0;
    for other in alphabet.chars().enumerate().filter(|(i, _)| i / 16 == index / 16 && *i != index) {
        let changed = format!("{rest}{}", other.1);
        let decoded = lenient.decode(signature(&changed)).unwrap();
        assert_eq!(decoded, URL_SAFE_NO_PAD.decode(signature(&token)).unwrap());
        assert_eq!(scene.present(&changed).unwrap_err().reason, Reason::MalformedToken);
        same += 1;
    }
    assert_eq!(same, 15);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_header_is_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let scene = Scene::new();
        let bearer = [b"Bearer ", bytes.as_slice()].concat();
        for header in [bytes.as_slice(), &bearer] {
            assert!(block_on(show(&scene.verifier, &[header], now())).is_err());
        }
    }

    #[test]
    fn any_proof_is_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,80}") {
        thread_local!(static BOUND: Bound = Bound::new());
        BOUND.with(|bound| {
            let jwk = bound.key.jwk();
            let good = format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{jwk}}}"#);
            let signed = bound.key.sign(&good, &text).unwrap();
            let odd = bound.key.sign(&text, "{}").unwrap();
            for proof in [String::from_utf8_lossy(&bytes).into_owned(), text, signed, odd] {
                assert!(bound.show(&[&proof]).is_err());
            }
        });
    }

    #[test]
    fn any_content_of_the_parts_is_answered(
        header in proptest::collection::vec(any::<u8>(), 0..80),
        claims in proptest::collection::vec(any::<u8>(), 0..80),
        signature in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let token = format!("{}.{}.{}", part(&header), part(&claims), part(&signature));
        assert!(Scene::new().present(&token).is_err());
    }

    #[test]
    fn any_signed_json_is_answered(header in ".{0,60}", claims in ".{0,60}") {
        let scene = Scene::new();
        let good = r#"{"alg":"ES256","kid":"k1"}"#;
        for (header, claims) in [(good, claims.as_str()), (&header, "{}")] {
            assert!(scene.present(&scene.issuer.sign(header, claims).unwrap()).is_err());
        }
    }

    #[test]
    fn pieces_of_a_token_are_not_a_token(cut in 0_usize..400, from in 0_usize..400) {
        let scene = Scene::new();
        let token = good(&scene.issuer);
        let (cut, from) = (cut % token.len(), from % token.len());
        let (left, right) = token.split_at(cut);
        let (_, tail) = token.split_at(from + 1);
        let inserted = char::from(token.as_bytes()[from]);
        for pieces in [left, tail, &format!("{left}{inserted}{right}")] {
            assert!(scene.present(pieces).is_err());
        }
    }
}
