//! The client's end of one HTTP exchange, held by the task that carries it. The connection may die at
//! any time; the task goes on and records what it must.

use crate::body::{CHUNKS_MAX, Cut, ReplyBody};
use bytes::Bytes;
use http::Response;
use tokio::sync::{mpsc, oneshot};

/// Where the answer goes. Used once: for a whole answer, or for the head of a streamed one.
#[derive(Debug)]
pub(crate) struct ClientEnd {
    head: oneshot::Sender<Response<ReplyBody>>,
}

/// A streamed answer under way.
#[derive(Debug)]
pub(crate) struct ClientStream {
    chunks: mpsc::Sender<Result<Bytes, Cut>>,
}

/// The client went away.
#[derive(Debug)]
pub(crate) struct Gone;

impl ClientEnd {
    pub(crate) fn new(head: oneshot::Sender<Response<ReplyBody>>) -> Self {
        Self { head }
    }

    /// Answers in one piece. A client that is gone is no error here: what was done is on record.
    pub(crate) fn answer(self, response: Response<ReplyBody>) {
        if self.head.send(response).is_err() {
            tracing::debug!("client went away before its answer");
        }
    }

    /// Answers with a head; the body follows.
    pub(crate) fn stream(self, head: Response<()>) -> Result<ClientStream, Gone> {
        let (chunks, queue) = mpsc::channel(CHUNKS_MAX);
        let response = head.map(|()| ReplyBody::Chunks(queue));
        self.head.send(response).map_err(|_| Gone)?;
        Ok(ClientStream { chunks })
    }

    /// Returns when the client goes away.
    pub(crate) async fn gone(&mut self) {
        self.head.closed().await;
    }
}

impl ClientStream {
    /// Sends a chunk, waiting for a slow client.
    pub(crate) async fn send(&self, chunk: Bytes) -> Result<(), Gone> {
        self.chunks.send(Ok(chunk)).await.map_err(|_| Gone)
    }

    /// Breaks the connection, so that what was sent so far does not look complete.
    pub(crate) async fn cut(self) {
        // A client that is gone needs no break.
        self.chunks.send(Err(Cut)).await.ok();
    }

    /// Returns when the client goes away.
    pub(crate) async fn gone(&self) {
        self.chunks.closed().await;
    }
}
