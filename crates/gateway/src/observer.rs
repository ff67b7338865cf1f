//! Who is told of what happens on the call path, such as metrics and traces. Knows neither: it says what
//! happened, in words of bounded number where they are to be counted, and never what a message holds.

use crate::asked::{Asked, Ending};
use crate::call::Call;
use crate::headers;
use crate::pipeline::{Pipeline, Received};
use crate::quota::Slot;
use crate::refusal::Refusal;
use event::{CallId, Direction, Resource, Status};
use mcp::Method;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Is told of everything that happens on the call path.
///
/// **Cost.** Every method is called in the exchange itself: it must not block, wait or fail.
pub trait Observer: Debug + Send + Sync {
    /// Who is told of what happens on the way to the server of this name; asked once for each server.
    fn server(&self, name: &str) -> Arc<dyn ServerObserver>;
}

/// Is told of what happens on the way to one server. May be told by many exchanges at once.
pub trait ServerObserver: Debug + Send + Sync {
    /// A call was permitted and is on record. What comes back follows it to its end.
    fn admitted(&self, call: &AdmittedCall<'_>) -> Option<Box<dyn Span>>;

    /// A message was refused.
    fn refused(&self, call: &RefusedCall<'_>);

    /// A call that was admitted came to its end.
    fn answered(&self, call: &AnsweredCall);

    /// The log made the record of a call durable, or failed to, after this time.
    fn recorded(&self, waited: Duration);
}

/// Follows one call to its end.
pub trait Span: Debug + Send + Sync {
    /// The call came to its end.
    fn end(&self, call: &AnsweredCall);
}

/// A call that may go on.
#[derive(Debug, Clone)]
pub struct AdmittedCall<'a> {
    /// Its id in the record.
    pub call: CallId,
    /// Its method, or `other`.
    pub method: &'static str,
    /// What it touches. Not to be counted by: callers choose these names.
    pub resource: &'a Resource,
    /// Who asks whom.
    pub direction: Direction,
    /// Its JSON-RPC id, for requests.
    pub request_id: Option<&'a mcp::RequestId>,
    /// The protocol revision, as far as it is known.
    pub protocol: Option<&'a str>,
    /// `_meta.traceparent` of the message, as the caller wrote it.
    pub traceparent: Option<&'a str>,
    /// The header `traceparent` of the HTTP request, as the caller wrote it; none when there are several
    /// (W3C Trace Context, section 3.2: there is one).
    pub http_traceparent: Option<&'a str>,
    /// Address and port of the caller.
    pub peer: Option<&'a str>,
    /// When the message had arrived, in microseconds since 1970.
    pub arrived_unix_us: u64,
    /// From the arrival until the call was permitted and on record.
    pub admission: Duration,
}

/// A message that does not go on.
#[derive(Debug, Clone)]
pub struct RefusedCall<'a> {
    /// Its method, or `other`, or `unread` when it could not be read.
    pub method: &'static str,
    /// The stable reason, of [docs/refusals.md](../../../docs/refusals.md).
    pub reason: &'a str,
}

/// A call that came to its end.
#[derive(Debug, Clone)]
pub struct AnsweredCall {
    /// Its method, or `other`.
    pub method: &'static str,
    /// Who asked whom.
    pub direction: Direction,
    /// How it ended.
    pub status: Status,
    /// The code of the JSON-RPC error that came back.
    pub code: Option<i64>,
    /// The HTTP status of the server's answer.
    pub http_status: Option<u16>,
    /// Bytes of the message that asked.
    pub request_bytes: u64,
    /// Bytes of what came back.
    pub response_bytes: u64,
    /// From the arrival of the message to the end of the answer.
    pub total: Duration,
    /// From the moment when it went to the server to the end of the answer.
    pub upstream: Duration,
}

/// Nobody is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn server(&self, _name: &str) -> Arc<dyn ServerObserver> {
        Arc::new(Self)
    }
}

impl ServerObserver for Unobserved {
    fn admitted(&self, _call: &AdmittedCall<'_>) -> Option<Box<dyn Span>> {
        None
    }

