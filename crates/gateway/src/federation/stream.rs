//! Carries answers of members to the client: whole ones at once, streams event by event, with names as
//! the client knows them. Refuses to hold more than one event of a stream.

use super::ask::{Events, Piece, collect};
use super::names::Form;
use super::rewrite;
use super::session::Session;
use super::{Federation, Whole};
use crate::body::{CHUNKS, Chunks, Cut, ReplyBody};
use crate::headers;
use crate::queue::{Receiver, queue};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use mcp::RequestId;
use std::sync::Arc;

/// A member's stream on its way to the client.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) events: Events,
    pub(super) prefix: String,
    pub(super) kind: Kind,
}

/// What a stream belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// The answer to one request: when it breaks, the client's stream breaks.
    Answer,
    /// One of several that are merged (the stream of a session). The others go on without it.
    Listening,
    /// One of several that answer `subscriptions/listen` of this id; its last message is not passed
    /// on, since the others go on.
    Subscribed(Option<RequestId>),
}

/// How a member's stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    InOrder,
    Broken,
}

impl Federation {
    /// The answer of one member, as it comes.
    pub(super) async fn through(
        &self,
        whole: &Whole,
        prefix: &str,
        response: Response<ReplyBody>,
    ) -> Response<ReplyBody> {
        let (parts, body) = response.into_parts();
        let streams = headers::media_type_is(&parts.headers, "text/event-stream");
        let call = whole.session.clone().zip(whole.id.clone());
        let body = if streams {
            let events = Events::new(body, self.limits.reply_bytes_max);
            let flow = Flow { events, prefix: prefix.to_owned(), kind: Kind::Answer };
            let (chunks, waiting) = queue(CHUNKS);
            self.exchanges.spawn(async move {
                flow.run(&chunks).await;
                forget(call);
            });
            ReplyBody::Chunks(waiting)
        } else {
            let message = collect(body, self.limits.reply_bytes_max).await.unwrap_or_default();
            forget(call);
            ReplyBody::whole(rewrite::to_client(&message, prefix))
        };
        let mut response = Response::new(body);
        *response.status_mut() = parts.status;
        *response.headers_mut() = whole.reply_headers(parts.headers);
        response
    }
}

impl Flow {
    /// Passes the stream on until it ends or the client goes away. How it ended, and its last event id.
    pub(super) async fn run(mut self, chunks: &Chunks) -> (Ended, Option<String>) {
        let mut last = None;
        let ended = self.pass(chunks, &mut last).await;
        (ended, last)
    }

    async fn pass(&mut self, chunks: &Chunks, last: &mut Option<String>) -> Ended {
        loop {
            let next = tokio::select! {
                biased;
                () = chunks.closed() => return Ended::InOrder,
                next = self.events.next() => next,
            };
            let sent = match next {
                Ok(Some(piece)) => {
                    let id = piece.event.as_ref().and_then(|event| event.id.clone());
                    *last = id.or(last.take());
                    match self.shown(piece) {
                        Some(bytes) => chunks.send(Ok(bytes)).await,
                        None => Ok(()),
                    }
                }
                Ok(None) => return Ended::InOrder,
                Err(Cut) => {
                    if self.kind == Kind::Answer {
                        // A client that is gone needs no break.
                        chunks.send(Err(Cut)).await.ok();
                    }
                    return Ended::Broken;
                }
            };
            if sent.is_err() {
                return Ended::InOrder;
            }
        }
    }

    /// A piece as the client gets it; one that names nothing goes on as it came.
    fn shown(&self, piece: Piece) -> Option<Bytes> {
        let Some(event) = piece.event else { return Some(piece.raw) };
        let own = event.data.as_deref().filter(|data| !data.is_empty());
        let own = own.map(|data| Bytes::copy_from_slice(data.as_bytes()));
        if let (Kind::Subscribed(id), Some(message)) = (&self.kind, &own)
            && super::ask::answers(message, id.as_ref())
        {
            return None;
        }
        let seen = own.as_ref().map(|message| rewrite::to_client(message, &self.prefix));
        if event.id.is_none() && seen == own {
            return Some(piece.raw);
        }
        let form = if self.kind == Kind::Answer { Form::Id } else { Form::Uri };
        let id = event.id.as_deref().map(|id| form.join(&self.prefix, id));
        let mut out = Vec::new();
        let retry = event.retry.map(|retry| retry.to_string());
        let fields = [("id", id.as_deref()), ("retry", retry.as_deref())];
        for (field, value) in fields.into_iter().chain([("event", event.event.as_deref())]) {
            if let Some(value) = value {
                out.extend_from_slice(format!("{field}: {value}\n").as_bytes());
            }
        }
        let seen = seen.or_else(|| event.data.map(|_| Bytes::new()));
        for line in seen.iter().flat_map(|message| message.split(|byte| *byte == b'\n')) {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        out.push(b'\n');
        Some(Bytes::from(out))
    }
}

impl Whole {
    /// Headers of a member's answer; the session is the client's own.
    pub(super) fn reply_headers(&self, mut headers: HeaderMap) -> HeaderMap {
        headers.remove(header::CONTENT_LENGTH);
        let own = self.session.as_ref().and_then(|_| self.headers.get(headers::SESSION_ID));
        if let (Some(_), Some(own)) = (headers.remove(headers::SESSION_ID), own) {
            headers.insert(headers::SESSION_ID, own.clone());
        }
        headers
    }
}

/// An event stream that the gateway makes of others.
pub(super) fn event_stream(chunks: Receiver<Result<Bytes, Cut>>) -> Response<ReplyBody> {
    crate::relay::event_stream_head().map(|()| ReplyBody::Chunks(chunks))
}

/// Whether a member's answer is a stream of events.
pub(super) fn is_stream(response: &Response<ReplyBody>) -> bool {
    response.status() == StatusCode::OK
        && headers::media_type_is(response.headers(), "text/event-stream")
}

/// The value of `Last-Event-ID` that a member gave out, its prefix, and what stream it was of.
pub(super) fn resumed(value: &HeaderValue) -> Option<(Kind, &str, &str)> {
    let text = value.to_str().ok()?;
    let answer = Form::Id.split(text).map(|(prefix, id)| (Kind::Answer, prefix, id));
    let listening = Form::Uri.split(text).map(|(prefix, id)| (Kind::Listening, prefix, id));
    answer.or(listening)
}

fn forget(call: Option<(Arc<Session>, RequestId)>) {
    if let Some((session, id)) = call {
        session.done(&id);
    }
}
