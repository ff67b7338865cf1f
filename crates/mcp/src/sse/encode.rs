//! Writing events for answers that the gateway itself gives on a stream. It refuses to write what
//! would be read back as something else.

use thiserror::Error;

/// An event that cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// A line break in a field that has one line.
    #[error("the field `{field}` of an event must not hold a line break")]
    LineBreak {
        /// `event` or `id`.
        field: &'static str,
    },
    /// A NUL in an id, for which readers would ignore it.
    #[error("the field `id` of an event must not hold a NUL")]
    Nul,
}

/// Writes one event with its blank line. Line breaks of any kind in `data` arrive as line feeds.
///
/// # Errors
/// [`EncodeError`] for an `event` or an `id` with a line break, or an `id` with a NUL.
pub fn encode(event: Option<&str>, id: Option<&str>, data: &str) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::with_capacity(data.len() + 32);
    for (field, value) in [("event", event), ("id", id)] {
        let Some(value) = value else { continue };
        if value.contains(['\r', '\n']) {
            return Err(EncodeError::LineBreak { field });
        }
        if field == "id" && value.contains('\0') {
            return Err(EncodeError::Nul);
        }
        write_field(&mut out, field, value);
    }
    let mut rest = data;
    while let Some((line, tail)) = rest.split_once(['\r', '\n']) {
        write_field(&mut out, "data", line);
        let is_pair = rest.as_bytes().get(line.len()..line.len() + 2) == Some(b"\r\n");
        rest = if is_pair { tail.strip_prefix('\n').unwrap_or(tail) } else { tail };
    }
    write_field(&mut out, "data", rest);
    out.push(b'\n');
    Ok(out)
}

fn write_field(out: &mut Vec<u8>, field: &str, value: &str) {
    for part in [field, ": ", value, "\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// A comment that keeps a stream alive and means nothing.
pub const KEEP_ALIVE: &[u8] = b":\n\n";
