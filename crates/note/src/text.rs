//! Signed notes (C2SP signed-note): a text and the lines of those who signed
//! it.
//!
//! Knows nothing of what the text means.

use crate::key::{Algorithm, KeyError, Sign, Verifier};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Why bytes are not taken as a note, or not as one by a certain key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is no signed note, or not in the form that is asked for.
    #[error("this is not a signed note: {0}")]
    Malformed(&'static str),
    /// No signature by the key is there, or it does not verify.
    #[error("the note has no valid signature by `{0}`")]
    Unsigned(String),
}

/// A note that was taken apart; none of its signatures was verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note<'a> {
    text: &'a str,
    signatures: Vec<Signature<'a>>,
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature<'a> {
    /// The name of the key.
    pub name: &'a str,
    /// The four bytes that tell keys of one name apart.
    pub id: [u8; 4],
    /// What follows the id: for Ed25519 the signature, for cosignatures the
    /// time in eight bytes and the signature.
    pub bytes: Vec<u8>,
    /// The whole line with its newline.
    pub line: &'a str,
}

impl<'a> Note<'a> {
    /// Takes a note apart, strictly by the grammar of signed-note.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] when it is out of form, has more than
    /// [`SIGNATURES_MAX`] signatures or is longer than [`NOTE_BYTES_MAX`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed;
        if NOTE_BYTES_MAX < bytes.len() {
            return Err(malformed("it is too long"));
        }
        let note = str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(malformed("it has control characters"));
        }
        let split = note.rfind("\n\n").ok_or(malformed("it has no empty line"))?;
        let (text, rest) = note.split_at(split + 1);
        let lines = rest.strip_prefix('\n').unwrap_or_default();
        let mut signatures: Vec<Signature<'a>> = Vec::new();
        for line in lines.split_inclusive('\n') {
            let signature = parse_line(line)?;
            let same =
                |other: &Signature<'_>| (other.name, other.id) == (signature.name, signature.id);
            if signatures.iter().any(same) {
                return Err(malformed("it has two signatures by one key"));
            }
            signatures.push(signature);
        }
        if signatures.is_empty() || SIGNATURES_MAX < signatures.len() {
            return Err(malformed("it has no signature or too many"));
        }
        Ok(Self { text, signatures })
    }

    /// The text that is signed, with its final newline.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The signature lines, in the order they stand in.
    #[must_use]
    pub fn signatures(&self) -> &[Signature<'a>] {
        &self.signatures
    }

    /// The line by this key, not verified.
    #[must_use]
    pub fn by(&self, key: &Verifier) -> Option<&Signature<'a>> {
        self.signatures.iter().find(|line| line.name == key.name() && line.id == key.id())
    }

    /// Checks that a key signed the text itself (signature type 0x01).
    ///
    /// # Errors
    /// [`NoteError::Unsigned`] when it did not.
    pub fn verify(&self, key: &Verifier) -> Result<(), NoteError> {
        let unsigned = || NoteError::Unsigned(key.name().to_owned());
        let line = self.by(key).ok_or_else(unsigned)?;
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(unsigned());
        }
        key.verify(self.text.as_bytes(), &line.bytes).map_err(|_| unsigned())
    }

    /// A note of this text, signed by one key. The text ends in a newline.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(text: &str, key: &dyn Sign) -> Result<String, KeyError> {
        Ok(format!("{text}\n{}", signature_line(text, key)?))
    }
}

/// The line by which a key (signature type 0x01) signs a text.
///
/// # Errors
/// [`KeyError::Algorithm`] for a key of another type; when it cannot sign.
pub fn signature_line(text: &str, key: &dyn Sign) -> Result<String, KeyError> {
    if key.verifier().algorithm() != Algorithm::Ed25519 {
        return Err(KeyError::Algorithm(key.verifier().name().to_owned()));
    }
    let signature = key.sign(text.as_bytes())?;
    Ok(line(key.verifier(), &signature))
}

/// A signature line with these bytes after the key id.
pub(crate) fn line(key: &Verifier, signature: &[u8]) -> String {
    let mut bytes = key.id().to_vec();
    bytes.extend_from_slice(signature);
    format!("\u{2014} {} {}\n", key.name(), STANDARD.encode(bytes))
}

fn parse_line(line: &str) -> Result<Signature<'_>, NoteError> {
    let malformed = || NoteError::Malformed("a signature line is out of form");
    let inner = line.strip_prefix("\u{2014} ").and_then(|line| line.strip_suffix('\n'));
    let (name, text) = inner.and_then(|line| line.split_once(' ')).ok_or_else(malformed)?;
    let decoded = STANDARD.decode(text).map_err(|_| malformed())?;
    let (id, bytes) = decoded.split_first_chunk::<4>().ok_or_else(malformed)?;
    let bad_name = |c: char| c == '+' || c.is_whitespace();
    if name.is_empty() || name.contains(bad_name) || bytes.is_empty() {
        return Err(malformed());
    }
    Ok(Signature { name, id: *id, bytes: bytes.to_vec(), line })
}

/// The longest note that is read, in bytes.
pub const NOTE_BYTES_MAX: usize = 512 << 10;

/// The most signatures of one note; a post-quantum one has 3.3 KB of text.
pub const SIGNATURES_MAX: usize = 100;
