//! A client of one backend, in process: what stands in for clients whose transport knows no headers and
//! no sessions (HTTP+SSE of 2024-11-05, standard input and output). It keeps the session, opens the
//! stream of the server's own messages, and comes back for answers that broke off. It decides nothing:
//! everything goes through the backend.

mod pump;

use self::pump::Pumped;
use crate::asked::Origin;
use crate::bodies::answer_to;
use crate::body::ReplyBody;
use crate::endpoint::Endpoint;
use crate::headers::{self, LAST_EVENT_ID, SESSION_ID};
use crate::inbound::Inbound;
use crate::pipeline::Caller;
use crate::queue::{Bound, Receiver, Sender, queue};
use crate::refusal::{Detail, error_message};
use bytes::Bytes;
use event::Chain;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::BodyExt;
use mcp::{Frame, Message, Outcome, RequestId, Revision};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Messages that may wait for a client that is slow to read; then its answers wait.
const MESSAGES: Bound = Bound { items: 256, bytes: 4 << 20 };

/// Cancelled requests that are remembered.
const CANCELLED_MAX: usize = 100;

/// How often a broken stream is asked for again without anything coming.
const RETRIES_MAX: u32 = 5;

/// How long to wait before that when the server names no time (WHATWG HTML 9.2: a few seconds).
const RETRY: Duration = Duration::from_secs(1);

/// The longest wait that a server can ask for.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// The client of a backend on behalf of another client.
#[derive(Debug)]
pub(crate) struct Delegate {
    endpoint: Endpoint,
    /// For the operations that the client does not know of itself.
    caller: Caller,
    origin: Origin,
    state: Mutex<State>,
    messages: Sender<Bytes>,
    /// The client is gone; what is in progress on its behalf ends.
    pub(crate) gone: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    session: Option<HeaderValue>,
    revision: Option<Revision>,
    /// The stream of the server's own messages was asked for.
    listens: bool,
    /// The requests that the client cancelled last.
    cancelled: VecDeque<RequestId>,
}

/// What a body of the client is, as far as its way matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is answered: a request with its id, or a batch.
    Asks { id: Option<RequestId>, initializes: bool },
    /// It is owed nothing. It may cancel a request.
    Tells { initialized: bool, cancels: Option<RequestId> },
    /// It is no message; its sender is told.
    Malformed,
}

impl Kind {
    pub(crate) fn of(body: &Bytes, limits: &mcp::Limits) -> Self {
        match mcp::parse(body, limits) {
            Ok(Frame::Single(Message::Request(request))) => Self::Asks {
                initializes: matches!(request.method, mcp::Method::Initialize),
                id: Some(request.id),
            },
            Ok(Frame::Single(message)) => Self::Tells {
                initialized: message.method() == Some(&mcp::Method::NotificationsInitialized),
                cancels: cancelled(&message),
            },
            Ok(Frame::Batch(messages)) => {
                let asks = messages.iter().any(|m| matches!(m, Message::Request(_)));
                if asks {
                    Self::Asks { id: None, initializes: false }
                } else {
                    Self::Tells { initialized: false, cancels: None }
                }
            }
            Err(_) => Self::Malformed,
        }
    }
}

impl Delegate {
    /// For a known caller; what comes back goes into the queue.
    pub(crate) fn new(
        endpoint: Endpoint,
        caller: Caller,
        origin: Origin,
    ) -> (Arc<Self>, Receiver<Bytes>) {
        let (messages, waiting) = queue(MESSAGES);
        let gone = CancellationToken::new();
        let state = Mutex::default();
        (Arc::new(Self { endpoint, caller, origin, state, messages, gone }), waiting)
    }

    /// Carries a message that is answered to the end of its answers. `stop` ends it early.
    pub(crate) async fn ask(&self, inbound: Inbound, kind: &Kind, stop: &CancellationToken) {
        tokio::select! {
            biased;
            () = self.gone.cancelled() => {}
            () = stop.cancelled() => {}
            () = self.carry(inbound, kind) => {}
        }
    }

