//! Several messages of a client in one body (JSON-RPC 2.0 section 6; revisions 2024-11-05 and
//! 2025-03-26). Each is a call of its own with records of its own; their answers are gathered here. It
//! judges nothing.

use crate::array;
use crate::backend::Backend;
use crate::bodies::answer_to;
use crate::body::{CHUNKS, ReplyBody};
use crate::client::{ClientEnd, ClientStream};
use crate::endpoint::Endpoint;
use crate::headers;
use crate::inbound::Inbound;
use crate::pipeline::{Pipeline, Received, known};
use crate::queue::{Receiver, Sender, Weighed, queue};
use crate::refusal::{Cause, Refusal, broken_call, json_response};
use crate::relay::event_stream_head;
use crate::source::sse_event;
use bytes::Bytes;
use event::{CallId, Chain};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use mcp::sse::SseParser;
use mcp::{Frame, Message, Method, RequestId};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// One message of a batch.
#[derive(Debug)]
pub(crate) struct Part {
    /// As it stands in the batch.
    pub(crate) raw: Bytes,
    /// Of a request; the others are owed no answer.
    pub(crate) id: Option<RequestId>,
}

/// What came back for a message of a batch.
#[derive(Debug)]
enum Piece {
    /// The whole answer: perhaps several messages, none for what is owed no answer.
    Whole(Whole),
    /// An event of a streamed answer, as it came.
    Event(Bytes),
    /// A streamed answer broke off.
    Cut,
}

#[derive(Debug)]
struct Whole {
    status: StatusCode,
    messages: Vec<Bytes>,
}

/// Bytes of answers that wait for the others of their batch; when there are more, they go out as a stream.
const GATHERED_BYTES_MAX: usize = 16 << 20;

impl Weighed for Piece {
    fn bytes(&self) -> usize {
        match self {
            Self::Whole(whole) => whole.bytes(),
            Self::Event(event) => event.len(),
            Self::Cut => 0,
        }
    }
}

impl Weighed for Whole {
    fn bytes(&self) -> usize {
        self.messages.iter().map(Bytes::len).sum()
    }
}

impl Pipeline {
    /// The messages of a batch, each to be admitted by itself. A batch needs a session whose revision
    /// has batches, and must not hold `initialize` (2025-03-26 lifecycle, "Initialization").
    pub(crate) fn open_batch(&self, received: &Received) -> Result<Vec<Part>, Refusal> {
        let refuse = |cause: Cause| Refusal::new(cause, known(received, None, None));
        let messages = match mcp::parse(&received.raw, &self.limits.messages) {
            Ok(Frame::Batch(messages)) => messages,
            Ok(Frame::Single(_)) => return Err(refuse(Cause::Batch)),
            Err(malformed) => return Err(refuse(malformed.into())),
        };
        let Some(session_id) = received.session_id.as_deref() else {
            return Err(refuse(Cause::Batch));
        };
        let actor = Self::identify(received, None)?;
        let refuse = |cause: Cause| Refusal::new(cause, known(received, None, Some(&actor)));
        let owner = crate::session::Owner::of(&actor);
        let session = self.sessions.enter(session_id, &owner, Instant::now());
        let session = session.map_err(|none| refuse(none.into()))?;
        let initializes = messages.iter().any(|m| m.method() == Some(&Method::Initialize));
        if initializes || !session.takes_batches() {
            return Err(refuse(Cause::Batch));
        }
        Ok(parts_of(&received.raw, &messages))
    }
}

