//! Event streams: the standard's rules, and the law that no chunking changes a byte or an event.

use mcp::sse::{
    EncodeError, KEEP_ALIVE, Oversized, SseContent, SseEvent, SseFrame, SseParser, encode,
};
use proptest::prelude::*;

/// Everything that comes out of a stream in these chunks.
fn read<'c>(chunks: impl IntoIterator<Item = &'c [u8]>) -> (Vec<SseFrame>, Vec<u8>) {
    let mut parser = SseParser::new(10_000);
    let mut frames = Vec::new();
    for chunk in chunks {
        assert_eq!(parser.push(chunk), Ok(()));
        frames.extend(std::iter::from_fn(|| parser.next_frame()));
    }
    (frames, parser.finish())
}

fn events(stream: &[u8]) -> Vec<SseEvent> {
    let (frames, _) = read([stream]);
    frames
        .into_iter()
        .filter_map(|frame| match frame.content {
            SseContent::Event(event) => Some(event),
            SseContent::Comment => None,
        })
        .collect()
}

fn data(text: &str) -> SseEvent {
    SseEvent { data: Some(text.to_owned()), ..SseEvent::default() }
}

#[test]
fn fields_are_read_as_the_standard_says() {
    let event = |event: &str, text: &str| SseEvent { event: Some(event.to_owned()), ..data(text) };
    let id = |id: &str, text: &str| SseEvent { id: Some(id.to_owned()), ..data(text) };
    let retry = |retry, text: &str| SseEvent { retry, ..data(text) };
    let table: Vec<(&[u8], Vec<SseEvent>)> = vec![
        (b"data: a\n\n", vec![data("a")]),
        (b"data:a\n\n", vec![data("a")]),
        (b"data:  a\n\n", vec![data(" a")]),
        (b"data\n\n", vec![data("")]),
        (b"data:\n\n", vec![data("")]),
        (b"data\ndata\n\n", vec![data("\n")]),
        (b"data: a\ndata: b\n\n", vec![data("a\nb")]),
        (b"data: a\r\ndata: b\r\n\r\n", vec![data("a\nb")]),
        (b"data: a\rdata: b\r\r", vec![data("a\nb")]),
        (b"data: a\rdata: b\n\r\ndata: c\n\n", vec![data("a\nb"), data("c")]),
        (b"data: a:b: c\n\n", vec![data("a:b: c")]),
        (b"\xef\xbb\xbfdata: a\n\n", vec![data("a")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", vec![SseEvent::default()]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", vec![data("a"), SseEvent::default()]),
        (b": hi\ndata: a\n: mid\ndata: b\n\n", vec![data("a\nb")]),
        (b"event: e\ndata: a\n\n", vec![event("e", "a")]),
        (b"event: e\nevent: f\ndata: a\n\n", vec![event("f", "a")]),
        (b"id: 1\ndata: a\n\n", vec![id("1", "a")]),
        (b"id\ndata: a\n\n", vec![id("", "a")]),
        (b"id: 1\nid: 2\0\ndata: a\n\n", vec![id("1", "a")]),
        (b"retry: 100\ndata: a\n\n", vec![retry(Some(100), "a")]),
        (b"retry: 1s\ndata: a\n\n", vec![data("a")]),
        (b"retry: -1\ndata: a\n\n", vec![data("a")]),
        (b"retry:\ndata: a\n\n", vec![data("a")]),
        (b"Data: a\n\n", vec![SseEvent::default()]),
        (b" data: a\n\n", vec![SseEvent::default()]),
        (b"data : a\n\n", vec![SseEvent::default()]),
        (b"data: \xff\n\n", vec![data("\u{fffd}")]),
        (b"data: a\n", vec![]),
        (b"\n\n\n", vec![]),
    ];
    for (stream, expected) in table {
        assert_eq!(events(stream), expected, "{:?}", String::from_utf8_lossy(stream));
    }
    assert!(!events(b"id: 1\n\n")[0].is_dispatched());
    assert!(events(b"id: 1\ndata:\n\n")[0].is_dispatched());
}

#[test]
fn comments_between_events_are_released_at_once() {
    let mut parser = SseParser::new(100);
    for (chunk, released) in [
        (": ping\r", &b": ping\r"[..]),
        ("\n", b""),
        (":\n", b"\n:\n"),
        ("data: a\n", b""),
        (": held with the event\n", b""),
        ("\n", b"data: a\n: held with the event\n\n"),
        ("\n", b"\n"),
    ] {
        assert_eq!(parser.push(chunk.as_bytes()), Ok(()));
        let raw: Vec<u8> =
            std::iter::from_fn(|| parser.next_frame()).flat_map(|frame| frame.raw).collect();
        assert_eq!(raw, released, "{chunk:?}");
    }
    assert_eq!(parser.finish(), b"");
}

#[test]
fn an_event_is_released_with_its_last_byte() {
    let mut parser = SseParser::new(100);
    parser.push(b"data: a\r\n\r").unwrap();
    let frame = parser.next_frame().unwrap();
    assert_eq!(frame.raw, b"data: a\r\n\r");
    assert_eq!(frame.content, SseContent::Event(data("a")));
    parser.push(b"\ndata: b\n\n").unwrap();
    let frame = parser.next_frame().unwrap();
    assert_eq!(frame.raw, b"\ndata: b\n\n");
    assert_eq!(frame.content, SseContent::Event(data("b")));
}

#[test]
fn an_event_beyond_the_bound_ends_the_reading() {
    let bound = Err(Oversized { event_bytes_max: 10 });
    for stream in [&b"data: 1\n\ndata: 345\n\n"[..], b"data: 1\n\ndata: 34567"] {
        for size in 1..=stream.len() {
            let mut parser = SseParser::new(10);
            let mut out = Vec::new();
            let mut taken = 0;
            let mut failed = false;
            for chunk in stream.chunks(size) {
                let result = parser.push(chunk);
                if failed {
                    assert_eq!(result, bound);
                    continue;
                }
                taken += chunk.len();
                failed = result.is_err();
                out.extend(std::iter::from_fn(|| parser.next_frame()).flat_map(|frame| frame.raw));
            }
            assert!(failed, "{size}");
            assert_eq!(out, b"data: 1\n\n");
            out.extend(parser.finish());
            assert_eq!(out, stream[..taken]);
        }
    }
    let mut parser = SseParser::new(10);
    assert_eq!(parser.push(b"data: 34\n\ndata: 34\n\ndata: 1234"), Ok(()));
    assert_eq!(parser.finish(), b"data: 34\n\ndata: 34\n\ndata: 1234");
}

#[test]
fn events_are_written_so_that_they_are_read_back() {
    let written = encode(Some("message"), Some("7"), "{\n}").unwrap();
    assert_eq!(written, b"event: message\nid: 7\ndata: {\ndata: }\n\n");
    assert_eq!(encode(None, None, "").unwrap(), b"data: \n\n");
    for bad in ["a\nb", "a\r", "\n"] {
        assert_eq!(encode(Some(bad), None, ""), Err(EncodeError::LineBreak { field: "event" }));
        assert_eq!(encode(None, Some(bad), ""), Err(EncodeError::LineBreak { field: "id" }));
    }
    assert_eq!(encode(None, Some("a\0"), ""), Err(EncodeError::Nul));
    let (frames, left) = read([KEEP_ALIVE]);
    assert!(frames.iter().all(|frame| frame.content == SseContent::Comment));
    assert_eq!((frames.len(), left.len()), (2, 0));
}

/// Pieces that streams are made of, whole and broken.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let end = || prop::sample::select(vec!["\n", "\r", "\r\n"]);
    let line = prop_oneof![
        6 => ("(data|event|id|retry|x)(: ?[a-z0-9:é]{0,8})?", end()).prop_map(|(a, b)| a + b),
        3 => end().prop_map(str::to_owned),
        2 => (":[a-z ]{0,4}", end()).prop_map(|(a, b)| a + b),
        1 => Just("\u{feff}".to_owned()),
        1 => "[\\x00-\\x7f]{0,4}",
    ];
    let bytes = prop::collection::vec(line, 0..24).prop_map(|lines| lines.concat().into_bytes());
    prop_oneof![9 => bytes, 1 => prop::collection::vec(any::<u8>(), 0..60)]
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
            let event = pending.get_or_insert_default();
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "data" => {
                    let data = event.data.take().map_or_else(String::new, |data| data + "\n");
                    event.data = Some(data + value);
                }
                "event" => event.event = Some(value.to_owned()),
                "id" if !value.contains('\0') => event.id = Some(value.to_owned()),
                "retry" if value.chars().all(|c| c.is_ascii_digit()) && !value.is_empty() => {
                    event.retry = value.parse().ok();
                }
                _ => {}
            }
        }
    }
    events
}

