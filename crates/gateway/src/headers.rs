//! HTTP header rules of the proxy: what is passed on, what ends here, and who may talk to us.

use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Headers that end at this hop in both directions (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [HeaderName; 11] = [
    header::CONNECTION,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authentication-info"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A proof of possession (RFC 9449 section 4.1).
pub(crate) const DPOP: HeaderName = HeaderName::from_static("dpop");

/// Of a workload, bound to a key of its (draft-ietf-wimse-workload-creds).
pub(crate) const WORKLOAD_IDENTITY_TOKEN: HeaderName =
    HeaderName::from_static("workload-identity-token");

/// The proof of possession to it (draft-ietf-wimse-wpt).
pub(crate) const WORKLOAD_PROOF_TOKEN: HeaderName = HeaderName::from_static("workload-proof-token");

/// Request headers that never go upstream: credentials of the caller, which were issued for this
/// gateway (MCP authorization, "MUST NOT pass through the token"), and what the upstream connection
/// sets for itself.
const NEVER_UPSTREAM: [HeaderName; 10] = [
    header::AUTHORIZATION,
    header::COOKIE,
    DPOP,
    HeaderName::from_static("txn-token"),
    WORKLOAD_IDENTITY_TOKEN,
    WORKLOAD_PROOF_TOKEN,
    header::HOST,
    header::CONTENT_LENGTH,
    header::ACCEPT_ENCODING,
    header::EXPECT,
];

/// Headers by which proxies tell those behind them who calls and from where. A client can write them
/// just as well, and a server that believes them would believe whoever gets past the gateway: who calls
/// is what the gateway found out, and it stands in the log.
const CLAIMS: [&str; 8] = [
    "cf-connecting-ip",
    "client-cert",
    "client-cert-chain",
    "forwarded",
    "true-client-ip",
    "x-client-cert",
    "x-client-ip",
    "x-real-ip",
];

/// As [`CLAIMS`], by their beginnings.
const CLAIMS_BEGIN: [&str; 14] = [
    "cf-access-",
    "remote-",
    "tailscale-user-",
    "x-amzn-oidc-",
    "x-auth-request-",
    "x-authenticated-",
    "x-authentik-",
    "x-forwarded-",
    "x-goog-authenticated-user-",
    "x-goog-iap-",
    "x-ms-client-principal",
    "x-remote-",
    "x-ssl-client-",
    "x-webauth-",
];

/// Request headers that something is decided by, beside those of MCP.
const NEVER_NOMINATED: [HeaderName; 10] = [
    header::ACCEPT,
    header::AUTHORIZATION,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
    DPOP,
    WORKLOAD_IDENTITY_TOKEN,
    WORKLOAD_PROOF_TOKEN,
    header::HOST,
    header::ORIGIN,
    LAST_EVENT_ID,
];

/// Headers of answers that a server says of its own host, and a client would take for ours: where else
/// it can be reached, what to keep for it, and where to be authorized. Cookies and tokens would never go
/// back to it (see above); a challenge would lead a client to whatever issuer the server names.
const NEVER_TO_CLIENT: [HeaderName; 7] = [
    HeaderName::from_static("authentication-info"),
    header::WWW_AUTHENTICATE,
    header::ALT_SVC,
    header::SET_COOKIE,
    header::STRICT_TRANSPORT_SECURITY,
    HeaderName::from_static("clear-site-data"),
    header::CONTENT_LENGTH,
];

/// `Mcp-Session-Id` of the legacy revisions.
pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// Where to resume an event stream (2025-11-25 transports, "Resumability and Redelivery").
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The trace that a request belongs to (W3C Trace Context, section 3.2).
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The headers of a client request as they go upstream. `session` tells whether the session header is
/// meaningful; requests of stateless revisions lose it, so that it cannot smuggle a session that was
/// not checked.
pub(crate) fn upstream_request(headers: HeaderMap, session: bool) -> HeaderMap {
    let mut out = without_hop_by_hop(headers);
    for name in &NEVER_UPSTREAM {
        out.remove(name);
    }
    let claims: Vec<HeaderName> = out.keys().filter(|name| is_claim(name)).cloned().collect();
    for name in claims {
        out.remove(name);
    }
    if !session {
        out.remove(SESSION_ID);
    }
    out.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    out
}

/// The headers of a message that the gateway itself sends in the session of a request: those of that
/// request (already cleaned by [`upstream_request`]), which may be a GET, made fit for a POST.
pub(crate) fn own_message(request: &HeaderMap) -> HeaderMap {
    let mut out = request.clone();
    out.remove(LAST_EVENT_ID);
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let accept = HeaderValue::from_static("application/json, text/event-stream");
    out.insert(header::ACCEPT, accept);
    out
}

/// The headers of an upstream answer as they go to the client. The length is set anew from the body.
pub(crate) fn client_reply(headers: HeaderMap) -> HeaderMap {
    let mut out = without_hop_by_hop(headers);
    for name in &NEVER_TO_CLIENT {
        out.remove(name);
    }
    out
}

fn is_claim(name: &HeaderName) -> bool {
    let name = name.as_str();
    CLAIMS.contains(&name) || CLAIMS_BEGIN.iter().any(|begin| name.starts_with(begin))
}

fn without_hop_by_hop(mut headers: HeaderMap) -> HeaderMap {
    let nominated: Vec<HeaderName> = nominated(&headers).collect();
    for name in HOP_BY_HOP.iter().chain(&nominated) {
        headers.remove(name);
    }
    headers
}

/// The headers that the sender wants to end at this hop.
fn nominated(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
}

/// Whether the request is for a host that we serve. The host is named by the authority of the request
/// target (`:authority` of HTTP/2) or by one `Host` header; where both are there they must be the same:
/// what stands behind us might go by the other (RFC 9113 section 8.3.1, RFC 9112 section 3.2).
pub(crate) fn host_allowed(
    authority: Option<&Authority>,
    headers: &HeaderMap,
    allowed: &[String],
) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (host, None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(host) = host.map(HeaderValue::to_str).transpose() else { return false };
    let name = match (authority.map(Authority::as_str), host) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => return false,
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => return false,
    };
    allowed.iter().any(|a| a.eq_ignore_ascii_case(name))
}

/// Whether the `Origin` header, when there is one, is one that we serve (MCP transports, "Servers MUST
/// validate the Origin header").
pub(crate) fn origin_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => true,
        (Some(origin), None) => {
            origin.to_str().is_ok_and(|o| allowed.iter().any(|a| a.eq_ignore_ascii_case(o)))
        }
        (Some(_), Some(_)) => false,
    }
}

