//! Lines that wait for the exchanges of one conversation: bounded for each of them, and for all together.
//! Whoever fills these queues cannot wait, since what comes next may be for somebody else. So an exchange
//! that is too far behind loses what waits for it, and ends; the others go on. Knows no message.

use crate::queue::permits;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

/// Lines that may wait for one exchange, or for the stream of those that belong to none.
pub(super) const LINES_MAX: usize = 256;

/// Bytes of them, beside the last one: whatever its size, an answer may come right after a notification.
pub(super) const LINES_BYTES_MAX: usize = 4 << 20;

/// Bytes that may wait for all exchanges of one conversation, and never less than two lines of the
/// greatest length.
pub(super) const ALL_BYTES_MAX: usize = 32 << 20;

/// The queues of one conversation.
#[derive(Debug)]
pub(super) struct Waiting {
    room: Arc<Semaphore>,
    bytes_max: usize,
    /// Those that may hold something, whether more can come into them or not.
    queues: Vec<Weak<Queue>>,
    /// Lines that were lost with what waited.
    dropped: Vec<Bytes>,
    /// The last that had half of what it may hold.
    crowded: Weak<Queue>,
}

/// The end of a queue that is filled.
#[derive(Debug)]
pub(super) struct LineSender {
    /// One for each line, so that the end of either side is seen by the other.
    tokens: mpsc::Sender<()>,
    queue: Weak<Queue>,
}

/// The end that is emptied; what waits is dropped with it.
#[derive(Debug)]
pub(super) struct LineReceiver {
    tokens: mpsc::Receiver<()>,
    queue: Arc<Queue>,
}

/// Why a line does not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotPut {
    /// Nobody takes it.
    Gone,
    /// Too much waits already.
    Behind,
}

/// More came than could wait; what waited is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Behind;

/// Lines for a client that has not yet opened the stream for them; the oldest make room.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    lines: VecDeque<Bytes>,
    bytes: usize,
    /// Those that made room.
    dropped: Vec<Bytes>,
}

#[derive(Debug, Default)]
struct Queue {
    lines: Mutex<Lines>,
    /// It is behind.
    cut_off: Notify,
}

#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<Held>,
    bytes: usize,
    is_behind: bool,
}

#[derive(Debug)]
struct Held {
    line: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Waiting {
    /// For lines of up to `line_bytes_max`.
    pub(super) fn new(line_bytes_max: usize) -> Self {
        let bytes_max = ALL_BYTES_MAX.max(line_bytes_max.saturating_mul(2));
        let bytes_max = bytes_max.min(Semaphore::MAX_PERMITS);
        Self {
            room: Arc::new(Semaphore::new(bytes_max)),
            bytes_max,
            queues: Vec::new(),
            dropped: Vec::new(),
            crowded: Weak::new(),
        }
    }

    /// A new queue.
    pub(super) fn queue(&mut self) -> (LineSender, LineReceiver) {
        let (tokens, waiting) = mpsc::channel(LINES_MAX);
        let queue = Arc::new(Queue::default());
        if self.queues.len() == self.queues.capacity() {
            self.queues.retain(|queue| queue.strong_count() != 0);
        }
        self.queues.push(Arc::downgrade(&queue));
        let sender = LineSender { tokens, queue: Arc::downgrade(&queue) };
        (sender, LineReceiver { tokens: waiting, queue })
    }

    /// Puts a line into a queue. Where all of them together have no room, the fullest other one loses
    /// what is in it.
    pub(super) fn put(&mut self, sender: &LineSender, line: Bytes) -> Result<(), NotPut> {
        let queue = sender.queue.upgrade().ok_or(NotPut::Gone)?;
        let token = match sender.tokens.try_reserve() {
            Ok(token) => token,
            Err(TrySendError::Closed(())) => return Err(NotPut::Gone),
            Err(TrySendError::Full(())) => return Err(queue.cut_off(&mut self.dropped)),
        };
        if !queue.lock().has_room() {
            return Err(queue.cut_off(&mut self.dropped));
        }
        let permits = permits(line.len(), self.bytes_max);
        let room = loop {
            match Arc::clone(&self.room).try_acquire_many_owned(permits) {
                Ok(room) => break room,
                Err(_) if self.cut_off_fullest_but(&queue) => {}
                Err(_) => return Err(queue.cut_off(&mut self.dropped)),
            }
        };
        let mut lines = queue.lock();
        lines.bytes = lines.bytes.saturating_add(line.len());
        lines.lines.push_back(Held { line, _room: room });
        token.send(());
        if lines.is_crowded() {
            self.crowded = Arc::downgrade(&queue);
        }
        Ok(())
    }

    /// Whether there was one with something in it.
    fn cut_off_fullest_but(&mut self, own: &Arc<Queue>) -> bool {
        let others = self.queues.iter().filter_map(Weak::upgrade);
        let others = others.filter(|queue| !Arc::ptr_eq(queue, own));
        let sized = others.map(|queue| {
            let bytes = queue.lock().bytes;
            (bytes, queue)
        });
        let fullest = sized.filter(|(bytes, _)| *bytes != 0).max_by_key(|(bytes, _)| *bytes);
        fullest.map(|(_, queue)| queue.cut_off(&mut self.dropped)).is_some()
    }

    /// Whether a queue that was filled lately still has half of what it may hold.
    pub(super) fn is_crowded(&self) -> bool {
        self.crowded.upgrade().is_some_and(|queue| queue.lock().is_crowded())
    }

    /// The lines that were lost with what waited, since this was last asked.
    pub(super) fn take_dropped(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.dropped)
    }
}

