//! Which era of the protocol a member speaks, as its answers show: one of stateless requests, or one of
//! sessions. Refuses to guess: what is not known is asked.

use super::ask::Answer;
use super::discover::{error_code, result_of};
use super::{Federation, Whole, ask};
use crate::inbound::Inbound;
use crate::upstream::Upstream;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, StatusCode, header};
use mcp::code::{
    HEADER_MISMATCH, INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, MISSING_CLIENT_CAPABILITY,
    UNSUPPORTED_REVISION,
};
use mcp::edit::quoted;
use mcp::header::{ParamHeader, mirrored_headers};
use mcp::{Frame, RequestId, Revision};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a member understands from clients of the stateless revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    /// Their requests, as they are.
    Stateless,
    /// Only requests within a session.
    Sessions,
}

/// What is known of each member, by prefix.
#[derive(Debug, Default)]
pub(super) struct Eras(Mutex<BTreeMap<String, Era>>);

impl Eras {
    pub(super) fn of(&self, prefix: &str) -> Option<Era> {
        self.lock().get(prefix).copied()
    }

    pub(super) fn learn(&self, prefix: &str, era: Era) {
        if self.lock().insert(prefix.to_owned(), era) != Some(era) {
            tracing::info!(prefix, ?era, "era of a server is known");
        }
    }

    /// What was known may be so no more.
    pub(super) fn forget(&self, prefix: &str) {
        self.lock().remove(prefix);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Era>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Era {
    /// What an answer to `server/discover` shows; `None` when it shows nothing, as that of a server that
    /// is down or of a policy that forbids it.
    pub(super) fn shown_by(answer: &Answer) -> Option<Self> {
        if let Some(result) = result_of(&answer.message) {
            let versions = result.get("supportedVersions").and_then(|v| v.as_array());
            let modern = |v: &serde_json::Value| {
                v.as_str().is_some_and(|name| Revision::from_name(name).is_modern())
            };
            let only_older = versions.is_some_and(|v| !v.is_empty() && !v.iter().any(modern));
            return Some(if only_older { Self::Sessions } else { Self::Stateless });
        }
        match error_code(&answer.message) {
            Some(HEADER_MISMATCH | MISSING_CLIENT_CAPABILITY | UNSUPPORTED_REVISION) => {
                Some(Self::Stateless)
            }
            // Codes of the gateway itself, and of what may be better the next time.
            Some(0.. | INTERNAL_ERROR) => None,
            // Servers of 2026-07-28 must know this method.
            Some(_) => Some(Self::Sessions),
            None => refuses(answer.status).then_some(Self::Sessions),
        }
    }

    /// Whether the answer to any other request says that there has to be a session: 400 with an error
    /// that is none of 2026-07-28 (versioning, "Backward Compatibility"). Nothing was done then.
    pub(super) fn wants_session(answer: &Answer) -> bool {
        answer.status == StatusCode::BAD_REQUEST
            && !matches!(
                error_code(&answer.message),
                Some(
                    HEADER_MISMATCH
                        | MISSING_CLIENT_CAPABILITY
                        | UNSUPPORTED_REVISION
                        | METHOD_NOT_FOUND
                        | INVALID_PARAMS
                        | 0..
                )
            )
    }
}

impl Federation {
    /// The era of a member for a stateless client; the member is asked when it is not known. One that does
    /// not say is taken for stateless, so that its answer to the request itself shows what is wrong.
    pub(super) async fn era(&self, whole: &Whole, place: usize) -> Era {
        let Some(member) = self.members.get(place) else { return Era::Stateless };
        if let Some(era) = self.eras.of(&member.prefix) {
            return era;
        }
        if matches!(*member.backend.upstream, Upstream::Sse(_)) {
            // HTTP+SSE is of 2024-11-05.
            return Era::Sessions;
        }
        let id = RequestId::text("era");
        let revision = whole.revision().unwrap_or(Revision::V2026_07_28);
        let Some(probe) = whole.probe(&revision, &self.recorder.place().gateway, &id) else {
            return Era::Stateless;
        };
        let answer = member.backend.ask_single(probe).await;
        let answer = ask::whole(answer, Some(&id), self.limits.reply_bytes_max).await;
        let Some(era) = answer.as_ref().and_then(Era::shown_by) else { return Era::Stateless };
        self.eras.learn(&member.prefix, era);
        era
    }
}

impl Whole {
    /// The revision that the headers name.
    pub(super) fn revision(&self) -> Option<Revision> {
        Revision::from_header(self.headers.get(mcp::header::PROTOCOL_VERSION)?.as_bytes())
    }

    /// `server/discover` of the gateway itself, on behalf of this request.
    pub(super) fn probe(
        &self,
        revision: &Revision,
        gateway: &str,
        id: &RequestId,
    ) -> Option<Inbound> {
        let meta = own_meta(revision, gateway, "{}");
        let body = Bytes::from(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"server/discover","params":{{"_meta":{meta}}}}}"#
        ));
        let headers = mirrored(&self.headers, &body, &[])?;
        Some(self.part(HttpMethod::POST, headers, body))
    }
}

