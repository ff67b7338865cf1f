//! Answers to batches on standard output: gathered until the last one has come, then written as one
//! line (JSON-RPC 2.0 section 6). It knows ids and bytes.

use crate::array;
use bytes::Bytes;
use mcp::RequestId;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The batches whose answers have not all come. Each has a call in progress, so that the bound on those
/// is a bound on these.
#[derive(Debug, Default)]
pub(super) struct Gatherings(Mutex<Vec<Gathering>>);

#[derive(Debug)]
struct Gathering {
    awaited: Vec<RequestId>,
    answers: Vec<Bytes>,
}

impl Gatherings {
    /// Awaits the answers to these requests; nothing when there is none.
    pub(super) fn open(&self, awaited: Vec<RequestId>) {
        if !awaited.is_empty() {
            self.lock().push(Gathering { awaited, answers: Vec::new() });
        }
    }

    /// Takes an answer; what is to be written now, which is the answer itself when it belongs to no
    /// batch.
    pub(super) fn take(&self, id: &RequestId, answer: Bytes) -> Option<Bytes> {
        self.settle(id, Some(answer.clone())).unwrap_or(Some(answer))
    }

    /// No answer will come; what is to be written now.
    pub(super) fn give_up(&self, id: &RequestId) -> Option<Bytes> {
        self.settle(id, None).flatten()
    }

    /// `None` when no batch awaits this id.
    fn settle(&self, id: &RequestId, answer: Option<Bytes>) -> Option<Option<Bytes>> {
        let mut gatherings = self.lock();
        let at = gatherings.iter().position(|gathering| gathering.awaited.contains(id))?;
        let gathering = gatherings.get_mut(at)?;
        if let Some(place) = gathering.awaited.iter().position(|awaited| awaited == id) {
            gathering.awaited.swap_remove(place);
        }
        gathering.answers.extend(answer);
        if !gathering.awaited.is_empty() {
            return Some(None);
        }
        let whole = gatherings.swap_remove(at);
        Some((!whole.answers.is_empty()).then(|| array::join(&whole.answers)))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Gathering>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Gatherings;
    use bytes::Bytes;
    use mcp::RequestId;

    #[test]
    fn answers_wait_for_the_last_one() {
        let gatherings = Gatherings::default();
        let id = |n: i64| RequestId::from(n);
        gatherings.open(vec![id(1), id(2), id(3)]);
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        assert_eq!(gatherings.take(&id(9), bytes("{}")), Some(bytes("{}")));
        assert_eq!(gatherings.take(&id(2), bytes("{\"b\":2}\r\n")), None);
        assert_eq!(gatherings.give_up(&id(1)), None);
        let all = gatherings.take(&id(3), bytes("{\"c\":3}"));
        assert_eq!(all, Some(bytes("[{\"b\":2},{\"c\":3}]")));
        assert_eq!(gatherings.take(&id(3), bytes("{}")), Some(bytes("{}")));
        gatherings.open(vec![id(1)]);
        assert_eq!(gatherings.give_up(&id(1)), None);
    }
}
