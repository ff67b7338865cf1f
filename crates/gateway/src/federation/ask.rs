//! Reads the answers of members in process, whole or as streams. Judges nothing: every message in them
//! has been through the call path of its server.

use crate::body::{Cut, ReplyBody};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use mcp::sse::{SseContent, SseEvent, SseParser};
use mcp::{Frame, Message, RequestId};

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The message that answers, or whatever else was the body.
    pub(crate) message: Bytes,
}

/// A streamed answer, event by event.
#[derive(Debug)]
pub(crate) struct Events {
    body: ReplyBody,
    parser: SseParser,
}

/// One piece of a stream.
#[derive(Debug)]
pub(crate) struct Piece {
    /// As it came.
    pub(crate) raw: Bytes,
    /// Its fields; `None` for what only keeps the stream alive.
    pub(crate) event: Option<SseEvent>,
}

impl Events {
    pub(crate) fn new(body: ReplyBody, event_bytes_max: usize) -> Self {
        Self { body, parser: SseParser::new(event_bytes_max) }
    }

    /// The next piece; `None` at an orderly end.
    pub(crate) async fn next(&mut self) -> Result<Option<Piece>, Cut> {
        loop {
            if let Some(frame) = self.parser.next_frame() {
                let event = match frame.content {
                    SseContent::Event(event) => Some(event),
                    SseContent::Comment => None,
                };
                return Ok(Some(Piece { raw: Bytes::from(frame.raw), event }));
            }
            match self.body.frame().await {
                Some(frame) => {
                    let chunk = frame?.into_data().unwrap_or_default();
                    self.parser.push(&chunk).map_err(|_| Cut)?;
                }
                None => return Ok(None),
            }
        }
    }
}

/// Reads an answer to its end. Of a stream only the message that answers `id` is kept: what else a
/// server says while it makes a list is of no use to a client that asked several.
pub(crate) async fn whole(
    response: Response<ReplyBody>,
    id: Option<&RequestId>,
    bytes_max: usize,
) -> Option<Answer> {
    let (parts, body) = response.into_parts();
    let message = if crate::headers::media_type_is(&parts.headers, "text/event-stream") {
        final_message(Events::new(body, bytes_max), id).await?
    } else {
        collect(body, bytes_max).await?
    };
    Some(Answer { status: parts.status, headers: parts.headers, message })
}

/// A body of bounded size.
pub(crate) async fn collect(mut body: ReplyBody, bytes_max: usize) -> Option<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let chunk = frame.ok()?.into_data().unwrap_or_default();
        if bytes_max.saturating_sub(whole.len()) < chunk.len() {
            return None;
        }
        whole.extend_from_slice(&chunk);
    }
    Some(whole.freeze())
}

/// Whether a message answers the request of this id.
pub(crate) fn answers(message: &[u8], id: Option<&RequestId>) -> bool {
    let frame = mcp::parse(message, &mcp::Limits::for_replies());
    matches!(frame, Ok(Frame::Single(Message::Response(response))) if response.id.as_ref() == id)
}

async fn final_message(mut events: Events, id: Option<&RequestId>) -> Option<Bytes> {
    while let Some(piece) = events.next().await.ok()? {
        let message = piece.event.and_then(|event| event.data).map(Bytes::from);
        if let Some(message) = message.filter(|message| answers(message, id)) {
            return Some(message);
        }
    }
    None
}