impl LineSender {
    /// Whether whoever takes the lines has lost some.
    pub(super) fn is_behind(&self) -> bool {
        self.queue.upgrade().is_some_and(|queue| queue.lock().is_behind)
    }
}

impl LineReceiver {
    /// The next line; `None` when there are no more.
    pub(super) async fn recv(&mut self) -> Result<Option<Bytes>, Behind> {
        let token = self.tokens.recv().await;
        self.taken(token)
    }

    /// Returns when more came than could wait.
    pub(super) async fn behind(&self) {
        loop {
            // Before the look, so that nothing is missed in between.
            let cut_off = self.queue.cut_off.notified();
            if self.queue.lock().is_behind {
                return;
            }
            cut_off.await;
        }
    }

    /// No more are wanted.
    pub(super) fn close(&mut self) {
        self.tokens.close();
        self.queue.lock().clear();
    }

    fn taken(&self, token: Option<()>) -> Result<Option<Bytes>, Behind> {
        let mut lines = self.queue.lock();
        if lines.is_behind {
            return Err(Behind);
        }
        let held = token.and_then(|()| lines.lines.pop_front());
        Ok(held.map(|Held { line, .. }| {
            lines.bytes = lines.bytes.saturating_sub(line.len());
            line
        }))
    }

    /// What has come so far, and whether no more can come.
    #[cfg(test)]
    pub(super) fn taken_now(&mut self) -> Result<(Vec<Bytes>, bool), Behind> {
        let mut lines = Vec::new();
        loop {
            match self.tokens.try_recv() {
                Ok(()) => lines.extend(self.taken(Some(()))?),
                Err(mpsc::error::TryRecvError::Empty) => return Ok((lines, false)),
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    return self.taken(None).map(|_| (lines, true));
                }
            }
        }
    }
}

impl Queue {
    /// What waits is dropped; whoever takes it learns why.
    fn cut_off(&self, dropped: &mut Vec<Bytes>) -> NotPut {
        let mut lines = self.lock();
        dropped.extend(lines.lines.drain(..).map(|held| held.line));
        lines.clear();
        lines.is_behind = true;
        self.cut_off.notify_waiters();
        NotPut::Behind
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// For one line more.
    fn has_room(&self) -> bool {
        !self.is_behind && self.bytes < LINES_BYTES_MAX
    }

    fn is_crowded(&self) -> bool {
        LINES_MAX / 2 <= self.lines.len() || LINES_BYTES_MAX / 2 <= self.bytes
    }

    fn clear(&mut self) {
        self.lines.clear();
        self.bytes = 0;
    }
}

impl Backlog {
    pub(super) fn push(&mut self, line: Bytes) {
        while LINES_MAX <= self.lines.len()
            || (!self.lines.is_empty() && LINES_BYTES_MAX < self.bytes.saturating_add(line.len()))
        {
            let Some(oldest) = self.pop() else { break };
            self.dropped.push(oldest);
        }
        self.bytes = self.bytes.saturating_add(line.len());
        self.lines.push_back(line);
    }

    /// The oldest.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let line = self.lines.pop_front()?;
        self.bytes = self.bytes.saturating_sub(line.len());
        Some(line)
    }

