//! Questions of a server that its client never gets, since it does not take what is said to it: answered in
//! the client's stead, or the server would wait for ever. Judges nothing.

use crate::asked::Ending;
use crate::exchange::{End, Exchange};
use crate::queue::Mark;
use crate::refusal::{Detail, error_message};
use crate::withheld::{CODE, Withholding};
use bytes::Bytes;
use event::{CallId, Status};
use mcp::RequestId;
use std::sync::Arc;

/// Questions that were passed on in one exchange, until they are out of the gateway's hands.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    questions: Vec<Question>,
    /// Of those in the piece at hand.
    mark: Option<Mark>,
}

#[derive(Debug)]
struct Question {
    id: RequestId,
    call: CallId,
    mark: Mark,
}

impl Passed {
    /// Notes a question in the piece at hand.
    pub(crate) fn note(&mut self, question: Option<(&RequestId, CallId)>) {
        let Some((id, call)) = question else { return };
        self.questions.retain(|question| !question.mark.is_taken());
        let mark = self.mark.get_or_insert_default().clone();
        self.questions.push(Question { id: id.clone(), call, mark });
    }

    /// What tells whether the piece at hand was taken, where it holds a question.
    pub(crate) fn mark(&mut self) -> Option<Mark> {
        self.mark.take()
    }
}

impl Exchange<'_> {
    /// Ends the questions that the client did not take before it was given up, and tells the server. Where
    /// there are event ids the server has them still, and the client may ask for them.
    pub(crate) async fn answer_unheard(&mut self, end: End) {
        let passed = std::mem::take(&mut self.passed).questions;
        let lost = match end {
            End::Behind => true,
            End::Gone | End::Stalled => !self.progress.resumable,
            _ => false,
        };
        let Some(session) = self.session.clone().filter(|_| lost) else { return };
        for Question { id, call, .. } in passed.iter().filter(|q| !q.mark.is_taken()) {
            let Some(asked) = session.take_unheard(id, *call).map(Arc::new) else { continue };
            let ending = Ending { client: end.of_client(), ..Ending::new(Status::ClientGone) };
            self.pipeline.ended(&asked, &ending).await;
            self.tell_server(&session, answer(id, Some(*call))).await;
        }
    }
}

/// What the server is told. `call` is the record of what became of its question, where it has one of its own.
pub(crate) fn answer(id: &RequestId, call: Option<CallId>) -> Bytes {
    let reason = Withholding::Unheard.reason();
    match call {
        Some(call) => error_message(Some(id), CODE, TEXT, &Detail { call, reason }),
        None => Bytes::from(mcp::build::error_response(Some(id), CODE, TEXT, None)),
    }
}

const TEXT: &str = "the client does not take what it is asked";