/// The messages of a batch, as they stand in it.
pub(crate) fn parts_of(raw: &Bytes, messages: &[Message<'_>]) -> Vec<Part> {
    let part = |(raw, message): (Bytes, &Message<'_>)| {
        let id = match message {
            Message::Request(request) => Some(request.id.clone()),
            _ => None,
        };
        Part { raw, id }
    };
    array::elements(raw).into_iter().zip(messages).map(part).collect()
}

impl Backend {
    /// Carries each message of a batch by itself and answers all of them together.
    pub(crate) async fn batch(self: &Arc<Self>, inbound: Inbound, client: ClientEnd) {
        let call = self.pipeline.recorder.call_id();
        let (_, received) = inbound.clone().into_received(call);
        match self.pipeline.open_batch(&received) {
            Ok(parts) => {
                carry(Endpoint::One(Arc::clone(self)), (inbound, call), parts, client).await;
            }
            Err(refusal) => {
                self.pipeline.refuse(&refusal, &received.origin).await;
                client.answer(refusal.response());
            }
        }
    }
}

/// Asks for each message of a batch by itself and answers all of them together: as an array, or as one
/// stream when the answer to any of them is one.
pub(crate) async fn carry(
    endpoint: Endpoint,
    (inbound, call): (Inbound, CallId),
    parts: Vec<Part>,
    client: ClientEnd,
) {
    let chain = Chain { root: inbound.chain.root.or(Some(call)), ..inbound.chain };
    let (pieces, waiting) = queue(CHUNKS);
    let patience = endpoint.limits().write_timeout;
    let carried = async move {
        let mut running = JoinSet::new();
        for Part { raw, id } in parts {
            let inbound = Inbound { body: raw, chain, ..inbound.clone() };
            let element = element(endpoint.clone(), inbound, id.clone(), call, pieces.clone());
            // What is owed no answer is over soon, and later messages may build upon it.
            match id {
                Some(_) => drop(running.spawn(element)),
                None => element.await,
            }
        }
        drop(pieces);
        while running.join_next().await.is_some() {}
    };
    let gathered = gather(call, waiting, client, patience);
    tokio::pin!(gathered);
    // A client that goes away ends what is still carried.
    tokio::select! {
        () = &mut gathered => return,
        () = carried => {}
    }
    gathered.await;
}

async fn element(
    endpoint: Endpoint,
    inbound: Inbound,
    id: Option<RequestId>,
    call: CallId,
    pieces: Sender<Piece>,
) {
    let response = endpoint.ask_single(inbound).await;
    let (head, mut body) = response.into_parts();
    if !headers::media_type_is(&head.headers, "text/event-stream") {
        let body = body.collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
        let messages = messages_in(&body, head.status, id.as_ref(), call);
        pieces.send(Piece::Whole(Whole { status: head.status, messages })).await.ok();
        return;
    }
    let mut parser = SseParser::new(endpoint.limits().reply_bytes_max);
    while let Some(frame) = body.frame().await {
        let chunk = frame.map(|frame| frame.into_data().unwrap_or_default());
        let pushed = chunk.map(|chunk| parser.push(&chunk).is_ok()).unwrap_or(false);
        while let Some(frame) = parser.next_frame() {
            if pieces.send(Piece::Event(frame.raw.into())).await.is_err() {
                return;
            }
        }
        if !pushed {
            pieces.send(Piece::Cut).await.ok();
            return;
        }
    }
}

/// The messages of an answer that came in one piece. A request always gets one.
fn messages_in(
    body: &Bytes,
    status: StatusCode,
    id: Option<&RequestId>,
    call: CallId,
) -> Vec<Bytes> {
    match (mcp::parse(body, &mcp::Limits::for_replies()), id) {
        (Ok(Frame::Batch(_)), _) => array::elements(body),
        // A refusal of what was owed no answer has no id.
        (Ok(Frame::Single(Message::Response(refused))), None) if refused.id.is_none() => {
            vec![body.clone()]
        }
        (_, None) => Vec::new(),
        (_, Some(id)) => vec![answer_to(id, body).unwrap_or_else(|| {
            let text = format!("server answered with HTTP status {}", status.as_u16());
            broken_call(Some(id), call, &text)
        })],
    }
}

/// Gathers until everything has come, an answer turns out to be a stream, or too much has come for one
/// piece. Returns early when the client is gone.
async fn gather(
    call: CallId,
    mut pieces: Receiver<Piece>,
    mut client: ClientEnd,
    patience: Duration,
) {
    let (mut wholes, mut bytes) = (Vec::new(), 0_usize);
    loop {
        let next = tokio::select! {
            biased;
            () = client.gone() => return,
            next = pieces.recv() => next,
        };
        match next {
            Some(Piece::Whole(whole)) if whole.bytes() <= GATHERED_BYTES_MAX - bytes => {
                bytes += whole.bytes();
                wholes.push(whole);
            }
            Some(piece) => {
                let Ok(stream) = client.stream(event_stream_head()) else { return };
                return gather_stream(wholes, piece, pieces, (stream, patience)).await;
            }
            None => break,
        }
    }
    tracing::debug!(%call, answers = wholes.len(), "batch answered");
    client.answer(answer(&wholes));
}

async fn gather_stream(
    wholes: Vec<Whole>,
    first: Piece,
    mut pieces: Receiver<Piece>,
    (stream, patience): (ClientStream, Duration),
) {
    let mut ready: Vec<Piece> = wholes.into_iter().map(Piece::Whole).collect();
    ready.push(first);
    let mut ready = ready.into_iter();
    let mut is_cut = false;
    loop {
        let piece = match ready.next() {
            Some(piece) => piece,
            None => {
                let next = tokio::select! {
                    biased;
                    _ = stream.gone() => return,
                    next = pieces.recv() => next,
                };
                match next {
                    Some(piece) => piece,
                    None => break,
                }
            }
        };
        let chunks = match piece {
            Piece::Whole(whole) => whole.messages.iter().map(|m| sse_event(m)).collect(),
            Piece::Event(event) => vec![event],
            Piece::Cut => {
                is_cut = true;
                Vec::new()
            }
        };
        for chunk in chunks {
            if stream.send(chunk, patience).await.is_err() {
                return;
            }
        }
    }
    if is_cut {
        stream.cut();
    }
}

/// All answers in one. A status that all of them share is that of the whole: clients must learn that
/// their session is gone.
fn answer(wholes: &[Whole]) -> Response<ReplyBody> {
    let messages: Vec<Bytes> = wholes.iter().flat_map(|w| w.messages.iter().cloned()).collect();
    let failed: Vec<StatusCode> =
        wholes.iter().map(|w| w.status).filter(|status| !status.is_success()).collect();
    let shared = failed
        .first()
        .filter(|first| messages.is_empty() || wholes.iter().all(|whole| whole.status == **first));
    match (messages.is_empty(), shared) {
        (true, None) => status_only(StatusCode::ACCEPTED),
        (true, Some(status)) => status_only(*status),
        (false, shared) => {
            json_response(shared.copied().unwrap_or(StatusCode::OK), array::join(&messages))
        }
    }
}

fn status_only(status: StatusCode) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::empty());
    *response.status_mut() = status;
    response
}
