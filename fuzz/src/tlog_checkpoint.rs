//! Checkpoints and keys: of all texts only the one that the key signed is taken, and a key line has
//! one spelling.

use crate::script::{Script, patch};
use crate::tlog_sample::{PRIVATE_KEY, signer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tlog::{Checkpoint, Lines, Signer, Verifier, leaf_hash};

/// The first byte chooses what the rest is: a note, changes to a signed note, a key line, or changes
/// to one.
pub fn tlog_checkpoint(data: &[u8]) {
    let mut script = Script::new(data);
    match script.byte() % 4 {
        0 => check_note(script.rest()),
        1 => check_patched(&mut script),
        2 => check_key(script.rest()),
        _ => {
            let signer = signer();
            let lines = [PRIVATE_KEY.to_owned(), signer.verifier().to_text()];
            let mut line = script.choose(&lines).clone().into_bytes();
            patch(&mut line, &mut script);
            check_key(&line);
        }
    }
}

/// A note of a checkpoint of the log's own, with lines of others behind it, and changes to it.
fn check_patched(script: &mut Script<'_>) {
    let signer = signer();
    let size = u64::from(script.number());
    let own = Checkpoint {
        origin: signer.verifier().name().to_owned(),
        size,
        root: leaf_hash(&size.to_be_bytes()),
    };
    let mut note = own.sign(&signer).expect("a key in memory signs").into_bytes();
    let read = Checkpoint::verify(&note, signer.verifier(), Lines::LogOnly);
    assert_eq!(read.as_ref(), Ok(&own));
    if script.byte() & 1 == 1 {
        note.extend_from_slice(WITNESS_LINE.as_bytes());
        let read = Checkpoint::verify(&note, signer.verifier(), Lines::WithWitnesses);
        assert_eq!(read.as_ref(), Ok(&own));
    }
    patch(&mut note, script);
    check_note(&note);
}

fn check_note(note: &[u8]) {
    let signer = signer();
    let verifier = signer.verifier();
    let alone = Checkpoint::verify(note, verifier, Lines::LogOnly);
    let among_others = Checkpoint::verify(note, verifier, Lines::WithWitnesses);
    if let Ok(checkpoint) = &alone {
        assert_eq!(among_others.as_ref(), Ok(checkpoint), "more is allowed, less is taken");
        // Ed25519 signs deterministically: there is one note of each checkpoint.
        assert_eq!(
            checkpoint.sign(&signer).expect("it signs").as_bytes(),
            note,
            "a second note of one checkpoint"
        );
    }
    let Ok(checkpoint) = among_others else { return };
    let signed = checkpoint.sign(&signer).expect("a key in memory signs");
    let (text, line) = signed.split_once("\n\n").expect("a note has an empty line");
    let note = str::from_utf8(note).expect("a note is text");
    let (found, lines) = note.split_once("\n\n").expect("a note has an empty line");
    assert_eq!(found, text, "another text was signed");
    let lines: Vec<&str> = lines.split_inclusive('\n').collect();
    assert_eq!(lines.iter().filter(|found| **found == line).count(), 1);
    assert!(lines.iter().all(|line| is_signature_line(line)), "a line that is no signature");
    if alone.is_err() {
        assert!(1 < lines.len(), "the log's own line was refused");
    }
}

/// An em dash, a name, and at least five bytes in Base64 (C2SP signed-note).
fn is_signature_line(line: &str) -> bool {
    let parts: Vec<&str> = line.split(' ').collect();
    let [dash, name, rest] = parts.as_slice() else { return false };
    let Some(text) = rest.strip_suffix('\n') else { return false };
    let bytes = STANDARD.decode(text).unwrap_or_default();
    *dash == "\u{2014}" && !name.is_empty() && 5 <= bytes.len() && STANDARD.encode(bytes) == text
}

fn check_key(line: &[u8]) {
    let Ok(text) = str::from_utf8(line) else { return };
    let line = text.strip_suffix('\n').unwrap_or(text);
    if let Ok(verifier) = Verifier::from_text(text) {
        assert_eq!(verifier.to_text(), line, "a second spelling of a key");
        check_name(verifier.name());
        assert_eq!(Verifier::from_text(&verifier.to_text()), Ok(verifier));
    }
    match Signer::from_text(text) {
        Ok(signer) => {
            let verifier = signer.verifier();
            check_name(verifier.name());
            let head = format!("PRIVATE+KEY+{}+{}+", verifier.name(), verifier.id_hex());
            let secret = line.strip_prefix(&head).expect("a second spelling of a key");
            let bytes = STANDARD.decode(secret).expect("a secret is in Base64");
            assert_eq!((bytes.len(), bytes[0]), (33, 1));
            assert_eq!(STANDARD.encode(bytes), secret, "a second spelling of a key");
            let signature = note::Sign::sign(&signer, line.as_bytes()).expect("it signs");
            assert_eq!(verifier.verify(line.as_bytes(), &signature), Ok(()));
            assert_eq!(Verifier::from_text(&verifier.to_text()).as_ref(), Ok(verifier));
            assert!(!format!("{signer:?}").contains(secret), "the secret is shown");
        }
        Err(error) => {
            // Half of the real secret or more must not come back in an error.
            let secret = &PRIVATE_KEY[PRIVATE_KEY.len() - 20..];
            assert!(!format!("{error} {error:?}").contains(secret), "the secret is shown");
        }
    }
}

fn check_name(name: &str) {
    let bad = |c: char| c == '+' || c.is_whitespace() || c.is_control();
    assert!(!name.is_empty() && !name.contains(bad), "a name against the rules");
}

const WITNESS_LINE: &str = "\u{2014} witness.example AAAAAAAAAAAAAAAA\n";
