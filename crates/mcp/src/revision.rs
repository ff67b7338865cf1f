//! The protocol revisions and what each allows. It refuses to negotiate: it only reads names.

use std::fmt;

/// A revision of the protocol, named by its date.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Revision {
    /// 2024-11-05: HTTP with a separate SSE endpoint.
    V2024_11_05,
    /// 2025-03-26: Streamable HTTP, batches.
    V2025_03_26,
    /// 2025-06-18: no batches, the version header.
    V2025_06_18,
    /// 2025-11-25: tasks, URL elicitation; the last with a handshake.
    V2025_11_25,
    /// 2026-07-28: stateless; every request carries its `_meta` and mirrored headers.
    V2026_07_28,
    /// Any other name, as sent.
    Unknown(String),
}

impl Revision {
    /// The known revisions, oldest first.
    pub const KNOWN: [Self; 5] = [
        Self::V2024_11_05,
        Self::V2025_03_26,
        Self::V2025_06_18,
        Self::V2025_11_25,
        Self::V2026_07_28,
    ];

    /// Reads a name from `_meta`, from `initialize` or from a header value without its blanks.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        Self::KNOWN
            .into_iter()
            .find(|revision| revision.name() == name)
            .unwrap_or_else(|| Self::Unknown(name.to_owned()))
    }

    /// Reads the value of `MCP-Protocol-Version`, trimming optional white space (RFC 9110, 5.5).
    /// `None` if it is not visible ASCII or longer than any date could be.
    #[must_use]
    pub fn from_header(value: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
        let plain = name.bytes().all(|byte| byte.is_ascii_graphic());
        (plain && !name.is_empty() && name.len() <= HEADER_BYTES_MAX).then(|| Self::from_name(name))
    }

    /// The name on the wire.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
            Self::Unknown(name) => name,
        }
    }

    /// Whether this crate knows the revision.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown(_))
    }

    /// Whether requests stand alone, each with its `_meta` (since 2026-07-28). An unknown name is
    /// modern if it is a later date: dates compare as text. Any other unknown name is not.
    #[must_use]
    pub fn is_modern(&self) -> bool {
        is_date(self.name()) && Self::V2026_07_28.name() <= self.name()
    }

    /// Whether a session opens with `initialize` (until 2025-11-25).
    #[must_use]
    pub fn has_initialize(&self) -> bool {
        self.is_known() && !self.is_modern()
    }

    /// Whether a body may be a batch: 2024-11-05 (by JSON-RPC) and 2025-03-26 (by its own text).
    #[must_use]
    pub fn allows_batch(&self) -> bool {
        matches!(self, Self::V2024_11_05 | Self::V2025_03_26)
    }

    /// Whether POSTs must carry `MCP-Protocol-Version`: since 2025-06-18, after the handshake
    /// where there is one.
    #[must_use]
    pub fn requires_version_header(&self) -> bool {
        is_date(self.name()) && Self::V2025_06_18.name() <= self.name()
    }

    /// Whether requests must mirror their method and name in headers, which everybody who reads
    /// the body must check (since 2026-07-28).
    #[must_use]
    pub fn requires_headers(&self) -> bool {
        self.is_modern()
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn is_date(name: &str) -> bool {
    name.len() == 10
        && name.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// The longest header value that is read as a revision, in bytes.
const HEADER_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::Revision;

    /// name, modern, initialize, batch, version header
    const TABLE: [(&str, bool, bool, bool, bool); 9] = [
        ("2024-11-05", false, true, true, false),
        ("2025-03-26", false, true, true, false),
        ("2025-06-18", false, true, false, true),
        ("2025-11-25", false, true, false, true),
        ("2026-07-28", true, false, false, true),
        ("2027-01-01", true, false, false, true),
        ("2026-01-01", false, false, false, true),
        ("DRAFT-2099", false, false, false, false),
        ("9999999999", false, false, false, false),
    ];

    #[test]
    fn each_revision_allows_what_its_text_says() {
        for (name, modern, initialize, batch, version_header) in TABLE {
            let revision = Revision::from_name(name);
            assert_eq!(revision.name(), name);
            assert_eq!(revision.to_string(), name);
            assert_eq!(revision.is_modern(), modern, "{name}");
            assert_eq!(revision.requires_headers(), modern, "{name}");
            assert_eq!(revision.has_initialize(), initialize, "{name}");
            assert_eq!(revision.allows_batch(), batch, "{name}");
            assert_eq!(revision.requires_version_header(), version_header, "{name}");
        }
        assert_eq!(Revision::KNOWN.map(|revision| revision.is_known()), [true; 5]);
        assert!(!Revision::from_name("2027-01-01").is_known());
    }

    #[test]
    fn header_values_are_trimmed_and_nothing_else() {
        assert_eq!(Revision::from_header(b" \t2026-07-28 "), Some(Revision::V2026_07_28));
        assert_eq!(Revision::from_header(b"x"), Some(Revision::Unknown("x".to_owned())));
        for value in [&b""[..], b"  ", b"2026 07", b"\xff", b"2026-07-28\r", "é".as_bytes()] {
            assert_eq!(Revision::from_header(value), None, "{value:?}");
        }
        assert_eq!(Revision::from_header(&[b'1'; 65]), None);
    }
}
