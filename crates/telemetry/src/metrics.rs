//! Counters and histograms of the call path in the text format of `OpenMetrics`. Labels have values from
//! the configuration or from fixed lists only.

use gateway::{AnsweredCall, State};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// The name of a server; shared, so that a lookup copies nothing.
pub(crate) type Name = Arc<String>;

type GaugeF64 = Gauge<f64, AtomicU64>;

/// What is read off at the moment when somebody asks for the metrics.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The gateway.
    pub state: State,
    /// Whether the log takes records.
    pub log_takes_records: bool,
    /// Entries that are durable.
    pub log_entries: u64,
    /// Entries that the published checkpoint covers.
    pub checkpoint_entries: u64,
    /// Since the last checkpoint was published, as far as that is known.
    pub checkpoint_age: Option<Duration>,
    /// Entries that wait to be written.
    pub log_queue: usize,
    /// Bytes of the log's segments, and bytes that are free where they are, as far as that is known.
    pub log_disk: Option<LogDisk>,
    /// The certificates in use.
    pub certificates: Vec<CertificateExpiry>,
    /// Whether new calls are welcome.
    pub ready: bool,
}

/// The disk under the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogDisk {
    /// Bytes of all segments, allocated in advance.
    pub segment_bytes: u64,
    /// Bytes that the gateway may still take.
    pub free_bytes: u64,
}

/// When a certificate of the gateway expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateExpiry {
    /// What it is for: `listener` or `client`.
    pub role: &'static str,
    /// The configured name of the server that it is shown to; empty for the listener's.
    pub server: String,
    /// Seconds since 1970.
    pub not_after_s: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    server: Name,
    method: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    server: Name,
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    server: Name,
    method: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabels {
    role: &'static str,
    server: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabels {
    server: Name,
}

/// Everything that is counted while calls go through.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    admitted: Family<MethodLabels, Counter>,
    refused: Family<RefusalLabels, Counter>,
    server_side: Family<CallLabels, Histogram, fn() -> Histogram>,
    client_side: Family<CallLabels, Histogram, fn() -> Histogram>,
    request_bytes: Family<ServerLabels, Counter>,
    response_bytes: Family<ServerLabels, Counter>,
    admission: Histogram,
    record: Histogram,
    pub(crate) spans_exported: Counter,
    pub(crate) spans_dropped: Counter,
}

impl Metrics {
    pub(crate) fn new(version: &str) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            admitted: Family::default(),
            refused: Family::default(),
            server_side: Family::new_with_constructor(operation_histogram),
            client_side: Family::new_with_constructor(operation_histogram),
            request_bytes: Family::default(),
            response_bytes: Family::default(),
            admission: Histogram::new(RECORD_BUCKETS),
            record: Histogram::new(RECORD_BUCKETS),
            spans_exported: Counter::default(),
            spans_dropped: Counter::default(),
        };
        metrics.register_calls();
        metrics.register_others(version);
        metrics
    }

    fn register_calls(&mut self) {
        let registry = &mut self.registry;
        registry.register_with_unit(
            "mcp_server_operation_duration",
            "From the arrival of a message to the end of its answer, as the client sees it",
            Unit::Seconds,
            self.server_side.clone(),
        );
        registry.register_with_unit(
            "mcp_client_operation_duration",
            "From sending a message to the server to the end of its answer",
            Unit::Seconds,
            self.client_side.clone(),
        );
        registry.register(
            "countersign_calls_admitted",
            "Calls that were permitted and put on record",
            self.admitted.clone(),
        );
        registry.register(
            "countersign_calls_refused",
            "Messages that were refused, by the first word of the reason",
            self.refused.clone(),
        );
        registry.register_with_unit(
            "countersign_request",
            "Bytes of messages that were answered",
            Unit::Bytes,
            self.request_bytes.clone(),
        );
        registry.register_with_unit(
            "countersign_response",
            "Bytes of their answers",
            Unit::Bytes,
            self.response_bytes.clone(),
        );
    }

    fn register_others(&mut self, version: &str) {
        let registry = &mut self.registry;
        registry.register_with_unit(
            "countersign_admission_duration",
            "From the arrival of a message until it was permitted and on record",
            Unit::Seconds,
            self.admission.clone(),
        );
        registry.register_with_unit(
            "countersign_record_duration",
            "Until the record of a call was durable",
            Unit::Seconds,
            self.record.clone(),
        );
        registry.register(
            "countersign_spans_exported",
            "Spans that the collector took",
            self.spans_exported.clone(),
        );
        registry.register(
            "countersign_spans_dropped",
            "Spans that did not fit into the queue or that the collector did not take",
            self.spans_dropped.clone(),
        );
        let build = Info::new(vec![("version".to_owned(), version.to_owned())]);
        registry.register("countersign_build", "The program", build);
    }

    pub(crate) fn admitted(&self, server: &Name, method: &'static str, admission: Duration) {
        let labels = MethodLabels { server: Arc::clone(server), method };
        self.admitted.get_or_create(&labels).inc();
        self.admission.observe(admission.as_secs_f64());
    }

    pub(crate) fn refused(&self, server: &Name, method: &'static str, reason: &str) {
        let reason = family_of(reason);
        let labels = RefusalLabels { server: Arc::clone(server), method, reason };
        self.refused.get_or_create(&labels).inc();
    }

    pub(crate) fn answered(&self, server: &Name, call: &AnsweredCall) {
        let outcome = call.status.as_str();
        let labels = CallLabels { server: Arc::clone(server), method: call.method, outcome };
        self.server_side.get_or_create(&labels).observe(call.total.as_secs_f64());
        self.client_side.get_or_create(&labels).observe(call.upstream.as_secs_f64());
        let labels = ServerLabels { server: Arc::clone(server) };
        self.request_bytes.get_or_create(&labels).inc_by(call.request_bytes);
        self.response_bytes.get_or_create(&labels).inc_by(call.response_bytes);
    }

    pub(crate) fn recorded(&self, waited: Duration) {
        self.record.observe(waited.as_secs_f64());
    }

    /// Everything, as text.
    pub(crate) fn text(&self, now: &Snapshot) -> String {
        let mut written = String::new();
        let encoded = text::encode_registry(&mut written, &self.registry)
            .and_then(|()| text::encode(&mut written, &of_now(now)));
        if encoded.is_err() {
            tracing::error!("metrics could not be written as text");
        }
        written
    }
}

