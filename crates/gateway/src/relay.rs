//! Carries answers back to the client: whole ones, and streams piece by piece. Decides nothing about
//! messages; `Exchange::judge` does.

use crate::array;
use crate::asked::Ending;
use crate::bodies::may_explain_failure;
use crate::client::{ClientEnd, ClientStream, Lost};
use crate::exchange::{End, Exchange, Pass, RECEIPT};
use crate::failure::{Failure, unrecorded};
use crate::headers;
use crate::lapse::Lapse;
use crate::listed::Shown;
use crate::pipeline::length;
use crate::refusal::{Detail, error_message};
use crate::source::{Broken, Item, Source, plain_event, sse_event, with_message};
use crate::upstream::lanes::ServerBody;
use crate::upstream::splice;
use crate::withheld::Withholding;
use bytes::Bytes;
use event::Status;
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use mcp::{Frame, Message, Method};
use std::time::{Duration, Instant};

impl Exchange<'_> {
    /// Carries the answer of an HTTP server.
    pub(crate) async fn carry_http(
        mut self: Box<Self>,
        response: Response<ServerBody>,
        client: ClientEnd,
    ) {
        let (parts, body) = response.into_parts();
        self.progress.http_status = Some(parts.status.as_u16());
        if parts.status == StatusCode::NOT_FOUND {
            self.forget_session().await;
        }
        if headers::is_encoded(&parts.headers) {
            // We asked for none (`Accept-Encoding: identity`) and cannot see what is in it.
            let error = Failure::new(Status::MalformedReply, "server sent an encoded answer");
            return self.fail(client, &error).await;
        }
        if parts.status.is_redirection() && parts.headers.contains_key(header::LOCATION) {
            // A client would follow it past the gateway.
            let error = "server redirects elsewhere: put its new address into the configuration";
            return self.fail(client, &Failure::new(Status::MalformedReply, error)).await;
        }
        if headers::is_odd_event_stream(&parts.headers) {
            // Clients would read it as one all the same, and nothing in it would be judged.
            let error = "server sent events in an encoding or under a name that are not theirs";
            return self.fail(client, &Failure::new(Status::MalformedReply, error)).await;
        }
        if headers::media_type_is(&parts.headers, "text/event-stream") {
            let limit = self.pipeline.limits.reply_bytes_max;
            let mut head = Response::new(());
            *head.status_mut() = parts.status;
            if let Err(failure) = self.open_session(&parts.headers).await {
                return self.fail(client, &failure).await;
            }
            *head.headers_mut() = headers::client_reply(parts.headers);
            self.stream(Source::events(body, limit), head, client).await;
        } else {
            self.whole(parts, body, client).await;
        }
    }

    async fn whole(mut self: Box<Self>, parts: Parts, body: ServerBody, mut client: ClientEnd) {
        let limits = &self.pipeline.limits;
        let limited = Limited::new(body, limits.reply_bytes_max).collect();
        let collected = tokio::select! {
            biased;
            () = self.stop.cancelled() => return self.stopped(client).await,
            () = client.gone() => return self.finish(End::Gone).await,
            collected = tokio::time::timeout(limits.reply_timeout, limited) => collected,
        };
        let bytes = match collected {
            Ok(Ok(collected)) => collected.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let failure =
                    Failure::new(Status::ReplyTooLarge, "answer of the server is too large");
                return self.fail(client, &failure).await;
            }
            Ok(Err(error)) => {
                let reason = format!(
                    "connection to the server broke: {}",
                    crate::upstream::http::root(error.as_ref())
                );
                return self.fail(client, &Failure::new(Status::TransportFailure, &reason)).await;
            }
            Err(_) => {
                let failure =
                    Failure::new(Status::TimedOut, "server did not end its answer in time");
                return self.fail(client, &failure).await;
            }
        };
        self.answer_whole(parts, bytes, client).await;
    }

    /// A whole answer: its record first, then the answer.
    pub(crate) async fn answer_whole(
        mut self: Box<Self>,
        parts: Parts,
        bytes: Bytes,
        client: ClientEnd,
    ) {
        if self.call.id.is_some() && self.takes_batches() && array::is_array(&bytes) {
            return self.answer_batch(parts, bytes, client).await;
        }
        let ending = self.judge_whole(parts.status, &bytes);
        let ending = match self.open_session(&parts.headers).await {
            Ok(session) => Ending { session, ..ending },
            Err(failure) => return self.fail(client, &failure).await,
        };
        if matches!(self.call.method, Method::Initialize | Method::ToolsList)
            && let Ok(Frame::Single(Message::Response(response))) =
                mcp::parse(&bytes, &mcp::Limits::for_replies())
        {
            self.negotiate(&response);
            self.learn(&response);
        }
        if ending.status == Status::MalformedReply {
            let failure =
                Failure::new(Status::MalformedReply, "server did not answer with a message");
            return self.fail(client, &failure).await;
        }
        let mut bytes = bytes;
        // What nobody waits for would reach the client unjudged.
        let may_pass = if parts.status.is_success() {
            self.call.id.is_some() || bytes.is_empty()
        } else {
            may_explain_failure(&bytes, self.call.id.as_ref())
        };
        if !may_pass {
            self.withhold(Withholding::OutOfPlace, &bytes);
            bytes = Bytes::new();
        }
        let bytes = match self.settle_whole(ending, bytes).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                let failure = Failure::new(Status::MalformedReply, UNREADABLE);
                return self.fail(client, &failure).await;
            }
            Err((call, error)) => return client.answer(unrecorded(&self.call, call, &error)),
        };
        let mut response = Response::new(crate::body::ReplyBody::whole(bytes));
        *response.status_mut() = parts.status;
        *response.headers_mut() = headers::client_reply(parts.headers);
        client.answer(response);
    }

    /// Puts the end of the call on record; what is released of its answer, if anything may be.
    async fn settle_whole(
        &mut self,
        ending: Ending,
        bytes: Bytes,
    ) -> Result<Option<Bytes>, (event::CallId, audit::Unavailable)> {
        let Some(asked) = self.asked.clone() else { return Ok(Some(bytes)) };
        let shown = self.pipeline.show(&asked, ending, &bytes).await;
        if shown.as_ref().is_ok_and(|shown| shown.ending.status == Status::MalformedReply) {
            return Ok(None);
        }
        let is_first = self.take_asked().is_some();
        let unrecorded = |error| (asked.call, error);
        let Shown { ending, changed } = shown.map_err(unrecorded)?;
        let bytes = changed.unwrap_or(bytes);
        if !is_first {
            return Ok(Some(bytes));
        }
        let answered = self.pipeline.answered(&asked, &ending, self.pipeline.answers);
        answered.await.map_err(unrecorded)?;
        Ok(Some(match self.receipt(&asked) {
            Some(receipt) => splice::add_meta(&bytes, RECEIPT, &receipt),
            None => bytes,
        }))
    }

    /// A whole answer of several messages, in a session that has them.
    async fn answer_batch(mut self: Box<Self>, parts: Parts, bytes: Bytes, client: ClientEnd) {
        self.progress.bytes = length(&bytes);
        let Some(call) = self.asked.as_ref().map(|asked| asked.call) else { return };
        let pass = match self.judge(&bytes).await {
            Ok(pass) => pass,
            Err(error) => return client.answer(unrecorded(&self.call, call, &error)),
        };
        if self.asked.is_some() {
            let text = "server answered with messages, and none of them is the answer";
            return self.fail(client, &Failure::new(Status::MalformedReply, text)).await;
        }
        let bytes = pass.apply(bytes).unwrap_or_default();
        let mut response = Response::new(crate::body::ReplyBody::whole(bytes));
        *response.status_mut() = parts.status;
        *response.headers_mut() = headers::client_reply(parts.headers);
        client.answer(response);
    }

    /// How a call ended, by an answer that came in one piece.
    fn judge_whole(&mut self, status: StatusCode, bytes: &Bytes) -> Ending {
        self.progress.bytes = length(bytes);
        let plain = |what: Status| Ending {
            http_status: Some(status.as_u16()),
            response_bytes: length(bytes),
            ..Ending::new(what)
        };
        let limits = mcp::Limits::for_replies();
        match mcp::parse(bytes, &limits) {
            Ok(Frame::Single(Message::Response(response)))
                if response.id.is_none() || response.id == self.call.id =>
            {
                let ending = self.pipeline.ending(&self.about, &response, bytes);
                Ending { http_status: Some(status.as_u16()), ..ending }
            }
            _ if !status.is_success() => plain(Status::HttpError),
            // Notifications and session operations are owed no message.
            _ if self.call.id.is_none() => plain(Status::Accepted),
            _ => plain(Status::MalformedReply),
        }
    }

    /// Carries a stream to the client until either side ends it.
    pub(crate) async fn stream(
        mut self: Box<Self>,
        mut source: Source,
        head: Response<()>,
        client: ClientEnd,
    ) {
        let Ok(client) = client.stream(head) else {
            return self.abandon(&mut source, End::Gone).await;
        };
        let end = self.pass_stream(&mut source, &client).await;
        if end == End::Stopped
            && let Some(last) = self.last_of_subscription()
        {
            // A client that does not take it sees the end of the stream.
            client.send(sse_event(&last), Duration::ZERO).await.ok();
        }
        // Streams that are meant to stay open may end at any time (2025-11-25 transports, "Listening for
        // Messages from the Server"; 2026-07-28, subscriptions); any other that ends before its answer is
        // cut, so that the client sees it.
        let may_end = end == End::Stopped && self.call.is_listening();
        if may_end || matches!(end, End::Complete | End::Gone) || self.is_cancelled() {
            drop(client);
        } else {
            client.cut();
        }
        self.abandon(&mut source, end).await;
        // A server may take nothing else before its stream is closed.
        drop(source);
        self.answer_unheard(end).await;
    }

    /// Passes a stream on, piece by piece, until something ends it.
    async fn pass_stream(&mut self, source: &mut Source, client: &ClientStream) -> End {
        let idle = self.pipeline.limits.stream_idle_timeout.filter(|_| !self.call.is_listening());
        let lapse = self.lapse.take();
        loop {
            let next = tokio::select! {
                biased;
                () = self.stop.cancelled() => break End::Stopped,
                () = lapsed(lapse.as_ref()) => break End::Stopped,
                lost = client.gone() => break lost.into(),
                () = elapsed(idle) => break End::TimedOut,
                next = source.next() => next,
            };
            match next {
                Ok(Some(item)) => {
                    if let Some(end) = self.pass_item(item, (source, client)).await {
                        break end;
                    }
                }
                Ok(None) => break self.orderly_end(source),
                Err(broken) => break self.broken_off(&broken),
            }
        }
    }

    /// The answer that ends a subscription in order: the gateway stops, the server is taken out, or what its
    /// client showed does not count any more.
    fn last_of_subscription(&self) -> Option<Bytes> {
        let id = self.call.id.as_ref().filter(|_| self.asked.is_some() && !self.is_cancelled())?;
        if !matches!(self.call.method, Method::SubscriptionsListen) {
            return None;
        }
        let result = format!(r#"{{"_meta":{{"{SUBSCRIPTION_ID}":{id}}},"resultType":"complete"}}"#);
        let result = serde_json::value::RawValue::from_string(result).ok()?;
        Some(Bytes::from(mcp::build::result_response(id, &result)))
    }

    fn broken_off(&self, broken: &Broken) -> End {
        match broken {
            Broken::TooLarge => End::TooLarge,
            Broken::Behind => {
                tracing::warn!(
                    server = %self.pipeline.server,
                    "an exchange is cut off: its client does not take messages in time"
                );
                End::Behind
            }
            Broken::Connection(error) => {
                tracing::warn!(server = %self.pipeline.server, %error, "answer broke off");
                End::Broken
            }
        }
    }

    /// Judges one piece and passes it on; `Some` when the stream must end here.
    async fn pass_item(
        &mut self,
        mut item: Item,
        (source, client): (&Source, &ClientStream),
    ) -> Option<End> {
        let late = !self.progress.begun && self.progress.bytes != 0;
        self.progress.bytes += length(&item.bytes);
        self.progress.resumable |= item.resumable;
        if let Some(message) = &item.message {
            match self.judge(message).await {
                Ok(Pass::On) => {}
                Ok(Pass::Instead(other)) => {
                    item.bytes = with_message(&item.bytes, message, &other);
                    item.message = Some(other);
                }
                Ok(Pass::Withhold) => return None,
                Err(_already_logged) => return Some(End::Unrecordable),
            }
        }
        item.bytes = plain_event(item.bytes, item.message.as_ref());
        if late {
            item.bytes = after_the_start(item.bytes);
        }
        self.progress.begun = true;
        let marked = (item.bytes, self.passed.mark());
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Some(End::Stopped),
            () = source.behind() => Some(self.broken_off(&Broken::Behind)),
            sent = client.send_marked(marked, self.pipeline.limits.write_timeout) => {
                sent.err().map(End::from)
            }
        }
    }

    /// The end of a program's lines before the answer means that the program is gone.
    fn orderly_end(&self, source: &Source) -> End {
        match source {
            Source::Lines(_) if self.asked.is_some() && !self.call.is_listening() => End::Broken,
            _ => End::Complete,
        }
    }

    /// Ends the exchange on both sides: a program is told that the answer is not wanted any more; an
    /// HTTP server sees the connection close.
    async fn abandon(&mut self, source: &mut Source, end: End) {
        let open = self.asked.clone();
        // The record first: a program may be slow to take what it is told.
        self.finish(end).await;
        let is_ours =
            matches!(end, End::Gone | End::Stalled | End::Behind | End::Stopped | End::TimedOut);
        if let (Source::Lines(lines), Some(asked), true) = (source, &open, is_ours) {
            lines.abandon(asked).await;
        }
    }

    /// Ends an exchange that was stopped before its answer began. A client that cancelled the call is
    /// owed no answer, only the end of its request.
    pub(crate) async fn stopped(mut self: Box<Self>, client: ClientEnd) {
        if self.is_cancelled() {
            client.answer(event_stream_head().map(|()| crate::body::ReplyBody::empty()));
        }
        self.finish(End::Stopped).await;
    }

    /// Binds the session that an answer to `initialize` opens to the caller.
    pub(crate) async fn open_session(
        &mut self,
        headers: &HeaderMap,
    ) -> Result<Option<String>, Failure> {
        if !headers::session_id_is_fine(headers) {
            let error = "server sent a session id that is none";
            return Err(Failure::new(Status::MalformedReply, error));
        }
        let id = headers.get(headers::SESSION_ID);
        let (Some(id), Method::Initialize, Some(asked)) = (id, &self.call.method, &self.asked)
        else {
            return Ok(None);
        };
        let (opened, expired) = self.pipeline.sessions.open(
            id.as_bytes(),
            asked.owner.clone(),
            self.program.clone(),
            Instant::now(),
        );
        for session in expired {
            self.pipeline.end_session(&session).await;
        }
        let session =
            opened.map_err(|_| Failure::new(Status::Unknown, "no more sessions can be kept"))?;
        if let (Some(before), Some(id)) = (&self.session, &self.call.id) {
            // The call was asked in another session, where its id would stay taken.
            before.end_call(id, asked);
        }
        let digest = session.digest.clone();
        self.headers.insert(headers::SESSION_ID, id.clone());
        self.session = Some(session);
        self.opened = Some(digest.clone());
        Ok(Some(digest))
    }

    /// The server does not know the session (any more): neither do we.
    async fn forget_session(&mut self) {
        if let Some(session) = self.session.take() {
            self.pipeline.sessions.close(&session.digest);
            self.pipeline.end_session(&session).await;
        }
    }

    /// Nothing came back that could be passed on: record it, then tell the client.
    pub(crate) async fn fail(mut self: Box<Self>, client: ClientEnd, failure: &Failure) {
        self.end_unopened_program().await;
        let cancelled = self.is_cancelled();
        let Some(asked) = self.take_asked() else { return };
        let status = if cancelled { Status::Cancelled } else { failure.status };
        let ending = Ending {
            http_status: failure.http_status.or(self.progress.http_status),
            response_bytes: self.progress.bytes,
            response_messages: self.progress.messages,
            client: failure.client,
            ..Ending::new(status)
        };
        tracing::warn!(call = %asked.call, server = %self.pipeline.server, "{}", failure.message);
        let answered = self.pipeline.answered(&asked, &ending, self.pipeline.answers).await;
        client.answer(match answered {
            Ok(()) => failure.response(&self.call, asked.call),
            Err(error) => unrecorded(&self.call, asked.call, &error),
        });
    }
}

