//! Queues of whole messages between two tasks, bounded by count and by bytes: whoever fills one waits for
//! whoever empties it. Knows of what waits nothing but its size.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// What may wait in one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound {
    /// How many.
    pub(crate) items: usize,
    /// How many bytes, all together; a larger one waits alone.
    pub(crate) bytes: usize,
}

/// What has a size.
pub(crate) trait Weighed {
    /// Bytes that it holds.
    fn bytes(&self) -> usize;
}

/// The end that fills a queue.
#[derive(Debug)]
pub(crate) struct Sender<T> {
    items: mpsc::Sender<Held<T>>,
    room: Arc<Semaphore>,
    bytes_max: usize,
}

/// The end that fills a queue, for who does not keep it open.
#[derive(Debug)]
pub(crate) struct WeakSender<T> {
    items: mpsc::WeakSender<Held<T>>,
    room: Arc<Semaphore>,
    bytes_max: usize,
}

/// The end that empties it; what waits is dropped with it.
#[derive(Debug)]
pub(crate) struct Receiver<T>(mpsc::Receiver<Held<T>>);

/// Nobody empties the queue any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue is closed")]
pub(crate) struct Closed;

/// Tells of an item whether it was taken out of its queue; when that is gone, whether it ever was.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mark(Arc<AtomicBool>);

#[derive(Debug)]
struct Held<T> {
    item: T,
    mark: Option<Mark>,
    _room: OwnedSemaphorePermit,
}

impl Mark {
    pub(crate) fn is_taken(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl<T> Held<T> {
    fn take(self) -> T {
        if let Some(Mark(taken)) = self.mark {
            taken.store(true, Ordering::Release);
        }
        self.item
    }
}

/// A new queue.
pub(crate) fn queue<T>(bound: Bound) -> (Sender<T>, Receiver<T>) {
    let (items, waiting) = mpsc::channel(bound.items);
    let room = Arc::new(Semaphore::new(bound.bytes));
    (Sender { items, room, bytes_max: bound.bytes }, Receiver(waiting))
}

/// The permits that so many bytes take in a room of `bytes_max`: never more than there are, so that what is
/// larger than the room has it for itself.
pub(crate) fn permits(bytes: usize, bytes_max: usize) -> u32 {
    u32::try_from(bytes.min(bytes_max)).unwrap_or(u32::MAX)
}

impl<T: Weighed> Sender<T> {
    /// Waits for room.
    pub(crate) async fn send(&self, item: T) -> Result<(), Closed> {
        self.send_marked(item, None).await
    }

    /// As [`Sender::send`], of an item whose way somebody follows.
    pub(crate) async fn send_marked(&self, item: T, mark: Option<Mark>) -> Result<(), Closed> {
        let item = match self.try_send(item, mark.clone()) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(Closed),
            Err(TrySendError::Full(item)) => item,
        };
        let room = tokio::select! {
            biased;
            () = self.items.closed() => return Err(Closed),
            room = Arc::clone(&self.room).acquire_many_owned(self.permits(&item)) => room,
        };
        let room = room.map_err(|_| Closed)?;
        self.items.send(Held { item, mark, _room: room }).await.map_err(|_| Closed)
    }

    /// Gives the item back when there is no room now.
    pub(crate) fn try_send(&self, item: T, mark: Option<Mark>) -> Result<(), TrySendError<T>> {
        let place = match self.items.try_reserve() {
            Ok(place) => place,
            Err(TrySendError::Closed(())) => return Err(TrySendError::Closed(item)),
            Err(TrySendError::Full(())) => return Err(TrySendError::Full(item)),
        };
        match Arc::clone(&self.room).try_acquire_many_owned(self.permits(&item)) {
            Ok(room) => {
                place.send(Held { item, mark, _room: room });
                Ok(())
            }
            Err(_) => Err(TrySendError::Full(item)),
        }
    }

    fn permits(&self, item: &T) -> u32 {
        permits(item.bytes(), self.bytes_max)
    }
}

impl<T> Sender<T> {
    /// Returns when nobody empties the queue any more.
    pub(crate) async fn closed(&self) {
        self.items.closed().await;
    }

    /// Whether nobody empties the queue any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.items.is_closed()
    }

    /// The same end; the queue is over when there are only such ones.
    pub(crate) fn downgrade(&self) -> WeakSender<T> {
        let (items, room) = (self.items.downgrade(), Arc::clone(&self.room));
        WeakSender { items, room, bytes_max: self.bytes_max }
    }
}

impl<T> WeakSender<T> {
    /// `None` when the queue is over, or nobody empties it any more.
    pub(crate) fn upgrade(&self) -> Option<Sender<T>> {
        let (items, room) = (self.items.upgrade()?, Arc::clone(&self.room));
        Some(Sender { items, room, bytes_max: self.bytes_max }).filter(|sender| !sender.is_closed())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), room: Arc::clone(&self.room), bytes_max: self.bytes_max }
    }
}

impl<T> Receiver<T> {
    /// The next item; `None` when no more can come. Its room is free at once.
    pub(crate) async fn recv(&mut self) -> Option<T> {
        self.0.recv().await.map(Held::take)
    }

    /// As [`Receiver::recv`].
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(cx).map(|next| next.map(Held::take))
    }
}

impl Weighed for Bytes {
    fn bytes(&self) -> usize {
        self.len()
    }
}

