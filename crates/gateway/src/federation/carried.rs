//! One request of a stateless client on its way through the session that is held with a member of the
//! older revisions: its answer and what is said before it, its cancellation, streams that break off. It
//! runs in a task of its own, since a client that goes away has to be told to the member. Translates
//! nothing itself.

use super::ask::Events;
use super::older::{Heard, Level, Older};
use super::rewrite;
use super::session::Link;
use super::{Federation, Whole};
use crate::backend::stopping;
use crate::body::ReplyBody;
use crate::client::{ClientEnd, ClientStream};
use crate::headers;
use crate::refusal::{Cause, broken_call, json_response};
use crate::relay::event_stream_head;
use crate::source::sse_event;
use bytes::Bytes;
use http::{HeaderValue, Method as HttpMethod, Response, StatusCode, header};
use mcp::Request;
use mcp::edit::quoted;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// The request, and everything that it takes to carry it.
struct Carried {
    federation: Arc<Federation>,
    /// Within the held session; its body is translated, and so is its id.
    inner: Whole,
    place: usize,
    prefix: String,
    call: Older,
}

/// How a stream of the member went on.
enum Next {
    /// The answer has been passed on, or nobody waits for it.
    Done,
    /// It ended before the answer; the rest may be had after this event.
    Ended(Option<HeaderValue>),
    Broken,
}

impl Federation {
    /// Asks a member of the older revisions for a stateless client. The body has the member's own names.
    pub(super) async fn carry_older(
        self: &Arc<Self>,
        whole: &Whole,
        request: &Request<'_>,
        (place, body): (usize, Bytes),
    ) -> Result<Response<ReplyBody>, Cause> {
        let member = self.members.get(place).ok_or(Cause::UnknownName)?;
        let inner = self.in_held_session(whole)?;
        let session = inner.session.clone().ok_or(Cause::UnknownSession)?;
        let call = Older::of(request, session.next_id()).map_err(Cause::OtherEra)?;
        let link = self.link(&inner, place).await.ok_or_else(|| self.down(place))?;
        self.ask_for_level(&inner, place, &link, call.level).await;
        let body = call.request(&body).ok_or(Cause::UnknownName)?;
        let id = Some(call.own.clone());
        let (head, answer) = oneshot::channel();
        let carried = Carried {
            federation: Arc::clone(self),
            inner: Whole { body, id, ..inner },
            place,
            prefix: member.prefix.clone(),
            call,
        };
        self.exchanges.spawn(async move {
            session.begin(&carried.call.own, &carried.prefix);
            carried.run(link, ClientEnd::new(head)).await;
            session.done(&carried.call.own);
        });
        Ok(answer.await.unwrap_or_else(|_| stopping()))
    }

    /// A member tells what it logs from the level on that it was asked for; what a client did not ask for
    /// is left out again.
    async fn ask_for_level(&self, inner: &Whole, place: usize, link: &Link, level: Option<Level>) {
        let (Some(level), Some(session)) = (level, &inner.session) else { return };
        let Some(member) = self.members.get(place) else { return };
        if !link.offers(&["logging"]) || !session.is_quieter(&member.prefix, level) {
            return;
        }
        let (id, name) = (session.next_id(), quoted(level.name()));
        let body = Bytes::from(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"logging/setLevel","params":{{"level":{name}}}}}"#
        ));
        let part = inner.part(HttpMethod::POST, inner.headers_on(link, None), body);
        let answers = self.ask_each(vec![(place, part)], Some(&id)).await;
        let answer = answers.first().and_then(|(_, answer)| answer.as_ref());
        if answer.is_some_and(|answer| super::discover::result_of(&answer.message).is_some()) {
            session.set_level(&member.prefix, level);
        }
    }
}

impl Carried {
    async fn run(&self, link: Link, mut client: ClientEnd) {
        let mut link = link;
        let Some(mut response) = self.ask(&link, &mut client).await else { return };
        if response.status() == StatusCode::NOT_FOUND {
            // The member has lost its session, so it has not looked at the request: once more in a new one.
            if let Some(session) = &self.inner.session {
                session.lose(&self.prefix);
            }
            let again = tokio::select! {
                biased;
                () = client.gone() => return,
                again = self.federation.link(&self.inner, self.place) => again,
            };
            if let Some(again) = again {
                link = again;
                // What the lost session was told is not known in this one.
                self.federation
                    .ask_for_level(&self.inner, self.place, &link, self.call.level)
                    .await;
                let Some(second) = self.ask(&link, &mut client).await else { return };
                response = second;
            }
        }
        if headers::media_type_is(response.headers(), "text/event-stream") {
            self.stream(&link, response, client).await;
        } else {
            self.whole(response, client).await;
        }
    }

    /// The head of the member's answer; nothing when the client goes away before.
    async fn ask(&self, link: &Link, client: &mut ClientEnd) -> Option<Response<ReplyBody>> {
        let member = self.federation.members.get(self.place)?;
        let headers = self.inner.headers_on(link, None);
        let part = self.inner.part(HttpMethod::POST, headers, self.inner.body.clone());
        let asked = member.backend.ask_single(part);
        tokio::pin!(asked);
        tokio::select! {
            biased;
            () = client.gone() => {
                self.cancel(link).await;
                None
            }
            response = &mut asked => Some(response),
        }
    }

