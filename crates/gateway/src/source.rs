//! A streamed answer, message by message: server-sent events of an HTTP server, or lines of a local
//! program. Each item carries the bytes to pass on and, where there is one, the message in them.

use crate::upstream::lanes::ServerBody;
use crate::upstream::lines::Lines;
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
    /// Set when the body has ended and `rest` is still to be passed on.
    rest: Option<Bytes>,
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
}

impl Source {
    pub(crate) fn events(body: ServerBody, event_bytes_max: usize) -> Self {
        let parser = SseParser::new(event_bytes_max);
        Self::Events(Box::new(Events { body, parser, rest: None, ended: false }))
    }

    /// The next piece; `None` at an orderly end. Safe to drop while it waits: nothing is lost.
    pub(crate) async fn next(&mut self) -> Result<Option<Item>, Broken> {
        match self {
            Self::Events(events) => events.next().await,
            Self::Lines(lines) => Ok(lines.next().await.map(|line| Item {
                bytes: sse_event(&line),
                message: Some(line),
                resumable: false,
            })),
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
                let rest = self.rest.take();
                return Ok(rest.map(|bytes| Item { bytes, message: None, resumable: false }));
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
                None => self.end(),
            }
        }
    }

    /// What is left after the last blank line is no event; clients discard it (WHATWG HTML 9.2.6), so
    /// it can be passed on unread.
    fn end(&mut self) {
        self.ended = true;
        let parser = std::mem::replace(&mut self.parser, SseParser::new(0));
        let rest = parser.finish();
        self.rest = (!rest.is_empty()).then(|| Bytes::from(rest));
    }
}

/// One message as a server-sent event. A message has no raw line breaks within strings (RFC 8259
/// section 7), so that splitting `data` at them changes nothing but white space.
pub(crate) fn sse_event(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len() + 24);
    out.extend_from_slice(b"event: message\n");
    for line in message.split(|b| matches!(b, b'\n' | b'\r')).filter(|l| !l.is_empty()) {
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
    if let Some(replaced) = in_its_place(bytes, message, other) {
        return replaced;
    }
    let mut out = BytesMut::with_capacity(bytes.len() + other.len());
    for (at, line) in lines(bytes).enumerate() {
        // A mark counts only at the start of a stream, where this event may not have been: a line
        // with one is kept only where it was first.
        let plain = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        if !is_data(plain) && (at == 0 || plain.len() == line.len()) {
            out.extend_from_slice(line);
            out.extend_from_slice(b"\n");
        }
    }
    for line in lines(other) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.extend_from_slice(b"\n");
    }
    out.extend_from_slice(b"\n");
    out.freeze()
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
    use super::{sse_event, with_message};
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
    fn a_message_of_several_lines_is_one_event() {
        assert_eq!(sse_event(b"{\"a\":1}\n"), "event: message\ndata: {\"a\":1}\n\n");
        assert_eq!(sse_event(b"{\r\n\"a\":1}"), "event: message\ndata: {\ndata: \"a\":1}\n\n");
    }
}
