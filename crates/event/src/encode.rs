//! Canonical bytes of an event (RFC 8785 by construction) and back.

use crate::{Event, SCHEMA_VERSION, Sequence};
use serde::Serialize;

/// Most bytes an encoded event may have: the limit of a C2SP tlog-tiles entry (16-bit length).
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// Why an event could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// It is larger than a log entry may be.
    #[error("event of {bytes} bytes is larger than a log entry may be ({ENTRY_BYTES_MAX} bytes)")]
    TooLarge {
        /// Bytes it would take.
        bytes: usize,
    },
    /// A value has no JSON form.
    #[error("event has no JSON form: {0}")]
    Json(#[from] serde_json::Error),
}

/// Why bytes are not an event.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON of this shape.
    #[error("entry is not an event: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a newer schema.
    #[error("entry has schema version {found}; this program reads versions up to {SCHEMA_VERSION}")]
    Version {
        /// The version it has.
        found: u32,
    },
    /// An event, but not in canonical form.
    #[error("entry is not in canonical form")]
    NotCanonical,
}

/// An event that is encoded but for its sequence. The one who numbers events does so one after the
/// other; this leaves as little as possible to be done meanwhile.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The fields before `sequence`, with room for it.
    head: Vec<u8>,
    /// The fields after it.
    tail: Vec<u8>,
}

impl Draft {
    /// The canonical bytes of the event at this place in its sequence.
    ///
    /// # Errors
    /// When they exceed [`ENTRY_BYTES_MAX`].
    pub fn at(self, sequence: &Sequence) -> Result<Vec<u8>, EncodeError> {
        let Self { head: mut bytes, tail } = self;
        bytes.extend_from_slice(SEQUENCE_KEY);
        serde_json::to_writer(&mut bytes, sequence)?;
        bytes.push(b',');
        bytes.extend_from_slice(&tail);
        checked(bytes)
    }
}

impl Event {
    /// The event without its sequence, which is added at the moment of recording; one that is already
    /// there is left out.
    ///
    /// # Errors
    /// When a value has no JSON form.
    pub fn draft(&self) -> Result<Draft, EncodeError> {
        let mut head = Vec::with_capacity(DRAFT_BYTES);
        serde_json::to_writer(&mut head, self)?;
        let mut tail = serde_json::to_vec(&Tail { session: self.session.as_deref(), v: self.v })?;
        tail.remove(0);
        let mut end = head.len().saturating_sub(tail.len());
        if let Some(sequence) = &self.sequence {
            end = end.saturating_sub(SEQUENCE_KEY.len() + serde_json::to_vec(sequence)?.len() + 1);
        }
        head.truncate(end);
        head.reserve(SEQUENCE_BYTES_MAX + tail.len());
        Ok(Draft { head, tail })
    }

    /// The canonical bytes, as stored and hashed.
    ///
    /// # Errors
    /// When they exceed [`ENTRY_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        checked(serde_json::to_vec(self)?)
    }

    /// Reads an event; fields unknown to this version are ignored, as changes are additive.
    ///
    /// # Errors
    /// When the bytes are not an event or of a newer schema version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let event: Self = serde_json::from_slice(bytes)?;
        if event.v > SCHEMA_VERSION {
            return Err(DecodeError::Version { found: event.v });
        }
        Ok(event)
    }

    /// Reads an event and demands that its bytes are the canonical ones.
    ///
    /// # Errors
    /// As [`Event::decode`], and when encoding the event again gives other bytes.
    pub fn decode_strict(bytes: &[u8]) -> Result<Self, DecodeError> {
        let event = Self::decode(bytes)?;
        if serde_json::to_vec(&event)? != bytes {
            return Err(DecodeError::NotCanonical);
        }
        Ok(event)
    }
}

/// The fields of an event that stand after `sequence`.
#[derive(Serialize)]
struct Tail<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    v: u32,
}

fn checked(bytes: Vec<u8>) -> Result<Vec<u8>, EncodeError> {
    if bytes.len() > ENTRY_BYTES_MAX {
        return Err(EncodeError::TooLarge { bytes: bytes.len() });
    }
    Ok(bytes)
}

/// `text`, cut to at most `bytes_max` bytes at a character boundary; a cut is marked by a final `…`
/// within the limit.
#[must_use]
pub fn bounded(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let room = bytes_max.saturating_sub('…'.len_utf8());
    let mut cut: String = String::with_capacity(bytes_max);
    for c in text.chars() {
        if cut.len() + c.len_utf8() > room {
            break;
        }
        cut.push(c);
    }
    cut.push('…');
    cut
}

const SEQUENCE_KEY: &[u8] = b"\"sequence\":";

/// Most bytes that a sequence takes with its key: 20 digits, 64 digits, 36 digits, and names.
const SEQUENCE_BYTES_MAX: usize = 192;

/// Bytes that hold most events without growing.
const DRAFT_BYTES: usize = 1_536;

#[cfg(test)]
mod tests;
