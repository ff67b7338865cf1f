//! Standard input and output on both sides: a client that starts its server as a local program starts
//! this instead. One client, one program, one session; lines pass unchanged.

mod end;
mod gather;
mod question;
pub(crate) mod remote;

pub use self::end::WrapEnd;

use self::end::First;
use self::gather::Gatherings;
use crate::array;
use crate::asked::{Asked, Ending, Origin};
use crate::batch::Part;
use crate::call::Call;
use crate::config::{AnswerDurability, Command, Limits};
use crate::definitions::Definitions;
use crate::failure::Failure;
use crate::handles::Handles;
use crate::observer::Unobserved;
use crate::pipeline::{Admitted, Caller, Pipeline, Received, known};
use crate::proof::Cleared;
use crate::quota::Quotas;
use crate::refusal::{Cause, Refusal, broken_call};
use crate::relay::unreadable;
use crate::reported::Told;
use crate::session::{Owner, Session, Sessions};
use crate::upstream::one_line::one_line;
use crate::upstream::process::{Input, Line, Process, SpawnError, read_line};
use crate::withheld::{Strays, Withholding};
use audit::Recorder;
use bytes::Bytes;
use event::{Actor, Chain, Status, Transport};
use mcp::{Frame, Message, Method, Outcome, RequestId};
use policy::Engine;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// A session of a wrapped program never expires: it ends with the program.
const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

/// The parts of a wrapped program.
#[derive(Debug)]
pub struct WrapParts {
    /// The way into the log.
    pub recorder: Recorder,
    /// May they.
    pub policy: Arc<Engine>,
    /// What the server declares.
    pub definitions: Arc<Definitions>,
    /// Name of the server, as events and policies call it.
    pub server_name: String,
    /// The program.
    pub command: Command,
    /// The local caller, as observed.
    pub actor: Actor,
    /// Bounds.
    pub limits: Limits,
    /// When the record of an answer must be durable.
    pub answers: AnswerDurability,
}

/// Runs the program and carries messages between it and the client until either side ends.
///
/// # Errors
/// When the program cannot be started.
pub async fn wrap<R, W>(
    parts: WrapParts,
    reader: R,
    writer: W,
    stop: CancellationToken,
) -> Result<WrapEnd, SpawnError>
where
    R: AsyncBufRead + Unpin,
    W: AsyncWrite + Unpin + Send,
{
    let mut process = Process::spawn(&parts.command)?;
    let output = process.take_output();
    let wrapped = Wrapped::new(parts, process.take_input(), writer);
    let first = wrapped.carry(reader, output, &stop).await;
    wrapped.close_input();
    wrapped.end_open_calls(first).await;
    let status = process.end().await.inspect_err(|error| {
        tracing::warn!(%error, "server program could not be ended");
    });
    let status = status.ok();
    Ok(first.ended(status))
}

struct Wrapped<W> {
    pipeline: Pipeline,
    session: Arc<Session>,
    session_id: Vec<u8>,
    actor: Actor,
    origin: Origin,
    input: std::sync::Mutex<Option<Input>>,
    writer: Mutex<W>,
    gatherings: Gatherings,
    /// The request whose answer says which revision is spoken.
    initialize: std::sync::Mutex<Option<RequestId>>,
    /// Set when no more lines are to be read.
    quit: CancellationToken,
    /// What the program says out of place.
    strays: Strays,
}

impl<W: AsyncWrite + Unpin + Send> Wrapped<W> {
    fn new(parts: WrapParts, input: Option<Input>, writer: W) -> Self {
        let sessions = Sessions::new(1, parts.limits.session_calls_max, NEVER);
        let session_id = parts.recorder.call_id().0.as_bytes().to_vec();
        let session = sessions.open_only(&session_id, Owner::of(&parts.actor), Instant::now());
        let strays = Strays::new(&parts.recorder, &parts.server_name, Some(session.digest.clone()));
        let quotas = Quotas::of_one_program(&parts.limits, Instant::now());
        let pipeline = Pipeline {
            recorder: parts.recorder,
            policy: parts.policy,
            definitions: parts.definitions,
            sessions: Arc::new(sessions),
            schemas: Arc::default(),
            handles: Arc::new(Handles::new(parts.limits.handles_max, parts.limits.handle_age)),
            server: parts.server_name,
            limits: parts.limits,
            answers: parts.answers,
            receipts: false,
            quotas,
            observer: Arc::new(Unobserved),
            reach: Arc::default(),
        };
        Self {
            pipeline,
            session,
            session_id,
            actor: parts.actor,
            origin: Origin::local(Transport::Stdio),
            input: std::sync::Mutex::new(input),
            writer: Mutex::new(writer),
            gatherings: Gatherings::default(),
            initialize: std::sync::Mutex::default(),
            quit: CancellationToken::new(),
            strays,
        }
    }

