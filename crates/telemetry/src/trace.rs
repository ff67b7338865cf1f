//! Spans by the OpenTelemetry conventions for MCP: one for the client's side of a call (SERVER), and below
//! it one for the server's side (CLIENT). Knows no collector; `export` does.
//!
//! Never in a span: arguments, results, tokens, session ids (`mcp.session.id` is a secret that works like
//! a password, so it is left out).

use crate::context;
use crate::export::Queue;
use crate::metrics::Name;
use event::{Direction, ResourceKind, Status};
use gateway::{AdmittedCall, AnsweredCall, Span};
use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status as SpanStatus, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanLinks};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Makes spans of calls.
#[derive(Debug, Clone)]
pub(crate) struct Tracer {
    queue: Queue,
    /// Traces are kept whose number, of 2^63, is below this.
    below: u64,
    scope: InstrumentationScope,
}

/// A call in progress whose spans will be sent.
#[derive(Debug)]
struct CallSpan {
    queue: Queue,
    scope: InstrumentationScope,
    trace: TraceId,
    parent: Option<SpanContext>,
    link: Option<SpanContext>,
    own: SpanId,
    below: SpanId,
    name: String,
    arrived: SystemTime,
    /// Of both spans.
    attributes: Vec<KeyValue>,
    /// Of the client's side alone.
    client: Vec<KeyValue>,
    reports_to_client: bool,
}

impl Tracer {
    /// `ratio` of all traces are kept, by their number, so that everybody who keeps the same ratio keeps
    /// the same traces.
    pub(crate) fn new(queue: Queue, ratio: f64, version: &str) -> Self {
        let scope =
            InstrumentationScope::builder("countersign").with_version(version.to_owned()).build();
        Self { queue, below: threshold(ratio), scope }
    }

    /// Follows a call, if its trace is one to be kept.
    pub(crate) fn follow(&self, server: &Name, call: &AdmittedCall<'_>) -> Option<Box<dyn Span>> {
        if self.below == 0 {
            return None;
        }
        let stated = call.traceparent.and_then(context::parse);
        let ambient = call.http_traceparent.and_then(context::parse);
        // The message's own context comes first; the one of its transport is then only linked.
        let (parent, link) = match stated {
            Some(stated) => (Some(stated), ambient),
            None => (ambient, None),
        };
        let ids = RandomIdGenerator::default();
        let trace = parent.as_ref().map_or_else(|| ids.new_trace_id(), SpanContext::trace_id);
        if number_of(trace) >= self.below {
            return None;
        }
        Some(Box::new(CallSpan {
            queue: self.queue.clone(),
            scope: self.scope.clone(),
            trace,
            parent,
            link,
            own: ids.new_span_id(),
            below: ids.new_span_id(),
            name: name(call),
            arrived: UNIX_EPOCH + Duration::from_micros(call.arrived_unix_us),
            attributes: attributes(server, call),
            client: client_attributes(call),
            reports_to_client: call.direction == Direction::ToServer,
        }))
    }
}

impl Span for CallSpan {
    fn end(&self, call: &AnsweredCall) {
        let ended = self.arrived + call.total;
        let sent = self.arrived + call.total.saturating_sub(call.upstream);
        let mut links = SpanLinks::default();
        links.links.extend(self.link.clone().map(|context| Link::new(context, Vec::new(), 0)));
        let outer = SpanData {
            parent_span_id: self.parent.as_ref().map_or(SpanId::INVALID, SpanContext::span_id),
            parent_span_is_remote: self.parent.is_some(),
            links,
            ..self.span(self.own, SpanKind::Server, (self.arrived, ended), call)
        };
        let inner = SpanData {
            parent_span_id: self.own,
            ..self.span(self.below, SpanKind::Client, (sent, ended), call)
        };
        self.queue.put([outer, inner]);
    }
}

