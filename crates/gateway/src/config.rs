//! Settings of the gateway, one structure per part. They come in checked; nothing here reads files or
//! the environment.

pub use crate::handles::UnknownHandles;
pub use crate::resource::{BadPublicUrl, PublicUrl};
use crate::tls::{ListenerTls, ServerTls};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Where and how the gateway listens for clients.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Address and port to listen on.
    pub address: SocketAddr,
    /// Path of the MCP endpoint, such as `/mcp`.
    pub path: String,
    /// Values of the `Host` header that are served, lowercase, with port where one is written.
    /// Protects a local gateway against DNS rebinding.
    pub allowed_hosts: Vec<String>,
    /// Values of the `Origin` header that are served; requests without the header are always served.
    pub allowed_origins: Vec<String>,
    /// Where clients find the gateway, when it knows.
    pub public_url: Option<PublicUrl>,
    /// TLS towards clients; plain HTTP when absent.
    pub tls: Option<ListenerTls>,
}

/// Bounds on what the gateway accepts and holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Open client connections; more wait in the accept queue of the operating system.
    pub connections_max: usize,
    /// Requests open at once on one connection of HTTP/2; more wait.
    pub streams_max: usize,
    /// TLS handshakes in progress; more wait, within their own time.
    pub handshakes_max: usize,
    /// Calls in progress; more are refused.
    pub calls_max: usize,
    /// Bytes of one request body or one line on standard input.
    pub request_bytes_max: usize,
    /// Bytes of one JSON answer, one server-sent event or one line from a server process.
    pub reply_bytes_max: usize,
    /// Time for a client to end its TLS handshake.
    pub handshake_timeout: Duration,
    /// A connection of HTTP/2 on which nothing is open for so long is closed.
    pub idle_timeout: Duration,
    /// Time for a client to send the head of a request, on a connection of HTTP/1.1 also after the
    /// last one.
    pub head_timeout: Duration,
    /// Time for a client to send the body of a request.
    pub body_timeout: Duration,
    /// Time for a client to take more of what is sent to it; one that does not is taken to be gone.
    pub write_timeout: Duration,
    /// Time for the upstream server to begin its answer.
    pub reply_timeout: Duration,
    /// Time for one of several servers to answer what all of them are asked; without it the others'
    /// answers go on alone.
    pub member_timeout: Duration,
    /// The least pause after which one of several servers that was away is asked again, for a session that
    /// needs it or a client that listens.
    pub member_retry: Duration,
    /// Time for the upstream server to accept a connection.
    pub connect_timeout: Duration,
    /// Sessions kept; when all are in use, new ones are refused.
    pub sessions_max: usize,
    /// A session that is idle for so long is forgotten.
    pub session_idle: Duration,
    /// Calls of one session that wait for an answer, in each direction.
    pub session_calls_max: usize,
    /// Server processes running at once (one for each session, or for each caller without sessions).
    pub processes_max: usize,
    /// Time for calls in progress to end when the gateway stops.
    pub shutdown_grace: Duration,
    /// Time that a streamed answer may go without a whole event; streams that are meant to stay open have
    /// no such limit, and neither have others when there is none.
    pub stream_idle_timeout: Option<Duration>,
    /// Handles (`requestState`, task ids) of one server that are remembered.
    pub handles_max: usize,
    /// A handle is remembered for so long.
    pub handle_age: Duration,
    /// What becomes of a handle that is not remembered.
    pub unknown_handles: UnknownHandles,
    /// Bounds on the shape of messages.
    pub messages: mcp::Limits,
    /// What one actor may have, of all servers together.
    pub actor: Quota,
    /// Actors whose quota is counted at once; when so many are calling, others are refused.
    pub actors_max: usize,
}

/// What one actor or one server may have; `None` is without bound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quota {
    /// Calls in a second, evenly.
    pub calls_per_second: Option<u32>,
    /// Calls that may come at once after a rest; the calls of one second when absent.
    pub calls_burst: Option<u32>,
    /// Calls in progress, open streams included.
    pub calls_max: Option<usize>,
    /// Bytes of one request.
    pub request_bytes_max: Option<usize>,
    /// Time for the server to begin its answer.
    pub reply_timeout: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            streams_max: 100,
            handshakes_max: 1_000,
            calls_max: 20_000,
            request_bytes_max: 4 * 1024 * 1024,
            reply_bytes_max: 16 * 1024 * 1024,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            reply_timeout: Duration::from_secs(300),
            member_timeout: Duration::from_secs(10),
            member_retry: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            sessions_max: 100_000,
            session_idle: Duration::from_secs(24 * 60 * 60),
            session_calls_max: 1_000,
            processes_max: 64,
            shutdown_grace: Duration::from_secs(10),
            stream_idle_timeout: None,
            handles_max: 50_000,
            handle_age: Duration::from_secs(24 * 60 * 60),
            unknown_handles: UnknownHandles::Pass,
            messages: mcp::Limits::default(),
            actor: Quota::default(),
            actors_max: 100_000,
        }
    }
}

/// Whether a text can be the prefix of a server on the endpoint of all servers: a lower-case letter, then
/// lower-case letters, digits and `-`, 32 at most. Tools and prompts are `PREFIX__name` there, resources
/// `PREFIX+uri`, tasks `PREFIX:id`.
#[must_use]
pub fn is_prefix(text: &str) -> bool {
    crate::federation::is_prefix(text)
}

/// A server behind the gateway, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedServer {
    /// Its name in events, policies and paths: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What stands before its names on the endpoint of all servers: see [`is_prefix`].
    pub prefix: String,
    /// What it is.
    pub server: Server,
    /// What it may be asked for, by all actors together.
    pub quota: Quota,
}

/// What a server behind the gateway is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// A Streamable HTTP server.
    Http {
        /// Its MCP endpoint.
        url: Url,
        /// TLS towards it, with `https`.
        tls: ServerTls,
    },
    /// A server of HTTP+SSE, the transport of the revision 2024-11-05.
    Sse {
        /// Where its stream of events is.
        url: Url,
        /// Whom to trust, and as whom to connect.
        tls: ServerTls,
    },
    /// A local program that speaks MCP on standard input and output.
    Stdio(Command),
}

/// A local server program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program: a path, or a name looked up in `PATH`.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment, complete: nothing is inherited beside it.
    pub environment: Vec<(String, String)>,
    /// Its working directory; the gateway's own when absent.
    pub directory: Option<PathBuf>,
    /// Whether its standard error is the gateway's own or discarded.
    pub stderr: Stderr,
}

/// What becomes of a server program's standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stderr {
    /// It is thrown away.
    Discard,
    /// It goes where the gateway's own goes.
    Inherit,
}

/// When the record of an answer must be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerDurability {
    /// Before the last byte of the answer is released.
    BeforeRelease,
    /// With the next group commit.
    NextCommit,
}
