//! Bodies of answers: whole, or streamed chunk by chunk from the task that carries the exchange.

use crate::queue::{Bound, Receiver, Sender};
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

/// Chunks that may wait between the exchange and a slow client.
pub(crate) const CHUNKS: Bound = Bound { items: 16, bytes: 1 << 20 };

/// Where the chunks of [`ReplyBody::Chunks`] come from.
pub(crate) type Chunks = Sender<Result<Bytes, Cut>>;

/// The body of an answer to a client.
#[derive(Debug)]
pub(crate) enum ReplyBody {
    /// Everything is here.
    Whole(Option<Bytes>),
    /// Chunks follow; an `Err` breaks the connection, so that a cut stream never looks complete.
    Chunks(Receiver<Result<Bytes, Cut>>),
    /// The same; when `cut` is set, their end is a break.
    Carried {
        /// What comes.
        chunks: Receiver<Bytes>,
        /// Set before the last sender is dropped. There may be no room for an `Err` in the queue.
        cut: Arc<AtomicBool>,
    },
}

/// The answer was cut short on purpose or by a failure upstream.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the answer was cut short")]
pub(crate) struct Cut;

impl ReplyBody {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes))
    }

    pub(crate) fn empty() -> Self {
        Self::Whole(None)
    }
}

impl From<Infallible> for Cut {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Chunks(chunks) => {
                chunks.poll_recv(cx).map(|next| next.map(|chunk| chunk.map(Frame::data)))
            }
            Self::Carried { chunks, cut } => chunks.poll_recv(cx).map(|next| match next {
                Some(chunk) => Some(Ok(Frame::data(chunk))),
                // Once: what is broken has an end.
                None => cut.swap(false, Ordering::AcqRel).then_some(Err(Cut)),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(
                bytes.as_ref().map_or(0, |b| u64::try_from(b.len()).unwrap_or(u64::MAX)),
            ),
            Self::Chunks(_) | Self::Carried { .. } => SizeHint::default(),
        }
    }
}
