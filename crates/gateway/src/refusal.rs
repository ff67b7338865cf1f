//! Why the gateway refuses, and how it says so: the only place where refusals become JSON-RPC errors
//! and HTTP statuses.
//!
//! Codes are positive, outside the range that JSON-RPC and MCP reserve (-32768 to -32000), except
//! `-32020` (header mismatch) and `-32602` (missing `_meta`), which the 2026-07-28 revision demands, and
//! the codes by which servers answer for names and methods that they do not have. A refusal is never a
//! bare 400: clients of both eras would take that for a server of the old one.

use crate::access::Challenge;
use crate::asked::Origin;
use crate::body::ReplyBody;
use crate::quota::{Exceeded, Whose};
use crate::session::{NoPlace, NoSession};
use audit::{Recorder, Unavailable};
use bytes::Bytes;
use event::{Actor, CallId, Chain, ClaimedClient, Direction, Event, Resource, Transport};
use http::{HeaderValue, Response, StatusCode, header};
use identity::{Details, Reason, Rejection};
use mcp::RequestId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a message was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("message is malformed: {0}")]
    Malformed(#[from] mcp::Malformed),
    #[error("headers do not match the message: {0}")]
    HeaderMismatch(#[from] mcp::header::HeaderMismatch),
    #[error("{0}")]
    MetaMissing(#[from] mcp::header::MetaMissing),
    #[error("batches are not accepted: send each message by itself")]
    Batch,
    #[error("this is not a place for a {0} message")]
    OutOfPlace(&'static str),
    #[error("request id is in use by a call in progress: give each request an id of its own")]
    IdInUse,
    #[error("content type must be `application/json` in UTF-8")]
    MediaType,
    #[error("content encodings are not accepted: send the body as it is")]
    Encoded,
    #[error("request is larger than {0} bytes")]
    TooLarge(usize),
    #[error("request body did not arrive")]
    Incomplete,
    #[error("host `{0}` is not served here")]
    Host(String),
    #[error("origin `{0}` is not allowed")]
    Origin(String),
    #[error("the header `{0}` would make another request of this one: leave it out")]
    Override(&'static str),
    #[error("{TOKEN_IN_QUERY}")]
    TokenInQuery,
    #[error("nothing is served at this path; MCP endpoints here: {0}")]
    Path(String),
    #[error("this method is not served here; those that are: {0}")]
    Method(&'static str),
    #[error("{0}")]
    Unidentified(Rejection),
    #[error("no policy permits this call, or one forbids it")]
    Forbidden(Box<policy::Forbidden>),
    #[error("no such session; start a new one")]
    UnknownSession,
    #[error("no such session; start a new one")]
    SessionOfAnother,
    #[error("no such task or request state; start anew")]
    UnknownHandle,
    #[error("no such task or request state; start anew")]
    HandleOfAnother,
    #[error("no such task or request state; start anew")]
    HandleOfAnotherCall,
    #[error("no server here offers this: names begin with the prefix of their server")]
    UnknownName,
    #[error("this is no cursor of this list; ask for its first page")]
    BadCursor,
    #[error("this is no log level")]
    BadLevel,
    #[error("method is not served here")]
    NoMethod(StatusCode),
    #[error("{0}")]
    OtherEra(&'static str),
    #[error("server `{0}` does not answer")]
    MemberDown(String),
    #[error("{0}")]
    Overloaded(&'static str),
    #[error("{}", exceeded(*.0))]
    Limited(Exceeded),
    #[error("request is larger than the {0} bytes allowed here")]
    RequestBytes(usize),
    #[error("the call cannot be put on record, so it is not carried out")]
    Unrecordable(Unavailable),
}

impl From<NoSession> for Cause {
    fn from(none: NoSession) -> Self {
        match none {
            NoSession::Unknown => Self::UnknownSession,
            NoSession::OfAnother => Self::SessionOfAnother,
        }
    }
}

impl From<NoPlace> for Cause {
    fn from(none: NoPlace) -> Self {
        match none {
            NoPlace::InUse => Self::IdInUse,
            NoPlace::Full => Self::Overloaded("too many calls of this session are in progress"),
        }
    }
}

/// The answer that goes with a cause: JSON-RPC code, HTTP status, stable reason.
struct Terms {
    code: i64,
    status: StatusCode,
    reason: &'static str,
}

impl Cause {
    /// The stable reason code for the record.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Unidentified(rejection) => format!("identity.{}", rejection.reason.as_str()),
            Self::Malformed(malformed) => format!("malformed.{}", fault_reason(malformed.fault())),
            _ => self.terms().reason.to_owned(),
        }
    }

    pub(crate) fn code(&self) -> i64 {
        self.terms().code
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.terms().status
    }

    fn terms(&self) -> Terms {
        let terms = |code, status, reason| Terms { code, status, reason };
        let bad_params = |reason| terms(mcp::code::INVALID_PARAMS, StatusCode::OK, reason);
        match self {
            Self::Malformed(_) => terms(40_000, StatusCode::BAD_REQUEST, "malformed"),
            Self::HeaderMismatch(_) => terms(
                mcp::code::HEADER_MISMATCH,
                StatusCode::BAD_REQUEST,
                "malformed.header-mismatch",
            ),
            Self::MetaMissing(_) => {
                terms(mcp::code::INVALID_PARAMS, StatusCode::BAD_REQUEST, "malformed.meta")
            }
            Self::Batch => terms(40_001, StatusCode::BAD_REQUEST, "malformed.batch"),
            Self::OutOfPlace(_) => terms(40_002, StatusCode::BAD_REQUEST, "malformed.out-of-place"),
            Self::Incomplete => terms(40_003, StatusCode::BAD_REQUEST, "malformed.incomplete"),
            Self::IdInUse => terms(40_004, StatusCode::BAD_REQUEST, "malformed.id-in-use"),
            Self::MediaType => {
                terms(41_500, StatusCode::UNSUPPORTED_MEDIA_TYPE, "malformed.media-type")
            }
            Self::Encoded => {
                terms(41_501, StatusCode::UNSUPPORTED_MEDIA_TYPE, "malformed.content-encoding")
            }
            Self::TooLarge(_) => {
                terms(41_300, StatusCode::PAYLOAD_TOO_LARGE, "malformed.too-large")
            }
            Self::Host(_) => terms(40_310, StatusCode::FORBIDDEN, "http.host"),
            Self::Origin(_) => terms(40_311, StatusCode::FORBIDDEN, "http.origin"),
            Self::Override(_) => terms(40_005, StatusCode::BAD_REQUEST, "http.override"),
            Self::TokenInQuery => terms(40_006, StatusCode::BAD_REQUEST, "http.token-in-query"),
            Self::Path(_) => terms(40_420, StatusCode::NOT_FOUND, "http.path"),
            Self::Method(_) => terms(40_500, StatusCode::METHOD_NOT_ALLOWED, "http.method"),
            Self::Unidentified(rejection) if rejection.is_retryable() => {
                terms(50_310, StatusCode::SERVICE_UNAVAILABLE, "identity")
            }
            Self::Unidentified(_) => terms(40_100, StatusCode::UNAUTHORIZED, "identity"),
            // 200: the only form that clients of every era show as a protocol error.
            Self::Forbidden(_) => terms(40_300, StatusCode::OK, "policy.forbid"),
            Self::UnknownSession => terms(40_400, StatusCode::NOT_FOUND, "session.unknown"),
            Self::SessionOfAnother => terms(40_400, StatusCode::NOT_FOUND, "session.of-another"),
            // 200, as a policy's refusal: it concerns this call and not the connection.
            Self::UnknownHandle => terms(40_410, StatusCode::OK, "handle.unknown"),
            Self::HandleOfAnother => terms(40_410, StatusCode::OK, "handle.of-another"),
            Self::HandleOfAnotherCall => terms(40_410, StatusCode::OK, "handle.of-another-call"),
            // 200 with the code by which servers answer for names that they do not know.
            Self::UnknownName => bad_params("federation.unknown-name"),
            Self::BadCursor => bad_params("federation.bad-cursor"),
            Self::BadLevel => bad_params("federation.bad-level"),
            Self::NoMethod(status) => {
                terms(mcp::code::METHOD_NOT_FOUND, *status, "federation.unknown-method")
            }
            // 200, as a policy's refusal: it concerns this call and not the connection.
            Self::OtherEra(_) => terms(50_101, StatusCode::OK, "federation.other-era"),
            Self::MemberDown(_) => terms(50_200, StatusCode::BAD_GATEWAY, "federation.member-down"),
            Self::Overloaded(_) => {
                terms(50_301, StatusCode::SERVICE_UNAVAILABLE, "gateway.overloaded")
            }
            Self::Limited(exceeded) => {
                let (code, reason) = match exceeded {
                    Exceeded::Rate(Whose::Actor, _) => (42_900, "limit.rate"),
                    Exceeded::Rate(Whose::Server, _) => (42_901, "limit.server-rate"),
                    Exceeded::Concurrency(Whose::Actor) => (42_902, "limit.concurrency"),
                    Exceeded::Concurrency(Whose::Server) => (42_903, "limit.server-concurrency"),
                };
                terms(code, StatusCode::TOO_MANY_REQUESTS, reason)
            }
            Self::RequestBytes(_) => {
                terms(41_301, StatusCode::PAYLOAD_TOO_LARGE, "limit.request-bytes")
            }
            Self::Unrecordable(_) => {
                terms(50_300, StatusCode::SERVICE_UNAVAILABLE, "log.unavailable")
            }
        }
    }

    /// What the caller is told.
    fn client_message(&self) -> String {
        match self {
            Self::Unidentified(rejection) => rejection.client_message().to_owned(),
            _ => self.to_string(),
        }
    }
}

/// What was established about a message before it was refused.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) call: CallId,
    /// The calls it belongs with.
    pub(crate) chain: Chain,
    pub(crate) actor: Actor,
    pub(crate) direction: Direction,
    pub(crate) resource: Option<Resource>,
    pub(crate) client: Option<ClaimedClient>,
    pub(crate) protocol: Option<String>,
    pub(crate) session: Option<String>,
    pub(crate) request_bytes: u64,
    /// The request's id; `None` for notifications and for what could not be read.
    pub(crate) id: Option<RequestId>,
    /// Where the metadata of the endpoint are that it was sent to.
    pub(crate) metadata: Option<Arc<str>>,
}

/// A refused message.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) cause: Cause,
    pub(crate) known: Box<Known>,
}

impl Refusal {
    pub(crate) fn new(cause: Cause, known: Known) -> Self {
        Self { cause, known: Box::new(known) }
    }

    /// The JSON-RPC error for the caller.
    pub(crate) fn message(&self) -> Bytes {
        let reason = match &self.cause {
            // One wording for both, so that probing for sessions of others shows nothing.
            Cause::SessionOfAnother => "session.unknown".to_owned(),
            Cause::HandleOfAnother | Cause::HandleOfAnotherCall => "handle.unknown".to_owned(),
            cause => cause.reason(),
        };
        error_message(
            self.known.id.as_ref(),
            self.cause.code(),
            &self.cause.client_message(),
            &Detail { call: self.known.call, reason: &reason },
        )
    }

    /// What a client without access is told of how to get it. No error is named to one that showed no
    /// credential, or none of a kind that counts here (RFC 6750 section 3.1).
    fn challenge(&self) -> Option<Challenge<'_>> {
        let error = match &self.cause {
            Cause::Unidentified(rejection) if rejection.is_retryable() => return None,
            Cause::Unidentified(rejection) => match rejection.reason {
                Reason::Missing | Reason::MalformedHeader => None,
                _ => Some(("invalid_token", rejection.client_message())),
            },
            Cause::TokenInQuery => Some(("invalid_request", TOKEN_IN_QUERY)),
            _ => return None,
        };
        Some(Challenge { error, metadata: self.known.metadata.as_deref() })
    }

    /// How the caller can show who it is (RFC 6750 section 3, RFC 9449 section 7.1). A client that knows one
    /// challenge only reads the first; one whose proof was missing or wrong gets no other.
    fn challenges(&self) -> Vec<HeaderValue> {
        let bearer = self.challenge().and_then(|challenge| challenge.header());
        let dpop = match &self.cause {
            Cause::Unidentified(rejection) => rejection.dpop_challenge(),
            _ => None,
        };
        let dpop = dpop.and_then(|mut challenge| {
            if let Some(metadata) = &self.known.metadata {
                challenge.push_str(&format!(", resource_metadata=\"{metadata}\""));
            }
            HeaderValue::try_from(challenge).ok()
        });
        let missing = matches!(&self.cause, Cause::Unidentified(r) if r.reason == Reason::Missing);
        let bearer = bearer.filter(|_| dpop.is_none() || missing);
        bearer.into_iter().chain(dpop).collect()
    }

    /// The HTTP answer for the caller.
    pub(crate) fn response(&self) -> Response<ReplyBody> {
        let mut response = json_response(self.cause.status(), self.message());
        for challenge in self.challenges() {
            response.headers_mut().append(header::WWW_AUTHENTICATE, challenge);
        }
        if let Cause::Method(allowed) = &self.cause {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        if let Cause::Limited(exceeded) = &self.cause {
            let seconds = HeaderValue::from(retry_after_s(*exceeded));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

/// What the caller is told of a token where it must not be.
const TOKEN_IN_QUERY: &str = "access tokens are not taken from the URL: send an `Authorization` header, and get another token";

/// What the caller is told of a bound.
fn exceeded(exceeded: Exceeded) -> &'static str {
    match exceeded {
        Exceeded::Rate(Whose::Actor, _) => "you call more often than is allowed; try again later",
        Exceeded::Rate(Whose::Server, _) => {
            "the server is called more often than is allowed; try again later"
        }
        Exceeded::Concurrency(Whose::Actor) => {
            "as many of your calls are in progress as are allowed; try again later"
        }
        Exceeded::Concurrency(Whose::Server) => {
            "as many calls to the server are in progress as are allowed; try again later"
        }
    }
}

/// Whole seconds until it is worth while to try again (RFC 9110, section 10.2.3): nobody knows when a
/// call in progress ends.
fn retry_after_s(exceeded: Exceeded) -> u64 {
    match exceeded {
        Exceeded::Rate(_, wait) => wait.as_secs() + u64::from(wait.subsec_nanos() > 0),
        Exceeded::Concurrency(_) => 1,
    }
}

/// What an error tells beside its message: enough to find the record.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Detail<'a> {
    #[serde(rename = "callId")]
    pub(crate) call: CallId,
    pub(crate) reason: &'a str,
}

/// A JSON-RPC error response with our `data`.
pub(crate) fn error_message(
    id: Option<&RequestId>,
    code: i64,
    message: &str,
    detail: &Detail<'_>,
) -> Bytes {
    // Two strings always have a JSON form; without it the error still stands.
    let data = serde_json::value::to_raw_value(detail).ok();
    Bytes::from(mcp::build::error_response(id, code, message, data.as_deref()))
}

/// A JSON-RPC error for a call that was asked and has no answer to pass on.
pub(crate) fn broken_call(id: Option<&RequestId>, call: CallId, message: &str) -> Bytes {
    error_message(id, 50_201, message, &Detail { call, reason: "upstream.broke" })
}

/// An HTTP answer that holds one JSON message.
pub(crate) fn json_response(status: StatusCode, message: Bytes) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(message));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The stable word for what is wrong with a message.
fn fault_reason(fault: mcp::Fault) -> &'static str {
    use mcp::Fault;
    match fault {
        Fault::Empty => "empty",
        Fault::WideEncoding | Fault::ByteOrderMark | Fault::NotUtf8 => "not-utf8",
        Fault::NotJson | Fault::Truncated | Fault::BadString | Fault::BadNumber => "not-json",
        Fault::TrailingBytes => "trailing-bytes",
        Fault::LoneSurrogate => "lone-surrogate",
        Fault::TooDeep { .. } => "too-deep",
        Fault::DuplicateKey => "duplicate-key",
        Fault::LookalikeKey => "lookalike-key",
        Fault::EmptyBatch | Fault::NestedBatch | Fault::BatchTooLong { .. } => "batch",
        Fault::Missing { .. } | Fault::EmptyText { .. } => "missing-field",
        Fault::WrongType { .. } | Fault::NullId => "wrong-type",
        Fault::TooLong { .. } | Fault::TooMany { .. } => "too-long",
        Fault::ControlCharacter { .. } => "control-character",
        Fault::NotAnObject
        | Fault::WrongVersion
        | Fault::UnexpectedId
        | Fault::ResultAndError
        | Fault::MethodAndResult
        | Fault::NoKind => "not-json-rpc",
    }
}

/// What is known of a credential that was not accepted: texts of bounded length, never the credential.
fn credential(details: &Details) -> BTreeMap<String, String> {
    let known = [
        ("actual", details.actual.as_deref()),
        ("alg", details.alg.as_deref()),
        ("attribute", details.attribute.as_deref()),
        ("expected", details.expected.as_deref()),
        ("iss", details.iss.as_deref()),
        ("kid", details.kid.as_deref()),
        ("provider", details.provider.as_deref()),
        ("token_sha256", details.token_sha256.as_deref()),
    ];
    let known = known.into_iter().filter_map(|(name, text)| Some((name, text?)));
    known.map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}

/// Puts a refusal on record. When even that fails, the operator is told; the refusal stands.
pub(crate) async fn record(recorder: &Recorder, refusal: &Refusal, origin: &Origin) {
    let known = &refusal.known;
    let over_http = origin.transport == Transport::Http;
    let http_status = (over_http && known.direction == Direction::ToServer)
        .then(|| refusal.cause.status().as_u16());
    let decision = match &refusal.cause {
        Cause::Forbidden(forbidden) => Some(forbidden.decision().clone()),
        _ => None,
    };
    let mut event = Event::refused(
        recorder.stamp(origin.peer.as_deref(), Some(origin.transport)),
        event::Refused {
            call: known.call,
            actor: known.actor.clone(),
            direction: known.direction,
            resource: known.resource.clone(),
            decision,
            refusal: event::Refusal {
                code: refusal.cause.code(),
                http_status,
                reason: refusal.cause.reason(),
            },
            request_bytes: known.request_bytes,
            client: known.client.clone(),
            protocol: known.protocol.clone(),
            session: known.session.clone(),
            chain: known.chain,
        },
    );
    if let Cause::Unidentified(rejection) = &refusal.cause {
        event.details = credential(&rejection.details);
    }
    match recorder.record(&event).await {
        Ok(_receipt) => tracing::info!(
            call = %known.call, reason = %refusal.cause.reason(), cause = %refusal.cause,
            "call refused"
        ),
        Err(error) => tracing::error!(
            call = %known.call, reason = %refusal.cause.reason(), %error,
            "call refused, and the refusal could not be put on record"
        ),
    }
}
