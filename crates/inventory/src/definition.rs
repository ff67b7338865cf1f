//! The fingerprint of one item that a server declares. It refuses to judge: two definitions are the
//! same or they are not.

use std::collections::BTreeMap;

use event::Time;
use mcp::{Item, ListKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// What an item was declared to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// `sha256:` and the digest of the whole item in canonical JSON (RFC 8785), as 64 hex digits;
    /// `raw-sha256:` and that of its bytes where there is no one canonical form (a key stands twice,
    /// half of a surrogate pair, nested deeper than 100 levels).
    pub digest: String,
    /// The digest of each part that there is.
    pub parts: BTreeMap<Part, String>,
    /// The item in canonical JSON, or its bytes; absent when longer than 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// When it was first seen.
    pub first_seen: Time,
    /// To whom it was shown first: `<provider>/<id>`.
    pub seen_by: String,
    /// Digest of the bytes it was last seen as, which need not be taken apart again.
    #[serde(skip)]
    pub(crate) raw: Option<[u8; 32]>,
}

/// A part of an item that is watched by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// `annotations`: what a tool says of its effects.
    Annotations,
    /// `arguments` of a prompt.
    Arguments,
    /// `description`: what models read.
    Description,
    /// `inputSchema` of a tool.
    InputSchema,
    /// Everything else.
    Other,
    /// `outputSchema` of a tool.
    OutputSchema,
    /// `title`: what people read.
    Title,
}

impl Definition {
    /// The fingerprint of an item as it was listed.
    #[must_use]
    pub fn of(kind: ListKind, item: &Item<'_>, now: Time, actor: &str) -> Self {
        let (digest, parts, text) = canonical(kind, item).unwrap_or_else(|| by_bytes(item));
        Self {
            digest,
            parts,
            text: (text.len() <= TEXT_BYTES_MAX).then_some(text),
            first_seen: now,
            seen_by: actor.to_owned(),
            raw: Some(raw_digest(item)),
        }
    }

    /// The parts in which two definitions differ.
    #[must_use]
    pub fn differing(&self, other: &Self) -> Vec<Part> {
        let parts = Part::ALL.into_iter();
        parts.filter(|part| self.parts.get(part) != other.parts.get(part)).collect()
    }
}

impl Part {
    /// Every part, in the order of the words.
    pub const ALL: [Self; 7] = [
        Self::Annotations,
        Self::Arguments,
        Self::Description,
        Self::InputSchema,
        Self::Other,
        Self::OutputSchema,
        Self::Title,
    ];

    /// The word in events and on screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Annotations => "annotations",
            Self::Arguments => "arguments",
            Self::Description => "description",
            Self::InputSchema => "input-schema",
            Self::Other => "other",
            Self::OutputSchema => "output-schema",
            Self::Title => "title",
        }
    }

    /// The member of an item that is this part.
    fn member(self) -> Option<&'static str> {
        match self {
            Self::Annotations => Some("annotations"),
            Self::Arguments => Some("arguments"),
            Self::Description => Some("description"),
            Self::InputSchema => Some("inputSchema"),
            Self::Other => None,
            Self::OutputSchema => Some("outputSchema"),
            Self::Title => Some("title"),
        }
    }
}

/// Digest of an item as it was sent.
pub(crate) fn raw_digest(item: &Item<'_>) -> [u8; 32] {
    Sha256::digest(item.raw.as_bytes()).into()
}

type Fingerprint = (String, BTreeMap<Part, String>, String);

/// `None` when there is no canonical form that every reader of the item would agree on.
fn canonical(kind: ListKind, item: &Item<'_>) -> Option<Fingerprint> {
    if !item.is_unambiguous() {
        return None;
    }
    let mut members: Map<String, Value> = serde_json::from_str(item.raw).ok()?;
    leave_out_volatile(kind, &mut members);
    let text = serde_json_canonicalizer::to_string(&members).ok()?;
    let mut parts = BTreeMap::new();
    for part in Part::ALL {
        if let Some(value) = part.member().and_then(|member| members.remove(member)) {
            parts.insert(part, digest(&serde_json_canonicalizer::to_string(&value).ok()?));
        }
    }
    members.remove(kind.key());
    if !members.is_empty() {
        let rest = serde_json_canonicalizer::to_string(&members).ok()?;
        parts.insert(Part::Other, digest(&rest));
    }
    Some((digest(&text), parts, text))
}

/// What a resource says of its content changes with the content; it is no part of what it is.
fn leave_out_volatile(kind: ListKind, members: &mut Map<String, Value>) {
    if kind != ListKind::Resources {
        return;
    }
    members.remove("size");
    if let Some(Value::Object(annotations)) = members.get_mut("annotations") {
        annotations.remove("lastModified");
        if annotations.is_empty() {
            members.remove("annotations");
        }
    }
}

fn by_bytes(item: &Item<'_>) -> Fingerprint {
    let digest = format!("raw-{}", digest(item.raw));
    (digest.clone(), BTreeMap::from([(Part::Other, digest)]), item.raw.to_owned())
}

fn digest(text: &str) -> String {
    format!("sha256:{}", hex(&Sha256::digest(text.as_bytes())))
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Bytes of an item that are kept to show what changed.
const TEXT_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests;
