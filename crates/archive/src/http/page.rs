//! Which paths are pages of a log, and what kind of thing each is.
//!
//! Parses names and opens nothing. A name that does not parse here names no file, so that nobody can
//! climb out of the directory.

use crate::receipt::{Entry, Of, Wanted};
use note::{Statement, TILE_WIDTH, Tile, TileKind};
use std::ops::Range;

/// A page below the prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Page {
    /// The last published checkpoint.
    Checkpoint,
    /// The first key of the log.
    OriginKey,
    /// A statement about keys.
    Statement(u64),
    /// From which index on entries are kept.
    Pruned,
    /// A checkpoint that was stamped.
    StampedNote(u64),
    /// The timestamp over it.
    Timestamp(u64),
    /// A tile or an entry bundle.
    Tile(Tile),
    /// A receipt, which is made when asked for.
    Receipt(Wanted),
}

impl Page {
    /// Reads a path below the prefix; `None` when it is in any way not the one spelling of a page.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        match path {
            "checkpoint" => return Some(Self::Checkpoint),
            "origin.vkey" => return Some(Self::OriginKey),
            "pruned" => return Some(Self::Pruned),
            _ => {}
        }
        if let Some(ordinal) = Statement::parse_path(path) {
            return Some(Self::Statement(ordinal));
        }
        if let Some(name) = path.strip_prefix("timestamps/") {
            let (size, suffix) = name.split_once('.')?;
            let size = plain_number(size)?;
            return match suffix {
                "note" => Some(Self::StampedNote(size)),
                "tsr" => Some(Self::Timestamp(size)),
                _ => None,
            };
        }
        if let Some(wanted) = path.strip_prefix("receipt/") {
            return Wanted::parse(wanted).map(Self::Receipt);
        }
        Tile::parse(path).map(Self::Tile)
    }

    /// The file in the directory of the log, written anew from what was parsed.
    pub(crate) fn file(&self) -> Option<String> {
        match self {
            Self::Checkpoint => Some("checkpoint".to_owned()),
            Self::OriginKey => Some("origin.vkey".to_owned()),
            Self::Statement(ordinal) => Some(Statement::path(*ordinal)),
            Self::Pruned => Some("pruned".to_owned()),
            Self::StampedNote(size) => Some(format!("timestamps/{size}.note")),
            Self::Timestamp(size) => Some(format!("timestamps/{size}.tsr")),
            Self::Tile(tile) => Some(tile.path()),
            Self::Receipt(_) => None,
        }
    }

    /// The entries that are in the file, if there are any in it.
    pub(crate) fn entries(&self) -> Option<Range<u64>> {
        match self {
            Self::Tile(Tile { kind: TileKind::Entries, index, width }) => {
                let first = index.saturating_mul(u64::from(TILE_WIDTH));
                Some(first..first.saturating_add(u64::from(*width)))
            }
            _ => None,
        }
    }

    /// The media type; for tiles and checkpoint the one of tlog-tiles.
    pub(crate) fn media_type(&self) -> &'static str {
        match self {
            Self::Tile(_) => "application/octet-stream",
            Self::Timestamp(_) => "application/timestamp-reply",
            _ => "text/plain; charset=utf-8",
        }
    }

    /// How long it may be kept. Tiles never change; only entries are for the reader's own cache.
    pub(crate) fn cache_control(&self) -> &'static str {
        match self {
            Self::Checkpoint | Self::Pruned | Self::Receipt(_) => "no-cache",
            Self::Tile(Tile { kind: TileKind::Entries, .. }) => {
                "private, max-age=31536000, immutable"
            }
            Self::OriginKey
            | Self::Statement(_)
            | Self::StampedNote(_)
            | Self::Timestamp(_)
            | Self::Tile(_) => "public, max-age=31536000, immutable",
        }
    }
}

/// What the query of a receipt asks for: `of=asked|answered`, `entry=with|without`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReceiptQuery {
    pub(crate) of: Of,
    pub(crate) entry: Entry,
}

