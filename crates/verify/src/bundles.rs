//! The entries of a published bundle (C2SP tlog-tiles): each a length of two
//! bytes, big-endian, and its bytes.
//!
//! Knows nothing of what entries are.

use std::ops::Range;

/// Where the entries of a bundle are, when it holds `width` of them and
/// nothing else. `None` when it does not.
pub(crate) fn entries(bundle: &[u8], width: u16) -> Option<Vec<Range<usize>>> {
    let found = first_entries(bundle, width)?;
    let end = found.last().map_or(0, |range| range.end);
    (end == bundle.len()).then_some(found)
}

/// Where the first `width` entries of a bundle are, whatever follows.
pub(crate) fn first_entries(bundle: &[u8], width: u16) -> Option<Vec<Range<usize>>> {
    let mut found = Vec::with_capacity(usize::from(width));
    let mut at = 0;
    for _ in 0..width {
        let length = bundle.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)?;
        let start = at + 2;
        at = start + usize::from(length);
        bundle.get(start..at)?;
        found.push(start..at);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::{entries, first_entries};
    use proptest::prelude::{any, proptest};

    proptest! {
        #[test]
        fn what_was_pushed_is_found(list in proptest::collection::vec(any::<Vec<u8>>(), 0..20)) {
            let mut bundle = Vec::new();
            for entry in &list {
                note::push_bundle_entry(&mut bundle, entry);
            }
            let width = u16::try_from(list.len()).unwrap();
            let found = entries(&bundle, width).unwrap();
            let read: Vec<&[u8]> = found.into_iter().map(|range| &bundle[range]).collect();
            assert_eq!(read, list);
            assert_eq!(entries(&bundle, width + 1), None);
            bundle.push(0);
            assert_eq!(entries(&bundle, width), None);
            assert_eq!(first_entries(&bundle, width).unwrap().len(), list.len());
        }

        #[test]
        fn no_bytes_panic(bundle: Vec<u8>, width in 0_u16..=256) {
            entries(&bundle, width);
        }
    }
}