    /// The lines that made room for others since this was last asked.
    pub(super) fn take_dropped(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.dropped)
    }

    #[cfg(test)]
    pub(super) fn lines(&self) -> &VecDeque<Bytes> {
        &self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::{
        ALL_BYTES_MAX, Backlog, Behind, LINES_BYTES_MAX, LINES_MAX, LineReceiver, LineSender,
        NotPut, Waiting,
    };
    use bytes::Bytes;

    const LINE_BYTES_MAX: usize = 16 << 20;

    fn line(length: usize) -> Bytes {
        Bytes::from(vec![b' '; length])
    }

    /// Bytes that wait in all queues.
    fn held(waiting: &Waiting) -> usize {
        waiting.bytes_max - waiting.room.available_permits()
    }

    fn sizes(lines: &[Bytes]) -> Vec<usize> {
        lines.iter().map(Bytes::len).collect()
    }

    fn lengths(receiver: &mut LineReceiver) -> Result<Vec<usize>, Behind> {
        receiver.taken_now().map(|(lines, _)| sizes(&lines))
    }

    #[test]
    fn one_that_is_behind_loses_what_waits_and_no_other_does() {
        let mut waiting = Waiting::new(LINE_BYTES_MAX);
        let ((slow, mut behind), (other, mut prompt)) = (waiting.queue(), waiting.queue());
        waiting.put(&slow, line(LINES_BYTES_MAX)).unwrap();
        waiting.put(&other, line(7)).unwrap();
        assert_eq!(waiting.put(&slow, line(1)), Err(NotPut::Behind));
        assert_eq!(held(&waiting), 7, "at once");
        assert_eq!(sizes(&waiting.take_dropped()), [LINES_BYTES_MAX]);
        assert_eq!(waiting.put(&slow, line(1)), Err(NotPut::Behind), "for good");
        assert_eq!(lengths(&mut behind), Err(Behind));
        assert_eq!(lengths(&mut prompt), Ok(vec![7]));
        assert_eq!(held(&waiting), 0);
    }

    #[test]
    fn a_large_answer_may_come_right_after_a_notification() {
        let mut waiting = Waiting::new(LINE_BYTES_MAX);
        let (sender, mut receiver) = waiting.queue();
        waiting.put(&sender, line(80)).unwrap();
        waiting.put(&sender, line(LINE_BYTES_MAX)).unwrap();
        assert_eq!(lengths(&mut receiver), Ok(vec![80, LINE_BYTES_MAX]));
    }

    #[test]
    fn who_comes_back_in_time_gets_everything() {
        let mut waiting = Waiting::new(LINE_BYTES_MAX);
        let (sender, mut receiver) = waiting.queue();
        for round in 0..3 {
            let few = if round == 1 { vec![LINE_BYTES_MAX] } else { vec![1 << 20; 4] };
            for length in &few {
                waiting.put(&sender, line(*length)).unwrap();
            }
            assert_eq!(lengths(&mut receiver), Ok(few));
        }
        for _ in 0..LINES_MAX {
            waiting.put(&sender, line(0)).unwrap();
        }
        assert_eq!(lengths(&mut receiver), Ok(vec![0; LINES_MAX]));
        drop(sender);
        assert_eq!(receiver.taken_now(), Ok((vec![], true)));
    }

    #[test]
    fn all_together_are_bounded_and_the_fullest_make_room() {
        let mut waiting = Waiting::new(LINE_BYTES_MAX);
        let mut queues: Vec<(LineSender, LineReceiver)> =
            (0..50).map(|_| waiting.queue()).collect();
        for (n, (sender, _)) in queues.iter().enumerate() {
            waiting.put(sender, line((2 << 20) + n)).unwrap();
            assert!(held(&waiting) <= ALL_BYTES_MAX);
        }
        let (small, mut kept) = waiting.queue();
        waiting.put(&small, line(1)).unwrap();
        // Whoever takes what comes at once is never the one to go.
        let (large, mut prompt) = waiting.queue();
        for _ in 0..10 {
            waiting.put(&large, line(LINE_BYTES_MAX)).unwrap();
            assert!(held(&waiting) <= ALL_BYTES_MAX);
            assert_eq!(lengths(&mut prompt), Ok(vec![LINE_BYTES_MAX]));
        }
        assert_eq!(lengths(&mut kept), Ok(vec![1]));
        let results: Vec<_> = queues.iter_mut().map(|(_, receiver)| lengths(receiver)).collect();
        assert!(results.contains(&Err(Behind)) && results.iter().any(|result| result.is_ok()));
        assert_eq!(held(&waiting), 0);
    }

    #[test]
    fn what_nobody_takes_any_more_takes_no_room() {
        let mut waiting = Waiting::new(LINE_BYTES_MAX);
        let (sender, receiver) = waiting.queue();
        waiting.put(&sender, line(5)).unwrap();
        drop(receiver);
        assert_eq!(held(&waiting), 0);
        assert_eq!(waiting.put(&sender, line(5)), Err(NotPut::Gone));
        let (sender, mut receiver) = waiting.queue();
        waiting.put(&sender, line(5)).unwrap();
        receiver.close();
        assert_eq!((held(&waiting), waiting.put(&sender, line(5))), (0, Err(NotPut::Gone)));
        // Queues that are gone are forgotten.
        for _ in 0..1_000 {
            waiting.queue();
        }
        assert!(waiting.queues.len() <= 8, "{}", waiting.queues.len());
    }

    #[test]
    fn the_oldest_make_room_in_a_backlog() {
        let mut backlog = Backlog::default();
        for length in [3, LINES_BYTES_MAX - 3, 4, LINE_BYTES_MAX, 5] {
            backlog.push(line(length));
        }
        let dropped = sizes(&backlog.take_dropped());
        assert_eq!(dropped, [3, LINES_BYTES_MAX - 3, 4, LINE_BYTES_MAX]);
        assert_eq!(backlog.pop().map(|line| line.len()), Some(5));
        for _ in 0..=LINES_MAX {
            backlog.push(line(0));
        }
        assert_eq!((backlog.lines.len(), sizes(&backlog.take_dropped())), (LINES_MAX, vec![0]));
    }
}
