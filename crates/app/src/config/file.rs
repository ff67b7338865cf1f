//! The configuration file as it is written: one structure per table, everything optional, nothing
//! believed. `config.rs` turns it into checked values.

use super::tls::{GatewayTls, ServerTls};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) gateway: Gateway,
    pub(crate) server: Vec<Server>,
    pub(crate) log: Log,
    pub(crate) policy: Policy,
    pub(crate) identity: identity::Config,
    pub(crate) limits: Limits,
    pub(crate) inventory: Inventory,
    pub(crate) metrics: Metrics,
    pub(crate) traces: Traces,
    pub(crate) signals: Signals,
}

/// `[signals]`: what others tell of the parties they vouch for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Signals {
    /// Path of the push endpoint (RFC 8935). Default: `/ssf/events`.
    pub(crate) path: Option<String>,
    /// File that keeps the revocations in force. Default: `revoked.jsonl` beside the log.
    pub(crate) book: Option<PathBuf>,
    /// Who is believed (`[[signals.transmitter]]`). Default: nobody, and nothing is taken.
    pub(crate) transmitter: Vec<Transmitter>,
}

/// `[[signals.transmitter]]`: a party that tells of others.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Transmitter {
    /// Its name in events. Required, unique.
    pub(crate) name: String,
    /// `iss` of its tokens. Required.
    pub(crate) issuer: String,
    /// What `aud` of its tokens must name. Required.
    pub(crate) audience: String,
    /// `https` address of its JSON Web Key Set. Either this or `jwks_file`.
    pub(crate) jwks_url: Option<String>,
    /// File with its JSON Web Key Set. Either this or `jwks_url`.
    pub(crate) jwks_file: Option<PathBuf>,
    /// Issuers of whose subjects it may speak. Default: its own.
    pub(crate) speaks_for: Option<Vec<String>>,
    /// Events after which what was issued before does not count. Default: those that leave no doubt.
    pub(crate) revoke_on: Option<Vec<signals::Event>>,
    /// As in `[[identity.provider]]`. Default: false.
    pub(crate) allow_insecure_loopback: bool,
    /// As in `[[identity.provider]]`. Default: false.
    pub(crate) allow_private_addresses: bool,
}

/// `[metrics]`: pages for those who operate the gateway.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Metrics {
    /// Address and port of `/metrics`, `/healthz` and `/readyz`. Default: none.
    pub(crate) listen: Option<String>,
}

/// `[traces]`: spans for an OpenTelemetry collector.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Traces {
    /// Address of the collector (OTLP over HTTP, protobuf). Default: none: no traces.
    pub(crate) otlp_url: Option<String>,
    /// Share of traces that are kept, from 0 to 1. Default: 1.
    pub(crate) ratio: Option<f64>,
    /// Calls whose spans may wait to be sent; more are dropped. Default: 4096.
    pub(crate) queue_calls_max: Option<usize>,
    /// Milliseconds for the collector to take a batch. Default: 5000.
    pub(crate) timeout_ms: Option<u64>,
}

/// `[gateway]`: what it is called and where it listens.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Gateway {
    /// Name of this gateway in every event. Required.
    pub(crate) name: Option<String>,
    /// Region in every event. Default: none.
    pub(crate) region: Option<String>,
    /// Address and port to listen on. Default: `127.0.0.1:8700`.
    pub(crate) listen: Option<String>,
    /// Path of the MCP endpoint. Default: `/mcp`.
    pub(crate) path: Option<String>,
    /// Values of the `Host` header that are served. Default: the listen address, and `localhost` with
    /// its port when that is a loopback address.
    pub(crate) allowed_hosts: Option<Vec<String>>,
    /// Values of the `Origin` header that are served; requests of programs have none. Default: `http`
    /// and `https` at the allowed hosts.
    pub(crate) allowed_origins: Option<Vec<String>>,
    /// Where clients find the gateway from outside, such as `https://gw.example`: scheme and authority, and
    /// the path that a proxy puts before its own. Default: none.
    pub(crate) public_url: Option<String>,
    /// When the record of an answer is durable: `next-commit` or `before-release`. Default:
    /// `next-commit`.
    pub(crate) answers: Option<String>,
    /// Whether results carry the receipt of their call in `_meta`. Default: false.
    pub(crate) receipts: bool,
    /// TLS towards clients. Default: none.
    pub(crate) tls: Option<GatewayTls>,
    /// Milliseconds between two looks at this file for changes; 0 never looks. Default: 1000.
    pub(crate) reload_interval_ms: Option<u64>,
    /// Milliseconds for which calls are still served after the gateway was asked to stop and says that
    /// it is not ready. Default: 0.
    pub(crate) drain_delay_ms: Option<u64>,
}

