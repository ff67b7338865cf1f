//! One exchange with a client: from the admission of its message to the end of the answer. Messages
//! that flow back are judged here, one by one, before the client sees them.

use crate::array;
use crate::asked::{Asked, Ending};
use crate::call::Call;
use crate::lapse::Lapse;
use crate::pipeline::{Pipeline, length};
use crate::relay::unreadable;
use crate::reported::{Reported, Told};
use crate::session::Session;
use crate::unheard::Passed;
use crate::upstream::Upstream;
use crate::upstream::conversation::Conversation;
use crate::upstream::splice;
use crate::withheld::{Scene, Withheld, Withholding};
use audit::Unavailable;
use bytes::Bytes;
use event::Status;
use http::HeaderMap;
use mcp::{Frame, Message, Method, Outcome};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What becomes of a message on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pass {
    On,
    /// This goes on in its place.
    Instead(Bytes),
    Withhold,
}

impl Pass {
    /// The message as it goes on; `None` when it does not.
    pub(crate) fn apply(self, message: Bytes) -> Option<Bytes> {
        match self {
            Self::On => Some(message),
            Self::Instead(other) => Some(other),
            Self::Withhold => None,
        }
    }
}

/// Where a result carries the receipt of its call.
pub(crate) const RECEIPT: &str = "dev.countersign/receipt";

/// How an answer came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The server ended it in an orderly way.
    Complete,
    /// The client went away.
    Gone,
    /// The client is there and does not take what is sent to it.
    Stalled,
    /// The server said more than could wait until the client took it.
    Behind,
    /// The connection to the server broke.
    Broken,
    /// The answer exceeds a limit.
    TooLarge,
    /// The server did not answer in time.
    TimedOut,
    /// The gateway stops.
    Stopped,
    /// A record could not be written; nothing more may be released.
    Unrecordable,
}

impl End {
    /// What of the client kept it from its answer, for the record.
    pub(crate) fn of_client(self) -> Option<&'static str> {
        match self {
            Self::Stalled => Some("stalled"),
            Self::Behind => Some("behind"),
            _ => None,
        }
    }
}

/// An admitted call and what flows back.
#[derive(Debug)]
pub(crate) struct Exchange<'g> {
    pub(crate) pipeline: &'g Pipeline,
    pub(crate) upstream: &'g Upstream,
    pub(crate) call: Call,
    /// Taken when the end of the call is on record.
    pub(crate) asked: Option<Arc<Asked>>,
    /// The same call, for what is said after its end.
    pub(crate) about: Arc<Asked>,
    pub(crate) session: Option<Arc<Session>>,
    /// The server program that this exchange talks to, when the server is a local program.
    pub(crate) program: Option<Arc<Conversation>>,
    /// Digest of the session that the answer opened.
    pub(crate) opened: Option<String>,
    /// Headers for messages that the gateway itself sends to the server in this session.
    pub(crate) headers: HeaderMap,
    pub(crate) stop: CancellationToken,
    /// When a stream that is meant to stay open ends all the same.
    pub(crate) lapse: Option<Lapse>,
    pub(crate) progress: Progress,
    pub(crate) withheld: Withheld,
    /// States of tasks that the server told by itself.
    pub(crate) reported: Option<Box<Reported>>,
    /// Calls of the server that were passed on.
    pub(crate) passed: Passed,
}

/// What has flowed back so far.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) http_status: Option<u16>,
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
    /// Something of a streamed answer has gone to the client.
    pub(crate) begun: bool,
    /// An event id was seen: the client may ask for the rest on another connection.
    pub(crate) resumable: bool,
}

