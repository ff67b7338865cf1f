//! The client's end of one HTTP exchange, held by the task that carries it. The connection may die at
//! any time; the task goes on and records what it must.

use crate::body::{CHUNKS, ReplyBody};
use crate::queue::{Sender, queue};
use bytes::Bytes;
use http::Response;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

/// Where the answer goes. Used once: for a whole answer, or for the head of a streamed one.
#[derive(Debug)]
pub(crate) struct ClientEnd {
    head: oneshot::Sender<Response<ReplyBody>>,
    /// Whether its connection was closed because nobody reads from it.
    stalled: Arc<AtomicBool>,
}

/// A streamed answer under way.
#[derive(Debug)]
pub(crate) struct ClientStream {
    chunks: Sender<Bytes>,
    cut: Arc<AtomicBool>,
    stalled: Arc<AtomicBool>,
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
        Self { head, stalled: Arc::default() }
    }

    /// On a connection that tells whether it was closed because nobody reads from it.
    pub(crate) fn on(self, stalled: Arc<AtomicBool>) -> Self {
        Self { stalled, ..self }
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
        Ok(ClientStream { chunks, cut, stalled })
    }

    /// Returns when the client goes away.
    pub(crate) async fn gone(&mut self) {
        self.head.closed().await;
    }
}

impl ClientStream {
    /// Sends a chunk, waiting up to `patience` for a client that is slow to read.
    pub(crate) async fn send(&self, chunk: Bytes, patience: Duration) -> Result<(), Lost> {
        let chunk = match self.chunks.try_send(chunk) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(chunk)) => chunk,
            Err(TrySendError::Closed(_)) => return Err(self.why_gone()),
        };
        match tokio::time::timeout(patience, self.chunks.send(chunk)).await {
            Ok(sent) => sent.map_err(|_| self.why_gone()),
            Err(_) => Err(Lost::Stalled),
        }
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