/// Whether the session id of an answer is one (2025-11-25 transports, "Session Management": only visible
/// ASCII): a single value, of bounded length.
pub(crate) fn session_id_is_fine(headers: &HeaderMap) -> bool {
    let mut ids = headers.get_all(SESSION_ID).iter();
    let (id, None) = (ids.next(), ids.next()) else { return false };
    id.is_none_or(|id| {
        (1..=SESSION_ID_BYTES_MAX).contains(&id.len())
            && id.as_bytes().iter().all(|byte| (0x21..=0x7e).contains(byte))
    })
}

/// Bytes of a session id.
const SESSION_ID_BYTES_MAX: usize = 1_024;

/// Whether the media type of a message body or answer is `expected`, parameters aside. A `charset`
/// other than UTF-8 is not accepted, nor one that stands where no parameter begins: the upstream might
/// decode the bytes otherwise than we do.
pub(crate) fn media_type_is(headers: &HeaderMap, expected: &str) -> bool {
    let Some(value) = only(headers, &header::CONTENT_TYPE) else { return false };
    let Ok(value) = value.to_str() else { return false };
    let mut parts = value.split(';');
    let essence = parts.next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case(expected)
        && parts.all(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if name.trim().eq_ignore_ascii_case("charset") {
                value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            } else {
                !parameter.to_ascii_lowercase().contains("charset")
            }
        })
}

/// The value of a header that is there exactly once.
pub(crate) fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    Some(value)
}

/// Whether an answer names itself a stream of events otherwise than [`media_type_is`] reads it: with
/// another charset, or beside another type. Clients look less closely.
pub(crate) fn is_odd_event_stream(headers: &HeaderMap) -> bool {
    const NAME: &[u8] = b"event-stream";
    let named = headers.get_all(header::CONTENT_TYPE).iter().any(|value| {
        value.as_bytes().windows(NAME.len()).any(|part| part.eq_ignore_ascii_case(NAME))
    });
    named && !media_type_is(headers, "text/event-stream")
}

/// Whether the request asks to remove a header at this hop that something was decided by: what stands
/// behind us would see another request than the one that was judged (RFC 9110 section 7.6.1).
pub(crate) fn drops_what_counts(headers: &HeaderMap) -> bool {
    nominated(headers)
        .any(|name| name.as_str().starts_with("mcp-") || NEVER_NOMINATED.contains(&name))
}

/// Whether a body is encoded in a way that we would have to undo to see what the upstream sees.
pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    has_other_than(headers, &header::CONTENT_ENCODING, b"identity")
}

/// Whether a body is in a transfer coding beside chunks, which are all that is undone here (RFC 9112, section
/// 6.1: a server refuses the others).
pub(crate) fn is_transfer_coded(headers: &HeaderMap) -> bool {
    has_other_than(headers, &header::TRANSFER_ENCODING, b"chunked")
}

fn has_other_than(headers: &HeaderMap, name: &HeaderName, plain: &[u8]) -> bool {
    headers.get_all(name).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(plain))
}

