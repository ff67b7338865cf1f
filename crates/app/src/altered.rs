//! Texts that are another by one byte, for laws that must hold whatever a file holds: what a fuzzer would
//! make up of them, but the same each time. Knows no format.

/// The text without each of its bytes, cut off there, and with another byte in its place; only what still
/// is text.
pub(crate) fn alterations(text: &str) -> impl Iterator<Item = String> + '_ {
    const INSTEAD: [&[u8]; 7] = [b"", b"\"", b"\\", b"\n", b"=", b"}", b"/"];
    (0..text.len()).flat_map(move |at| {
        let (before, after) = text.as_bytes().split_at(at);
        let replaced = INSTEAD.into_iter().map(move |byte| [before, byte, &after[1..]].concat());
        replaced.chain([before.to_vec()]).filter_map(|bytes| String::from_utf8(bytes).ok())
    })
}

/// Whether a line and a column, both from 1, are in a text or right behind one of its lines.
pub(crate) fn is_within(text: &str, (line, column): (usize, usize)) -> bool {
    let found = line.checked_sub(1).and_then(|line| text.split('\n').nth(line));
    found.is_some_and(|line| (1..=line.chars().count() + 1).contains(&column))
}