impl Exchange<'_> {
    /// Judges one message on its way to the client, and records what it ends or begins.
    pub(crate) async fn judge(&mut self, raw: &Bytes) -> Result<Pass, Unavailable> {
        self.progress.messages += 1;
        let limits = mcp::Limits::for_replies();
        match mcp::parse(raw, &limits) {
            Ok(Frame::Single(message)) => self.judge_message(&message, raw).await,
            Ok(Frame::Batch(messages)) if self.takes_batches() => {
                self.judge_batch(&messages, raw).await
            }
            Ok(Frame::Batch(_)) => Ok(self.withhold(Withholding::Batch, raw)),
            Err(malformed) => {
                tracing::debug!(%malformed, "server sent what is no message");
                Ok(self.withhold(Withholding::Malformed, raw))
            }
        }
    }

    async fn judge_message(
        &mut self,
        message: &Message<'_>,
        raw: &Bytes,
    ) -> Result<Pass, Unavailable> {
        match message {
            Message::Response(response) => self.judge_answer(response, raw).await,
            Message::Request(_) => Ok(self.judge_question(message, raw).await),
            Message::Notification(_) => {
                if let Some(told) = Told::of(message, raw) {
                    self.report(told);
                }
                Ok(Pass::On)
            }
        }
    }

    /// The state of a task goes on record with the calls of that task, as far as they are known.
    fn report(&mut self, told: Told) {
        let chain = self.pipeline.handles.chain_of(&told.named(), &self.about.owner);
        let mut reported = self.reported.take().unwrap_or_default();
        reported.hear(told, chain, &self.scene());
        self.reported = Some(reported);
    }

    /// A batch goes on as it is when all its messages may, else those that may.
    async fn judge_batch(
        &mut self,
        messages: &[Message<'_>],
        raw: &Bytes,
    ) -> Result<Pass, Unavailable> {
        let parts = array::elements(raw);
        let (mut passed, mut is_changed) = (Vec::with_capacity(parts.len()), false);
        for (message, part) in messages.iter().zip(parts) {
            let judged = self.judge_message(message, &part).await?;
            is_changed |= judged != Pass::On;
            passed.extend(judged.apply(part));
        }
        Ok(match (is_changed, passed.is_empty()) {
            (false, _) => Pass::On,
            (true, true) => Pass::Withhold,
            (true, false) => Pass::Instead(array::join(&passed)),
        })
    }

    /// Whether the server may send several messages in one body.
    pub(crate) fn takes_batches(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.takes_batches())
    }

    /// Notes in the session that an answer opens which revision it agrees on.
    pub(crate) fn negotiate(&self, response: &mcp::Response<'_>) {
        if let (Method::Initialize, Some(session), Outcome::Result(result)) =
            (&self.call.method, &self.session, &response.outcome)
            && let Some(name) = &result.protocol_version
        {
            session.negotiated(name);
        }
    }

    /// Remembers what a list says about tools that want arguments mirrored.
    pub(crate) fn learn(&self, response: &mcp::Response<'_>) {
        if let (Method::ToolsList, Outcome::Result(list)) = (&self.call.method, &response.outcome) {
            self.pipeline.schemas.learn(&list.tools);
        }
    }

    async fn judge_answer(
        &mut self,
        response: &mcp::Response<'_>,
        raw: &Bytes,
    ) -> Result<Pass, Unavailable> {
        let ours = response.id.is_none() || response.id == self.call.id;
        if ours && let Some(asked) = self.take_asked() {
            self.negotiate(response);
            self.learn(response);
            let ending = Ending {
                http_status: self.progress.http_status,
                response_bytes: self.progress.bytes.max(length(raw)),
                response_messages: self.progress.messages,
                session: self.opened.clone(),
                ..self.pipeline.ending(&asked, response, raw)
            };
            let receipt = self.receipt(&asked);
            return self.release(&asked, ending, (response, raw), receipt).await;
        }
        let other = response.id.as_ref().zip(self.session.as_ref());
        let Some((id, session)) = other else {
            return Ok(self.withhold(Withholding::UnsolicitedAnswer, raw));
        };
        if let Some(asked) = session.take_open(id) {
            let ending = self.pipeline.ending(&asked, response, raw);
            return self.release(&asked, ending, (response, raw), None).await;
        }
        let late = session.was_unanswered(id);
        let why = if late { Withholding::LateAnswer } else { Withholding::UnsolicitedAnswer };
        Ok(self.withhold(why, raw))
    }

    /// Puts an answer on record; what comes back is released.
    async fn release(
        &self,
        asked: &Asked,
        ending: Ending,
        (response, raw): (&mcp::Response<'_>, &Bytes),
        receipt: Option<String>,
    ) -> Result<Pass, Unavailable> {
        let Some(answer) = self.pipeline.settle(asked, ending, raw).await? else {
            return Ok(Pass::Instead(unreadable(response.id.as_ref(), asked.call)));
        };
        let answer = match receipt {
            Some(receipt) => splice::add_meta(&answer, RECEIPT, &receipt),
            None => answer,
        };
        Ok(if answer == *raw { Pass::On } else { Pass::Instead(answer) })
    }

    /// A call of the server to the client. A refused one is answered in the client's stead.
    async fn judge_question(&mut self, message: &Message<'_>, raw: &Bytes) -> Pass {
        let Some(origin) = self.asked.as_ref().map(|a| a.origin.clone()) else {
            return self.withhold(Withholding::AfterEnd, raw);
        };
        let Some(session) = self.session.clone() else {
            // Stateless revisions have no requests from servers (2026-07-28, multi round-trip).
            return self.withhold(Withholding::OutsideSession, raw);
        };
        if self.withheld.is_refused_often() {
            return self.withhold(Withholding::RefusedOften, raw);
        }
        match self.pipeline.question(message, length(raw), &origin, &session).await {
            Ok(admitted) => {
                self.passed.note(message.id().zip(admitted));
                Pass::On
            }
            Err(answer) => {
                self.withheld.note_refused();
                self.tell_server(&session, answer).await;
                Pass::Withhold
            }
        }
    }

    /// Answers a call of the server in the client's stead.
    pub(crate) async fn tell_server(&self, session: &Session, answer: Bytes) {
        let sent = match self.upstream {
            Upstream::Http(http) => tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                sent = http.send_own(self.about.lent.get(), self.headers.clone(), answer) => sent,
            },
            Upstream::Stdio(_) | Upstream::Sse(_) => session.send_own(answer).await,
        };
        if let Err(error) = sent {
            tracing::warn!(%error, "server could not be told what became of its call");
        }
    }

    /// The receipt of a call, where results carry one.
    pub(crate) fn receipt(&self, asked: &Asked) -> Option<String> {
        self.pipeline.receipts.then(|| asked.receipt.to_json())
    }

    pub(crate) fn withhold(&mut self, why: Withholding, raw: &[u8]) -> Pass {
        let mut withheld = std::mem::take(&mut self.withheld);
        withheld.message(why, length(raw), &self.scene());
        self.withheld = withheld;
        Pass::Withhold
    }

    fn scene(&self) -> Scene<'_> {
        let session = self.session.as_ref().map(|session| session.digest.clone());
        let Pipeline { recorder, server, .. } = self.pipeline;
        Scene::of(recorder, server, &self.about, session)
    }

    /// Takes the call to put its end on record; nothing when that was done already, here or in another
    /// exchange of the session.
    pub(crate) fn take_asked(&mut self) -> Option<Arc<Asked>> {
        let asked = self.asked.take()?;
        if let (Some(session), Some(id)) = (&self.session, &self.call.id) {
            session.end_call(id, &asked);
        }
        asked.end().then_some(asked)
    }

    /// Puts the end of the call on record, unless its answer already did.
    pub(crate) async fn finish(&mut self, end: End) {
        self.end_unopened_program().await;
        std::mem::take(&mut self.withheld).end(&self.scene());
        if let Some(reported) = self.reported.take() {
            reported.end(&self.scene());
        }
        if self.is_kept_for_resumption(end) {
            return;
        }
        let cancelled = self.is_cancelled();
        let Some(asked) = self.take_asked() else { return };
        if let (Some(session), Some(id)) = (&self.session, &self.call.id) {
            session.note_unanswered(id);
        }
        let status = if cancelled { Status::Cancelled } else { self.status_at(end) };
        let ending = Ending {
            http_status: self.progress.http_status,
            response_bytes: self.progress.bytes,
            response_messages: self.progress.messages,
            client: end.of_client(),
            ..Ending::new(status)
        };
        self.pipeline.ended(&asked, &ending).await;
    }

    /// Whether the client cancelled this call by a message of its own.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.about.is_cancelled()
    }

    /// In a session, a stream with event ids may end before the answer: the client comes back for the
    /// rest (2025-11-25 transports, "Resumability and Redelivery"). The call stays open until then or
    /// until the session ends.
    fn is_kept_for_resumption(&self, end: End) -> bool {
        let may_resume = self.progress.resumable
            && !self.call.is_listening()
            && matches!(end, End::Complete | End::Gone | End::Stalled | End::Broken);
        match (&self.session, &self.call.id, &self.asked) {
            (Some(session), Some(id), Some(asked)) if may_resume => session.keep_open(id, asked),
            _ => false,
        }
    }

    fn status_at(&self, end: End) -> Status {
        match end {
            // A stream that is meant to stay open has no other end than these.
            End::Complete | End::Gone | End::Stopped if self.call.is_listening() => Status::Ok,
            End::Complete => Status::MalformedReply,
            End::Gone if self.call.is_modern() => Status::Cancelled,
            End::Gone | End::Stalled => Status::ClientGone,
            End::Broken => Status::TransportFailure,
            End::TooLarge | End::Behind => Status::ReplyTooLarge,
            End::TimedOut => Status::TimedOut,
            End::Stopped | End::Unrecordable => Status::Unknown,
        }
    }
}
