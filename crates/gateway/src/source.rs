//! A streamed answer, message by message: server-sent events of an HTTP server, or lines of a local
//! program. Each item carries the bytes to pass on and, where there is one, the message in them.

use crate::upstream::lanes::ServerBody;
use crate::upstream::lines::Lines;
use crate::upstream::one_line::one_line;
use crate::upstream::waiting::Behind;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use mcp::sse::{SseContent, SseParser};

/// Where a streamed answer comes from.
#[derive(Debug)]
pub(crate) enum Source {
    Events(Box<Events>),
    Lines(Lines),
}

/// A body of server-sent events. Bytes are released event by event, exactly as received: a message
/// must be judged before the client can act on it, and a client acts on an event only when its blank
/// line has come.
#[derive(Debug)]
pub(crate) struct Events {
    body: ServerBody,
    parser: SseParser,
    /// Set when the body has ended.
    ended: bool,
}

/// One piece of a streamed answer.
#[derive(Debug)]
pub(crate) struct Item {
    /// What goes to the client.
    pub(crate) bytes: Bytes,
    /// The message in it; `None` for keep-alives and the like.
    pub(crate) message: Option<Bytes>,
    /// Whether it carries an event id, so that the stream can be resumed after it.
    pub(crate) resumable: bool,
}

/// Why a streamed answer broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("connection to the server broke: {0}")]
    Connection(String),
    #[error("an event is larger than the limit")]
    TooLarge,
    #[error("the server says more than its client takes in time")]
    Behind,
}

impl Source {
    pub(crate) fn events(body: ServerBody, event_bytes_max: usize) -> Self {
        let parser = SseParser::new(event_bytes_max);
        Self::Events(Box::new(Events { body, parser, ended: false }))
    }

    /// The next piece; `None` at an orderly end. Safe to drop while it waits: nothing is lost.
    pub(crate) async fn next(&mut self) -> Result<Option<Item>, Broken> {
        match self {
            Self::Events(events) => events.next().await,
            Self::Lines(lines) => {
                let line = lines.next().await.map_err(|Behind| Broken::Behind)?;
                Ok(line.map(|line| Item {
                    bytes: sse_event(&line),
                    message: Some(line),
                    resumable: false,
                }))
            }
        }
    }

    /// Returns when more was said than could wait; never where the server waits instead.
    pub(crate) async fn behind(&self) {
        match self {
            Self::Events(_) => std::future::pending().await,
            Self::Lines(lines) => lines.behind().await,
        }
    }
}

impl Events {
    async fn next(&mut self) -> Result<Option<Item>, Broken> {
        loop {
            if let Some(frame) = self.parser.next_frame() {
                let (message, resumable) = match frame.content {
                    SseContent::Event(event) => {
                        (event.data.filter(|d| !d.is_empty()).map(Bytes::from), event.id.is_some())
                    }
                    _ => (None, false),
                };
                return Ok(Some(Item { bytes: Bytes::from(frame.raw), message, resumable }));
            }
            if self.ended {
                // What is left after the last blank line is no event (WHATWG HTML 9.2.6). It ends
                // here, since some clients take it for one nevertheless.
                return Ok(None);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(chunk) = frame.data_ref() {
                        self.parser.push(chunk).map_err(|_| Broken::TooLarge)?;
                    }
                }
                Some(Err(error)) => {
                    return Err(Broken::Connection(crate::upstream::http::root(&error)));
                }
                None => self.ended = true,
            }
        }
    }
}

/// One message as a server-sent event. A message has no raw line breaks within strings (RFC 8259
/// section 7), so that splitting `data` at them changes nothing but white space.
pub(crate) fn sse_event(message: &[u8]) -> Bytes {
    let escaped = (!is_plain(message)).then(|| one_line(Bytes::copy_from_slice(message)));
    let message = escaped.as_deref().unwrap_or(message);
    let mut out = BytesMut::with_capacity(message.len() + 24);
    out.extend_from_slice(b"event: message\n");
    for line in lines(message) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.extend_from_slice(b"\n");
    }
    out.extend_from_slice(b"\n");
    out.freeze()
}

/// The event `bytes`, which carries `message`, with another message in it. Its other fields stay as
/// they are; where the message stands on one `data` line, so does every other byte.
pub(crate) fn with_message(bytes: &Bytes, message: &Bytes, other: &Bytes) -> Bytes {
    in_its_place(bytes, message, other).unwrap_or_else(|| rebuilt(bytes, other))
}

