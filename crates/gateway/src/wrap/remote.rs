//! A client on standard input and output in front of an HTTP server. Its lines are messages of a client
//! in process, which keeps the session; what HTTP needs beside the message is written here.

use crate::asked::Origin;
use crate::backend::{Backend, Stops};
use crate::config::{AnswerDurability, Limits, NamedServer, Quota, Server};
use crate::definitions::Definitions;
use crate::delegate::{Delegate, Kind, cancelled};
use crate::endpoint::Endpoint;
use crate::handles::Handles;
use crate::observer::Unobserved;
use crate::pipeline::{Caller, Pipeline, known};
use crate::queue::Receiver;
use crate::quota::{Actors, Meter, Quotas};
use crate::refusal::{Cause, Refusal};
use crate::session::Sessions;
use crate::tls::ServerTls;
use crate::upstream::Upstream;
use crate::upstream::http::{BadUpstream, HttpUpstream};
use crate::upstream::one_line::one_line;
use crate::upstream::process::{Line, read_line};
use audit::Recorder;
use bytes::Bytes;
use event::{Actor, Transport};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body_util::BodyExt;
use mcp::header::mirrored_headers;
use mcp::{Frame, Message, Method, RequestId, Revision};
use policy::Engine;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

/// The session of a client on standard input never expires: it ends with the client.
const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

/// The parts of a connection to an HTTP server.
#[derive(Debug)]
pub struct WrapUrlParts {
    /// The way into the log.
    pub recorder: Recorder,
    /// May they.
    pub policy: Arc<Engine>,
    /// Name of the server, as events and policies call it.
    pub server_name: String,
    /// Its MCP endpoint (Streamable HTTP).
    pub url: Url,
    /// Headers of every request to it, such as its credential. Never on record.
    pub headers: HeaderMap,
    /// The local caller, as observed.
    pub actor: Actor,
    /// Bounds.
    pub limits: Limits,
    /// When the record of an answer must be durable.
    pub answers: AnswerDurability,
    /// What the server declares, and what of it is approved.
    pub definitions: Arc<Definitions>,
}

/// Carries messages between the client and the server until the client closes its side or `stop`; then
/// calls in progress may end within the grace, and the session ends.
///
/// # Errors
/// When the URL cannot be used.
pub async fn wrap_url<R, W>(
    parts: WrapUrlParts,
    reader: R,
    writer: W,
    stop: CancellationToken,
) -> Result<(), BadUpstream>
where
    R: AsyncBufRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let limits = parts.limits.clone();
    let caller = Caller::Known(parts.actor.clone());
    let backend = Arc::new(backend(parts)?);
    let origin = Origin::local(Transport::Stdio);
    let (delegate, queue) = Delegate::new(Endpoint::One(Arc::clone(&backend)), caller, origin);
    let slots = Arc::new(Semaphore::new(limits.session_calls_max));
    let remote =
        Remote { backend, delegate, slots, calls: TaskTracker::new(), stoppable: Arc::default() };
    tokio::join!(write_lines(queue, writer), remote.run(reader, &limits, &stop));
    Ok(())
}

fn backend(parts: WrapUrlParts) -> Result<Backend, BadUpstream> {
    let (limits, tls) = (&parts.limits, ServerTls::default());
    let upstream = HttpUpstream::new(&parts.url, &tls, limits)?.with_headers(parts.headers);
    let quota = Quota::default();
    let actors = Arc::new(Actors::new(limits.actor.clone(), 1));
    let meter = Arc::new(Meter::new(&quota, Instant::now()));
    let server = Server::Http { url: parts.url, tls };
    let name = parts.server_name.clone();
    let definition = NamedServer { prefix: name.clone(), name, server, quota };
    let sessions = Sessions::new(2, parts.limits.session_calls_max, NEVER);
    Ok(Backend {
        pipeline: Pipeline {
            recorder: parts.recorder,
            policy: parts.policy,
            sessions: Arc::new(sessions),
            schemas: Arc::default(),
            handles: Arc::new(Handles::new(parts.limits.handles_max, parts.limits.handle_age)),
            definitions: parts.definitions,
            server: parts.server_name,
            limits: parts.limits,
            answers: parts.answers,
            receipts: false,
            quotas: Quotas::new(Arc::clone(&actors), Arc::clone(&meter)),
            observer: Arc::new(Unobserved),
            reach: Arc::default(),
        },
        upstream: Arc::new(Upstream::Http(upstream)),
        lending: None,
        streams: Arc::default(),
        stops: Stops { soft: CancellationToken::new(), hard: CancellationToken::new() },
        exchanges: TaskTracker::new(),
        definition,
        actors,
        meter,
    })
}

/// Calls of the stateless revisions, which their client can end.
type Stoppable = Arc<Mutex<HashMap<RequestId, CancellationToken>>>;

struct Remote {
    backend: Arc<Backend>,
    delegate: Arc<Delegate>,
    slots: Arc<Semaphore>,
    calls: TaskTracker,
    stoppable: Stoppable,
}