/// `_meta` of a stateless request that the gateway makes; capabilities are JSON.
pub(super) fn own_meta(revision: &Revision, gateway: &str, capabilities: &str) -> String {
    let (revision, name) = (quoted(revision.name()), quoted(gateway));
    let version = quoted(env!("CARGO_PKG_VERSION"));
    format!(
        r#"{{"io.modelcontextprotocol/protocolVersion":{revision},"io.modelcontextprotocol/clientCapabilities":{capabilities},"io.modelcontextprotocol/clientInfo":{{"name":{name},"version":{version}}}}}"#
    )
}

/// The headers of a stateless request to a member: those of the client that say nothing of its own
/// message, and those that mirror this one.
pub(super) fn mirrored(
    client: &HeaderMap,
    body: &Bytes,
    params: &[ParamHeader],
) -> Option<HeaderMap> {
    let Ok(Frame::Single(message)) = mcp::parse(body, &mcp::Limits::for_replies()) else {
        return None;
    };
    let mut out = without_message(client);
    for (name, value) in mirrored_headers(&message, body, params) {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        out.insert(name, HeaderValue::from_str(&value).ok()?);
    }
    Some(out)
}

/// The headers of a client's request without those that belong to its message and its session.
pub(super) fn without_message(client: &HeaderMap) -> HeaderMap {
    let of_message = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with("mcp-") || name == crate::headers::LAST_EVENT_ID.as_str()
    };
    let kept = client.iter().filter(|(name, _)| !of_message(name));
    let mut out: HeaderMap = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let accept = HeaderValue::from_static("application/json, text/event-stream");
    out.insert(header::ACCEPT, accept);
    out
}

fn refuses(status: StatusCode) -> bool {
    status.is_client_error()
        && !matches!(
            status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
        )
}

#[cfg(test)]
mod tests {
    use super::Era;
    use crate::federation::ask::Answer;
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    fn answer(status: u16, message: &'static str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            message: Bytes::from_static(message.as_bytes()),
        }
    }

    #[test]
    fn answers_to_discovery_show_the_era() {
        for (status, message, era) in [
            (
                200,
                r#"{"id":1,"result":{"supportedVersions":["2026-07-28"]}}"#,
                Some(Era::Stateless),
            ),
            (200, r#"{"id":1,"result":{"supportedVersions":["2025-11-25"]}}"#, Some(Era::Sessions)),
            (400, r#"{"id":1,"error":{"code":-32022,"message":"m"}}"#, Some(Era::Stateless)),
            (400, r#"{"error":{"code":-32000,"message":"no session"}}"#, Some(Era::Sessions)),
            (200, r#"{"id":1,"error":{"code":-32601,"message":"m"}}"#, Some(Era::Sessions)),
            (200, r#"{"id":1,"error":{"code":-32602,"message":"m"}}"#, Some(Era::Sessions)),
            (200, r#"{"id":1,"error":{"code":-32603,"message":"m"}}"#, None),
            (404, "not here", Some(Era::Sessions)),
            (502, r#"{"id":1,"error":{"code":50200,"message":"down"}}"#, None),
            (200, r#"{"id":1,"error":{"code":40300,"message":"forbidden"}}"#, None),
            (401, "", None),
            (429, "", None),
            (500, "", None),
        ] {
            assert_eq!(Era::shown_by(&answer(status, message)), era, "{status} {message}");
        }
    }

    #[test]
    fn a_bare_refusal_of_a_request_wants_a_session() {
        for (status, message, wants) in [
            (400, r#"{"error":{"code":-32000,"message":"no session"}}"#, true),
            (400, "Bad Request", true),
            (400, r#"{"id":1,"error":{"code":-32602,"message":"m"}}"#, false),
            (400, r#"{"id":1,"error":{"code":-32020,"message":"m"}}"#, false),
            (404, r#"{"id":1,"error":{"code":-32601,"message":"m"}}"#, false),
            (400, r#"{"id":1,"error":{"code":40001,"message":"m"}}"#, false),
            (200, r#"{"id":1,"result":{}}"#, false),
        ] {
            assert_eq!(Era::wants_session(&answer(status, message)), wants, "{status} {message}");
        }
    }
}