/// An event, or a comment between events, of which every reader finds the same lines. Some clients take
/// more for the end of a line than the standard does (Python's `str.splitlines`), and would find events
/// within a message or a comment that nothing judged. As it came where it is plain already; else with its
/// message on one line, and without other lines that are not plain.
pub(crate) fn plain_event(bytes: Bytes, message: Option<&Bytes>) -> Bytes {
    if is_plain(&bytes) {
        return bytes;
    }
    rebuilt(&bytes, &message.cloned().map(one_line).unwrap_or_default())
}

/// The fields of an event but `data`, and then this message.
fn rebuilt(event: &[u8], message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(event.len() + message.len());
    for (at, line) in lines(event).enumerate() {
        // A mark counts only at the start of a stream, where this event may not have been: a line
        // with one is kept only where it was first.
        let unmarked = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        if !is_data(unmarked) && (at == 0 || unmarked.len() == line.len()) && is_plain(line) {
            out.extend_from_slice(line);
            out.extend_from_slice(b"\n");
        }
    }
    for line in lines(message) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.extend_from_slice(b"\n");
    }
    out.extend_from_slice(b"\n");
    out.freeze()
}

/// Whether nobody takes anything for the end of a line but line feeds and carriage returns. The control
/// characters stand in no message, since JSON has none.
fn is_plain(bytes: &[u8]) -> bool {
    let is_break = |at: usize| {
        bytes.get(at..).is_some_and(|rest| {
            matches!(
                rest,
                [0x0b | 0x0c | 0x1c..=0x1e, ..] | [0xc2, 0x85, ..] | [0xe2, 0x80, 0xa8 | 0xa9, ..]
            )
        })
    };
    !bytes
        .iter()
        .enumerate()
        .any(|(at, byte)| matches!(byte, 0x0b | 0x0c | 0x1c..=0x1e | 0xc2 | 0xe2) && is_break(at))
}

/// With another message on the one `data` line whose value is `message`. None where there is no such
/// line: the message is of several, or was decoded to something else than it stands there. The same
/// bytes in a comment, or in a field that clients ignore, are not the message.
fn in_its_place(bytes: &Bytes, message: &[u8], other: &[u8]) -> Option<Bytes> {
    if [message, other].iter().any(|text| text.iter().any(|b| is_line_end(*b))) {
        return None;
    }
    let mut at = 0;
    let mut found = None;
    for line in bytes.split(|b| is_line_end(*b)) {
        let plain = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        if is_data(plain) {
            let value = plain.strip_prefix(b"data:").unwrap_or_default();
            let value = value.strip_prefix(b" ").unwrap_or(value);
            if value != message || found.is_some() {
                return None;
            }
            found = Some(at + line.len() - value.len());
        }
        at += line.len() + 1;
    }
    let start = found?;
    let (before, after) = (bytes.get(..start)?, bytes.get(start + message.len()..)?);
    Some([before, other, after].concat().into())
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|b| is_line_end(*b)).filter(|line| !line.is_empty())
}