impl CallSpan {
    fn span(
        &self,
        id: SpanId,
        kind: SpanKind,
        (start_time, end_time): (SystemTime, SystemTime),
        call: &AnsweredCall,
    ) -> SpanData {
        let mut attributes = self.attributes.clone();
        let faces_client = (kind == SpanKind::Server) == self.reports_to_client;
        if faces_client {
            attributes.extend(self.client.iter().cloned());
        }
        if let Some(code) = call.code {
            attributes.push(KeyValue::new("rpc.response.status_code", code.to_string()));
        }
        let error = error_type(call, &kind);
        let status = match &error {
            Some(error) => SpanStatus::error(error.clone()),
            None => SpanStatus::Unset,
        };
        attributes.extend(error.map(|error| KeyValue::new("error.type", error)));
        SpanData {
            span_context: SpanContext::new(
                self.trace,
                id,
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: kind,
            name: self.name.clone().into(),
            start_time,
            end_time,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

/// `{mcp.method.name} {gen_ai.tool.name|gen_ai.prompt.name}`; never the URI of a resource.
fn name(call: &AdmittedCall<'_>) -> String {
    match (call.resource.kind, call.resource.names.first()) {
        (ResourceKind::Tool | ResourceKind::Prompt, Some(target)) => {
            format!("{} {}", call.method, event::bounded(target, NAME_BYTES_MAX))
        }
        _ => call.method.to_owned(),
    }
}

fn attributes(server: &Name, call: &AdmittedCall<'_>) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("mcp.method.name", call.method),
        KeyValue::new("countersign.call.id", call.call.to_string()),
        KeyValue::new("countersign.server", server.to_string()),
    ];
    if let Some(protocol) = call.protocol {
        let protocol = event::bounded(protocol, NAME_BYTES_MAX);
        attributes.push(KeyValue::new("mcp.protocol.version", protocol));
    }
    if let Some(id) = call.request_id {
        let id = event::bounded(&id.to_string(), NAME_BYTES_MAX);
        attributes.push(KeyValue::new("jsonrpc.request.id", id));
    }
    let named = |key: &'static str| {
        let name = call.resource.names.first()?;
        Some(KeyValue::new(key, event::bounded(name, NAME_BYTES_MAX)))
    };
    match call.resource.kind {
        ResourceKind::Tool => {
            attributes.push(KeyValue::new("gen_ai.operation.name", "execute_tool"));
            attributes.extend(named("gen_ai.tool.name"));
        }
        ResourceKind::Prompt => attributes.extend(named("gen_ai.prompt.name")),
        ResourceKind::Resource => attributes.extend(named("mcp.resource.uri")),
        _ => {}
    }
    attributes
}

fn client_attributes(call: &AdmittedCall<'_>) -> Vec<KeyValue> {
    let Some(peer) = call.peer.and_then(|peer| peer.parse::<SocketAddr>().ok()) else {
        return Vec::new();
    };
    vec![
        KeyValue::new("network.transport", "tcp"),
        KeyValue::new("client.address", peer.ip().to_string()),
        KeyValue::new("client.port", i64::from(peer.port())),
    ]
}

/// What went wrong, in few words; `None` when nothing did. A server is not at fault for what it was asked
/// wrongly: these codes are errors for the asking side only.
fn error_type(call: &AnsweredCall, kind: &SpanKind) -> Option<String> {
    match (call.status, call.code) {
        (Status::ToolError, _) => Some("tool_error".to_owned()),
        (Status::ProtocolError, Some(code)) => {
            let asked_wrongly = matches!(code, -32_700 | -32_602..=-32_600 | -32_002);
            (*kind == SpanKind::Client || !asked_wrongly).then(|| code.to_string())
        }
        (
            Status::Accepted
            | Status::Cancelled
            | Status::InputRequired
            | Status::ListFiltered
            | Status::Ok
            | Status::Task,
            _,
        ) => None,
        (status, _) => Some(status.as_str().to_owned()),
    }
}

/// The number by which a trace is kept or not: its last eight bytes, without the highest bit.
fn number_of(trace: TraceId) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = trace.to_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a ratio from 0 to 1 gives a number from 0 to 2^63"
)]
fn threshold(ratio: f64) -> u64 {
    (ratio.clamp(0.0, 1.0) * 9_223_372_036_854_775_808.0) as u64
}

