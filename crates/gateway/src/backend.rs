//! One server behind the gateway, with everything that a call to it goes through. It takes requests in
//! memory and refuses to know how they arrived: listeners and adapters do.

use crate::body::ReplyBody;
use crate::call::Call;
use crate::client::ClientEnd;
use crate::config::NamedServer;
use crate::endpoint::is_batch;
use crate::event_stream::Streams;
use crate::inbound::Inbound;
use crate::lending::Lending;
use crate::pipeline::{Admitted, Pipeline, Received};
use crate::quota::{Actors, Meter};
use crate::refusal::{Refusal, json_response};
use crate::session::handle_digest;
use crate::upstream::Upstream;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// When exchanges must come to their end.
#[derive(Debug, Clone)]
pub(crate) struct Stops {
    /// Streams that would stay open for ever end now.
    pub(crate) soft: CancellationToken,
    /// Exchanges must end, whatever they are doing.
    pub(crate) hard: CancellationToken,
}

/// A server and the way to it.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) pipeline: Pipeline,
    pub(crate) upstream: Arc<Upstream>,
    /// What the gateway shows to the server, where it has to show something.
    pub(crate) lending: Option<Lending>,
    pub(crate) stops: Stops,
    /// Clients of HTTP+SSE.
    pub(crate) streams: Arc<Streams>,
    /// Every exchange in progress, of every backend of the gateway.
    pub(crate) exchanges: TaskTracker,
    /// What the configuration says of it.
    pub(crate) definition: NamedServer,
    /// What is counted of each actor, at all servers.
    pub(crate) actors: Arc<Actors>,
    /// What is counted of this server.
    pub(crate) meter: Arc<Meter>,
}

impl Stops {
    /// For one server, whose streams may have to end before the others'.
    pub(crate) fn child(&self) -> Self {
        Self { soft: self.soft.child_token(), hard: self.hard.clone() }
    }
}

impl Backend {
    /// The name of the server in events and policies.
    pub(crate) fn name(&self) -> &str {
        &self.pipeline.server
    }

    /// Starts the exchange in a task of its own and waits for the head of its answer. When the client
    /// goes away, this future is dropped and the exchange learns it from its closed channel.
    pub(crate) async fn ask(self: &Arc<Self>, inbound: Inbound) -> Response<ReplyBody> {
        let (head, answer) = oneshot::channel();
        let backend = Arc::clone(self);
        self.exchanges.spawn(async move { backend.serve(inbound, ClientEnd::new(head)).await });
        answer.await.unwrap_or_else(|_| stopping())
    }

    /// As [`Backend::serve`] in a task of its own, for what is known to be one message.
    pub(crate) async fn ask_single(self: &Arc<Self>, inbound: Inbound) -> Response<ReplyBody> {
        let (head, answer) = oneshot::channel();
        let backend = Arc::clone(self);
        let client = ClientEnd::new(head);
        self.exchanges.spawn(async move { backend.serve_single(inbound, client).await });
        answer.await.unwrap_or_else(|_| stopping())
    }

    /// One exchange, from a whole request to the end of the answer.
    pub(crate) async fn serve(self: &Arc<Self>, inbound: Inbound, client: ClientEnd) {
        if is_batch(&inbound) {
            Box::pin(self.batch(inbound, client)).await;
        } else {
            self.serve_single(inbound, client).await;
        }
    }

    async fn serve_single(&self, inbound: Inbound, client: ClientEnd) {
        let (method, received) = inbound.into_received(self.pipeline.recorder.call_id());
        match method {
            Method::POST => self.post(received, client).await,
            Method::GET => self.operation("http/get", Method::GET, received, client).await,
            Method::DELETE => self.operation("http/delete", Method::DELETE, received, client).await,
            _ => client.answer(method_not_allowed()),
        }
    }

    /// Ends the sessions that were idle too long, and the programs that nobody uses.
    pub(crate) async fn sweep(&self, now: Instant) {
        for session in self.pipeline.sessions.expire(now) {
            self.pipeline.end_session(&session).await;
        }
        self.end_idle_programs(self.pipeline.limits.session_idle, now).await;
    }

    /// Ends every session and every program; nothing may be in progress any more.
    pub(crate) async fn end(&self, now: Instant) {
        for session in self.pipeline.sessions.close_all() {
            self.pipeline.end_session(&session).await;
        }
        self.end_idle_programs(Duration::ZERO, now).await;
    }

    /// Ends one session.
    pub(crate) async fn close_session(&self, id: &[u8]) {
        if let Some(session) = self.pipeline.sessions.close(&handle_digest(id)) {
            self.pipeline.end_session(&session).await;
        }
    }

    async fn end_idle_programs(&self, idle: Duration, now: Instant) {
        if let Upstream::Stdio(bridge) = &*self.upstream {
            for program in bridge.take_idle(idle, now) {
                program.end().await;
            }
        }
    }

    /// A message from the client.
    async fn post(&self, received: Received, client: ClientEnd) {
        match self.pipeline.admit(&received).await {
            Ok(Admitted::Call { call, asked, session }) => {
                // On the heap: what an exchange holds is large, and most of the time only this part runs.
                Box::pin(self.carry((*call, asked, session), Method::POST, received, client)).await;
            }
            Ok(Admitted::Answer { asked, session }) => {
                // Rare things are kept apart, so that a call's task is not as large as they are.
                Box::pin(self.carry_answer(asked, &session, received, client)).await;
            }
            Err(refusal) => Box::pin(self.refuse(refusal, &received, client)).await,
        }
    }

    /// A session operation of the transport: the stream of the server's own messages, or the end.
    async fn operation(
        &self,
        name: &'static str,
        method: Method,
        received: Received,
        client: ClientEnd,
    ) {
        let call = Call::http(name, &self.pipeline.server).or_revision(received.header_revision());
        match self.pipeline.admit_http(&received, &call).await {
            Ok((asked, session)) => {
                Box::pin(self.carry((call, asked, session), method, received, client)).await;
            }
            Err(refusal) => Box::pin(self.refuse(refusal, &received, client)).await,
        }
    }

    /// The record of a refusal first, then the answer.
    async fn refuse(&self, refusal: Refusal, received: &Received, client: ClientEnd) {
        self.pipeline.refuse(&refusal, &received.origin).await;
        client.answer(refusal.response());
    }
}

/// The answer of an exchange that was ended before it had one.
pub(crate) fn stopping() -> Response<ReplyBody> {
    let message = mcp::build::error_response(None, 50_302, "the gateway is stopping", None);
    json_response(StatusCode::SERVICE_UNAVAILABLE, Bytes::from(message))
}

pub(crate) fn method_not_allowed() -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::empty());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST, DELETE"));
    response
}
