//! Takes the messages out of a stream of events and remembers where it is in it.

use super::{RETRIES_MAX, RETRY, RETRY_MAX};
use crate::body::ReplyBody;
use crate::queue::Sender;
use bytes::Bytes;
use http_body_util::BodyExt;
use mcp::sse::{SseContent, SseParser};
use mcp::{Message, RequestId};
use std::time::Duration;

/// How far a stream has come, over all its connections.
#[derive(Debug, Default)]
pub(super) struct Pumped {
    /// The request whose answer ends the stream.
    pub(super) awaited: Option<RequestId>,
    /// That answer.
    pub(super) answer: Option<Bytes>,
    /// Id of the last event that had one.
    pub(super) last_id: Option<String>,
    /// Events so far.
    pub(super) events: u64,
    retry: Option<Duration>,
    /// Connections in a row that brought nothing.
    idle: u32,
}

impl Pumped {
    /// The stream that answers this request.
    pub(super) fn awaiting(awaited: Option<RequestId>) -> Self {
        Self { awaited, ..Self::default() }
    }

    /// Passes on what one connection brings, until it ends or the answer has come.
    pub(super) async fn pump(
        &mut self,
        mut body: ReplyBody,
        messages: &Sender<Bytes>,
        event_bytes_max: usize,
    ) {
        let mut parser = SseParser::new(event_bytes_max);
        while let Some(Ok(frame)) = body.frame().await {
            let pushed = parser.push(&frame.into_data().unwrap_or_default());
            while let Some(frame) = parser.next_frame() {
                let SseContent::Event(event) = frame.content else { continue };
                self.events += 1;
                self.retry = event.retry.map(Duration::from_millis).or(self.retry);
                self.last_id = event.id.or(self.last_id.take());
                let Some(data) = event.data.filter(|data| !data.is_empty()) else { continue };
                let message = Bytes::from(data);
                let is_answer = self.awaits(&message);
                if messages.send(message.clone()).await.is_err() {
                    return;
                }
                if is_answer {
                    self.answer = Some(message);
                    return;
                }
            }
            if pushed.is_err() {
                return;
            }
        }
    }

    /// Whether there is a place to go on from, and hope that something comes.
    pub(super) fn may_go_on(&mut self, events_before: u64) -> bool {
        self.idle = if events_before < self.events { 0 } else { self.idle + 1 };
        // The server's own messages go on anywhere; an answer only where it broke off.
        (self.awaited.is_none() || self.last_id.is_some()) && self.idle < RETRIES_MAX
    }

    /// How long to wait before that.
    pub(super) fn retry(&self) -> Duration {
        self.retry.unwrap_or(RETRY).min(RETRY_MAX)
    }

    fn awaits(&self, message: &[u8]) -> bool {
        let Some(awaited) = &self.awaited else { return false };
        match mcp::parse(message, &mcp::Limits::for_replies()) {
            Ok(frame) => frame.messages().iter().any(|message| {
                matches!(message, Message::Response(response) if response.id.as_ref() == Some(awaited))
            }),
            Err(_) => false,
        }
    }
}
