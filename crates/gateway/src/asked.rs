//! A call that was permitted and is durably on record, from the moment it may go until its answer is
//! on record too.

use crate::proof::Proof;
use crate::session::Owner;
use audit::Receipt;
use event::{CallId, Outcome, Payload, Status, Transport};
use policy::Permit;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// How a message reached the gateway.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// Address and port of the connection, for the record.
    pub(crate) peer: Option<Arc<str>>,
    /// The address alone, for policy.
    pub(crate) address: Option<IpAddr>,
    pub(crate) transport: Transport,
}

/// A call on its way. Holds the proofs that everything sent on its behalf must show.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) call: CallId,
    pub(crate) owner: Owner,
    pub(crate) origin: Origin,
    pub(crate) request_bytes: u64,
    pub(crate) permit: Permit,
    pub(crate) receipt: Receipt,
    pub(crate) sent: Instant,
}

/// How a call ended.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    pub(crate) status: Status,
    pub(crate) code: Option<i64>,
    pub(crate) http_status: Option<u16>,
    pub(crate) response_bytes: u64,
    pub(crate) response_messages: u64,
    /// Digest of the session that the answer opened.
    pub(crate) session: Option<String>,
}

impl Ending {
    /// An end of which nothing but the status is known.
    pub(crate) fn new(status: Status) -> Self {
        Self {
            status,
            code: None,
            http_status: None,
            response_bytes: 0,
            response_messages: 0,
            session: None,
        }
    }
}

impl Asked {
    pub(crate) fn proof(&self) -> Proof<'_> {
        Proof::new(&self.permit, &self.receipt)
    }

    /// The outcome and sizes for the record.
    pub(crate) fn outcome(&self, ending: &Ending) -> (Outcome, Payload) {
        let latency_us = u64::try_from(self.sent.elapsed().as_micros()).unwrap_or(u64::MAX);
        let outcome = Outcome {
            code: ending.code,
            http_status: ending.http_status,
            ..Outcome::new(ending.status, latency_us)
        };
        let payload = Payload {
            request_bytes: Some(self.request_bytes),
            response_bytes: Some(ending.response_bytes),
            response_messages: Some(ending.response_messages),
        };
        (outcome, payload)
    }
}
