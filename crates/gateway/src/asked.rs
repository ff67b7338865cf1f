//! A call that was permitted and is durably on record, from the moment it may go until its answer is
//! on record too.

use crate::call::Call;
use crate::handles::Named;
use crate::listed::ListAsked;
use crate::observer::Watched;
use crate::pipeline::{Received, chain_of, length};
use crate::proof::Proof;
use crate::session::Owner;
use audit::Receipt;
use broker::Lent;
use event::{Actor, CallId, Chain, Outcome, Payload, Status, TaskState, Transport};
use policy::Permit;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// How a message reached the gateway.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// Address and port of the connection, for the record.
    pub(crate) peer: Option<Arc<str>>,
    /// The address alone, for policy.
    pub(crate) address: Option<IpAddr>,
    pub(crate) transport: Transport,
    /// What the client presented in the TLS handshake.
    pub(crate) certificates: Option<identity::Certificates>,
    /// Where the metadata of the endpoint are that it was sent to.
    pub(crate) metadata: Option<Arc<str>>,
}

impl Origin {
    /// Of what comes over no connection.
    pub(crate) fn local(transport: Transport) -> Self {
        Self { peer: None, address: None, transport, certificates: None, metadata: None }
    }
}

/// A call on its way. Holds the proofs that everything sent on its behalf must show.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) call: CallId,
    /// The calls it goes on with.
    pub(crate) chain: Chain,
    pub(crate) owner: Owner,
    /// Method and names: what a `requestState` in the answer may be used with.
    pub(crate) on: (String, Vec<String>),
    /// The handles that it names.
    pub(crate) named: Vec<Named>,
    pub(crate) origin: Origin,
    pub(crate) request_bytes: u64,
    pub(crate) permit: Permit,
    pub(crate) receipt: Receipt,
    pub(crate) sent: Instant,
    pub(crate) watched: Box<Watched>,
    pub(crate) marks: Marks,
    /// What its answer lists, if it asks for a list.
    pub(crate) list: Option<Box<ListAsked>>,
    /// The credential that it goes to the server with, once there is one.
    pub(crate) lent: OnceLock<Lent>,
}

/// What has become of a call; whoever shares it sees the same.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Its end is on record, or is being put there.
    ended: AtomicBool,
    /// Its caller does not want the answer any more.
    cancelled: AtomicBool,
}

/// How a call ended.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    pub(crate) status: Status,
    pub(crate) code: Option<i64>,
    /// How many items of a list were hidden from the caller, where any may be.
    pub(crate) filtered: Option<u64>,
    pub(crate) http_status: Option<u16>,
    pub(crate) response_bytes: u64,
    pub(crate) response_messages: u64,
    /// Digest of the session that the answer opened.
    pub(crate) session: Option<String>,
    /// State of the task that the answer speaks of.
    pub(crate) task: Option<TaskState>,
    /// Digests of the handles that the answer gives out.
    pub(crate) handles: Vec<String>,
    /// What of the client kept it from its answer, in a word.
    pub(crate) client: Option<&'static str>,
}

impl Ending {
    /// An end of which nothing but the status is known.
    pub(crate) fn new(status: Status) -> Self {
        Self {
            status,
            code: None,
            filtered: None,
            http_status: None,
            response_bytes: 0,
            response_messages: 0,
            session: None,
            task: None,
            handles: Vec::new(),
            client: None,
        }
    }

    /// Facts for the record that have no field of their own.
    pub(crate) fn details(&self) -> BTreeMap<String, String> {
        self.client.map(|client| ("client".to_owned(), client.to_owned())).into_iter().collect()
    }
}

impl Asked {
    /// A call of a client that may go now.
    pub(crate) fn new(
        received: &Received,
        call: &Call,
        actor: &Actor,
        (permit, receipt): (Permit, Receipt),
        watched: Box<Watched>,
    ) -> Self {
        Self {
            call: received.call,
            chain: chain_of(received, Some(call)),
            on: (call.resource.method.clone(), call.resource.names.clone()),
            named: call.handles.clone(),
            owner: Owner::of(actor),
            origin: received.origin.clone(),
            request_bytes: length(&received.raw),
            permit,
            receipt,
            sent: Instant::now(),
            watched,
            marks: Marks::default(),
            list: None,
            lent: OnceLock::new(),
        }
    }

    /// Takes the end of the call for whoever puts it on record: true for the first who asks, and never
    /// again. An answer may come on another exchange than the one that its call came with.
    pub(crate) fn end(&self) -> bool {
        !self.marks.ended.swap(true, Ordering::AcqRel)
    }

    /// Whether somebody has put the end on record, or is about to.
    pub(crate) fn has_ended(&self) -> bool {
        self.marks.ended.load(Ordering::Acquire)
    }

    /// Notes that the caller does not want the answer any more.
    pub(crate) fn cancel(&self) {
        self.marks.cancelled.store(true, Ordering::Release);
    }

    /// Whether the caller does not want the answer any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.marks.cancelled.load(Ordering::Acquire)
    }

    /// The calls that one which goes on with this one belongs with.
    pub(crate) fn next_in_chain(&self) -> Chain {
        Chain { follows: Some(self.call), root: Some(self.chain.root.unwrap_or(self.call)) }
    }

    pub(crate) fn proof(&self) -> Proof<'_> {
        Proof::new(&self.permit, &self.receipt).with(self.lent.get())
    }

    /// The outcome and sizes for the record.
    pub(crate) fn outcome(&self, ending: &Ending) -> (Outcome, Payload) {
        let latency_us = u64::try_from(self.sent.elapsed().as_micros()).unwrap_or(u64::MAX);
        let outcome = Outcome {
            code: ending.code,
            filtered: ending.filtered,
            http_status: ending.http_status,
            task: ending.task,
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
