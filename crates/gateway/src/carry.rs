//! Sends an admitted message to the server and starts to carry what comes back, over either kind of
//! upstream.

use crate::asked::{Asked, Ending};
use crate::backend::Backend;
use crate::bodies::may_explain_failure;
use crate::body::ReplyBody;
use crate::call::Call;
use crate::client::ClientEnd;
use crate::exchange::{End, Exchange, Progress};
use crate::failure::Failure;
use crate::headers;
use crate::lapse::Lapse;
use crate::pipeline::{Caller, Pipeline, Received, length};
use crate::refusal::{Detail, error_message, json_response};
use crate::relay::event_stream_head;
use crate::session::Session;
use crate::source::Source;
use crate::unheard::Passed;
use crate::upstream::Upstream;
use crate::upstream::bridge::Bridge;
use crate::upstream::conversation::Conversation;
use crate::upstream::http::{HttpUpstream, Outbound, SendError, no_program, root};
use crate::upstream::lines::Lines;
use crate::upstream::waiting::Behind;
use crate::withheld::{Scene, Withheld, Withholding};
use aws_lc_rs::rand;
use bytes::Bytes;
use event::Status;
use http::{HeaderMap, HeaderValue, Method as HttpMethod, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use mcp::{Frame, Message, Method};
use std::fmt::Write as _;
use std::sync::Arc;

impl Backend {
    /// Carries an admitted call or session operation to the server and its answer to the client.
    pub(crate) async fn carry(
        &self,
        (call, asked, session): (Call, Arc<Asked>, Option<Arc<Session>>),
        method: HttpMethod,
        received: Received,
        client: ClientEnd,
    ) {
        let Some(headers) = received.headers else { return };
        let headers = headers::upstream_request(headers, session.is_some());
        if let (Method::NotificationsCancelled, Some(id), Some(session)) =
            (&call.method, &call.cancels, &session)
            && let Some(cancelled) = session.cancel(id)
        {
            self.pipeline.ended(&cancelled, &Ending::new(Status::Cancelled)).await;
        }
        let lasts = call.is_listening() && client.is_connected();
        let lapse = lasts.then(|| self.lapse(&received.caller)).flatten();
        let stop = if call.is_listening() { &self.stops.soft } else { &self.stops.hard };
        let stop = match (&call.id, &session) {
            (Some(id), Some(session)) => {
                let stop = stop.child_token();
                session.carry(id, &asked, &stop);
                stop
            }
            _ => stop.clone(),
        };
        // In a place of its own: every step that it is handed through would hold it once more.
        let exchange = Box::new(Exchange {
            pipeline: &self.pipeline,
            upstream: &self.upstream,
            headers: own_headers(&call, session.is_some(), &headers),
            call,
            about: Arc::clone(&asked),
            asked: Some(asked),
            session,
            program: None,
            opened: None,
            stop,
            lapse,
            progress: Progress::default(),
            withheld: Withheld::default(),
            reported: None,
            passed: Passed::default(),
        });
        let lent = Box::pin(self.lend_to(exchange, &received.caller, client)).await;
        let Some((exchange, client)) = lent else { return };
        match &*self.upstream {
            Upstream::Http(http) => {
                let outbound = Outbound { method, headers, body: received.raw };
                // The largest futures of the gateway; kept out of those around them.
                Box::pin(exchange.over_http(http, outbound, client)).await;
            }
            Upstream::Sse(_) if exchange.call.is_modern() => exchange.send_back(client).await,
            Upstream::Stdio(_) | Upstream::Sse(_) if method == HttpMethod::POST => {
                Box::pin(exchange.over_conversation(received.raw, client)).await;
            }
            Upstream::Stdio(_) | Upstream::Sse(_) if method == HttpMethod::GET => {
                Box::pin(exchange.listen(client)).await;
            }
            Upstream::Stdio(_) | Upstream::Sse(_) => exchange.close(client).await,
        }
    }

    /// Until when a stream may last that this caller opens now.
    fn lapse(&self, caller: &Caller) -> Option<Lapse> {
        let Caller::Known(actor) = caller else { return None };
        Some(self.streams.lapse(actor, self.pipeline.recorder.clock().now()))
    }

    /// Carries the client's answer to a call of the server; its record is already durable.
    pub(crate) async fn carry_answer(
        &self,
        asked: Arc<Asked>,
        session: &Session,
        received: Received,
        client: ClientEnd,
    ) {
        let sent = tokio::select! {
            biased;
            () = self.stops.hard.cancelled() => return,
            sent = self.send_answer(&asked, session, received) => sent,
        };
        client.answer(match sent {
            Ok(response) => response,
            Err(error) => {
                let failure = Failure::from(&error);
                tracing::warn!(call = %asked.call, "{}", failure.message);
                let (code, status, reason) = match failure.status {
                    Status::NoCredential => failure.terms(),
                    _ => (50_201, StatusCode::BAD_GATEWAY, "upstream.broke"),
                };
                let detail = Detail { call: asked.call, reason };
                json_response(status, error_message(None, code, &failure.message, &detail))
            }
        });
    }

    async fn send_answer(
        &self,
        asked: &Asked,
        session: &Session,
        received: Received,
    ) -> Result<Response<ReplyBody>, SendError> {
        let Some(headers) = received.headers else {
            return Err(SendError::Unreachable("there is no HTTP exchange".to_owned()));
        };
        if let Some(lending) = self.lending.as_ref().filter(|_| self.upstream.is_remote()) {
            lending.lend(asked, &received.caller).await.map_err(|_| SendError::NoCredential)?;
        }
        let http = match (&*self.upstream, &session.program) {
            (Upstream::Http(http), _) => http,
            (Upstream::Stdio(_) | Upstream::Sse(_), Some(program)) => {
                program.send(asked.proof(), received.raw).await?;
                return Ok(empty(StatusCode::ACCEPTED));
            }
            (Upstream::Stdio(_) | Upstream::Sse(_), None) => {
                return Err(no_program());
            }
        };
        let headers = headers::upstream_request(headers, true);
        let outbound = Outbound { method: HttpMethod::POST, headers, body: received.raw };
        let (parts, body) = http.send(asked.proof(), outbound).await?.into_parts();
        if parts.status == StatusCode::NOT_FOUND {
            self.pipeline.sessions.close(&session.digest);
            self.pipeline.end_session(session).await;
        }
        let leads_elsewhere =
            parts.status.is_redirection() && parts.headers.contains_key(header::LOCATION);
        if leads_elsewhere || headers::is_encoded(&parts.headers) {
            let error = "server redirects elsewhere, or encodes what it says";
            return Err(SendError::Broken(error.to_owned()));
        }
        let limits = &self.pipeline.limits;
        let collected = Limited::new(body, limits.reply_bytes_max).collect();
        let collected = tokio::time::timeout(limits.reply_timeout, collected)
            .await
            .map_err(|_| SendError::TimedOut(limits.reply_timeout))?
            .map_err(|error| SendError::Broken(root(error.as_ref())))?;
        let mut bytes = collected.to_bytes();
        let may_pass = !parts.status.is_success() && may_explain_failure(&bytes, None);
        if !bytes.is_empty() && !may_pass {
            // An answer is owed none, and messages in it would reach the client unjudged.
            let Pipeline { recorder, server, .. } = &self.pipeline;
            let scene = Scene::of(recorder, server, asked, Some(session.digest.clone()));
            Withheld::default().message(Withholding::OutOfPlace, length(&bytes), &scene);
            bytes = Bytes::new();
        }
        let mut response = Response::new(ReplyBody::whole(bytes));
        *response.status_mut() = parts.status;
        *response.headers_mut() = headers::client_reply(parts.headers);
        Ok(response)
    }
}

impl Exchange<'_> {
    async fn over_http(
        mut self: Box<Self>,
        http: &HttpUpstream,
        outbound: Outbound,
        mut client: ClientEnd,
    ) {
        let closes = outbound.method == HttpMethod::DELETE;
        let sent = {
            let Some(asked) = &self.asked else { return };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => None,
                () = client.gone() => Some(None),
                sent = http.send(asked.proof(), outbound) => Some(Some(sent)),
            }
        };
        match sent {
            None => self.stopped(client).await,
            Some(None) => self.finish(End::Gone).await,
            Some(Some(Ok(response))) => {
                if closes && response.status().is_success() {
                    self.end_session().await;
                }
                self.carry_http(response, client).await;
            }
            Some(Some(Err(error))) => self.fail(client, &Failure::from(&error)).await,
        }
    }

    async fn over_conversation(mut self: Box<Self>, raw: Bytes, mut client: ClientEnd) {
        let program = tokio::select! {
            biased;
            () = self.stop.cancelled() => return self.stopped(client).await,
            () = client.gone() => return self.finish(End::Gone).await,
            program = self.program() => program,
        };
        let program = match program {
            Ok(program) => program,
            Err(error) => return self.fail(client, &Failure::from(&error)).await,
        };
        self.program = Some(Arc::clone(&program));
        let Some(asked) = &self.asked else { return };
        if self.call.id.is_none() {
            let sent = program.send(asked.proof(), raw).await;
            return self.accept(sent, client).await;
        }
        match program.call(asked, &self.call, raw).await {
            Ok(lines) => self.await_first_line(lines, client).await,
            Err(error) => self.fail(client, &Failure::from(&error)).await,
        }
    }

    async fn await_first_line(mut self: Box<Self>, mut lines: Lines, mut client: ClientEnd) {
        let timeout = self.pipeline.limits.reply_timeout;
        let first = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(End::Stopped),
            () = client.gone() => Err(End::Gone),
            first = tokio::time::timeout(timeout, lines.next()) => {
                first.map_err(|_| End::TimedOut).and_then(|next| next.map_err(|Behind| End::Behind))
            }
        };
        let end = match first {
            Ok(Some(line)) => return self.answer_stdio(line, lines, client).await,
            Ok(None) => {
                let error = SendError::Broken("server program ended before it answered".to_owned());
                return self.fail(client, &Failure::from(&error)).await;
            }
            Err(end) => end,
        };
        if end == End::Gone {
            // The record first, and with it the id: a program may be slow to take what it is told.
            self.finish(end).await;
            return lines.abandon(&self.about).await;
        }
        lines.abandon(&self.about).await;
        if end == End::Stopped {
            return self.stopped(client).await;
        }
        let failure = match end {
            End::Behind => Failure {
                client: end.of_client(),
                ..Failure::new(Status::ReplyTooLarge, "server said more than can wait")
            },
            _ => Failure::from(&SendError::TimedOut(timeout)),
        };
        self.fail(client, &failure).await;
    }

    /// A server of 2024-11-05 knows no stateless requests: a 400 whose error is none of 2026-07-28 tells
    /// the client to begin with `initialize` (versioning, "Backward Compatibility").
    async fn send_back(mut self: Box<Self>, client: ClientEnd) {
        let Some(asked) = self.take_asked() else { return };
        let code = mcp::code::METHOD_NOT_FOUND;
        let ending = Ending {
            code: Some(code),
            http_status: Some(StatusCode::BAD_REQUEST.as_u16()),
            ..Ending::new(Status::ProtocolError)
        };
        self.pipeline.ended(&asked, &ending).await;
        let detail = Detail { call: asked.call, reason: "upstream.legacy" };
        let text = "this server has sessions only: send `initialize` first";
        let message = error_message(self.call.id.as_ref(), code, text, &detail);
        client.answer(json_response(StatusCode::BAD_REQUEST, message));
    }

    /// The conversation for this call: the session's, a new one for a new session, or the caller's.
    async fn program(&self) -> Result<Arc<Conversation>, SendError> {
        let Some(asked) = &self.asked else {
            return Err(SendError::Unreachable("the call is over".to_owned()));
        };
        match (&self.session, &self.call.method) {
            (Some(session), _) => session.program.clone().ok_or_else(no_program),
            (None, Method::Initialize) => match self.upstream {
                Upstream::Stdio(bridge) => self.start_program(bridge, asked).await,
                Upstream::Sse(server) => Conversation::connect(server, asked.proof()).await,
                Upstream::Http(_) => Err(no_session()),
            },
            (None, _) if self.call.is_modern() => match self.upstream {
                Upstream::Stdio(bridge) => bridge.shared(&asked.owner, asked.lent.get()),
                Upstream::Sse(_) | Upstream::Http(_) => Err(no_session()),
            },
            (None, _) => Err(no_session()),
        }
    }

    /// A program for a new session; where all places are taken, in the place of another's.
    async fn start_program(
        &self,
        bridge: &Bridge,
        asked: &Asked,
    ) -> Result<Arc<Conversation>, SendError> {
        let started = bridge.start(asked.lent.get());
        if !matches!(started, Err(SendError::Full(_))) {
            return started;
        }
        let Some(session) = self.pipeline.sessions.make_room(&asked.owner) else { return started };
        // Its place is free when its program has ended.
        self.pipeline.end_session(&session).await;
        bridge.start(asked.lent.get())
    }

    /// The first line decides the form: an answer alone goes as JSON, anything before it as a stream.
    async fn answer_stdio(mut self: Box<Self>, first: Bytes, mut lines: Lines, client: ClientEnd) {
        let (is_answer, error_code) = match mcp::parse(&first, &mcp::Limits::for_replies()) {
            Ok(Frame::Single(Message::Response(response))) => match response.outcome {
                mcp::Outcome::Error { code } => (true, Some(code)),
                mcp::Outcome::Result(_) => (true, None),
            },
            _ => (false, None),
        };
        let mut response = Response::new(());
        if let (Method::Initialize, None) = (&self.call.method, &self.session) {
            match new_session_id() {
                Ok(id) => response.headers_mut().insert(headers::SESSION_ID, id),
                Err(failure) => return self.fail(client, &failure).await,
            };
        }
        if is_answer {
            if let Some(code) = error_code.filter(|_| self.call.is_modern()) {
                *response.status_mut() = modern_status(&self.call, code);
            }
            if error_code.is_some() {
                response.headers_mut().remove(headers::SESSION_ID);
                self.end_unopened_program().await;
            }
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let (parts, ()) = response.into_parts();
            return self
                .answer_whole(parts, Bytes::copy_from_slice(first.trim_ascii()), client)
                .await;
        }
        lines.push_back(first);
        let mut head = event_stream_head();
        head.headers_mut().extend(response.headers().clone());
        if let Err(failure) = self.open_session(head.headers()).await {
            return self.fail(client, &failure).await;
        }
        self.stream(Source::Lines(lines), head, client).await;
    }

    /// The stream of what belongs to no exchange.
    async fn listen(mut self: Box<Self>, client: ClientEnd) {
        let program = self.session.as_ref().and_then(|s| s.program.clone());
        let Some(program) = program else {
            return self.answer_empty(StatusCode::METHOD_NOT_ALLOWED, client).await;
        };
        let lines = program.listen();
        self.program = Some(program);
        self.stream(Source::Lines(lines), event_stream_head(), client).await;
    }

    /// The end of a session with a local program.
    async fn close(mut self: Box<Self>, client: ClientEnd) {
        let status = match &self.session {
            Some(_) => StatusCode::OK,
            None => StatusCode::METHOD_NOT_ALLOWED,
        };
        self.end_session().await;
        self.answer_empty(status, client).await;
    }

    async fn answer_empty(mut self: Box<Self>, status: StatusCode, client: ClientEnd) {
        if let Some(asked) = self.take_asked() {
            let what = if status.is_success() { Status::Accepted } else { Status::HttpError };
            let ending = Ending { http_status: Some(status.as_u16()), ..Ending::new(what) };
            self.pipeline.ended(&asked, &ending).await;
        }
        client.answer(empty(status));
    }

    async fn accept(self: Box<Self>, sent: Result<(), SendError>, client: ClientEnd) {
        match sent {
            Ok(()) => self.answer_empty(StatusCode::ACCEPTED, client).await,
            Err(error) => self.fail(client, &Failure::from(&error)).await,
        }
    }

    /// A program that was started for a session which never came about.
    pub(crate) async fn end_unopened_program(&mut self) {
        if let (None, Method::Initialize, Some(program)) =
            (&self.session, &self.call.method, self.program.take())
        {
            program.end().await;
        }
    }

    async fn end_session(&mut self) {
        if let Some(session) = self.session.take() {
            self.pipeline.sessions.close(&session.digest);
            self.pipeline.end_session(&session).await;
        }
    }
}