    fn refused(&self, _call: &RefusedCall<'_>) {}

    fn answered(&self, _call: &AnsweredCall) {}

    fn recorded(&self, _waited: Duration) {}
}

/// What is kept of a call for those who are told of its end.
#[derive(Debug)]
pub(crate) struct Watched {
    method: &'static str,
    direction: Direction,
    arrived: Instant,
    span: Option<Box<dyn Span>>,
    /// Its places within the quotas, until it ends.
    slot: Mutex<Slot>,
}

impl Pipeline {
    /// Tells of a call that may go on.
    pub(crate) fn watch(&self, received: &Received, call: &Call, slot: Slot) -> Box<Watched> {
        let admission = received.arrived.elapsed();
        let elapsed_us = u64::try_from(admission.as_micros()).unwrap_or(u64::MAX);
        let method = method_label(call);
        let header =
            received.headers.as_ref().and_then(|map| headers::only(map, &headers::TRACEPARENT));
        let span = self.observer.admitted(&AdmittedCall {
            call: received.call,
            method,
            resource: &call.resource,
            direction: Direction::ToServer,
            request_id: call.id.as_ref(),
            protocol: call.revision.as_ref().map(mcp::Revision::name),
            traceparent: call.traceparent.as_deref(),
            http_traceparent: header.and_then(|value| value.to_str().ok()),
            peer: received.origin.peer.as_deref(),
            arrived_unix_us: self.now_us().saturating_sub(elapsed_us),
            admission,
        });
        let direction = Direction::ToServer;
        Box::new(Watched {
            method,
            direction,
            arrived: received.arrived,
            span,
            slot: Mutex::new(slot),
        })
    }

    /// As [`Pipeline::watch`], for a call of the server to the client.
    pub(crate) fn watch_question(&self, call: &Call, id: CallId) -> Box<Watched> {
        let method = method_label(call);
        let span = self.observer.admitted(&AdmittedCall {
            call: id,
            method,
            resource: &call.resource,
            direction: Direction::ToClient,
            request_id: call.id.as_ref(),
            protocol: None,
            traceparent: None,
            http_traceparent: None,
            peer: None,
            arrived_unix_us: self.now_us(),
            admission: Duration::ZERO,
        });
        let (direction, arrived) = (Direction::ToClient, Instant::now());
        Box::new(Watched { method, direction, arrived, span, slot: Mutex::default() })
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.recorder.clock().now().unix_us()).unwrap_or(0)
    }

    /// Tells of the end of a call.
    pub(crate) fn tell_end(&self, asked: &Asked, ending: &Ending) {
        self.reach.note(ending.status, Instant::now());
        let watched = &asked.watched;
        drop(std::mem::take(&mut *watched.slot.lock().unwrap_or_else(PoisonError::into_inner)));
        let answered = AnsweredCall {
            method: watched.method,
            direction: watched.direction,
            status: ending.status,
            code: ending.code,
            http_status: ending.http_status,
            request_bytes: asked.request_bytes,
            response_bytes: ending.response_bytes,
            total: watched.arrived.elapsed(),
            upstream: asked.sent.elapsed(),
        };
        self.observer.answered(&answered);
        if let Some(span) = &watched.span {
            span.end(&answered);
        }
    }

    /// Tells of a refusal.
    pub(crate) fn tell_refusal(&self, refusal: &Refusal) {
        tell_refusal(&*self.observer, refusal);
    }
}

/// Tells of a refusal.
pub(crate) fn tell_refusal(observer: &dyn ServerObserver, refusal: &Refusal) {
    let named = refusal.known.resource.as_ref();
    let method = named.map_or("unread", |resource| known_method(&resource.method));
    observer.refused(&RefusedCall { method, reason: &refusal.cause.reason() });
}

fn method_label(call: &Call) -> &'static str {
    match &call.method {
        Method::Other(name) => transport_operation(name),
        known => METHODS.iter().find(|m| *m == known).map_or("other", Method::name),
    }
}

/// The name of a method, as long as it is one of those we know: callers may make up any number.
fn known_method(name: &str) -> &'static str {
    let known = METHODS.iter().find(|m| m.name() == name);
    known.map_or_else(|| transport_operation(name), Method::name)
}

fn transport_operation(name: &str) -> &'static str {
    match name {
        "http/get" => "http/get",
        "http/delete" => "http/delete",
        _ => "other",
    }
}

const METHODS: &[Method<'static>] = &Method::KNOWN;

#[cfg(test)]
mod tests {
    use super::known_method;

    #[test]
    fn methods_that_callers_make_up_are_one() {
        assert_eq!(known_method("tools/call"), "tools/call");
        assert_eq!(known_method("http/get"), "http/get");
        assert_eq!(known_method("x/1"), "other");
        assert_eq!(known_method("tools/call "), "other");
    }
}
