//! Heads of requests and answers: what passes, a naive reader takes for the same host, origin and type;
//! what goes on is what came, without what must end here.

use gateway::{Traceparent, testing};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use mcp::header::{decode_header_value, mcp_name};
use mcp::{Frame, Limits, Message, parse};
use std::collections::BTreeMap;

/// The first line of the input is the target of a request, those up to an empty one are its headers, and
/// what is left is its body.
pub fn gateway_head(data: &[u8]) {
    let end = data.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((data, &[][..]), |end| (&data[..end], &data[end + 2..]));
    let mut lines = head.split(|byte| *byte == b'\n');
    let target = lines.next().unwrap_or_default();
    check_path(&String::from_utf8_lossy(target));
    let headers = Headers::read(lines);
    check_answer(&headers);
    check_trace(&headers);
    let Ok(uri) = Uri::try_from(target) else { return };
    check_path(uri.path());
    let passes = check_head(&uri, &headers);
    check_upstream(&headers, passes);
    check_body_head(&headers);
    if let Ok(Frame::Single(message)) = parse(body, &Limits::default()) {
        check_claims(&headers, &message);
    }
}

/// Headers twice: as the gateway has them, and as they were written.
struct Headers {
    map: HeaderMap,
    written: Fields,
}

/// The values of each header, in order, by its name in lower case.
type Fields = BTreeMap<String, Vec<Vec<u8>>>;

impl Headers {
    fn read<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut headers = Self { map: HeaderMap::new(), written: Fields::new() };
        for line in lines {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            let (Ok(known), Ok(fit)) =
                (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
            else {
                continue;
            };
            if headers.map.try_append(known, fit).is_ok() {
                let name = String::from_utf8_lossy(name).to_ascii_lowercase();
                headers.written.entry(name).or_default().push(value.to_vec());
            }
        }
        headers
    }

    fn values(&self, name: &str) -> &[Vec<u8>] {
        self.written.get(name).map_or(&[], Vec::as_slice)
    }

    /// The values as lower-case text, whatever bytes they hold.
    fn texts(&self, name: &str) -> Vec<String> {
        let lower = |value: &Vec<u8>| String::from_utf8_lossy(value).to_ascii_lowercase();
        self.values(name).iter().map(lower).collect()
    }

    /// The headers that `Connection` names.
    fn nominated(&self) -> Vec<String> {
        let lines = self.texts("connection");
        let names = lines.iter().flat_map(|line| line.split(',')).map(str::trim);
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        names
            .filter(|name| !name.is_empty() && name.chars().all(token))
            .map(str::to_owned)
            .collect()
    }
}

fn fields(map: &HeaderMap) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in map {
        fields.entry(name.as_str().to_owned()).or_default().push(value.as_bytes().to_vec());
    }
    fields
}

/// A head passes exactly if it names one host and at most one origin, both served, and asks for nothing
/// that makes it another request behind us, and has no token where addresses are logged.
fn check_head(uri: &Uri, headers: &Headers) -> bool {
    let lists = [HOSTS, ORIGINS].map(|list| list.map(str::to_owned));
    let passes = testing::head_passes((uri, &headers.map), &lists[0], &lists[1]);
    let hosts = headers.texts("host");
    let mut named: Vec<String> =
        uri.authority().map(|a| a.as_str().to_lowercase()).into_iter().collect();
    named.extend(hosts.clone());
    named.dedup();
    let host = hosts.len() <= 1 && matches!(&*named, [one] if HOSTS.contains(&one.as_str()));
    let origin = match &*headers.texts("origin") {
        [] => true,
        [one] => ORIGINS.contains(&one.as_str()),
        _ => false,
    };
    let overridden = OVERRIDES.iter().any(|name| !headers.values(name).is_empty());
    let dropped = headers
        .nominated()
        .iter()
        .any(|name| name.starts_with("mcp-") || COUNTS.contains(&name.as_str()));
    let sessions = headers.values("mcp-session-id").len() <= 1;
    let fine = host && origin && !overridden && !dropped && sessions && !has_token(uri);
    assert_eq!(passes, fine, "another head");
    passes
}

/// Whether a form in the query has a field `access_token`.
fn has_token(uri: &Uri) -> bool {
    let mut fields = uri.query().unwrap_or_default().split('&');
    fields.any(|field| decoded(field.split('=').next().unwrap_or_default()) == b"access_token")
}