fn no_session() -> SendError {
    SendError::Unreachable("there is no session: send `initialize` first".to_owned())
}

/// Headers for messages that the gateway itself may have to send: only sessions know such messages.
fn own_headers(call: &Call, in_session: bool, request: &HeaderMap) -> HeaderMap {
    if in_session || matches!(call.method, Method::Initialize) {
        headers::own_message(request)
    } else {
        HeaderMap::new()
    }
}

/// The HTTP status of an error that a program answered with. A program that does not know
/// `server/discover` is of the older era: the client learns that from a 400 whose error is none of
/// the 2026-07-28 revision (versioning, "Backward Compatibility").
fn modern_status(call: &Call, code: i64) -> StatusCode {
    if matches!(call.method, Method::ServerDiscover) && code == mcp::code::METHOD_NOT_FOUND {
        return StatusCode::BAD_REQUEST;
    }
    StatusCode::from_u16(mcp::code::http_status(code)).unwrap_or(StatusCode::OK)
}

/// 128 random bits: session ids must not be guessable (MCP security best practices).
pub(crate) fn new_session_id() -> Result<HeaderValue, Failure> {
    let mut random = [0_u8; 16];
    let failed = || Failure::new(Status::Unknown, "no random numbers for a session id");
    rand::fill(&mut random).map_err(|_| failed())?;
    let mut text = String::with_capacity(32);
    for byte in random {
        write!(text, "{byte:02x}").map_err(|_| failed())?;
    }
    HeaderValue::from_str(&text).map_err(|_| failed())
}

fn empty(status: StatusCode) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::empty());
    *response.status_mut() = status;
    response
}
