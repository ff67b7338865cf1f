//! One request of a session on its way to a stateless member. An answer that wants input becomes requests
//! to the client, as servers of the older revisions send them, and the request goes again with what the
//! client says, until there is an answer. Runs in a task of its own; translates nothing itself.

use super::ask::Events;
use super::era::mirrored;
use super::names::Form;
use super::newer::{self, Newer, Wanted};
use super::rewrite;
use super::session::{Given, Link};
use super::{Federation, Whole};
use crate::asked::Origin;
use crate::backend::{Backend, stopping};
use crate::body::ReplyBody;
use crate::carry::new_session_id;
use crate::client::{ClientEnd, ClientStream};
use crate::config::AnswerDurability;
use crate::ending::ending_of;
use crate::headers;
use crate::refusal::{Cause, Refusal, json_response};
use crate::relay::event_stream_head;
use crate::session::{Owner, Session as Core};
use crate::source::sse_event;
use bytes::Bytes;
use http::{Method as HttpMethod, Response, StatusCode};
use mcp::edit::Step;
use mcp::{Frame, Message, Method, Request, RequestId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// The request, and everything that it takes to carry it.
struct Rounds {
    federation: Arc<Federation>,
    whole: Whole,
    backend: Arc<Backend>,
    prefix: String,
    /// The client's id.
    id: RequestId,
    /// The request with the member's own names, in the client's words.
    body: Bytes,
    newer: Newer,
    revision: String,
    /// The tool that is called, whose schema may want headers.
    tool: Option<String>,
    /// The client cancelled it.
    stop: CancellationToken,
}

/// The client's end, before and after it hears anything.
enum Out {
    /// With the time for which a client that is slow to read is waited for.
    Head(ClientEnd, Duration),
    Stream(ClientStream, Duration),
}

/// What a round brought.
enum Came {
    Answer(Bytes, StatusCode),
    /// The client is gone, or does not want the answer any more.
    Unwanted,
    Broken,
}

impl Federation {
    /// Asks a stateless member for a client of a session. The body has the member's own names.
    pub(super) async fn carry_newer(
        self: &Arc<Self>,
        whole: &Whole,
        request: &Request<'_>,
        (place, own, body): (usize, &str, Bytes),
        link: &Link,
    ) -> Result<Response<ReplyBody>, Cause> {
        Newer::check(request).map_err(Cause::OtherEra)?;
        let member = self.members.get(place).ok_or(Cause::UnknownName)?;
        let session = whole.session.clone().ok_or(Cause::UnknownSession)?;
        let stop = session.ending();
        let rounds = Rounds {
            federation: Arc::clone(self),
            whole: whole.clone(),
            backend: Arc::clone(&member.backend),
            prefix: member.prefix.clone(),
            id: request.id.clone(),
            body,
            newer: Newer::of(&session.opening, session.level()),
            revision: link.revision.clone(),
            tool: (request.method == Method::ToolsCall).then(|| own.to_owned()),
            stop: stop.clone(),
        };
        session.begin(&request.id, &member.prefix);
        session.stoppable(&request.id, stop);
        let (head, answer) = oneshot::channel();
        self.exchanges.spawn(async move {
            let patience = rounds.federation.limits.write_timeout;
            rounds.run(Out::Head(ClientEnd::new(head), patience)).await;
            session.done(&rounds.id);
        });
        Ok(answer.await.unwrap_or_else(|_| stopping()))
    }
}

impl Rounds {
    async fn run(&self, mut out: Out) {
        let mut body = self.body.clone();
        for _ in 0..ROUNDS_MAX {
            let came = self.round(&body, out).await;
            let (answer, status, back) = match came {
                (Came::Answer(answer, status), Some(back)) => (answer, status, back),
                (Came::Broken, Some(Out::Stream(stream, _))) => return stream.cut(),
                (Came::Unwanted, Some(back)) => return back.nothing(),
                _ => return,
            };
            out = back;
            let wanted = match newer::wanted(&answer) {
                None => {
                    let id = self.id.to_string();
                    let named = rewrite::change(&answer, &[Step::Key("id")], |_| Some(id.clone()));
                    let answer = rewrite::to_client(&named.unwrap_or(answer), &self.prefix);
                    return out.last(status, answer).await;
                }
                Some(Ok(wanted)) => wanted,
                Some(Err(why)) => return self.refuse(Cause::OtherEra(why), out).await,
            };
            let (answers, back) = match self.put(&wanted, out).await {
                Ok(put) => put,
                Err((Some(why), back)) => return self.refuse(Cause::OtherEra(why), back).await,
                Err((None, back)) => return back.nothing(),
            };
            out = back;
            match newer::next_round(&self.body, &answers, wanted.state.as_deref()) {
                Some(next) => body = next,
                None => return self.refuse(Cause::OtherEra(UNFIT), out).await,
            }
        }
        self.refuse(Cause::OtherEra(ENDLESS), out).await;
    }

    /// Asks once. What is said before the answer goes on to the client.
    async fn round(&self, body: &Bytes, mut out: Out) -> (Came, Option<Out>) {
        let Some(session) = &self.whole.session else { return (Came::Unwanted, Some(out)) };
        let own = session.next_id();
        let schemas = &self.backend.pipeline.schemas;
        let params = self.tool.as_deref().and_then(|tool| schemas.of(tool));
        let part = self.newer.request(body, &own, &self.revision).and_then(|body| {
            let params = params.as_deref().unwrap_or_default();
            let headers = mirrored(&self.whole.headers, &body, params)?;
            Some(self.whole.part(HttpMethod::POST, headers, body))
        });
        let Some(part) = part else { return (Came::Broken, Some(out)) };
        let response = tokio::select! {
            biased;
            () = self.stop.cancelled() => return (Came::Unwanted, Some(out)),
            () = out.gone() => return (Came::Unwanted, None),
            response = self.backend.ask_single(part) => response,
        };
        let limit = self.federation.limits.reply_bytes_max;
        let (parts, body) = response.into_parts();
        if !headers::media_type_is(&parts.headers, "text/event-stream") {
            let answer = super::ask::collect(body, limit).await.unwrap_or_default();
            return (Came::Answer(answer, parts.status), Some(out));
        }
        let mut events = Events::new(body, limit);
        loop {
            let next = tokio::select! {
                biased;
                () = self.stop.cancelled() => return (Came::Unwanted, Some(out)),
                () = out.gone() => return (Came::Unwanted, None),
                next = events.next() => next,
            };
            let Ok(Some(piece)) = next else { return (Came::Broken, out.begun()) };
            let data = piece.event.and_then(|event| event.data).filter(|data| !data.is_empty());
            let Some(message) = data.map(Bytes::from) else {
                // What keeps the member's stream alive, keeps the client's.
                match out.event(Bytes::from_static(b":\n\n")).await {
                    Some(back) => out = back,
                    None => return (Came::Unwanted, None),
                }
                continue;
            };
            if super::ask::answers(&message, Some(&own)) {
                return (Came::Answer(message, StatusCode::OK), Some(out));
            }
            let shown = rewrite::to_client(&message, &self.prefix);
            match out.event(sse_event(&shown)).await {
                Some(back) => out = back,
                None => return (Came::Unwanted, None),
            }
        }
    }

    /// Puts what the member wants to the client. Every one of them is a call of the server to the client:
    /// permitted by a policy and on record before the client hears of it, and its answer too. `Err` says
    /// why there are no answers; nothing, when nobody wants them any more.
    async fn put(
        &self,
        wanted: &Wanted,
        out: Out,
    ) -> Result<
        (BTreeMap<String, Box<serde_json::value::RawValue>>, Out),
        (Option<&'static str>, Out),
    > {
        let pipeline = &self.backend.pipeline;
        let Ok(id) = new_session_id() else { return Err((Some(UNFIT), out)) };
        let owner = Owner::of(&self.whole.actor);
        let (opened, expired) = pipeline.sessions.open(id.as_bytes(), owner, None, Instant::now());
        for session in expired {
            pipeline.end_session(&session).await;
        }
        let Ok(core) = opened else { return Err((Some(UNFIT), out)) };
        let put = self.put_in(&core, wanted, out).await;
        pipeline.sessions.close(&core.digest);
        pipeline.end_session(&core).await;
        put
    }

    async fn put_in(
        &self,
        core: &Core,
        wanted: &Wanted,
        mut out: Out,
    ) -> Result<
        (BTreeMap<String, Box<serde_json::value::RawValue>>, Out),
        (Option<&'static str>, Out),
    > {
        let Some(session) = self.whole.session.clone() else { return Err((None, out)) };
        let mut waiting = Vec::new();
        for (key, asking) in &wanted.requests {
            let own = session.next_id();
            let seen = Form::Id.join(&self.prefix, &own.to_string());
            let message = asking.message(&RequestId::text(&seen));
            if self.admit(core, &message).await.is_err() {
                return Err((Some(FORBIDDEN), out));
            }
            let Some(answer) = session.await_answer(&seen) else { return Err((Some(UNFIT), out)) };
            out = match out.event(sse_event(&message)).await {
                Some(back) => back,
                None => return Err((None, Out::closed())),
            };
            waiting.push((key.clone(), seen, answer));
        }
        let (mut answers, mut rooms) = (BTreeMap::new(), Vec::new());
        for (key, seen, answer) in waiting {
            let answer = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err((None, out)),
                () = out.gone() => return Err((None, out)),
                answer = answer => answer,
            };
            let Ok(Given { answer, room }) = answer else { return Err((None, out)) };
            rooms.push(room);
            self.record(core, &seen, &answer).await;
            match newer::result_of(&answer) {
                Some(result) => drop(answers.insert(key, result)),
                None => return Err((Some(UNANSWERED), out)),
            }
        }
        Ok((answers, out))
    }

    async fn admit(&self, core: &Core, message: &Bytes) -> Result<(), ()> {
        let Ok(Frame::Single(read)) = mcp::parse(message, &mcp::Limits::for_replies()) else {
            return Err(());
        };
        let bytes = crate::pipeline::length(message);
        let origin: &Origin = &self.whole.origin;
        let asked = self.backend.pipeline.question(&read, bytes, origin, core).await;
        asked.map(drop).map_err(|_refusal_for_the_server| ())
    }

    /// The client's answer on record, before the server sees it.
    async fn record(&self, core: &Core, seen: &str, answer: &Bytes) {
        let Some(asked) = core.take_to_client(&RequestId::text(seen)) else { return };
        let Ok(Frame::Single(Message::Response(response))) =
            mcp::parse(answer, &mcp::Limits::default())
        else {
            return;
        };
        let ending = ending_of(&response, answer);
        let durable = AnswerDurability::BeforeRelease;
        // Already logged; the next round cannot be put on record either, and is refused.
        self.backend.pipeline.answered(&asked, &ending, durable).await.ok();
    }

    async fn refuse(&self, cause: Cause, out: Out) {
        let refusal = Refusal::new(cause, self.federation.known_of(&self.whole));
        self.federation.refuse(&refusal, &self.whole.origin).await;
        out.last(refusal.cause.status(), refusal.message()).await;
    }
}

impl Out {
    async fn gone(&mut self) {
        match self {
            Self::Head(end, _) => end.gone().await,
            Self::Stream(stream, _) => drop(stream.gone().await),
        }
    }

    /// Sends an event, the first of which opens the stream; `None` when the client is gone.
    async fn event(self, event: Bytes) -> Option<Self> {
        let (stream, patience) = match self {
            Self::Head(end, patience) => (end.stream(event_stream_head()).ok()?, patience),
            Self::Stream(stream, patience) => (stream, patience),
        };
        stream.send(event, patience).await.ok()?;
        Some(Self::Stream(stream, patience))
    }

    async fn last(self, status: StatusCode, message: Bytes) {
        match self {
            Self::Head(end, _) => end.answer(json_response(status, message)),
            // A client that is gone needs no answer.
            Self::Stream(stream, patience) => {
                stream.send(sse_event(&message), patience).await.ok();
            }
        }
    }

    /// Ends without an answer: who cancelled the request is owed none.
    fn nothing(self) {
        if let Self::Head(end, _) = self {
            end.answer(event_stream_head().map(|()| ReplyBody::empty()));
        }
    }

    /// The stream, if there is one to break off.
    fn begun(self) -> Option<Self> {
        match self {
            Self::Head(end, _) => {
                let text = "connection to the server broke before the answer";
                let message = mcp::build::error_response(None, 50_201, text, None);
                end.answer(json_response(StatusCode::BAD_GATEWAY, Bytes::from(message)));
                None
            }
            stream @ Self::Stream(..) => Some(stream),
        }
    }

    /// The end of a client that is gone.
    fn closed() -> Self {
        let (head, _) = oneshot::channel();
        Self::Head(ClientEnd::new(head), Duration::ZERO)
    }
}

/// Rounds of one request; a server that wants more is not going to be content.
const ROUNDS_MAX: u32 = 16;
const UNFIT: &str = "the input that the server wants cannot be asked for now";
const ENDLESS: &str = "the server wants input again and again";
const FORBIDDEN: &str = "a policy forbids what the server wants to ask of the client";
const UNANSWERED: &str = "the client did not give the input that the server wants";
