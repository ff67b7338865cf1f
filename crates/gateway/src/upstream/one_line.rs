//! A message on one line, whatever its reader takes for the end of one. It knows JSON only as far as
//! that a line break within a text means nothing between tokens and can be escaped within strings.

use bytes::Bytes;

/// What readers of lines take for the end of a line, besides the line feed: a carriage return alone
/// (Python's `sys.stdin`, Java's `BufferedReader`), and within strings the separators of Unicode
/// (`readline` of Node.js, Java's `Scanner`). Each with what means the same in JSON.
const BREAKS: [(&[u8], &[u8]); 5] = [
    (b"\n", b" "),
    (b"\r", b" "),
    ("\u{85}".as_bytes(), b"\\u0085"),
    ("\u{2028}".as_bytes(), b"\\u2028"),
    ("\u{2029}".as_bytes(), b"\\u2029"),
];

/// `message`, which was read strictly, as one line for every reader of lines; the line break that ends it
/// stays, and so does every other byte. Line feeds and carriage returns stand only between JSON tokens
/// (RFC 8259 section 7), where a space means the same; the others only within strings, where an escape
/// does.
pub(crate) fn one_line(message: Bytes) -> Bytes {
    let ending = [&b"\r\n"[..], b"\n"].into_iter().find(|ending| message.ends_with(ending));
    let ending = ending.unwrap_or_default();
    let mut rest = message.strip_suffix(ending).unwrap_or(&message);
    if break_at(rest).is_none() {
        return message;
    }
    let mut out = Vec::with_capacity(message.len() + 16);
    while let Some((at, length, instead)) = break_at(rest) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        out.extend_from_slice(instead);
        rest = rest.get(at + length..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(ending);
    out.into()
}

/// Where the first break stands, how long it is, and what goes in its place.
fn break_at(text: &[u8]) -> Option<(usize, usize, &'static [u8])> {
    let mut from = 0;
    loop {
        let offset =
            text.get(from..)?.iter().position(|b| matches!(b, b'\n' | b'\r' | 0xc2 | 0xe2))?;
        let at = from + offset;
        let rest = text.get(at..)?;
        if let Some((found, instead)) = BREAKS.iter().find(|(found, _)| rest.starts_with(found)) {
            return Some((at, found.len(), instead));
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::one_line;
    use bytes::Bytes;

    #[test]
    fn every_reader_finds_one_line_of_the_same_meaning() {
        for (message, line) in [
            ("{\"a\":1}", "{\"a\":1}"),
            (" {\"a\":1} \t\r\n", " {\"a\":1} \t\r\n"),
            ("{\"a\":1}\n\n", "{\"a\":1} \n"),
            ("{\"a\":1}\r", "{\"a\":1} "),
            ("{\r\n\"a\":\r1}\r\n", "{  \"a\": 1}\r\n"),
            ("\r{\"a\":1}\n", " {\"a\":1}\n"),
            ("{\"a\":\"\u{e9}\u{2026}\"}\n", "{\"a\":\"\u{e9}\u{2026}\"}\n"),
            (
                "{\"\u{2028}\":\"x\u{85}\u{2028}\u{2029}y\"}",
                "{\"\\u2028\":\"x\\u0085\\u2028\\u2029y\"}",
            ),
        ] {
            let one = one_line(Bytes::copy_from_slice(message.as_bytes()));
            assert_eq!(std::str::from_utf8(&one).unwrap(), line);
            let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(read(message), read(line));
        }
    }
}
