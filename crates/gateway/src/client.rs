//! The client's end of one HTTP exchange, held by the task that carries it. The connection may die at
//! any time; the task goes on and records what it must.

use crate::body::{CHUNKS, ReplyBody};
use crate::queue::{Mark, Sender, queue};
use bytes::Bytes;
use http::Response;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

/// Where the answer goes. Used once: for a whole answer, or for the head of a streamed one.
#[derive(Debug)]
pub(crate) struct ClientEnd {
    head: oneshot::Sender<Response<ReplyBody>>,
    /// Whether its connection was closed because nobody reads from it.
    stalled: Arc<AtomicBool>,
    /// Whether there is a connection: others in process ask too, on behalf of clients.
    connected: bool,
}

/// A streamed answer under way.
#[derive(Debug)]
pub(crate) struct ClientStream {
    chunks: Sender<Bytes>,
    cut: Arc<AtomicBool>,
    stalled: Arc<AtomicBool>,
    /// Bytes of the largest chunk so far.
    largest: AtomicUsize,
}

/// Why nothing more can be sent to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It went away.
    Gone,
    /// It is there and does not take what is sent to it.
    Stalled,
}

impl ClientEnd {
    pub(crate) fn new(head: oneshot::Sender<Response<ReplyBody>>) -> Self {
        Self { head, stalled: Arc::default(), connected: false }
    }

    /// On a connection that tells whether it was closed because nobody reads from it.
    pub(crate) fn on(self, stalled: Arc<AtomicBool>) -> Self {
        Self { stalled, connected: true, ..self }
    }

    /// Whether the client itself is at the other end. Whoever asks on its behalf knows by itself for how long.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    /// Answers in one piece. A client that is gone is no error here: what was done is on record.
    pub(crate) fn answer(self, response: Response<ReplyBody>) {
        if self.head.send(response).is_err() {
            tracing::debug!("client went away before its answer");
        }
    }

    /// Answers with a head; the body follows.
    pub(crate) fn stream(self, head: Response<()>) -> Result<ClientStream, Lost> {
        let (chunks, waiting) = queue(CHUNKS);
        let (cut, stalled) = (Arc::<AtomicBool>::default(), self.stalled);
        let body = ReplyBody::Carried { chunks: waiting, cut: Arc::clone(&cut) };
        self.head.send(head.map(|()| body)).map_err(|_| Lost::Gone)?;
        Ok(ClientStream { chunks, cut, stalled, largest: AtomicUsize::new(0) })
    }

    /// Returns when the client goes away.
    pub(crate) async fn gone(&mut self) {
        self.head.closed().await;
    }
}

impl ClientStream {
    /// Sends a chunk, waiting up to `patience` for a client that is slow to read.
    pub(crate) async fn send(&self, chunk: Bytes, patience: Duration) -> Result<(), Lost> {
        self.send_marked((chunk, None), patience).await
    }

    /// As [`ClientStream::send`], of a chunk whose way somebody follows.
    pub(crate) async fn send_marked(
        &self,
        (chunk, mark): (Bytes, Option<Mark>),
        patience: Duration,
    ) -> Result<(), Lost> {
        self.largest.fetch_max(chunk.len(), Ordering::Relaxed);
        let chunk = match self.chunks.try_send(chunk, mark.clone()) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(chunk)) => chunk,
            Err(TrySendError::Closed(_)) => return Err(self.why_gone()),
        };
        let sent = self.chunks.send_marked(chunk, mark);
        match tokio::time::timeout(self.scaled(patience), sent).await {
            Ok(sent) => sent.map_err(|_| self.why_gone()),
            Err(_) => Err(Lost::Stalled),
        }
    }

    /// What waits may be one large chunk, which takes its time: `patience` is for as much as a queue holds. A
    /// connection on which nothing moves at all is closed long before.
    fn scaled(&self, patience: Duration) -> Duration {
        let times = self.largest.load(Ordering::Relaxed) / CHUNKS.bytes;
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        patience.saturating_mul(times.saturating_add(1))
    }

    /// Breaks the connection, so that what was sent so far does not look complete. Waits for nobody.
    pub(crate) fn cut(self) {
        self.cut.store(true, Ordering::Release);
    }

    /// Returns when the client goes away; why it is taken to be gone.
    pub(crate) async fn gone(&self) -> Lost {
        self.chunks.closed().await;
        self.why_gone()
    }

    fn why_gone(&self) -> Lost {
        if self.stalled.load(Ordering::Acquire) { Lost::Stalled } else { Lost::Gone }
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNKS, ClientEnd};
    use bytes::Bytes;
    use http::Response;
    use std::time::Duration;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_large_chunk_is_given_the_time_of_its_size() {
        let (head, _answer) = oneshot::channel();
        let stream = ClientEnd::new(head).stream(Response::new(())).unwrap();
        let patience = Duration::from_secs(60);
        stream.send(Bytes::from_static(b"small"), patience).await.unwrap();
        assert_eq!(stream.scaled(patience), patience);
        let large = Bytes::from(vec![0; CHUNKS.bytes * 4]);
        // It has no room beside the first one, and nobody reads.
        stream.send(large, Duration::ZERO).await.unwrap_err();
        assert_eq!(stream.scaled(patience), patience * 5);
    }
}