#[cfg(test)]
mod tests {
    use super::{
        TRACEPARENT, client_reply, host_allowed, is_encoded, is_transfer_coded, media_type_is,
        only, origin_allowed, upstream_request,
    };
    use http::{HeaderMap, HeaderName, HeaderValue};

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        map
    }

    #[test]
    fn credentials_and_hop_headers_end_here() {
        let sent = upstream_request(
            headers(&[
                ("authorization", "Bearer canary"),
                ("cookie", "canary"),
                ("dpop", "canary"),
                ("txn-token", "canary"),
                ("proxy-authorization", "canary"),
                ("forwarded", "canary"),
                ("x-forwarded-user", "canary"),
                ("x-forwarded-for", "canary"),
                ("x-real-ip", "canary"),
                ("x-amzn-oidc-identity", "canary"),
                ("x-auth-request-email", "canary"),
                ("remote-user", "canary"),
                ("connection", "keep-alive, X-Secret"),
                ("x-secret", "canary"),
                ("host", "gateway"),
                ("accept-encoding", "gzip"),
                ("mcp-session-id", "s1"),
                ("mcp-method", "tools/call"),
                ("mcp-param-region", "eu"),
                ("accept", "application/json, text/event-stream"),
            ]),
            true,
        );
        assert!(sent.values().all(|v| v != "canary"), "{sent:?}");
        assert_eq!(sent["accept-encoding"], "identity");
        assert_eq!(sent["mcp-session-id"], "s1");
        assert_eq!(sent["mcp-method"], "tools/call");
        assert_eq!(sent["mcp-param-region"], "eu");
        assert!(upstream_request(headers(&[("mcp-session-id", "s1")]), false).len() == 1);
    }

    #[test]
    fn replies_keep_what_is_not_said_of_the_hop_or_the_host() {
        let out = client_reply(headers(&[
            ("connection", "close"),
            ("content-length", "3"),
            ("www-authenticate", "Bearer"),
            ("x-kept", "1"),
            ("mcp-session-id", "s"),
        ]));
        assert_eq!(out.len(), 2);
    }

    #[test]
    fn a_request_is_for_one_host() {
        let allowed = vec!["127.0.0.1:8080".to_owned(), "gw.example".to_owned()];
        let served = |authority: Option<&str>, hosts: &[&str]| {
            let hosts: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            let authority = authority.map(|authority| authority.parse().unwrap());
            host_allowed(authority.as_ref(), &headers(&hosts), &allowed)
        };
        assert!(served(None, &["GW.example"]));
        assert!(served(Some("GW.example"), &[]));
        assert!(served(Some("gw.example"), &["GW.example"]));
        assert!(!served(None, &["evil.example"]));
        assert!(!served(Some("evil.example"), &[]));
        assert!(!served(None, &[]));
        assert!(!served(None, &["gw.example", "gw.example"]));
        // Both are served, but which one is meant?
        assert!(!served(Some("gw.example"), &["127.0.0.1:8080"]));
        assert!(!served(Some("evil.example"), &["gw.example"]));
        assert!(!served(Some("gw.example"), &["evil.example"]));
        assert!(!served(Some("gw.example:443"), &[]));
        assert!(!served(Some("gw.example"), &["gw.example", "gw.example"]));
    }

    #[test]
    fn origins_are_those_that_are_allowed() {
        let allowed = vec!["https://app.example".to_owned()];
        assert!(origin_allowed(&headers(&[]), &allowed));
        assert!(origin_allowed(&headers(&[("origin", "https://app.example")]), &allowed));
        assert!(!origin_allowed(&headers(&[("origin", "http://evil.example")]), &allowed));
        assert!(!origin_allowed(&headers(&[("origin", "null")]), &allowed));
    }

    #[test]
    fn a_header_that_comes_twice_says_nothing() {
        let one = headers(&[("traceparent", "a"), ("tracestate", "b")]);
        assert_eq!(only(&one, &TRACEPARENT).unwrap(), "a");
        assert!(
            only(&headers(&[("traceparent", "a"), ("traceparent", "a")]), &TRACEPARENT).is_none()
        );
        assert!(only(&headers(&[]), &TRACEPARENT).is_none());
    }

    #[test]
    fn media_types_and_encodings() {
        let json = "application/json";
        assert!(media_type_is(&headers(&[("content-type", "application/json")]), json));
        assert!(media_type_is(
            &headers(&[("content-type", "Application/JSON; charset=UTF-8")]),
            json
        ));
        assert!(!media_type_is(
            &headers(&[("content-type", "application/json; charset=utf-16")]),
            json
        ));
        // A reader that looks for the word finds a charset in each of these.
        for odd in ["x=y charset=utf-16", "x=\"a;charset=utf-16\"", "charset*=utf-16''", "Charset"]
        {
            let odd = headers(&[("content-type", &format!("application/json; {odd}"))]);
            assert!(!media_type_is(&odd, json), "{odd:?}");
        }
        assert!(!media_type_is(&headers(&[("content-type", "text/plain")]), json));
        assert!(!media_type_is(&headers(&[]), json));
        assert!(is_encoded(&headers(&[("content-encoding", "gzip")])));
        assert!(!is_encoded(&headers(&[("content-encoding", "identity")])));
        assert!(!is_transfer_coded(&headers(&[("transfer-encoding", "Chunked")])));
        assert!(is_transfer_coded(&headers(&[("transfer-encoding", "gzip, chunked")])));
    }
}
