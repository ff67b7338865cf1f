//! Canonical bytes of an event (RFC 8785 by construction) and back.

use crate::{Event, SCHEMA_VERSION};

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

impl Event {
    /// The canonical bytes, as stored and hashed.
    ///
    /// # Errors
    /// When they exceed [`ENTRY_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let bytes = serde_json::to_vec(self)?;
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(EncodeError::TooLarge { bytes: bytes.len() });
        }
        Ok(bytes)
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

#[cfg(test)]
mod tests;