impl<E> Weighed for Result<Bytes, E> {
    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, Bytes::len)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bound, Closed, Mark, queue};
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::task::Poll;
    use tokio::sync::mpsc::error::TrySendError;

    const BOUND: Bound = Bound { items: 4, bytes: 10 };

    fn bytes(length: usize) -> Bytes {
        Bytes::from(vec![0; length])
    }

    /// Whether it still waits after it was asked once more.
    async fn waits<F: Future + Unpin>(future: &mut F) -> bool {
        poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())).await
    }

    #[tokio::test]
    async fn who_fills_it_waits_for_who_empties_it() {
        let (sender, mut receiver) = queue(BOUND);
        sender.send(bytes(6)).await.unwrap();
        let mut second = pin!(sender.send(bytes(5)));
        assert!(waits(&mut second).await, "there is no room for 11 bytes");
        assert!(matches!(sender.try_send(bytes(5), None), Err(TrySendError::Full(_))));
        assert_eq!(receiver.recv().await.unwrap().len(), 6);
        assert_eq!(second.await, Ok(()));
        assert_eq!(receiver.recv().await.unwrap().len(), 5);
        for _ in 0..BOUND.items {
            sender.try_send(bytes(0), None).unwrap();
        }
        assert!(matches!(sender.try_send(bytes(0), None), Err(TrySendError::Full(_))));
    }

    #[tokio::test]
    async fn what_is_larger_than_the_room_waits_alone() {
        let (sender, mut receiver) = queue(BOUND);
        sender.try_send(bytes(1), None).unwrap();
        let mut large = pin!(sender.send(bytes(1_000)));
        assert!(waits(&mut large).await);
        assert_eq!(receiver.recv().await.unwrap().len(), 1);
        assert_eq!(large.await, Ok(()));
        assert!(matches!(sender.try_send(bytes(1), None), Err(TrySendError::Full(_))));
        assert_eq!(receiver.recv().await.unwrap().len(), 1_000);
        sender.try_send(bytes(10), None).unwrap();
    }

    #[tokio::test]
    async fn a_weak_end_does_not_keep_a_queue_open() {
        let (sender, mut receiver) = queue(BOUND);
        let weak = sender.downgrade();
        weak.upgrade().unwrap().try_send(bytes(1), None).unwrap();
        drop(sender);
        assert!(weak.upgrade().is_none());
        assert_eq!(receiver.recv().await.unwrap().len(), 1);
        assert!(receiver.recv().await.is_none());
        let (sender, receiver) = queue::<Bytes>(BOUND);
        drop(receiver);
        assert!(sender.downgrade().upgrade().is_none(), "nobody empties it");
    }

    #[tokio::test]
    async fn a_queue_that_nobody_empties_lets_nobody_wait() {
        let (sender, receiver) = queue(BOUND);
        sender.try_send(bytes(10), None).unwrap();
        let mut second = pin!(sender.send(bytes(1)));
        assert!(waits(&mut second).await);
        drop(receiver);
        assert_eq!(second.await, Err(Closed));
        assert_eq!(sender.send(bytes(0)).await, Err(Closed));
        assert!(sender.is_closed());
    }

    #[tokio::test]
    async fn who_gives_up_waiting_takes_no_room() {
        let (sender, mut receiver) = queue(BOUND);
        sender.try_send(bytes(8), None).unwrap();
        {
            let mut second = pin!(sender.send(bytes(4)));
            assert!(waits(&mut second).await);
        }
        sender.try_send(bytes(2), None).unwrap();
        assert_eq!(receiver.recv().await.unwrap().len(), 8);
        assert_eq!(receiver.recv().await.unwrap().len(), 2);
        drop(sender);
        assert!(receiver.recv().await.is_none());
    }

    #[tokio::test]
    async fn who_follows_an_item_sees_whether_it_was_taken() {
        let (sender, mut receiver) = queue(BOUND);
        let marks = [Mark::default(), Mark::default(), Mark::default()];
        for mark in &marks[..2] {
            sender.send_marked(bytes(5), Some(mark.clone())).await.unwrap();
        }
        receiver.recv().await.unwrap();
        {
            let mut third = pin!(sender.send_marked(bytes(6), Some(marks[2].clone())));
            assert!(waits(&mut third).await);
        }
        drop(receiver);
        assert_eq!(marks.map(|mark| mark.is_taken()), [true, false, false]);
    }

    proptest! {
        /// Whatever the sizes: everything comes, in order, and never more than the bound waits.
        #[test]
        fn everything_comes_in_order(sizes in prop::collection::vec(0_usize..40, 0..60)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (sender, mut receiver) = queue(BOUND);
                let (wanted, waiting) = (sizes.clone(), RefCell::new(VecDeque::new()));
                let filling = async {
                    let sender = sender;
                    for size in sizes {
                        sender.send(bytes(size)).await.unwrap();
                        let mut waiting = waiting.borrow_mut();
                        waiting.push_back(size);
                        let sum: usize = waiting.iter().sum();
                        // Items without bytes have room beside one that is too large.
                        let filled = waiting.iter().filter(|size| **size != 0).count();
                        assert!(sum <= BOUND.bytes || filled == 1, "{waiting:?}");
                        assert!(waiting.len() <= BOUND.items, "{waiting:?}");
                    }
                };
                let emptying = async {
                    let mut came = Vec::new();
                    while let Some(item) = receiver.recv().await {
                        waiting.borrow_mut().pop_front();
                        came.push(item.len());
                    }
                    came
                };
                let ((), came) = tokio::join!(filling, emptying);
                assert_eq!(came, wanted);
            });
        }
    }
}