/// `[server]`, or `[[server]]` for each of several: an MCP server behind the gateway. Either `url` or
/// `command`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Server {
    /// Name of the server in events and policies. Required.
    pub(crate) name: Option<String>,
    /// What stands before its names on the endpoint of all servers. Default: the name in lower case.
    pub(crate) prefix: Option<String>,
    /// Address of an HTTP server.
    pub(crate) url: Option<String>,
    /// What is spoken there: `streamable-http`, or `sse` for the HTTP+SSE of 2024-11-05. Default:
    /// `streamable-http`.
    pub(crate) transport: Option<String>,
    /// Program and arguments of a local server.
    pub(crate) command: Option<Vec<String>>,
    /// Variables for the local server. Default: none.
    pub(crate) environment: BTreeMap<String, String>,
    /// Variables that the local server gets from the gateway's own environment. Default: `PATH`,
    /// `HOME`, `LANG`, `TMPDIR`, `USER`.
    pub(crate) inherit_environment: Option<Vec<String>>,
    /// Working directory of the local server. Default: that of the gateway.
    pub(crate) directory: Option<PathBuf>,
    /// What becomes of the local server's standard error: `discard` or `inherit`. Default: `discard`.
    pub(crate) stderr: Option<String>,
    /// TLS towards an `https` server.
    pub(crate) tls: Option<ServerTls>,
    /// What the gateway shows to the server, or gives to the local program. Default: nothing.
    pub(crate) credential: Option<broker::Config>,
    /// What this server may be asked for, on top of `[limits.server]`.
    pub(crate) limits: Quota,
}

/// `[inventory]`: what servers declare.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Inventory {
    /// Directory that keeps what is known and approved. Default: `inventory` beside the log.
    pub(crate) directory: Option<PathBuf>,
    /// Whether what the first listing of a server holds counts as approved. Default: true.
    pub(crate) trust_on_first_use: Option<bool>,
    /// Whether items that policies forbid the caller to use are hidden from its lists. Default: false.
    pub(crate) hide_forbidden: bool,
}

/// `[log]`: the audit log.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// Directory of the log. Default: `log`.
    pub(crate) directory: Option<PathBuf>,
    /// Private key of the log: a file, or a key in a token (`pkcs11:` URI). Default: `keys/log.key`.
    pub(crate) key: Option<String>,
    /// Further keys that sign beside it while keys are rotated. Default: none.
    pub(crate) also_keys: Vec<String>,
    /// File on another device that remembers how far the log had come. Default: none.
    pub(crate) high_water: Option<PathBuf>,
    /// Size in bytes of one segment file, allocated in advance. Default: 67108864 (64 MiB).
    pub(crate) segment_bytes: Option<u64>,
    /// Milliseconds between two published checkpoints. Default: 1000.
    pub(crate) publish_interval_ms: Option<u64>,
    /// Free bytes on the disk below which calls are refused. Default: 134217728 (128 MiB).
    pub(crate) free_bytes_min: Option<u64>,
    /// Seconds between two `log.heartbeat` events. Default: 30.
    pub(crate) heartbeat_s: Option<u64>,
    /// Milliseconds that one write to the disk may take before calls are refused. Default: 10000.
    pub(crate) sync_stall_max_ms: Option<u64>,
    /// Milliseconds that the clock may go back before calls are refused. Default: 5000.
    pub(crate) clock_back_max_ms: Option<u64>,
    pub(crate) witness: Option<Witness>,
    pub(crate) http: Http,
    pub(crate) tsa: Option<Tsa>,
    pub(crate) s3: Option<S3>,
    pub(crate) retention: Option<Retention>,
}

