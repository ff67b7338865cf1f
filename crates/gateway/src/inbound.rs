//! A request to one server, in memory: what every way into the gateway makes of what it received. Checks
//! nothing; [`Backend`](crate::backend::Backend) does.

use crate::asked::Origin;
use crate::headers;
use crate::pipeline::{Caller, Received};
use bytes::Bytes;
use event::{CallId, Chain};
use http::{HeaderMap, Method};
use std::time::Instant;

/// A request in the shape of the Streamable HTTP transport, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Inbound {
    /// `POST` for a message; `GET` and `DELETE` are the session operations of the legacy revisions.
    pub(crate) method: Method,
    /// Headers as the client sent them, or as the adapter wrote them for a client that knows no headers.
    pub(crate) headers: HeaderMap,
    /// Exactly as received: one message, or a batch; empty but for `POST`.
    pub(crate) body: Bytes,
    pub(crate) caller: Caller,
    pub(crate) origin: Origin,
    /// The request of the client that this one is a part of, such as a batch.
    pub(crate) chain: Chain,
}

impl Inbound {
    /// The message as the pipeline takes it, and the method.
    pub(crate) fn into_received(self, call: CallId) -> (Method, Received) {
        let Self { method, headers, body, caller, origin, chain } = self;
        let session_id = headers.get(headers::SESSION_ID).map(|id| id.as_bytes().to_vec());
        let received = Received {
            call,
            chain,
            caller,
            headers: Some(headers),
            origin,
            session_id,
            only: None,
            raw: body,
            arrived: Instant::now(),
        };
        (method, received)
    }
}