impl From<Lost> for End {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Gone => Self::Gone,
            Lost::Stalled => Self::Stalled,
        }
    }
}

/// Names the subscription that a message belongs to (2026-07-28, subscriptions).
const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// Returns when who listens has to show again who it is.
async fn lapsed(lapse: Option<&Lapse>) {
    match lapse {
        Some(lapse) => lapse.lapsed().await,
        None => std::future::pending().await,
    }
}

/// Returns after this time; never when there is none.
pub(crate) async fn elapsed(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// The error in the place of a list that clients may read otherwise than we do.
pub(crate) fn unreadable(id: Option<&mcp::RequestId>, call: event::CallId) -> Bytes {
    let (code, _, reason) = Failure::new(Status::MalformedReply, UNREADABLE).terms();
    error_message(id, code, UNREADABLE, &Detail { call, reason })
}

const UNREADABLE: &str = "server did not answer with a list that can be read one way only";

/// An event that was not the first of its stream, and would be now because those before it are withheld.
/// A byte order mark in front of it made its first line nothing; at the start of a stream, clients
/// would leave the mark out and read the line (WHATWG HTML 9.2.6).
fn after_the_start(bytes: Bytes) -> Bytes {
    if bytes.starts_with(b"\xef\xbb\xbf") { Bytes::from([b":\n", &*bytes].concat()) } else { bytes }
}

/// The head of an answer that the gateway itself streams.
pub(crate) fn event_stream_head() -> Response<()> {
    let mut head = Response::new(());
    let headers = head.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    head
}