/// The bytes that a name in a form stands for.
fn decoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| str::from_utf8(hex).ok());
        let hex = hex.filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    bytes
}

/// What goes to a server is what came, in order, without what ends here.
fn check_upstream(headers: &Headers, passes: bool) {
    for session in [false, true] {
        let sent = fields(&testing::upstream_request(headers.map.clone(), session));
        let nominated = headers.nominated();
        let mut wanted = headers.written.clone();
        wanted.retain(|name, _| {
            let ends = ENDS_HERE.contains(&name.as_str())
                || STAYS_HERE.contains(&name.as_str())
                || CLAIMS.iter().any(|claim| match claim.strip_suffix('*') {
                    Some(begin) => name.starts_with(begin),
                    None => name == claim,
                });
            !ends && !nominated.contains(name) && (session || name != "mcp-session-id")
        });
        wanted.insert("accept-encoding".to_owned(), vec![b"identity".to_vec()]);
        assert_eq!(sent, wanted, "another request than the one that came");
        if passes && session {
            let counts =
                |name: &String| name.starts_with("mcp-") || COUNTS.contains(&name.as_str());
            for (name, values) in headers.written.iter().filter(|(name, _)| counts(name)) {
                let stays = STAYS_HERE.contains(&name.as_str());
                assert!(
                    stays || sent.get(name) == Some(values),
                    "`{name}` was judged and not sent"
                );
            }
        }
    }
}

/// What goes to a client is what the server said, without what it cannot say of us.
fn check_answer(headers: &Headers) {
    let nominated = headers.nominated();
    let mut wanted = headers.written.clone();
    wanted.retain(|name, _| {
        let ends = ENDS_HERE.contains(&name.as_str()) || NOT_OURS.contains(&name.as_str());
        !ends && !nominated.contains(name)
    });
    assert_eq!(fields(&testing::client_reply(headers.map.clone())), wanted);
    let fine = match headers.values("mcp-session-id") {
        [] => true,
        [id] => (1..=1_024).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic),
        _ => false,
    };
    assert_eq!(testing::session_id_is_fine(&headers.map), fine);
    let types = headers.texts("content-type");
    match testing::is_event_stream(&headers.map) {
        Some(true) => assert!(types.len() == 1 && is_of(&types[0], "text/event-stream")),
        Some(false) => assert!(!types.iter().any(|kind| kind.contains("event-stream"))),
        None => assert!(!matches!(&*types, [kind] if kind == "text/event-stream")),
    }
}

/// A body is read only as what anybody takes it for: JSON in UTF-8, encoded in no way.
fn check_body_head(headers: &Headers) {
    let types = headers.texts("content-type");
    let plain = headers.texts("content-encoding").iter().all(|coding| coding == "identity")
        && headers.texts("transfer-encoding").iter().all(|coding| coding == "chunked");
    let is_read = testing::body_is_read(&headers.map);
    if is_read {
        assert!(plain && types.len() == 1 && is_of(&types[0], "application/json"));
    }
    assert!(is_read || !plain || types.as_slice() != ["application/json"]);
}

/// Whether a header in lower case names this type, and no charset but UTF-8 to a reader who looks for the
/// word wherever it stands.
fn is_of(header: &str, expected: &str) -> bool {
    let essence = header.split(';').next().unwrap_or_default().trim();
    let charsets = header.match_indices("charset").map(|(at, word)| &header[at + word.len()..]);
    let utf8 = |rest: &str| {
        let value = rest.trim_start().strip_prefix('=').unwrap_or_default().trim_start();
        let value = value.trim_start_matches('"');
        let end = value.find([';', '"', ' ', '\t', ',']).unwrap_or(value.len());
        &value[..end] == "utf-8"
    };
    essence == expected && charsets.into_iter().all(utf8)
}