    /// Carries a message that is owed no answer; how the server took it.
    pub(crate) async fn tell(
        self: &Arc<Self>,
        inbound: Inbound,
        kind: &Kind,
    ) -> Response<ReplyBody> {
        if let Kind::Tells { cancels: Some(id), .. } = kind {
            // Its answer may end without a word now; that is no failure to tell of.
            let cancelled = &mut self.state().cancelled;
            if CANCELLED_MAX <= cancelled.len() {
                cancelled.pop_front();
            }
            cancelled.push_back(id.clone());
        }
        let response = self.endpoint.ask(inbound).await;
        if response.status().is_success() && matches!(kind, Kind::Tells { initialized: true, .. }) {
            self.listen();
        }
        response
    }

    /// As it was sent by the client from `origin`, with the headers of this client's session.
    pub(crate) fn inbound(
        &self,
        (caller, origin): (Caller, Origin),
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Inbound {
        headers.remove(SESSION_ID);
        headers.remove(LAST_EVENT_ID);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let accept = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(header::ACCEPT, accept);
        self.in_session(&mut headers);
        Inbound { method: Method::POST, headers, body, caller, origin, chain: Chain::default() }
    }

    /// A message of the caller that this client was made for.
    pub(crate) fn own_inbound(&self, headers: HeaderMap, body: Bytes) -> Inbound {
        self.inbound((self.caller.clone(), self.origin.clone()), headers, body)
    }

    /// Tells the client something of the gateway's own.
    pub(crate) async fn say(&self, message: Bytes) {
        // A client that is gone needs nothing more.
        self.messages.send(message).await.ok();
    }

    /// Ends the session, at the server and here; nothing more is carried.
    pub(crate) async fn close(&self) {
        self.gone.cancel();
        let Some(id) = self.state().session.take() else { return };
        let mut headers = HeaderMap::new();
        headers.insert(SESSION_ID, id.clone());
        let delete = self.operation(Method::DELETE, headers);
        self.endpoint.ask(delete).await;
        // A server need not know how to end one; for this client it is over all the same.
        self.endpoint.close_session(id.as_bytes()).await;
    }

    /// Opens the stream of the server's own messages, once, where there is a session.
    fn listen(self: &Arc<Self>) {
        let mut state = self.state();
        if state.session.is_none() || std::mem::replace(&mut state.listens, true) {
            return;
        }
        drop(state);
        let this = Arc::clone(self);
        self.endpoint.exchanges().spawn(async move {
            tokio::select! {
                biased;
                () = this.gone.cancelled() => {}
                () = this.endpoint.soft().cancelled() => {}
                () = this.hear() => {}
            }
        });
    }

    /// Hears the server for as long as it speaks, coming back where it left off.
    async fn hear(&self) {
        let mut pumped = Pumped::default();
        loop {
            let response = self.resume(&pumped).await;
            let Some(body) = stream_of(response) else { return };
            let before = pumped.events;
            pumped.pump(body, &self.messages, self.endpoint.limits().reply_bytes_max).await;
            if !pumped.may_go_on(before) {
                return;
            }
            tokio::time::sleep(pumped.retry()).await;
        }
    }

    async fn carry(&self, inbound: Inbound, kind: &Kind) {
        let Kind::Asks { id, initializes } = kind else { return };
        let response = self.endpoint.ask(inbound).await;
        if *initializes && let Some(session) = response.headers().get(SESSION_ID) {
            self.state().session = Some(session.clone());
        }
        let status = response.status();
        if !headers::media_type_is(response.headers(), "text/event-stream") {
            let body = response.into_body().collect().await;
            let body = body.map(|whole| whole.to_bytes()).unwrap_or_default();
            return self.whole(body, status, kind).await;
        }
        let mut pumped = Pumped::awaiting(id.clone());
        let mut body = Some(response.into_body());
        let limit = self.endpoint.limits().reply_bytes_max;
        while let Some(stream) = body.take() {
            let before = pumped.events;
            pumped.pump(stream, &self.messages, limit).await;
            if let Some(answer) = pumped.answer.take() {
                self.negotiate(&answer, *initializes);
                return;
            }
            if id.is_none() || !pumped.may_go_on(before) {
                break;
            }
            tokio::time::sleep(pumped.retry()).await;
            body = stream_of(self.resume(&pumped).await);
        }
        if let Some(id) = id {
            self.fail(id, "connection to the server broke before the answer").await;
        }
    }

    /// An answer in one piece.
    async fn whole(&self, body: Bytes, status: StatusCode, kind: &Kind) {
        let Kind::Asks { id, initializes } = kind else { return };
        // A batch was judged message by message; one message must be the answer.
        let is_batch =
            matches!(mcp::parse(&body, &mcp::Limits::for_replies()), Ok(Frame::Batch(_)));
        let answer = match id {
            Some(id) if !is_batch => answer_to(id, &body),
            _ => Some(body).filter(|body| !body.is_empty()),
        };
        if let Some(answer) = answer {
            self.negotiate(&answer, *initializes);
            self.say(answer).await;
        } else if let Some(id) = id {
            let text = format!("server answered with HTTP status {}", status.as_u16());
            self.fail(id, &text).await;
        }
    }

    async fn fail(&self, id: &RequestId, text: &str) {
        if self.state().cancelled.contains(id) {
            return;
        }
        let call = self.endpoint.recorder().call_id();
        let detail = Detail { call, reason: "upstream.broke" };
        let message = error_message(Some(id), 50_201, text, &detail);
        self.say(message).await;
    }

    /// Notes which revision the answer to `initialize` agrees on: later requests may have to say so.
    fn negotiate(&self, answer: &Bytes, initializes: bool) {
        if !initializes {
            return;
        }
        if let Ok(Frame::Single(Message::Response(response))) =
            mcp::parse(answer, &mcp::Limits::for_replies())
            && let Outcome::Result(result) = response.outcome
            && let Some(name) = result.protocol_version
        {
            self.state().revision = Some(Revision::from_name(&name));
        }
    }

    /// Asks for the server's own messages, or for the rest of an answer.
    async fn resume(&self, pumped: &Pumped) -> Response<ReplyBody> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        self.in_session(&mut headers);
        if let Some(last) = pumped.last_id.as_deref().and_then(|id| id.parse().ok()) {
            headers.insert(LAST_EVENT_ID, last);
        }
        self.endpoint.ask(self.operation(Method::GET, headers)).await
    }

    fn operation(&self, method: Method, headers: HeaderMap) -> Inbound {
        let (caller, origin) = (self.caller.clone(), self.origin.clone());
        Inbound { method, headers, body: Bytes::new(), caller, origin, chain: Chain::default() }
    }

    /// The headers of the session, and of its revision where it wants one and the client gave none.
    fn in_session(&self, headers: &mut HeaderMap) {
        let state = self.state();
        if let Some(session) = &state.session {
            headers.insert(SESSION_ID, session.clone());
        }
        let revision = state.revision.as_ref().filter(|r| r.requires_version_header());
        if let Some(value) = revision.and_then(|revision| revision.name().parse().ok())
            && !headers.contains_key(mcp::header::PROTOCOL_VERSION)
        {
            headers.insert("mcp-protocol-version", value);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The request that a notification cancels.
pub(crate) fn cancelled(message: &Message<'_>) -> Option<RequestId> {
    let params = message.params()?;
    let cancels = message.method() == Some(&mcp::Method::NotificationsCancelled);
    params.request_id.clone().filter(|_| cancels)
}

fn stream_of(response: Response<ReplyBody>) -> Option<ReplyBody> {
    headers::media_type_is(response.headers(), "text/event-stream").then(|| response.into_body())
}
