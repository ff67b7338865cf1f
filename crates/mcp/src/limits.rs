//! The bounds within which a body is read. It refuses to know where the numbers are configured.

/// Bounds on one body; every field has a unit and a default.
///
/// The size of the body itself is bounded by whoever collects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open objects and arrays at the deepest point, anywhere in the body, the outermost included.
    /// Default 100: below the 128 at which `serde_json` stops, so that every value inside an
    /// accepted body can be parsed again.
    pub depth_max: usize,
    /// Messages in one batch. Default 50.
    pub batch_max: usize,
    /// Decoded bytes of a method, a name, a revision or a piece of client information.
    /// Default 1,024.
    pub name_bytes_max: usize,
    /// Decoded bytes of a resource URI or a task id. Default 8,192.
    pub uri_bytes_max: usize,
    /// Bytes of a request id or a progress token. Default 256.
    pub id_bytes_max: usize,
    /// Entries of a list we read: watched URIs, watched tasks, listed tools, input requests.
    /// Default 1,000.
    pub items_max: usize,
    /// Where duplicate keys are refused. Default [`DuplicateKeys::Everywhere`].
    pub duplicate_keys: DuplicateKeys,
}

/// Where an object that names one key twice is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DuplicateKeys {
    /// In every object of the body, `arguments` included: no two parsers can disagree on it.
    Everywhere,
    /// Only in the objects this crate reads: the envelope, `params`, `_meta`, `ref`,
    /// `notifications`, `clientInfo`, `error`, and of a result what an audit reads.
    ReadLevels,
}

impl Limits {
    /// The limits for bodies that a server sent: deeper, longer lists, duplicate keys refused only
    /// where we read. A reply outside of them is an outcome to record, not a reason to refuse it.
    #[must_use]
    pub fn for_replies() -> Self {
        Self {
            depth_max: 1_000,
            items_max: 10_000,
            duplicate_keys: DuplicateKeys::ReadLevels,
            ..Self::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth_max: 100,
            batch_max: 50,
            name_bytes_max: 1_024,
            uri_bytes_max: 8_192,
            id_bytes_max: 256,
            items_max: 1_000,
            duplicate_keys: DuplicateKeys::Everywhere,
        }
    }
}