/// `[log.witness]`: who cosigns checkpoints.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Witness {
    /// File that names the witnesses and how many are needed (C2SP tlog-policy). Required.
    pub(crate) policy: Option<PathBuf>,
    /// What happens without a quorum: `warn`, `stop-publishing` or `fail-closed`. Default: `warn`.
    pub(crate) without_quorum: Option<String>,
    /// With `fail-closed`: seconds without a quorum after which calls are refused. Default: 60.
    pub(crate) fail_closed_after_s: Option<u64>,
    /// Milliseconds for the witnesses to answer. Default: 5000.
    pub(crate) timeout_ms: Option<u64>,
}

/// `[log.http]`: the published log under `/log/` of the gateway.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    /// Whether it is served. Default: false.
    pub(crate) enabled: bool,
    /// Who may read entries; tiles, checkpoint, keys and receipts are for everybody.
    pub(crate) reader: Vec<Reader>,
}

/// `[[log.http.reader]]`: one who may read entries.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Reader {
    /// Its name in `log.read` events.
    pub(crate) name: String,
    /// `sha256:` and the digest of its bearer token; `countersign keys api-key` makes one.
    pub(crate) sha256: String,
}

/// `[log.tsa]`: who stamps checkpoints with a time (RFC 3161).
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tsa {
    /// Addresses of timestamp authorities, in the order in which they are asked. Required.
    pub(crate) urls: Vec<String>,
    /// PEM file with the certificates that vouch for them. Required.
    pub(crate) roots: Option<PathBuf>,
    /// Seconds between two stamps. Default: 3600.
    pub(crate) interval_s: Option<u64>,
}

/// `[log.s3]`: copies under Object Lock.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct S3 {
    /// Name of the bucket, which must have Object Lock. Required.
    pub(crate) bucket: Option<String>,
    /// Prefix in the bucket. Default: none.
    pub(crate) prefix: Option<String>,
    /// Region of the bucket. Required.
    pub(crate) region: Option<String>,
    /// Address of a storage other than Amazon's. Default: Amazon's of the region.
    pub(crate) endpoint: Option<String>,
    /// Whether the bucket is in the path and not in the host name. Default: false.
    pub(crate) path_style: bool,
    /// Whether `endpoint` may be `http` on a loopback address. Default: false.
    pub(crate) allow_insecure_loopback: bool,
    /// TOML file with `access_key_id` and `secret_access_key`. Required.
    pub(crate) credentials: Option<PathBuf>,
    /// Days for which each copy is locked. Required.
    pub(crate) retention_days: Option<u64>,
    /// Seconds between two rounds. Default: 60.
    pub(crate) interval_s: Option<u64>,
    /// File that remembers how far copying has come. Default: `s3.cursor` beside the log.
    pub(crate) cursor: Option<PathBuf>,
}

/// `[log.retention]`: days for which entries are kept; what is absent is kept for ever.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retention {
    /// Calls that were passed on, and their ends.
    pub(crate) calls_days: Option<u64>,
    /// Calls that were refused.
    pub(crate) refusals_days: Option<u64>,
    /// Events of the gateway itself.
    pub(crate) gateway_days: Option<u64>,
    /// Whether `serve` prunes by itself. Default: false: `countersign log prune` does.
    pub(crate) prune: bool,
}

/// `[policy]`: who may do what.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Policy {
    /// Directory of the policies. Default: `policy`.
    pub(crate) directory: Option<PathBuf>,
    /// Milliseconds between two looks at the directory for changes; 0 never looks. Default: 1000.
    pub(crate) reload_interval_ms: Option<u64>,
}

