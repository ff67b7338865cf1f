//! What this crate reads of bytes that strangers wrote, for laws that are held against it from outside
//! (feature `testing`). Each function is one of those on the call path; nothing is decided here.

use crate::upstream::sse;
use crate::{claims, entrance, headers, table};
use http::{HeaderMap, Uri};
use mcp::Message;
use url::Url;

/// Whether a request with this head goes further, where these hosts and origins are served.
#[must_use]
pub fn head_passes(head: (&Uri, &HeaderMap), hosts: &[String], origins: &[String]) -> bool {
    entrance::check_head(head, hosts, origins).is_ok()
}

/// Whether a body is read after this head.
#[must_use]
pub fn body_is_read(map: &HeaderMap) -> bool {
    entrance::check_body_head(map).is_ok()
}

/// Whether the headers of a request claim nothing that its body does not say.
#[must_use]
pub fn claims_agree(map: &HeaderMap, message: &Message<'_>) -> bool {
    claims::check(map, message).is_ok()
}

/// The headers of a request as they go to the server; without a session when `session` says so.
#[must_use]
pub fn upstream_request(map: HeaderMap, session: bool) -> HeaderMap {
    headers::upstream_request(map, session)
}

/// The headers of an answer as they go to the client.
#[must_use]
pub fn client_reply(map: HeaderMap) -> HeaderMap {
    headers::client_reply(map)
}

/// Whether an answer gives out at most one session id, and a good one.
#[must_use]
pub fn session_id_is_fine(map: &HeaderMap) -> bool {
    headers::session_id_is_fine(map)
}

/// Whether an answer is read as a stream of events; `None` when it only looks like one.
#[must_use]
pub fn is_event_stream(map: &HeaderMap) -> Option<bool> {
    let odd = headers::is_odd_event_stream(map);
    (!odd).then(|| headers::media_type_is(map, "text/event-stream"))
}

/// Name, `/s/NAME` and the last segment of the path to one of several servers.
#[must_use]
pub fn server_of(path: &str) -> Option<(&str, &str, &str)> {
    table::server_of(path)
}

/// Where messages go to whose stream of HTTP+SSE is at `stream` and that named `endpoint`.
#[must_use]
pub fn endpoint_at(stream: &Url, endpoint: &str) -> Option<Uri> {
    sse::endpoint_at(stream, endpoint)
}