/// Bytes of a name that a caller chose, in a span.
const NAME_BYTES_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::{Tracer, threshold};
    use crate::export::Queue;
    use event::{CallId, Direction, MethodClass, Resource, ResourceKind, Status};
    use gateway::{AdmittedCall, AnsweredCall};
    use opentelemetry::Value;
    use opentelemetry::trace::{SpanId, SpanKind, Status as SpanStatus};
    use opentelemetry_sdk::trace::SpanData;
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    const OTHER: &str = "00-11f7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01";

    fn resource(kind: ResourceKind, method: &str, name: &str) -> Resource {
        Resource {
            class: MethodClass::Write,
            kind,
            method: method.to_owned(),
            names: vec![name.to_owned()],
            server: "crm".to_owned(),
        }
    }

    fn admitted<'a>(resource: &'a Resource, method: &'static str) -> AdmittedCall<'a> {
        AdmittedCall {
            call: CallId(event_id()),
            method,
            resource,
            direction: Direction::ToServer,
            request_id: None,
            protocol: Some("2026-07-28"),
            traceparent: None,
            http_traceparent: None,
            peer: Some("192.0.2.1:4711"),
            arrived_unix_us: 1_000_000,
            admission: Duration::from_millis(1),
        }
    }

    fn event_id() -> uuid::Uuid {
        uuid::Uuid::nil()
    }

    fn answered(status: Status, code: Option<i64>) -> AnsweredCall {
        AnsweredCall {
            method: "tools/call",
            direction: Direction::ToServer,
            status,
            code,
            http_status: Some(200),
            request_bytes: 1,
            response_bytes: 1,
            total: Duration::from_millis(10),
            upstream: Duration::from_millis(7),
        }
    }

    /// The spans of one call.
    fn spans(call: &AdmittedCall<'_>, end: &AnsweredCall) -> [SpanData; 2] {
        let (queue, mut waiting) = Queue::new(4);
        let tracer = Tracer::new(queue, 1.0, "1");
        tracer.follow(&Arc::new("crm".to_owned()), call).unwrap().end(end);
        *waiting.try_recv().unwrap()
    }

    /// The trace id (1) or span id (2) of a `traceparent`.
    fn field(traceparent: &str, place: usize) -> &str {
        traceparent.split('-').nth(place).unwrap_or_default()
    }

    fn attribute(span: &SpanData, key: &str) -> Option<Value> {
        span.attributes.iter().find(|kv| kv.key.as_str() == key).map(|kv| kv.value.clone())
    }

    #[test]
    fn a_call_has_a_span_on_either_side() {
        let resource = resource(ResourceKind::Tool, "tools/call", "query");
        let [outer, inner] = spans(&admitted(&resource, "tools/call"), &answered(Status::Ok, None));
        assert_eq!(
            (outer.span_kind.clone(), inner.span_kind.clone()),
            (SpanKind::Server, SpanKind::Client)
        );
        assert_eq!(outer.name, "tools/call query");
        assert_eq!(inner.parent_span_id, outer.span_context.span_id());
        assert_eq!(inner.span_context.trace_id(), outer.span_context.trace_id());
        assert_eq!(outer.parent_span_id, SpanId::INVALID);
        assert_eq!(outer.start_time, UNIX_EPOCH + Duration::from_secs(1));
        assert_eq!(inner.start_time, outer.start_time + Duration::from_millis(3));
        assert_eq!(inner.end_time, outer.start_time + Duration::from_millis(10));
        assert_eq!(outer.status, SpanStatus::Unset);
    }

    #[test]
    fn attributes_are_those_of_the_conventions() {
        let resource = resource(ResourceKind::Tool, "tools/call", "query");
        let [outer, inner] = spans(&admitted(&resource, "tools/call"), &answered(Status::Ok, None));
        for (key, value) in [
            ("mcp.method.name", Some("tools/call")),
            ("mcp.protocol.version", Some("2026-07-28")),
            ("gen_ai.tool.name", Some("query")),
            ("gen_ai.operation.name", Some("execute_tool")),
            ("client.address", Some("192.0.2.1")),
            ("countersign.server", Some("crm")),
            ("countersign.call.id", Some("00000000-0000-0000-0000-000000000000")),
            ("mcp.session.id", None),
        ] {
            assert_eq!(attribute(&outer, key), value.map(Value::from), "{key}");
        }
        assert_eq!(attribute(&inner, "client.address"), None);
    }

    #[test]
    fn the_context_of_the_message_is_the_parent_and_that_of_http_is_linked() {
        let resource = resource(ResourceKind::Server, "ping", "");
        let both = AdmittedCall {
            traceparent: Some(PARENT),
            http_traceparent: Some(OTHER),
            ..admitted(&resource, "ping")
        };
        let [outer, _] = spans(&both, &answered(Status::Ok, None));
        assert_eq!(outer.span_context.trace_id().to_string(), field(PARENT, 1));
        assert_eq!(outer.parent_span_id.to_string(), field(PARENT, 2));
        assert_eq!(outer.links[0].span_context.trace_id().to_string(), field(OTHER, 1));
        let broken = AdmittedCall { traceparent: Some("00-zz"), ..both };
        let [outer, _] = spans(&broken, &answered(Status::Ok, None));
        assert_eq!(outer.parent_span_id.to_string(), field(OTHER, 2));
        assert!(outer.links.is_empty());
    }

    #[test]
    fn what_a_client_asked_wrongly_is_no_error_of_the_server() {
        let resource = resource(ResourceKind::Tool, "tools/call", "query");
        let call = admitted(&resource, "tools/call");
        let check =
            |status, code, outer_error: Option<&'static str>, inner: Option<&'static str>| {
                let [first, second] = spans(&call, &answered(status, code));
                assert_eq!(attribute(&first, "error.type"), outer_error.map(Value::from));
                assert_eq!(attribute(&second, "error.type"), inner.map(Value::from));
            };
        check(Status::ProtocolError, Some(-32_602), None, Some("-32602"));
        check(Status::ProtocolError, Some(-32_603), Some("-32603"), Some("-32603"));
        check(Status::ToolError, None, Some("tool_error"), Some("tool_error"));
        check(Status::TimedOut, None, Some("timed-out"), Some("timed-out"));
        check(Status::InputRequired, None, None, None);
    }

    #[test]
    fn a_resource_is_an_attribute_and_never_a_name() {
        let resource = resource(ResourceKind::Resource, "resources/read", "file:///a");
        let [outer, _] = spans(&admitted(&resource, "resources/read"), &answered(Status::Ok, None));
        assert_eq!(outer.name, "resources/read");
        assert_eq!(attribute(&outer, "mcp.resource.uri"), Some(Value::from("file:///a")));
    }

    #[test]
    fn a_ratio_keeps_that_share_and_the_same_ones_again() {
        let resource = resource(ResourceKind::Tool, "tools/call", "query");
        let (queue, _waiting) = Queue::new(4);
        let none = Tracer::new(queue.clone(), 0.0, "1");
        let server = Arc::new("crm".to_owned());
        assert!(none.follow(&server, &admitted(&resource, "tools/call")).is_none());
        let half = Tracer::new(queue, 0.5, "1");
        for (byte, kept) in [("00", true), ("7f", true), ("80", false), ("ff", false)] {
            let parent = format!("00-0af7651916cd43dd{byte}48eb211c80319c-b7ad6b7169203331-01");
            let call =
                AdmittedCall { traceparent: Some(&parent), ..admitted(&resource, "tools/call") };
            assert_eq!(half.follow(&server, &call).is_some(), kept, "{byte}");
        }
        assert_eq!((threshold(0.0), threshold(2.0)), (0, 1 << 63));
    }
}
