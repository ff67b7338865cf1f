//! Event streams: no chunking changes a byte or an event, and the events are the standard's.

use mcp::sse::{SseContent, SseEvent, SseFrame, SseParser, encode};

/// The first byte chooses the bound and the chunks; the rest is the stream, and also what is encoded.
pub fn mcp_sse(data: &[u8]) {
    let (first, stream) = data.split_first().unwrap_or((&0, &[]));
    let bound = if first & 1 == 0 { 10_000 } else { 8 + usize::from(first >> 4) };
    let at_once = read(bound, [stream]);
    let sizes = [1, usize::from(first >> 1 & 7) + 2];
    for size in sizes {
        let chunked = read(bound, stream.chunks(size));
        check_chunks(&at_once, &chunked, stream);
    }
    // Chunks that end where the stream itself says: behind every CR.
    check_chunks(&at_once, &read(bound, stream.split_inclusive(|byte| *byte == b'\r')), stream);
    if !at_once.oversized {
        let events: Vec<SseEvent> = at_once.frames.into_iter().filter_map(event).collect();
        assert_eq!(events, model(stream));
    }
    if let Ok(text) = str::from_utf8(stream) {
        check_encoding(text);
    }
}

/// What came out of a stream.
struct Reading {
    frames: Vec<SseFrame>,
    oversized: bool,
}

fn read<'c>(bound: usize, chunks: impl IntoIterator<Item = &'c [u8]>) -> Reading {
    let mut parser = SseParser::new(bound);
    let (mut frames, mut taken, mut oversized) = (Vec::new(), Vec::new(), false);
    for chunk in chunks {
        taken.extend_from_slice(chunk);
        oversized = parser.push(chunk).is_err();
        frames.extend(std::iter::from_fn(|| parser.next_frame()));
        if oversized {
            assert!(parser.push(b"data: more\n\n").is_err(), "a refused stream goes on");
            assert_eq!(parser.next_frame(), None);
            break;
        }
    }
    assert!(frames.iter().all(|frame| frame.raw.len() <= bound), "a frame beyond the bound");
    let mut out: Vec<u8> = frames.iter().flat_map(|frame| frame.raw.clone()).collect();
    let rest = parser.finish();
    assert!(oversized || rest.len() <= bound, "more is held than the bound");
    out.extend_from_slice(&rest);
    assert_eq!(out, taken, "bytes were lost, made up or moved");
    Reading { frames, oversized }
}

/// The frames of two readings say the same and end at the same places, but for the LF of a CR LF,
/// which may open the next frame and then counts there.
fn check_chunks(one: &Reading, other: &Reading, stream: &[u8]) {
    let (mut end, mut other_end) = (0, 0);
    for (frame, twin) in one.frames.iter().zip(&other.frames) {
        assert_eq!(frame.content, twin.content);
        end += frame.raw.len();
        other_end += twin.raw.len();
        let cut_pair = other_end + 1 == end && stream[..end].ends_with(b"\r\n");
        assert!(end == other_end || cut_pair, "a frame ends elsewhere");
    }
    if !one.oversized && !other.oversized {
        assert_eq!(one.frames.len(), other.frames.len());
    }
}

fn event(frame: SseFrame) -> Option<SseEvent> {
    match frame.content {
        SseContent::Event(event) => Some(event),
        SseContent::Comment => None,
    }
}

/// The standard's algorithm on the whole stream at once: the events with a field, in order.
fn model(stream: &[u8]) -> Vec<SseEvent> {
    let text = String::from_utf8_lossy(stream).replace("\r\n", "\n").replace('\r', "\n");
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop();
    let mut events = Vec::new();
    let mut pending: Option<SseEvent> = None;
    for line in lines {
        if line.is_empty() {
            events.extend(pending.take());
        } else if !line.starts_with(':') {
            take_field(pending.get_or_insert_default(), line);
        }
    }
    events
}

fn take_field(event: &mut SseEvent, line: &str) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    let value = value.strip_prefix(' ').unwrap_or(value);
    match name {
        "data" => {
            let before = event.data.take().map_or_else(String::new, |data| data + "\n");
            event.data = Some(before + value);
        }
        "event" => event.event = Some(value.to_owned()),
        "id" if !value.contains('\0') => event.id = Some(value.to_owned()),
        "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
            event.retry = value.parse().ok();
        }
        _ => {}
    }
}

/// What is written is read back, or refused because it could not be.
fn check_encoding(text: &str) {
    let (head, data) = text.split_once('\0').unwrap_or((text, text));
    let (event, id) = head.split_once('|').map_or((None, None), |(a, b)| (Some(a), Some(b)));
    let breaks = |text: &str| text.contains(['\r', '\n']);
    let Ok(written) = encode(event, id, data) else {
        let id_is_bad = id.is_some_and(|id| breaks(id) || id.contains('\0'));
        assert!(event.is_some_and(breaks) || id_is_bad, "refused without a reason");
        return;
    };
    let read = read(usize::MAX, [written.as_slice()]);
    assert_eq!(read.frames.len(), 1);
    let data = Some(data.replace("\r\n", "\n").replace('\r', "\n"));
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let expected = SseEvent { data, event: owned(event), id: owned(id), retry: None };
    assert_eq!(read.frames[0].content, SseContent::Event(expected));
}
