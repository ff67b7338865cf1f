//! Who is at the other end of a conversation: a local program, or a server over HTTP+SSE. It sends what
//! the proofs of a call allow, and knows no message.

use super::http::{HttpUpstream, Outbound, SendError};
use super::process::{Input, Process, Shared};
use crate::proof::Proof;
use broker::Lent;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use http_body_util::{BodyExt, Limited};
use std::sync::{Mutex, PoisonError};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

/// Bytes of the answer to a posted message that are read, for nothing but the connection's sake.
const ACCEPTANCE_BYTES_MAX: usize = 64 * 1024;

/// The other end.
#[derive(Debug)]
pub(super) enum Peer {
    /// A program, and the place that it takes.
    Program {
        input: Mutex<Option<Input>>,
        process: Box<Shared>,
        /// Free again when the program has ended.
        slot: Mutex<Option<OwnedSemaphorePermit>>,
    },
    /// A server that speaks on a stream of events, and hears at an address that it named there.
    Stream {
        endpoint: HttpUpstream,
        /// The credential that the last call went with: what the gateway says of its own goes with it too.
        lent: Mutex<Option<Lent>>,
        ended: CancellationToken,
    },
}

impl Peer {
    pub(super) fn program(mut process: Process, slot: OwnedSemaphorePermit) -> Self {
        Self::Program {
            input: Mutex::new(process.take_input()),
            process: Box::new(tokio::sync::Mutex::new(Some(process))),
            slot: Mutex::new(Some(slot)),
        }
    }

    pub(super) fn stream(
        endpoint: HttpUpstream,
        proof: Proof<'_>,
        ended: CancellationToken,
    ) -> Self {
        Self::Stream { endpoint, lent: Mutex::new(proof.lent().cloned()), ended }
    }

    /// Sends a message on behalf of a call.
    pub(super) async fn send(&self, proof: Proof<'_>, raw: Bytes) -> Result<(), SendError> {
        match self {
            Self::Program { .. } => {
                let input = self.input().ok_or_else(ended)?;
                let line = proof.clear(raw)?;
                input.send(line).await.map_err(|e| SendError::Unreachable(e.to_string()))
            }
            Self::Stream { endpoint, lent, .. } => {
                *lent.lock().unwrap_or_else(PoisonError::into_inner) = proof.lent().cloned();
                let outbound = Outbound { method: Method::POST, headers: posted(), body: raw };
                let (head, body) = endpoint.send(proof, outbound).await?.into_parts();
                // What it says beside its status goes nowhere.
                Limited::new(body, ACCEPTANCE_BYTES_MAX).collect().await.ok();
                if head.status.is_success() {
                    return Ok(());
                }
                Err(SendError::NotTaken(head.status))
            }
        }
    }

    /// Sends a message that the gateway itself wrote in answer to the server.
    pub(super) async fn send_own(&self, message: Bytes) -> Result<(), SendError> {
        match self {
            Self::Program { .. } => {
                let input = self.input().ok_or_else(ended)?;
                input.send_own(message).await.map_err(|e| SendError::Unreachable(e.to_string()))
            }
            Self::Stream { endpoint, lent, .. } => {
                let lent = lent.lock().unwrap_or_else(PoisonError::into_inner).clone();
                endpoint.send_own(lent.as_ref(), posted(), message).await
            }
        }
    }

    /// Ends the program in an orderly way, or closes the stream.
    pub(super) async fn end(&self) {
        let (input, process, slot) = match self {
            Self::Program { input, process, slot } => (input, process, slot),
            Self::Stream { ended, .. } => return ended.cancel(),
        };
        input.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(process) = process.lock().await.take() else { return };
        match process.end().await {
            Ok(status) => tracing::debug!(%status, "server program ended"),
            Err(error) => tracing::warn!(%error, "server program could not be ended"),
        }
        slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn input(&self) -> Option<Input> {
        match self {
            Self::Program { input, .. } => {
                input.lock().unwrap_or_else(PoisonError::into_inner).clone()
            }
            Self::Stream { .. } => None,
        }
    }
}

fn ended() -> SendError {
    SendError::Unreachable("server program has ended".to_owned())
}

fn posted() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let accept = HeaderValue::from_static("application/json, text/event-stream");
    headers.insert(header::ACCEPT, accept);
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
}