proptest! {
    #[test]
    fn no_chunking_changes_a_byte_or_an_event(
        stream in stream(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let chunked = read(cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]));
        let single = read(stream.chunks(1));
        for (frames, left) in [chunked, single] {
            let raw: Vec<u8> = frames.iter().flat_map(|frame| frame.raw.clone()).chain(left).collect();
            prop_assert_eq!(&raw, &stream);
            let events: Vec<SseEvent> = frames
                .into_iter()
                .filter_map(|frame| match frame.content {
                    SseContent::Event(event) => Some(event),
                    SseContent::Comment => None,
                })
                .collect();
            prop_assert_eq!(&events, &model(&stream));
        }
    }

    #[test]
    fn what_is_encoded_is_read_back(
        event in prop::option::of("[^\r\n]{0,8}"),
        id in prop::option::of("[^\r\n\0]{0,8}"),
        text in any::<String>(),
    ) {
        let written = encode(event.as_deref(), id.as_deref(), &text).unwrap();
        let lines = text.replace("\r\n", "\n").replace('\r', "\n");
        let expected = SseEvent { data: Some(lines), event, id, retry: None };
        let (frames, left) = read([written.as_slice()]);
        prop_assert_eq!(left.len(), 0);
        prop_assert_eq!(frames.len(), 1);
        prop_assert_eq!(&frames[0].content, &SseContent::Event(expected));
    }
}
