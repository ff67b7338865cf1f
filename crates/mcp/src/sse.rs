//! Server-sent event streams (WHATWG HTML, section 9.2), cut into frames at event boundaries
//! without changing a byte. It refuses to know what the events carry, to reconnect, and to keep a
//! last event id.

mod encode;

use std::collections::VecDeque;

use memchr::memchr2;
use thiserror::Error;

pub use self::encode::{EncodeError, KEEP_ALIVE, encode};

/// A piece of the stream that can be forwarded at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseFrame {
    /// The bytes exactly as they came, with the blank line that ends an event. The raw bytes of
    /// all frames and of [`SseParser::finish`], one after the other, are the stream.
    ///
    /// Where a chunk ends between the CR and the LF of a boundary the frame is released with the
    /// CR, and the LF opens the next frame: it then changes nothing for whoever reads the stream.
    pub raw: Vec<u8>,
    /// What the frame says.
    pub content: SseContent,
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SseContent {
    /// Fields, ended by a blank line.
    Event(SseEvent),
    /// A comment line between events, or a blank line of no meaning: both keep a stream alive.
    Comment,
}

/// The fields of an event. Bytes that are not UTF-8 are replaced, as the standard says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// The values of `data`, joined by line feeds. `None` if there was no such field: readers then
    /// take the `id` and the `retry` and dispatch nothing.
    pub data: Option<String>,
    /// The value of `event`; absent means `message`.
    pub event: Option<String>,
    /// The value of `id`; one with a NUL is ignored.
    pub id: Option<String>,
    /// The value of `retry`, in milliseconds; one that is not all digits is ignored.
    pub retry: Option<u64>,
}

/// An event beyond the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an event of the stream is longer than {event_bytes_max} bytes")]
pub struct Oversized {
    /// The bound in bytes.
    pub event_bytes_max: usize,
}

/// Cuts a stream into frames, whatever the chunks it comes in.
///
/// It holds at most one unfinished event, and the finished frames of the chunks pushed since they
/// were last taken: take them after each push.
#[derive(Debug)]
pub struct SseParser {
    event_bytes_max: usize,
    /// Bytes of no frame yet.
    buffer: Vec<u8>,
    /// Where in `buffer` the line begins that is being read.
    line_start: usize,
    /// Up to where in `buffer` there is no end of that line.
    scanned: usize,
    /// The last byte read was a CR: a LF that follows belongs to it.
    after_cr: bool,
    /// No line has been read: a byte order mark may open the first.
    at_start: bool,
    /// The event under construction, if one of its lines has been read.
    pending: Option<SseEvent>,
    ready: VecDeque<SseFrame>,
    oversized: bool,
}

impl SseParser {
    /// A parser at the start of a stream; `event_bytes_max` bounds the bytes of one event, its
    /// comments and its blank line included.
    #[must_use]
    pub fn new(event_bytes_max: usize) -> Self {
        Self {
            event_bytes_max,
            buffer: Vec::new(),
            line_start: 0,
            scanned: 0,
            after_cr: false,
            at_start: true,
            pending: None,
            ready: VecDeque::new(),
            oversized: false,
        }
    }

    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// [`Oversized`] if an event is, or is about to be, longer than the bound. The frames before
    /// it can still be taken, its own bytes and the rest of the chunk are left to
    /// [`Self::finish`], and the parser reads no further: later pushes fail and take nothing.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Oversized> {
        if self.oversized {
            return Err(Oversized { event_bytes_max: self.event_bytes_max });
        }
        self.buffer.extend_from_slice(chunk);
        let mut frame_start = 0;
        while !self.oversized {
            let Some((line_end, next_line)) = self.line_end() else {
                self.oversized = self.event_bytes_max < self.buffer.len() - frame_start;
                break;
            };
            if self.event_bytes_max < next_line - frame_start {
                self.oversized = true;
                break;
            }
            let content = self.take_line(line_end);
            self.line_start = next_line;
            self.scanned = next_line;
            if let Some(content) = content {
                let raw = self.buffer.get(frame_start..next_line).unwrap_or_default().to_vec();
                self.ready.push_back(SseFrame { raw, content });
                frame_start = next_line;
            }
        }
        self.buffer.drain(..frame_start);
        self.line_start -= frame_start;
        self.scanned -= frame_start;
        if self.oversized {
            return Err(Oversized { event_bytes_max: self.event_bytes_max });
        }
        Ok(())
    }

    /// The next finished frame, in order.
    pub fn next_frame(&mut self) -> Option<SseFrame> {
        self.ready.pop_front()
    }

    /// Ends the stream and returns the bytes of no frame: an event that was cut off, which readers
    /// discard. Frames that were not taken are returned as bytes, too.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut left: Vec<u8> = self.ready.into_iter().flat_map(|frame| frame.raw).collect();
        left.extend_from_slice(&self.buffer);
        left
    }

    /// The ends of the current line, before and behind its terminator; `None` if it has not come.
    fn line_end(&mut self) -> Option<(usize, usize)> {
        if self.after_cr && self.line_start < self.buffer.len() {
            self.after_cr = false;
            if self.buffer.get(self.line_start) == Some(&b'\n') {
                self.line_start += 1;
                self.scanned = self.line_start;
            }
        }
        let unread = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(offset) = memchr2(b'\r', b'\n', unread) else {
            self.scanned = self.buffer.len();
            return None;
        };
        let end = self.scanned + offset;
        let next = match (self.buffer.get(end), self.buffer.get(end + 1)) {
            (Some(b'\r'), Some(b'\n')) => end + 2,
            (Some(b'\r'), None) => {
                self.after_cr = true;
                end + 1
            }
            _ => end + 1,
        };
        Some((end, next))
    }

    /// Reads one line; says what the frame holds that ends with it, if one does.
    fn take_line(&mut self, line_end: usize) -> Option<SseContent> {
        let mut line = self.buffer.get(self.line_start..line_end).unwrap_or_default();
        if self.at_start {
            self.at_start = false;
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        match (line.first(), self.pending.take()) {
            (None, Some(event)) => Some(SseContent::Event(event)),
            (None | Some(b':'), None) => Some(SseContent::Comment),
            (Some(b':'), pending) => {
                self.pending = pending;
                None
            }
            (Some(_), pending) => {
                let mut event = pending.unwrap_or_default();
                event.take_field(line);
                self.pending = Some(event);
                None
            }
        }
    }
}

impl SseEvent {
    /// Whether readers dispatch the event; one without `data` only sets `id` and `retry`.
    #[must_use]
    pub fn is_dispatched(&self) -> bool {
        self.data.is_some()
    }

    fn take_field(&mut self, line: &[u8]) {
        let (name, value) = match memchr::memchr(b':', line) {
            Some(colon) => {
                let (name, rest) = line.split_at(colon);
                let value = rest.strip_prefix(b":").unwrap_or(rest);
                (name, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        match name {
            b"data" => {
                let value = String::from_utf8_lossy(value);
                match &mut self.data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(&value);
                    }
                    None => self.data = Some(value.into_owned()),
                }
            }
            b"event" => self.event = Some(String::from_utf8_lossy(value).into_owned()),
            b"id" if !value.contains(&0) => {
                self.id = Some(String::from_utf8_lossy(value).into_owned());
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                self.retry = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
            }
            _ => {}
        }
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