    async fn whole(&self, response: Response<ReplyBody>, client: ClientEnd) {
        let limit = self.federation.limits.reply_bytes_max;
        let (parts, body) = response.into_parts();
        let message = super::ask::collect(body, limit).await.unwrap_or_default();
        match self.call.heard(&message) {
            Heard::Answer(answer, status) => {
                client.answer(json_response(status, rewrite::to_client(&answer, &self.prefix)));
            }
            _ => {
                // A refusal of the gateway, or a failure that it tells of.
                let message = self.call.named(&message).unwrap_or(message);
                client.answer(json_response(parts.status, message));
            }
        }
    }

    async fn stream(&self, link: &Link, response: Response<ReplyBody>, client: ClientEnd) {
        let Ok(client) = client.stream(event_stream_head()) else { return self.cancel(link).await };
        let limit = self.federation.limits.reply_bytes_max;
        let mut events = Events::new(response.into_body(), limit);
        let mut tries = 0;
        loop {
            let mut retry = RETRY;
            let last = match self.pass(link, &mut events, &client, &mut retry).await {
                Next::Done => return,
                Next::Broken => None,
                Next::Ended(last) => last,
            };
            tries += 1;
            let Some(last) = last.filter(|_| tries <= RETRIES_MAX) else { break };
            let resumed = async {
                tokio::time::sleep(retry).await;
                self.resume(link, last).await
            };
            let resumed = tokio::select! {
                biased;
                _ = client.gone() => return self.cancel(link).await,
                resumed = resumed => resumed,
            };
            let Some(body) = resumed else { break };
            events = Events::new(body, limit);
        }
        let text = "connection to the server broke before the answer";
        let message = broken_call(Some(self.call.id()), self.inner.call, text);
        // A client that is gone needs no answer.
        client.send(sse_event(&message), self.patience()).await.ok();
    }

    /// Passes on what one connection brings.
    async fn pass(
        &self,
        link: &Link,
        events: &mut Events,
        client: &ClientStream,
        retry: &mut Duration,
    ) -> Next {
        let mut last = None;
        loop {
            let next = tokio::select! {
                biased;
                _ = client.gone() => {
                    self.cancel(link).await;
                    return Next::Done;
                }
                next = events.next() => next,
            };
            let event = match next {
                Ok(Some(piece)) => piece.event,
                Ok(None) => return Next::Ended(last),
                Err(_) if last.is_some() => return Next::Ended(last),
                Err(_) => return Next::Broken,
            };
            let Some(event) = event else {
                // What keeps the stream alive here, keeps the client's.
                client.send(Bytes::from_static(b":\n\n"), self.patience()).await.ok();
                continue;
            };
            last = event.id.and_then(|id| HeaderValue::from_str(&id).ok()).or(last);
            *retry = event.retry.map_or(*retry, Duration::from_millis).min(RETRY_MAX);
            let Some(data) = event.data.filter(|data| !data.is_empty()) else { continue };
            let (message, is_last) = match self.call.heard(&Bytes::from(data)) {
                Heard::Nothing => continue,
                Heard::Question(reply) => {
                    self.tell(link, reply).await;
                    continue;
                }
                Heard::Notice(message) => (message, false),
                Heard::Answer(message, _) => (message, true),
            };
            let message = rewrite::to_client(&message, &self.prefix);
            let sent = client.send(sse_event(&message), self.patience()).await;
            if is_last || sent.is_err() {
                if !is_last {
                    self.cancel(link).await;
                }
                return Next::Done;
            }
        }
    }

    /// The rest of a stream that ended before the answer (2025-11-25 transports, "Resumability and
    /// Redelivery").
    async fn resume(&self, link: &Link, last: HeaderValue) -> Option<ReplyBody> {
        let member = self.federation.members.get(self.place)?;
        let mut headers = self.inner.headers_on(link, None);
        headers.remove(header::CONTENT_TYPE);
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.insert(headers::LAST_EVENT_ID, last);
        let part = self.inner.part(HttpMethod::GET, headers, Bytes::new());
        let response = member.backend.ask_single(part).await;
        super::stream::is_stream(&response).then(|| response.into_body())
    }

    /// The client does not want the answer any more; in sessions a message says so.
    async fn cancel(&self, link: &Link) {
        let reason = Some("the client went away");
        self.tell(link, Bytes::from(mcp::build::cancelled(&self.call.own, reason))).await;
    }

    /// How long a client that is slow to read is waited for.
    fn patience(&self) -> Duration {
        self.federation.limits.write_timeout
    }

    async fn tell(&self, link: &Link, message: Bytes) {
        let headers = self.inner.headers_on(link, None);
        let part = self.inner.part(HttpMethod::POST, headers, message);
        self.federation.ask_each(vec![(self.place, part)], None).await;
    }
}

/// How often a stream is asked for again.
const RETRIES_MAX: u32 = 5;
/// How long to wait before that when the server names no time.
const RETRY: Duration = Duration::from_secs(1);
/// The longest wait that a server can ask for.
const RETRY_MAX: Duration = Duration::from_secs(60);