impl Remote {
    async fn run<R: AsyncBufRead + Unpin>(
        self,
        reader: R,
        limits: &Limits,
        stop: &CancellationToken,
    ) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.read(reader, limits.request_bytes_max) => {}
        }
        // Streams that would stay open for ever end now, calls when they are answered.
        self.backend.stops.soft.cancel();
        self.calls.close();
        tokio::time::timeout(limits.shutdown_grace, self.calls.wait()).await.ok();
        self.delegate.close().await;
        self.calls.wait().await;
        self.backend.stops.hard.cancel();
        self.backend.exchanges.close();
        self.backend.exchanges.wait().await;
        self.backend.end(Instant::now()).await;
    }

    /// Lines of the client, one after the other.
    async fn read<R: AsyncBufRead + Unpin>(&self, mut reader: R, line_bytes_max: usize) {
        loop {
            match read_line(&mut reader, line_bytes_max).await {
                Ok(Some(Line::Whole(line))) => {
                    let message = line.slice_ref(line.trim_ascii());
                    if !message.is_empty() {
                        self.message(message).await;
                    }
                }
                Ok(Some(Line::TooLong)) => self.refuse(Cause::TooLarge(line_bytes_max)).await,
                Ok(None) => return,
                Err(error) => {
                    return tracing::warn!(%error, "standard input cannot be read");
                }
            }
        }
    }

    async fn message(&self, raw: Bytes) {
        let limits = &self.backend.pipeline.limits.messages;
        let kind = Kind::of(&raw, limits);
        let mut headers = HeaderMap::new();
        let (mut id, mut cancels) = (None, None);
        if let Ok(Frame::Single(message)) = mcp::parse(&raw, limits) {
            if is_modern(&message) {
                self.mirror(&message, &raw, &mut headers);
                id = message.id().cloned();
            }
            cancels = cancelled(&message);
        }
        // On HTTP the end of the stream says it (2026-07-28 transports, "Cancellation").
        if let Some(stop) = cancels.and_then(|id| self.stoppable().remove(&id)) {
            return stop.cancel();
        }
        let inbound = self.delegate.own_inbound(headers, raw);
        match kind {
            Kind::Malformed => {
                let answer = self.backend.ask(inbound).await;
                self.say(answer).await;
            }
            Kind::Tells { .. } => {
                let status = self.delegate.tell(inbound, &kind).await.status();
                if !status.is_success() {
                    tracing::warn!(%status, "a message that is owed no answer was not taken");
                }
            }
            // Whatever comes next needs the session that this opens.
            Kind::Asks { initializes: true, .. } => {
                self.delegate.ask(inbound, &kind, &CancellationToken::new()).await;
            }
            Kind::Asks { .. } => {
                let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
                    return self.refuse(Cause::Overloaded("too many calls are in progress")).await;
                };
                let stop = CancellationToken::new();
                if let Some(id) = &id {
                    self.stoppable().insert(id.clone(), stop.clone());
                }
                let (delegate, stoppable) =
                    (Arc::clone(&self.delegate), Arc::clone(&self.stoppable));
                self.calls.spawn(async move {
                    delegate.ask(inbound, &kind, &stop).await;
                    if let Some(id) = id {
                        locked(&stoppable).remove(&id);
                    }
                    drop(slot);
                });
            }
        }
    }

    /// The headers that a stateless request must have on HTTP.
    fn mirror(&self, message: &Message<'_>, raw: &Bytes, headers: &mut HeaderMap) {
        let tool = message.params().and_then(|params| params.name.as_deref());
        let is_call = message.method() == Some(&Method::ToolsCall);
        let schemas = &self.backend.pipeline.schemas;
        let params = tool.filter(|_| is_call).and_then(|tool| schemas.of(tool));
        for (name, value) in mirrored_headers(message, raw, params.as_deref().unwrap_or_default()) {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
                headers.insert(name, value);
            }
        }
    }

    async fn refuse(&self, cause: Cause) {
        let inbound = self.delegate.own_inbound(HeaderMap::new(), Bytes::new());
        let pipeline = &self.backend.pipeline;
        let (_, received) = inbound.into_received(pipeline.recorder.call_id());
        let refusal = Refusal::new(cause, known(&received, None, None));
        pipeline.refuse(&refusal, &received.origin).await;
        self.say(refusal.response()).await;
    }

    async fn say(&self, answer: Response<crate::body::ReplyBody>) {
        let body = answer.into_body().collect().await;
        self.delegate.say(body.map(|whole| whole.to_bytes()).unwrap_or_default()).await;
    }

    fn stoppable(&self) -> MutexGuard<'_, HashMap<RequestId, CancellationToken>> {
        locked(&self.stoppable)
    }
}

fn locked(stoppable: &Stoppable) -> MutexGuard<'_, HashMap<RequestId, CancellationToken>> {
    stoppable.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_modern(message: &Message<'_>) -> bool {
    let meta = message.params().and_then(|params| params.meta.as_ref());
    meta.and_then(|meta| meta.protocol_version.as_deref())
        .is_some_and(|name| Revision::from_name(name).is_modern())
}

/// Writes what the client is to see, one message a line, until nothing more can come.
async fn write_lines<W: AsyncWrite + Unpin>(mut queue: Receiver<Bytes>, mut writer: W) {
    while let Some(message) = queue.recv().await {
        let line = one_line(message);
        let written = async {
            writer.write_all(&line).await?;
            if !line.ends_with(b"\n") {
                writer.write_all(b"\n").await?;
            }
            writer.flush().await
        };
        if let Err(error) = written.await {
            return tracing::debug!(%error, "client does not read any more");
        }
    }
}
