//! The address for messages that a server of HTTP+SSE names: of the same origin as its stream, by a
//! reader that knows nothing of URLs but where their parts begin.

use crate::script::Script;
use gateway::testing::endpoint_at;
use http::Uri;
use mcp::sse::{SseContent, SseParser};
use std::sync::LazyLock;
use url::Url;

/// The first byte chooses the server, the second what the rest is: what it names, or its stream.
pub fn gateway_endpoint(data: &[u8]) {
    let mut script = Script::new(data);
    let (stream, origin) = script.choose(&*SERVERS);
    if script.byte().is_multiple_of(2) {
        check(stream, origin, &String::from_utf8_lossy(script.rest()));
    } else if let Some(endpoint) = first_endpoint(script.rest()) {
        check(stream, origin, &endpoint);
    }
}

fn first_endpoint(stream: &[u8]) -> Option<String> {
    let mut parser = SseParser::new(stream.len());
    parser.push(stream).ok()?;
    while let Some(frame) = parser.next_frame() {
        match frame.content {
            SseContent::Event(event) if event.event.as_deref() == Some("endpoint") => {
                return event.data;
            }
            _ => {}
        }
    }
    None
}

fn check(stream: &Url, origin: &str, endpoint: &str) {
    let found = endpoint_at(stream, endpoint);
    let plain = endpoint.starts_with('/') && !endpoint.starts_with("//");
    if plain && endpoint.bytes().all(is_plain) && !endpoint.contains("/.") {
        let wanted = format!("{origin}{endpoint}");
        assert_eq!(found.as_ref().map(Uri::to_string), Some(wanted), "a plain path goes nowhere");
    }
    let Some(found) = found else { return };
    let text = found.to_string();
    let rest = text.strip_prefix(origin).expect("it is of another origin");
    let path = rest.split('?').next().unwrap_or_default();
    assert!(path.starts_with('/'), "the origin goes on: {text}");
    let climbs =
        |part: &str| matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    assert!(!path.split('/').any(climbs), "it climbs: {text}");
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains('#'), "{text}");
    let (scheme, authority) = origin.split_once("://").expect("an origin has a scheme");
    assert_eq!(found.scheme_str(), Some(scheme));
    assert_eq!(found.authority().map(|authority| authority.as_str()), Some(authority));
    assert_eq!(endpoint_at(stream, &text), Some(found), "what it names is named by nothing else");
}

/// What stands for itself in a path or query.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-_.~=?&".contains(&byte)
}

/// Streams, each with its origin as a client writes it.
static SERVERS: LazyLock<[(Url, &str); 5]> = LazyLock::new(|| {
    [
        ("https://srv.example:8443/a/sse?x=1", "https://srv.example:8443"),
        ("http://127.0.0.1:3000/sse", "http://127.0.0.1:3000"),
        ("https://srv.example/", "https://srv.example"),
        ("http://user:secret@srv.example:80/a/b/c/sse", "http://srv.example"),
        ("http://[2001:db8::1]:81/sse", "http://[2001:db8::1]:81"),
    ]
    .map(|(url, origin)| (url.parse().expect("it is a URL"), origin))
});