/// What has a value only at one moment.
fn of_now(now: &Snapshot) -> Registry {
    let mut registry = Registry::default();
    let mut gauge = |name: &str, help: &str, value: f64| {
        let gauge = GaugeF64::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    let state = &now.state;
    gauge("countersign_ready", "Whether new calls are welcome", one(now.ready));
    gauge("countersign_log_up", "Whether the log takes records", one(now.log_takes_records));
    gauge("countersign_log_entries", "Entries that are durable", count(now.log_entries));
    let covered = count(now.checkpoint_entries);
    gauge("countersign_checkpoint_entries", "Entries that the checkpoint covers", covered);
    if let Some(age) = now.checkpoint_age {
        let help = "Since the last checkpoint was published";
        gauge("countersign_checkpoint_age_seconds", help, age.as_secs_f64());
    }
    let exchanges = size(state.exchanges);
    gauge("countersign_exchanges", "Exchanges in progress, open streams included", exchanges);
    gauge("countersign_calls_free", "Places for calls that are free", size(state.calls_free));
    gauge("countersign_actors", "Actors whose limits are being counted", size(state.actors));
    gauge("countersign_log_queue_entries", "Entries that wait to be written", size(now.log_queue));
    if let Some(disk) = now.log_disk {
        let (segments, free) = (count(disk.segment_bytes), count(disk.free_bytes));
        gauge("countersign_log_segment_bytes", "Bytes of the segments of the log", segments);
        gauge("countersign_log_free_bytes", "Bytes that are free on the disk of the log", free);
    }
    register_certificates(&mut registry, &now.certificates);
    register_servers(&mut registry, state);
    registry
}

fn register_certificates(registry: &mut Registry, certificates: &[CertificateExpiry]) {
    let family = Family::<CertificateLabels, GaugeF64>::default();
    for certificate in certificates {
        let (role, server) = (certificate.role, certificate.server.clone());
        let labels = CertificateLabels { role, server };
        family.get_or_create(&labels).set(seconds(certificate.not_after_s));
    }
    let help = "When the certificate that is in use expires, in seconds since 1970";
    registry.register("countersign_certificate_expiry_timestamp_seconds", help, family);
}

fn register_servers(registry: &mut Registry, state: &State) {
    let mut per_server = |name: &str, help: &str, value: &dyn Fn(usize) -> f64| {
        let family = Family::<ServerLabels, GaugeF64>::default();
        for (i, server) in state.servers.iter().enumerate() {
            let labels = ServerLabels { server: Arc::new(server.name.clone()) };
            family.get_or_create(&labels).set(value(i));
        }
        registry.register(name, help, family);
    };
    let of = |i: usize| state.servers.get(i);
    per_server("countersign_sessions", "Sessions kept", &|i| {
        of(i).map_or(0.0, |server| size(server.sessions))
    });
    per_server("countersign_programs", "Server programs running", &|i| {
        of(i).map_or(0.0, |server| size(server.programs))
    });
    per_server("countersign_server_up", "Whether the last call lately reached the server", &|i| {
        of(i).map_or(0.0, |server| one(!server.unreachable))
    });
}

fn one(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

/// The first word of a reason: there are as many as there are stages.
fn family_of(reason: &str) -> &'static str {
    let first = reason.split('.').next().unwrap_or_default();
    REASONS.iter().copied().find(|known| *known == first).unwrap_or("other")
}

fn count(number: u64) -> f64 {
    // Gauges are floating-point numbers; beyond 2^53 the last digits are not exact.
    let (high, low) = (number >> 32, number & u64::from(u32::MAX));
    let part = |half: u64| f64::from(u32::try_from(half).unwrap_or(u32::MAX));
    part(high) * 4_294_967_296.0 + part(low)
}

fn seconds(number: i64) -> f64 {
    let magnitude = count(number.unsigned_abs());
    if number < 0 { -magnitude } else { magnitude }
}

fn size(number: usize) -> f64 {
    count(u64::try_from(number).unwrap_or(u64::MAX))
}

fn operation_histogram() -> Histogram {
    Histogram::new(OPERATION_BUCKETS)
}

const REASONS: [&str; 11] = [
    "federation",
    "gateway",
    "handle",
    "http",
    "identity",
    "inventory",
    "limit",
    "log",
    "malformed",
    "policy",
    "session",
];

/// Seconds, of the OpenTelemetry conventions for MCP (`mcp.server.operation.duration`), with one step
/// more at either end of the fast ones.
const OPERATION_BUCKETS: [f64; 15] =
    [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Seconds: one write to a disk takes from a tenth of a millisecond to a tenth of a second.
const RECORD_BUCKETS: [f64; 12] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

#[cfg(test)]
mod tests {
    use super::{CertificateExpiry, LogDisk, Metrics, Snapshot, count, family_of};
    use event::{Direction, Status};
    use gateway::{AnsweredCall, ServerState, State};
    use std::sync::Arc;
    use std::time::Duration;

    fn snapshot() -> Snapshot {
        let server =
            ServerState { name: "crm".to_owned(), sessions: 3, programs: 0, unreachable: true };
        Snapshot {
            state: State { exchanges: 2, calls_free: 98, actors: 1, servers: vec![server] },
            log_takes_records: true,
            log_entries: 12,
            checkpoint_entries: 10,
            checkpoint_age: Some(Duration::from_millis(1_500)),
            log_queue: 7,
            log_disk: Some(LogDisk { segment_bytes: 4_096, free_bytes: 8_192 }),
            certificates: vec![
                CertificateExpiry {
                    role: "listener",
                    server: String::new(),
                    not_after_s: 1_772_323_200,
                },
                CertificateExpiry { role: "client", server: "crm".to_owned(), not_after_s: -1 },
            ],
            ready: true,
        }
    }

    fn answered(method: &'static str) -> AnsweredCall {
        AnsweredCall {
            method,
            direction: Direction::ToServer,
            status: Status::ToolError,
            code: None,
            http_status: Some(200),
            request_bytes: 100,
            response_bytes: 250,
            total: Duration::from_millis(30),
            upstream: Duration::from_millis(15),
        }
    }

    #[test]
    fn what_happened_can_be_read_off() {
        let metrics = Metrics::new("1.2.3");
        let server = Arc::new("crm".to_owned());
        metrics.admitted(&server, "tools/call", Duration::from_millis(2));
        metrics.answered(&server, &answered("tools/call"));
        metrics.refused(&server, "tools/call", "identity.expired");
        metrics.recorded(Duration::from_micros(300));
        let text = metrics.text(&snapshot());
        for line in [
            "mcp_server_operation_duration_seconds_bucket{le=\"0.02\",server=\"crm\",method=\"tools/call\",outcome=\"tool-error\"} 0",
            "mcp_server_operation_duration_seconds_bucket{le=\"0.05\",server=\"crm\",method=\"tools/call\",outcome=\"tool-error\"} 1",
            "mcp_client_operation_duration_seconds_bucket{le=\"0.02\",server=\"crm\",method=\"tools/call\",outcome=\"tool-error\"} 1",
            "countersign_calls_admitted_total{server=\"crm\",method=\"tools/call\"} 1",
            "countersign_calls_refused_total{server=\"crm\",method=\"tools/call\",reason=\"identity\"} 1",
            "countersign_request_bytes_total{server=\"crm\"} 100",
            "countersign_response_bytes_total{server=\"crm\"} 250",
            "countersign_record_duration_seconds_count 1",
            "countersign_build_info{version=\"1.2.3\"} 1",
            "countersign_log_entries 12.0",
            "countersign_checkpoint_age_seconds 1.5",
            "countersign_log_queue_entries 7.0",
            "countersign_log_segment_bytes 4096.0",
            "countersign_log_free_bytes 8192.0",
            "countersign_certificate_expiry_timestamp_seconds{role=\"listener\",server=\"\"} 1772323200.0",
            "countersign_certificate_expiry_timestamp_seconds{role=\"client\",server=\"crm\"} -1.0",
            "countersign_sessions{server=\"crm\"} 3.0",
            "countersign_server_up{server=\"crm\"} 0.0",
            "countersign_ready 1.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        assert_eq!(text.matches("# EOF").count(), 1);
    }

    #[test]
    fn reasons_that_nobody_knows_are_one() {
        assert_eq!(family_of("limit.rate"), "limit");
        assert_eq!(family_of("made-up.1"), "other");
    }

    #[test]
    fn large_numbers_are_shown_as_they_are() {
        assert_eq!(count(0).to_string(), "0");
        assert_eq!(count(5_000_000_000).to_string(), "5000000000");
    }
}