/// `[limits]`: bounds on what the gateway accepts and holds.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Open client connections. Default: 10000.
    pub(crate) connections_max: Option<usize>,
    /// Requests open at once on one connection of HTTP/2. Default: 100.
    pub(crate) streams_max: Option<usize>,
    /// TLS handshakes in progress. Default: 1000.
    pub(crate) handshakes_max: Option<usize>,
    /// Calls in progress. Default: 20000.
    pub(crate) calls_max: Option<usize>,
    /// Bytes of one request. Default: 4194304 (4 MiB).
    pub(crate) request_bytes_max: Option<usize>,
    /// Bytes of one JSON answer, event or line from the server. Default: 16777216 (16 MiB).
    pub(crate) reply_bytes_max: Option<usize>,
    /// Milliseconds for a client to end its TLS handshake. Default: 10000.
    pub(crate) handshake_timeout_ms: Option<u64>,
    /// Milliseconds without an open request after which a connection of HTTP/2 is closed. Default: 60000.
    pub(crate) idle_timeout_ms: Option<u64>,
    /// Milliseconds for a client to send the head of a request. Default: 10000.
    pub(crate) head_timeout_ms: Option<u64>,
    /// Milliseconds for a client to send the body of a request. Default: 30000.
    pub(crate) body_timeout_ms: Option<u64>,
    /// Milliseconds for a client to take more of what is sent to it. Default: 60000.
    pub(crate) write_timeout_ms: Option<u64>,
    /// Milliseconds for the server to begin its answer. Default: 300000.
    pub(crate) reply_timeout_ms: Option<u64>,
    /// Milliseconds for one of several servers to answer what all of them are asked. Default: 10000.
    pub(crate) member_timeout_ms: Option<u64>,
    /// Milliseconds until one of them that was away is asked again. Default: 5000.
    pub(crate) member_retry_ms: Option<u64>,
    /// Milliseconds for the server to accept a connection. Default: 5000.
    pub(crate) connect_timeout_ms: Option<u64>,
    /// Sessions kept at once. Default: 100000.
    pub(crate) sessions_max: Option<usize>,
    /// Seconds after which an idle session is forgotten. Default: 86400.
    pub(crate) session_idle_s: Option<u64>,
    /// Milliseconds that a streamed answer may go without a whole event; streams that are meant to stay
    /// open have no such limit. Default: no limit.
    pub(crate) stream_idle_timeout_ms: Option<u64>,
    /// Handles (`requestState`, task ids) of one server that are remembered. Default: 50000.
    pub(crate) handles_max: Option<usize>,
    /// Seconds for which a handle is remembered. Default: 86400.
    pub(crate) handle_age_s: Option<u64>,
    /// What becomes of a handle that is not remembered: `pass` or `refuse`. Default: `pass`.
    pub(crate) unknown_handles: Option<String>,
    /// Local server programs at once: one for each session. Default: 64.
    pub(crate) processes_max: Option<usize>,
    /// Milliseconds for calls in progress to end at shutdown. Default: 10000.
    pub(crate) shutdown_grace_ms: Option<u64>,
    /// What each actor may have, of all servers together.
    pub(crate) actor: Quota,
    /// What each server may be asked for, by all actors together.
    pub(crate) server: Quota,
}

/// `[limits.actor]` and `[limits.server]`: 0 or absent is without bound.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Quota {
    /// Calls in a second. Default: no bound.
    pub(crate) calls_per_second: Option<u32>,
    /// Calls that may come at once after a rest. Default: the calls of one second.
    pub(crate) calls_burst: Option<u32>,
    /// Calls in progress, open streams included. Default: no bound.
    pub(crate) calls_max: Option<usize>,
    /// Bytes of one request. Default: no bound but that of `[limits]`.
    pub(crate) request_bytes_max: Option<usize>,
    /// Milliseconds for the server to begin its answer. Default: no bound but that of `[limits]`.
    pub(crate) reply_timeout_ms: Option<u64>,
}