/// Nothing is claimed twice, and nothing that the body does not say.
fn check_claims(headers: &Headers, message: &Message<'_>) {
    if !testing::claims_agree(&headers.map, message) {
        return;
    }
    let claimed = |name: &str| match headers.values(name) {
        [] => None,
        [one] => Some(one.as_slice()),
        _ => panic!("`{name}` was taken twice"),
    };
    let method = message.method().map(|method| method.name().as_bytes());
    if let (Some(claimed), Some(method)) = (claimed("mcp-method"), method) {
        assert_eq!(claimed, method, "another method");
    }
    if let (Some(claimed), Some(name)) = (claimed("mcp-name"), mcp_name(message)) {
        assert_eq!(decode_header_value(claimed).as_deref(), Some(name), "another name");
    }
    let meta = message.params().and_then(|params| params.meta.as_ref());
    let version = meta.and_then(|meta| meta.protocol_version.as_deref());
    if let (Some(claimed), Some(version)) = (claimed("mcp-protocol-version"), version) {
        assert_eq!(claimed, version.as_bytes(), "another revision");
    }
}

/// `/s/NAME/LAST` and nothing else is the path to a server.
fn check_path(path: &str) {
    let parts: Vec<&str> = path.split('/').collect();
    let naive = match &*parts {
        ["", "s", name, last] => Some((*name, format!("/s/{name}"), format!("/{last}"))),
        _ => None,
    };
    let read = testing::server_of(path);
    let read = read.map(|(name, before, last)| (name, before.to_owned(), last.to_owned()));
    assert_eq!(read, naive);
}

/// A trace is read exactly if it has the form of W3C Trace Context, and is written as it came.
fn check_trace(headers: &Headers) {
    for value in headers.values("traceparent") {
        let Ok(text) = str::from_utf8(value) else { continue };
        let read = Traceparent::parse(text);
        assert_eq!(read.is_some(), is_trace(value), "{text}");
        if let Some(read) = read {
            assert_eq!(read.to_string()[2..], text[2..TRACE_BYTES], "written otherwise");
        }
    }
}

fn is_trace(text: &[u8]) -> bool {
    let Some((trace, rest)) = text.split_at_checked(TRACE_BYTES) else { return false };
    let form = trace.iter().enumerate().all(|(at, byte)| match at {
        2 | 35 | 52 => *byte == b'-',
        _ => b"0123456789abcdef".contains(byte),
    });
    let zero = |field: &[u8]| field.iter().all(|byte| *byte == b'0');
    let ends = rest.is_empty() || (&trace[..2] != b"00" && rest[0] == b'-');
    form && ends && &trace[..2] != b"ff" && !zero(&trace[3..35]) && !zero(&trace[36..52])
}

/// Bytes of `traceparent` of version 00.
const TRACE_BYTES: usize = 55;

const HOSTS: [&str; 3] = ["localhost:8080", "gateway.example", "[::1]:8080"];
const ORIGINS: [&str; 3] = ["http://localhost:8080", "https://app.example", "null"];

/// What makes a request another one for some servers.
const OVERRIDES: &[&str] = &[
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// What something is decided by, beside all that begins with `mcp-`.
const COUNTS: &[&str] = &[
    "accept",
    "authorization",
    "content-encoding",
    "content-type",
    "host",
    "last-event-id",
    "origin",
];

/// Of this hop, in both directions (RFC 9110 section 7.6.1).
const ENDS_HERE: &[&str] = &[
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Meant for the gateway, or for its own connection to the server to say.
const STAYS_HERE: &[&str] = &[
    "accept-encoding",
    "authorization",
    "content-length",
    "cookie",
    "dpop",
    "expect",
    "host",
    "txn-token",
    "workload-identity-token",
    "workload-proof-token",
];

/// Who calls, as other proxies would say it; a star stands for any ending.
const CLAIMS: &[&str] = &[
    "cf-access-*",
    "cf-connecting-ip",
    "client-cert",
    "client-cert-chain",
    "forwarded",
    "remote-*",
    "tailscale-user-*",
    "true-client-ip",
    "x-amzn-oidc-*",
    "x-auth-request-*",
    "x-authenticated-*",
    "x-authentik-*",
    "x-client-cert",
    "x-client-ip",
    "x-forwarded-*",
    "x-goog-authenticated-user-*",
    "x-goog-iap-*",
    "x-ms-client-principal*",
    "x-real-ip",
    "x-remote-*",
    "x-ssl-client-*",
    "x-webauth-*",
];

/// What a server says of its own host.
const NOT_OURS: &[&str] = &[
    "alt-svc",
    "authentication-info",
    "clear-site-data",
    "content-length",
    "set-cookie",
    "strict-transport-security",
    "www-authenticate",
];