    /// Carries lines both ways until a side ends or `stop`, and then what was on its way.
    async fn carry<R, O>(&self, reader: R, output: Option<O>, stop: &CancellationToken) -> First
    where
        R: AsyncBufRead + Unpin,
        O: AsyncBufRead + Unpin,
    {
        let from_client = self.read_client(reader);
        let from_server = async {
            if let Some(output) = output {
                self.read_server(output).await;
            }
        };
        tokio::pin!(from_client, from_server);
        let first = tokio::select! {
            () = stop.cancelled() => First::Stop,
            () = &mut from_client => First::Client,
            () = &mut from_server => First::Program,
        };
        match first {
            First::Stop => self.settle(async { tokio::join!(from_client, from_server) }).await,
            First::Program => self.settle(from_client).await,
            First::Client => {
                self.close_input();
                if !self.ends_in_time(from_server.as_mut(), stop).await {
                    self.settle(from_server).await;
                }
            }
        }
        first
    }

    /// Whether a program whose input is closed ends by itself; until then it may still answer what it
    /// was asked.
    async fn ends_in_time(
        &self,
        ended: impl Future<Output = ()>,
        stop: &CancellationToken,
    ) -> bool {
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(self.pipeline.limits.shutdown_grace) => false,
            () = ended => true,
        }
    }

    /// Lets the line at hand be dealt with, so that no call is left on record without its end; a
    /// client that does not read any more is not waited for beyond the grace.
    async fn settle<T>(&self, carrying: impl Future<Output = T>) {
        self.quit.cancel();
        tokio::time::timeout(self.pipeline.limits.shutdown_grace, carrying).await.ok();
    }

    /// Lines of the client, one after the other: order is part of the transport.
    async fn read_client<R: AsyncBufRead + Unpin>(&self, mut reader: R) {
        let limit = self.pipeline.limits.request_bytes_max;
        loop {
            match self.line(&mut reader, limit).await {
                Ok(Some(Line::Whole(line))) if line.trim_ascii().is_empty() => {}
                Ok(Some(Line::Whole(line))) => self.client_line(line).await,
                Ok(Some(Line::TooLong)) => {
                    let received = self.received(Bytes::new());
                    let about = known(&received, None, Some(&self.actor));
                    self.refuse(Refusal::new(Cause::TooLarge(limit), about), true).await;
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "standard input cannot be read");
                    return;
                }
            }
        }
    }

    /// The next line; `None` at the end, or when no more are wanted.
    async fn line<R: AsyncBufRead + Unpin>(
        &self,
        reader: &mut R,
        limit: usize,
    ) -> std::io::Result<Option<Line>> {
        tokio::select! {
            biased;
            () = self.quit.cancelled() => Ok(None),
            line = read_line(reader, limit) => line,
        }
    }

    async fn client_line(&self, line: Bytes) {
        self.strays.settle();
        let received = self.received(line);
        if !array::is_array(&received.raw) {
            return self.client_message(received).await;
        }
        let parts = match self.pipeline.open_batch(&received) {
            Ok(parts) => parts,
            Err(refusal) => return self.refuse(refusal, true).await,
        };
        self.gatherings.open(parts.iter().filter_map(|part| part.id.clone()).collect());
        for Part { raw, .. } in parts {
            let chain = Chain { root: Some(received.call), follows: None };
            self.client_message(Received { chain, ..self.received(raw) }).await;
        }
    }

    async fn client_message(&self, received: Received) {
        match self.pipeline.admit(&received).await {
            Ok(Admitted::Call { call, asked, .. }) => self.call(&call, asked, received.raw).await,
            Ok(Admitted::Answer { asked, .. }) => {
                if let Err(failure) = self.send(&asked, received.raw).await {
                    tracing::warn!(call = %asked.call, "{}", failure.message);
                }
            }
            Err(refusal) => {
                // A malformed message may have been a request: its sender is told (JSON-RPC 2.0
                // section 5); a notification or an answer is owed nothing.
                let answer = refusal.known.id.is_some()
                    || matches!(refusal.cause, Cause::Malformed(_) | Cause::Batch);
                self.refuse(refusal, answer).await;
            }
        }
    }

    async fn call(&self, call: &Call, asked: Arc<Asked>, raw: Bytes) {
        if let (Method::NotificationsCancelled, Some(id)) = (&call.method, &call.cancels) {
            self.cancel(id).await;
        }
        let Some(id) = &call.id else {
            let status = match self.send(&asked, raw).await {
                Ok(()) => Status::Accepted,
                Err(failure) => failure.status,
            };
            return self.pipeline.ended(&asked, &Ending::new(status)).await;
        };
        let cleared = match asked.proof().clear(raw) {
            Ok(cleared) => cleared,
            Err(error) => {
                return tracing::error!(call = %asked.call, %error, "call is not sent");
            }
        };
        if matches!(call.method, Method::Initialize) {
            *lock(&self.initialize) = Some(id.clone());
        }
        if !self.send_cleared(cleared).await {
            self.fail_call(id, "server program does not read its input any more").await;
        }
    }

    /// Whether the program took it.
    async fn send_cleared(&self, cleared: Cleared) -> bool {
        match self.input() {
            Some(input) => input.send(cleared).await.is_ok(),
            None => false,
        }
    }

    /// The client cancels a call of its own: nothing will come for it.
    async fn cancel(&self, id: &RequestId) {
        let Some(cancelled) = self.session.cancel(id) else { return };
        self.session.note_unanswered(id);
        self.pipeline.ended(&cancelled, &Ending::new(Status::Cancelled)).await;
        if let Some(answers) = self.gatherings.give_up(id) {
            self.write(answers).await;
        }
    }

    async fn send(&self, asked: &Asked, raw: Bytes) -> Result<(), Failure> {
        let gone = || Failure::new(Status::Unreachable, "server program has ended");
        let cleared = asked.proof().clear(raw).map_err(|_| gone())?;
        let input = self.input().ok_or_else(gone)?;
        input.send(cleared).await.map_err(|_| gone())
    }

    /// Lines of the server.
    async fn read_server<R: AsyncBufRead + Unpin>(&self, mut output: R) {
        let limit = self.pipeline.limits.reply_bytes_max;
        loop {
            match self.line(&mut output, limit).await {
                Ok(Some(Line::Whole(line))) if line.trim_ascii().is_empty() => {}
                Ok(Some(Line::Whole(line))) => self.server_line(line).await,
                Ok(Some(Line::TooLong)) => self.strays.withhold(Withholding::TooLarge, limit),
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "output of the server program cannot be read");
                    return;
                }
            }
        }
    }

    async fn server_line(&self, line: Bytes) {
        let limits = mcp::Limits::for_replies();
        match mcp::parse(&line, &limits) {
            Ok(Frame::Single(message)) => {
                if let Some(line) = self.server_message(&message, &line).await {
                    self.write(line).await;
                }
            }
            Ok(Frame::Batch(messages)) if self.session.takes_batches() => {
                let parts = array::elements(&line);
                let mut passed = Vec::with_capacity(parts.len());
                for (message, part) in messages.iter().zip(&parts) {
                    passed.extend(self.server_message(message, part).await);
                }
                if passed == parts {
                    self.write(line.clone()).await;
                } else if !passed.is_empty() {
                    self.write(array::join(&passed)).await;
                }
            }
            Ok(Frame::Batch(_)) => self.strays.withhold(Withholding::Batch, line.len()),
            Err(error) => {
                tracing::debug!(%error, "server program wrote a line that is no message");
                self.strays.withhold(Withholding::Malformed, line.len());
            }
        }
    }

    /// Judges a message of the server; what the client is to see now.
    async fn server_message(&self, message: &Message<'_>, raw: &Bytes) -> Option<Bytes> {
        let response = match message {
            Message::Response(response) => response,
            Message::Request(_) => return self.server_question(message, raw).await,
            Message::Notification(_) => {
                if let Some(told) = Told::of(message, raw) {
                    let owner = Owner::of(&self.actor);
                    let chain = self.pipeline.handles.chain_of(&told.named(), &owner);
                    self.strays.report(told, chain);
                }
                return Some(raw.clone());
            }
        };
        let open = response.id.as_ref().and_then(|id| Some((id, self.session.take_open(id)?)));
        let Some((id, asked)) = open else {
            let late = response.id.as_ref().is_some_and(|id| self.session.was_unanswered(id));
            let why = if late { Withholding::LateAnswer } else { Withholding::UnsolicitedAnswer };
            self.strays.withhold(why, raw.len());
            return None;
        };
        self.negotiate(id, response);
        let ending = self.pipeline.ending(&asked, response, raw);
        let answer = match self.pipeline.settle(&asked, ending, raw).await {
            Ok(Some(answer)) => answer,
            Ok(None) => unreadable(Some(id), asked.call),
            Err(_already_logged) => broken_call(
                Some(id),
                asked.call,
                "the call ran, but its answer could not be put on record",
            ),
        };
        self.gatherings.take(id, answer)
    }

    /// Notes the revision that the answer to `initialize` agrees on.
    fn negotiate(&self, id: &RequestId, response: &mcp::Response<'_>) {
        if let Outcome::Result(result) = &response.outcome
            && let Some(name) = &result.protocol_version
            && lock(&self.initialize).take_if(|initialize| initialize == id).is_some()
        {
            self.session.negotiated(name);
        }
    }

    async fn refuse(&self, refusal: Refusal, answer: bool) {
        self.pipeline.refuse(&refusal, &self.origin).await;
        if answer {
            self.reply(refusal.known.id.as_ref(), refusal.message()).await;
        }
    }

    async fn fail_call(&self, id: &RequestId, reason: &str) {
        let Some(asked) = self.session.take_open(id) else { return };
        self.pipeline.ended(&asked, &Ending::new(Status::TransportFailure)).await;
        self.reply(Some(id), broken_call(Some(id), asked.call, reason)).await;
    }

    /// Answers a request of the client, when all of its batch are answered.
    async fn reply(&self, id: Option<&RequestId>, answer: Bytes) {
        let now = match id {
            Some(id) => self.gatherings.take(id, answer),
            None => Some(answer),
        };
        if let Some(line) = now {
            self.write(line).await;
        }
    }

    /// What still waits has no answer: the client is told where it can be, the record always. Then the
    /// session is over.
    async fn end_open_calls(&self, first: First) {
        for (id, asked) in self.session.take_open_with_ids() {
            self.pipeline.ended(&asked, &Ending::new(first.outcome())).await;
            if first == First::Program {
                let reason = "server program ended before it answered";
                self.reply(Some(&id), broken_call(Some(&id), asked.call, reason)).await;
            }
        }
        self.strays.end();
        self.pipeline.end_session(&self.session).await;
    }

    async fn write(&self, line: Bytes) {
        let line = one_line(line);
        let mut writer = self.writer.lock().await;
        let written = async {
            writer.write_all(&line).await?;
            if !line.ends_with(b"\n") {
                writer.write_all(b"\n").await?;
            }
            writer.flush().await
        };
        if let Err(error) = written.await {
            tracing::debug!(%error, "client does not read any more");
        }
    }

    fn received(&self, raw: Bytes) -> Received {
        Received {
            call: self.pipeline.recorder.call_id(),
            chain: Chain::default(),
            caller: Caller::Known(self.actor.clone()),
            headers: None,
            origin: self.origin.clone(),
            session_id: Some(self.session_id.clone()),
            only: Some(Arc::clone(&self.session)),
            raw,
            arrived: Instant::now(),
        }
    }

    fn input(&self) -> Option<Input> {
        lock(&self.input).clone()
    }

    fn close_input(&self) {
        lock(&self.input).take();
    }
}

fn lock<T>(held: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
