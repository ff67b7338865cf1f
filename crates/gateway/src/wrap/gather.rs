//! Answers to batches on standard output: gathered until the last one has come, then written as one
//! line (JSON-RPC 2.0 section 6), or as several when they are too large for that. It knows ids and bytes.

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
    /// Of the answers.
    bytes: usize,
}

/// Bytes of answers that wait for the others of their batches; the one that is too much goes at once, with
/// those of its own batch.
const GATHERED_BYTES_MAX: usize = 16 << 20;

impl Gatherings {
    /// Awaits the answers to these requests; nothing when there is none.
    pub(super) fn open(&self, awaited: Vec<RequestId>) {
        if !awaited.is_empty() {
            self.lock().push(Gathering { awaited, answers: Vec::new(), bytes: 0 });
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
        gathering.bytes += answer.as_ref().map_or(0, Bytes::len);
        gathering.answers.extend(answer);
        let is_last = gathering.awaited.is_empty();
        let waiting: usize = gatherings.iter().map(|gathering| gathering.bytes).sum();
        if !is_last && waiting <= GATHERED_BYTES_MAX {
            return Some(None);
        }
        let gathering = gatherings.get_mut(at)?;
        gathering.bytes = 0;
        let answers = std::mem::take(&mut gathering.answers);
        if is_last {
            gatherings.swap_remove(at);
        }
        drop(gatherings);
        Some((!answers.is_empty()).then(|| array::join(&answers)))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Gathering>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{GATHERED_BYTES_MAX, Gatherings};
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

    #[test]
    fn answers_that_are_too_large_to_wait_go_first() {
        let gatherings = Gatherings::default();
        let ids = [1, 2, 3, 4].map(RequestId::from);
        gatherings.open(ids.to_vec());
        let large = Bytes::from(vec![b'0'; GATHERED_BYTES_MAX]);
        let half = Bytes::from(vec![b'1'; GATHERED_BYTES_MAX / 2 + 1]);
        assert_eq!(gatherings.take(&ids[0], half.clone()), None);
        let both = gatherings.take(&ids[1], half.clone()).unwrap();
        assert_eq!(both.len(), GATHERED_BYTES_MAX + 5);
        assert_eq!(gatherings.take(&ids[2], Bytes::from_static(b"3")), None);
        // What other batches wait for counts too.
        gatherings.open([5, 6].map(RequestId::from).to_vec());
        assert_eq!(gatherings.take(&RequestId::from(5), large.slice(1..)), None);
        gatherings.open([7, 8].map(RequestId::from).to_vec());
        let alone = gatherings.take(&RequestId::from(7), half.clone());
        assert_eq!(alone.unwrap().len(), half.len() + 2);
        assert_eq!(gatherings.give_up(&RequestId::from(8)), None);
        assert_eq!(gatherings.give_up(&RequestId::from(6)).unwrap().len(), large.len() + 1);
        let rest = gatherings.take(&ids[3], Bytes::from_static(b"4"));
        assert_eq!(rest, Some(Bytes::from_static(b"[3,4]")));
        assert!(gatherings.lock().is_empty());
    }
}
