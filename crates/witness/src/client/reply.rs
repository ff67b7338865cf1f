//! The cosignature lines a witness answers with: each is taken only if it verifies.
//!
//! Knows no network.

use crate::client::Reason;
use note::{Note, Witness, cosigned};

/// What an answer holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// The lines that verify.
    pub(super) cosignatures: Vec<Cosignature>,
    /// The places in the policy of keys whose lines do not.
    pub(super) wrong: Vec<usize>,
}

/// A line that verifies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cosignature {
    /// The place of the key in the policy.
    pub(super) place: usize,
    /// The line with its newline.
    pub(super) line: String,
    /// Its time, in seconds since 1970-01-01 UTC.
    pub(super) time_s: u64,
}

/// Reads the body of a 200. Lines by unknown keys are passed over, as tlog-witness demands; lines by
/// any witness of the policy are taken, whoever brings them.
pub(super) fn read(body: &[u8], text: &str, witnesses: &[Witness]) -> Result<Reply, Reason> {
    let bad = Reason::BadAnswer;
    let body = str::from_utf8(body).map_err(|_| bad("it is not UTF-8"))?;
    if body.is_empty() {
        return Err(bad("it holds no signature line"));
    }
    let mut reply = Reply::default();
    for line in body.split_inclusive('\n') {
        // As a note of its own: one line cannot spoil another.
        let alone = format!("{text}\n{line}");
        let parsed = Note::parse(alone.as_bytes());
        let parsed = parsed.map_err(|_| bad("a line is no signature line"))?;
        for (place, witness) in witnesses.iter().enumerate() {
            match cosigned(&parsed, &witness.key) {
                Ok(None) => {}
                Ok(Some(time_s)) if time_s != 0 => {
                    let taken = reply.cosignatures.iter().any(|one| one.place == place);
                    if !taken {
                        let line = line.to_owned();
                        reply.cosignatures.push(Cosignature { place, line, time_s });
                    }
                }
                // A cosignature of a checkpoint must have a time.
                Ok(Some(_)) | Err(_) => reply.wrong.push(place),
            }
        }
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::{Reason, read};
    use note::{Algorithm, Checkpoint, Policy, Signer, cosign, leaf_hash};
    use proptest::prelude::{any, prop, proptest};

    fn witness(name: &str, algorithm: Algorithm) -> Signer {
        Signer::generate_for(name, algorithm).unwrap().0
    }

    fn policy(keys: &[&Signer]) -> Policy {
        let line =
            |(at, key): (usize, &&Signer)| format!("witness w{at} {}\n", key.verifier().to_text());
        let lines: String = keys.iter().enumerate().map(line).collect();
        Policy::parse(format!("{lines}quorum none\n").as_bytes()).unwrap()
    }

    fn text(size: u64) -> String {
        let origin = "log.example".to_owned();
        Checkpoint { origin, size, root: leaf_hash(b"x") }.to_text()
    }

    #[test]
    fn only_what_verifies_is_taken() {
        let one = witness("w.example", Algorithm::Ed25519Cosignature);
        let two = witness("w.example", Algorithm::MlDsa44Cosignature);
        let stranger = witness("w.example", Algorithm::Ed25519Cosignature);
        let policy = policy(&[&one, &two]);
        let line = |key: &Signer, size, time| cosign(&text(size), key, time).unwrap();
        let places = |body: &str| {
            let reply = read(body.as_bytes(), &text(3), policy.witnesses()).unwrap();
            let found: Vec<_> =
                reply.cosignatures.iter().map(|one| (one.place, one.time_s)).collect();
            (found, reply.wrong)
        };
        let both = format!("{}{}", line(&two, 3, 7), line(&one, 3, 8));
        assert_eq!(places(&both), (vec![(1, 7), (0, 8)], vec![]));
        let with_stranger = format!("{}{}", line(&stranger, 3, 7), line(&one, 3, 8));
        assert_eq!(places(&with_stranger), (vec![(0, 8)], vec![]));
        let of_another_size = format!("{}{}", line(&one, 4, 7), line(&two, 3, 8));
        assert_eq!(places(&of_another_size), (vec![(1, 8)], vec![0]));
        assert_eq!(places(&line(&one, 3, 0)), (vec![], vec![0]));
        let twice = format!("{}{}", line(&one, 3, 7), line(&one, 3, 8));
        assert_eq!(places(&twice), (vec![(0, 7)], vec![]));
    }

    #[test]
    fn what_is_no_line_is_out_of_form() {
        let one = witness("w.example", Algorithm::Ed25519Cosignature);
        let policy = policy(&[&one]);
        let good = cosign(&text(3), &one, 7).unwrap();
        for body in [
            "",
            "\n",
            "hello\n",
            good.trim_end(),
            &format!("{good}\n"),
            &format!("\n{good}"),
            &format!("{good}more\n"),
            &format!("log.example\n4\nroot\n\n{good}"),
        ] {
            let refused = read(body.as_bytes(), &text(3), policy.witnesses());
            assert!(matches!(refused, Err(Reason::BadAnswer(_))), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_forged_is_taken(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let one = Signer::from_seed("w.example", Algorithm::Ed25519Cosignature, &[7; 32]).unwrap();
            let reply = read(&body, &text(3), policy(&[&one]).witnesses());
            assert!(reply.is_err() || reply.is_ok_and(|reply| reply.cosignatures.is_empty()));
        }
    }
}