fn is_data(line: &[u8]) -> bool {
    line == b"data" || line.starts_with(b"data:")
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use super::{plain_event, sse_event, with_message};
    use bytes::Bytes;

    #[test]
    fn another_message_takes_the_place_of_the_first() {
        let other = Bytes::from_static(b"{\"b\":\n2}");
        for (event, message, wanted) in [
            ("id: 7\r\ndata:{\"a\":1}\r\n\r\n", "{\"a\":1}", "id: 7\r\ndata:{\"b\":2}\r\n\r\n"),
            (
                "id: 7\ndata: {\"a\":\nevent: x\ndata: 1}\n: hm\n\n",
                "{\"a\":\n1}",
                "id: 7\nevent: x\n: hm\ndata: {\"b\":\ndata: 2}\n\n",
            ),
        ] {
            let (event, message) = (Bytes::from(event), Bytes::from(message));
            let one_line = Bytes::from_static(b"{\"b\":2}");
            let other = if message.contains(&b'\n') { &other } else { &one_line };
            assert_eq!(with_message(&event, &message, other), wanted);
        }
    }

    #[test]
    fn the_same_bytes_elsewhere_in_an_event_are_not_the_message() {
        let mark = "\u{feff}";
        let table: [(String, &str, String); 7] = [
            (
                ": {\"a\":[\n1]}\ndata: {\"a\":[\ndata: 1]}\n\n".to_owned(),
                "{\"a\":[\n1]}",
                ": {\"a\":[\n1]}\ndata: {}\n\n".to_owned(),
            ),
            (
                ": {\"a\":1}\ndata: {\"a\":1}\n\n".to_owned(),
                "{\"a\":1}",
                ": {\"a\":1}\ndata: {}\n\n".to_owned(),
            ),
            (format!("{mark}data:{{\"a\":1}}\r\r"), "{\"a\":1}", format!("{mark}data:{{}}\r\r")),
            (
                format!("{mark}data: {{\"a\":\ndata: 1}}\n\n"),
                "{\"a\":\n1}",
                "data: {}\n\n".to_owned(),
            ),
            // Ignored fields, of which the next would become the first line.
            (
                format!("data: {{\"a\":\n{mark}data: 2\n{mark}id: 7\ndata: 1}}\n\n"),
                "{\"a\":\n1}",
                "data: {}\n\n".to_owned(),
            ),
            (
                format!("{mark}id: 7\ndata: {{\"a\":\ndata: 1}}\n\n"),
                "{\"a\":\n1}",
                format!("{mark}id: 7\ndata: {{}}\n\n"),
            ),
            ("data: 1\ndata\n\n".to_owned(), "1\n", "data: {}\n\n".to_owned()),
        ];
        let other = Bytes::from_static(b"{}");
        for (event, message, wanted) in table {
            let (event, message) = (Bytes::from(event), Bytes::from(message));
            assert_eq!(with_message(&event, &message, &other), wanted);
        }
        // Not UTF-8: the message is what it was decoded to, which a comment can hold as it is.
        let mut event = b": {\"a\":\"\xef\xbf\xbd\"}\ndata: {\"a\":\"\xff\"}\n\n".to_vec();
        let message = Bytes::from("{\"a\":\"\u{fffd}\"}");
        let replaced = with_message(&Bytes::from(event.clone()), &message, &other);
        event.truncate(event.len() - b"data: {\"a\":\"\xff\"}\n\n".len());
        event.extend_from_slice(b"data: {}\n\n");
        assert_eq!(replaced, event);
    }

    #[test]
    fn no_reader_of_lines_finds_another_event_in_one() {
        let hidden = "\u{2028}data: {}\u{2028}\u{2028}";
        for (event, message, wanted) in [
            ("id: 7\ndata: {\"a\":\"\u{e9}\"}\r\n\n".to_owned(), Some("{\"a\":\"\u{e9}\"}"), None),
            (
                format!("id: 7\ndata: {{\"a\":\"{hidden}\"}}\n\n"),
                Some("{\"a\":\"\u{2028}data: {}\u{2028}\u{2028}\"}"),
                Some("id: 7\ndata: {\"a\":\"\\u2028data: {}\\u2028\\u2028\"}\n\n"),
            ),
            (
                format!(": {hidden}\nid: 7\ndata: [\ndata: ]\n\n"),
                Some("[\n]"),
                Some("id: 7\ndata: [ ]\n\n"),
            ),
            (format!(":{hidden}\n"), None, Some("\n")),
            (":\u{b}data: {}\u{1c}\u{1e}\n".to_owned(), None, Some("\n")),
            (format!("id: {hidden}\ndata: 1\n\n"), Some("1"), Some("data: 1\n\n")),
        ] {
            let message = message.map(|message| Bytes::from_static(message.as_bytes()));
            let plain = plain_event(Bytes::from(event.clone()), message.as_ref());
            assert_eq!(plain, wanted.unwrap_or(&event));
        }
        let message = "{\"a\":\n\"\u{85}\"}";
        assert_eq!(sse_event(message.as_bytes()), "event: message\ndata: {\"a\": \"\\u0085\"}\n\n");
    }

    #[test]
    fn a_message_of_several_lines_is_one_event() {
        assert_eq!(sse_event(b"{\"a\":1}\n"), "event: message\ndata: {\"a\":1}\n\n");
        assert_eq!(sse_event(b"{\r\n\"a\":1}"), "event: message\ndata: {\ndata: \"a\":1}\n\n");
    }
}