impl ReceiptQuery {
    /// `None` for anything but these, at most once each.
    pub(crate) fn parse(query: &str) -> Option<Self> {
        let (mut of, mut entry) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let known = match pair {
                "of=asked" => of.replace(Of::Asked).is_none(),
                "of=answered" => of.replace(Of::Answered).is_none(),
                "entry=with" => entry.replace(Entry::With).is_none(),
                "entry=without" => entry.replace(Entry::Without).is_none(),
                _ => false,
            };
            if !known {
                return None;
            }
        }
        Some(Self { of: of.unwrap_or(Of::Asked), entry: entry.unwrap_or(Entry::Without) })
    }
}

/// A number in plain decimal.
fn plain_number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::{Page, ReceiptQuery};
    use crate::receipt::{Entry, Of};
    use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
    use std::path::{Component, Path};

    #[test]
    fn every_page_has_one_spelling() {
        for path in [
            "checkpoint",
            "origin.vkey",
            "pruned",
            "keys/1.note",
            "timestamps/256.note",
            "timestamps/256.tsr",
            "tile/0/000",
            "tile/0/x001/x234/067.p/8",
            "tile/entries/000.p/17",
        ] {
            let page = Page::parse(path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!(page.file().as_deref(), Some(path));
        }
        for path in [
            "",
            "/checkpoint",
            "checkpoint/",
            "Checkpoint",
            "lock",
            "segments/00000000000000000000",
            "publish.tmp",
            "keys/0.note",
            "keys/01.note",
            "keys/../pruned",
            "timestamps/01.note",
            "timestamps/1.note.tsr",
            "timestamps/../checkpoint",
            "timestamps/1",
            "tile/0/000/../001",
            "tile/../checkpoint",
            "tile/0/%2e%2e",
            "./checkpoint",
            "../log/checkpoint",
            "check\0point",
            "receipt/",
            "receipt/-1",
            "receipt/01",
            "receipt/../checkpoint",
        ] {
            assert_eq!(Page::parse(path), None, "{path}");
        }
    }

    #[test]
    fn queries_are_known_or_refused() {
        let parsed = ReceiptQuery::parse("entry=with&of=answered").unwrap();
        assert_eq!((parsed.of, parsed.entry), (Of::Answered, Entry::With));
        let parsed = ReceiptQuery::parse("").unwrap();
        assert_eq!((parsed.of, parsed.entry), (Of::Asked, Entry::Without));
        for bad in ["of", "of=", "of=asked&of=asked", "entry=yes", "token=x"] {
            assert_eq!(ReceiptQuery::parse(bad), None, "{bad}");
        }
    }

    /// Paths made of the pieces that matter, and of anything.
    fn paths() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("..".to_owned()),
            Just(".".to_owned()),
            Just(String::new()),
            Just("tile".to_owned()),
            Just("entries".to_owned()),
            Just("keys".to_owned()),
            Just("timestamps".to_owned()),
            Just("receipt".to_owned()),
            Just("checkpoint".to_owned()),
            "x[0-9]{3}",
            "[0-9]{1,3}",
            "[0-9]{3}\\.p",
            "[0-9]{1,3}\\.(note|tsr)",
            any::<String>(),
        ];
        prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.join("/"))
    }

    proptest! {
        #[test]
        fn what_parses_is_below_the_directory(path in paths()) {
            let Some(file) = Page::parse(&path).and_then(|page| page.file()) else { return Ok(()) };
            assert_eq!(file, path);
            let plain = Path::new(&file).components().all(|c| matches!(c, Component::Normal(_)));
            assert!(plain && !file.contains(['\\', '\0', '%']), "{file}");
            let known = ["checkpoint", "origin.vkey", "pruned"].contains(&file.as_str())
                || ["tile/", "keys/", "timestamps/"].iter().any(|start| file.starts_with(start));
            assert!(known, "{file}");
        }
    }
}
