//! What clients are told of how to get access to an endpoint: its metadata as a protected resource (RFC 9728),
//! and challenges (RFC 6750 section 3). Decides nothing about anybody, and tells nobody what others may do.

use crate::body::ReplyBody;
use crate::config::PublicUrl;
use crate::gateway::Gateway;
use crate::refusal::json_response;
use crate::resource;
use crate::table::Route;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, Uri, header};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// The metadata of one endpoint (RFC 9728 section 2).
#[derive(Debug, Serialize)]
struct Metadata<'a> {
    resource: &'a str,
    authorization_servers: &'a [String],
    bearer_methods_supported: [&'static str; 1],
    resource_name: &'a str,
}

impl Gateway {
    /// The metadata that a request asks for: of the endpoint whose path follows the well-known one, or of
    /// the first endpoint where none does.
    pub(crate) fn metadata(&self, request: &Parts) -> Option<Response<ReplyBody>> {
        if !METHODS.split(", ").any(|served| served == request.method.as_str()) {
            return None;
        }
        let path = self.described(&request.uri)?;
        let public = self.listener.public_url.as_ref()?;
        let table = self.table.load();
        let route = table.route(path);
        let metadata = Metadata {
            resource: &public.at(path),
            authorization_servers: &self.door.load().authorization_servers,
            bearer_methods_supported: ["header"],
            resource_name: self.name_of(&route),
        };
        let body = serde_json::to_vec(&metadata).unwrap_or_default();
        let mut response = json_response(StatusCode::OK, Bytes::from(body));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHED));
        Some(response)
    }

    /// The path of the endpoint whose metadata this is the URL of. Messages of HTTP+SSE have none of their
    /// own: they belong to their stream.
    pub(crate) fn described<'a>(&'a self, uri: &'a Uri) -> Option<&'a str> {
        let public = self.listener.public_url.as_ref()?;
        if self.door.load().authorization_servers.is_empty() {
            return None;
        }
        let path = match uri.path().strip_prefix(WELL_KNOWN)? {
            "" => &*self.listener.path,
            suffix => suffix.strip_prefix(public.path())?,
        };
        let route = self.table.load().route(path);
        (!matches!(route, Route::Nowhere | Route::Messages(_))).then_some(path)
    }

    /// Where the metadata of the endpoint at this path are; nowhere when there is nothing to tell.
    pub(crate) fn metadata_url(&self, uri: &Uri) -> Option<Arc<str>> {
        let public = self.listener.public_url.as_ref()?;
        let servers = &self.door.load().authorization_servers;
        (!servers.is_empty()).then(|| metadata_of(public, uri.path()).into())
    }

    fn name_of<'a>(&'a self, route: &'a Route) -> &'a str {
        match route {
            Route::Backend(backend) => backend.name(),
            Route::Stream(endpoint, _) => endpoint.server().unwrap_or(self.gateway_name()),
            _ => self.gateway_name(),
        }
    }

    fn gateway_name(&self) -> &str {
        &self.recorder.place().gateway
    }
}

/// The URL of the metadata of the endpoint at this path: the well-known path comes between authority and path of
/// its canonical URI (RFC 9728 section 3.1).
fn metadata_of(public: &PublicUrl, path: &str) -> String {
    let resource = resource::canonical(Some(public), path);
    let (before, after) = resource.split_at(public.before_path());
    format!("{before}{WELL_KNOWN}{after}")
}

/// What a client that is not let in is told (RFC 6750 section 3). Nothing here says why somebody else would be.
#[derive(Debug, Default)]
pub(crate) struct Challenge<'a> {
    /// Error code and its description; none when there was no credential.
    pub(crate) error: Option<(&'static str, &'a str)>,
    /// Where the metadata of the endpoint are.
    pub(crate) metadata: Option<&'a str>,
}

impl Challenge<'_> {
    /// As the value of `WWW-Authenticate`.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.to_string()).ok()
    }
}

impl fmt::Display for Challenge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let description = self.error.map(|(_, description)| description);
        let parameters = [
            ("error", self.error.map(|(code, _)| code)),
            ("error_description", description),
            ("resource_metadata", self.metadata),
        ];
        f.write_str("Bearer")?;
        let mut before = " ";
        for (name, value) in parameters {
            if let Some(value) = value {
                write!(f, "{before}{name}=\"{}\"", Quoted(value))?;
                before = ", ";
            }
        }
        // A challenge has at least one parameter (RFC 6750 section 3).
        if before == " " { f.write_str(" realm=\"mcp\"") } else { Ok(()) }
    }
}

/// A text within quotes: what RFC 6750 section 3 does not allow there is left out.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut allowed = self.0.chars().filter(|c| matches!(c, ' '..='~') && !"\"\\".contains(*c));
        allowed.try_for_each(|c| write!(f, "{c}"))
    }
}

/// Whether a request has an access token in its query, where it must not be (RFC 6750 section 2.3, MCP
/// authorization, "Token Requirements").
pub(crate) fn has_token_in_query(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "access_token")
}

/// How metadata may be asked for.
pub(crate) const METHODS: &str = "GET, HEAD";

/// Long enough to spare the gateway most questions, short enough for another authorization server.
const CACHED: &str = "public, max-age=300";

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

#[cfg(test)]
mod tests {
    use super::{Challenge, has_token_in_query, metadata_of};
    use crate::config::PublicUrl;
    use http::Uri;
    use identity::Reason;

    #[test]
    fn the_well_known_path_comes_before_that_of_the_endpoint() {
        let of = |public: &str, path: &str| metadata_of(&PublicUrl::parse(public).unwrap(), path);
        let plain = "https://gw.example:8443";
        let well_known = "https://gw.example:8443/.well-known/oauth-protected-resource";
        assert_eq!(of(plain, "/mcp"), format!("{well_known}/mcp"));
        assert_eq!(of(plain, "/s/a/message"), format!("{well_known}/s/a/sse"));
        let below = "https://gw.example:8443/a/b/";
        assert_eq!(of(below, "/mcp"), format!("{well_known}/a/b/mcp"));
    }

    #[test]
    fn challenges_have_a_parameter_and_no_quote_within_one() {
        assert_eq!(Challenge::default().to_string(), "Bearer realm=\"mcp\"");
        let odd = Challenge { error: Some(("invalid_token", "a\"b\\c\ré")), metadata: Some("u") };
        let expected =
            "Bearer error=\"invalid_token\", error_description=\"abc\", resource_metadata=\"u\"";
        assert_eq!(odd.header().unwrap(), expected);
        for reason in Reason::ALL {
            let text = reason.client_message();
            let challenge = Challenge { error: Some(("invalid_token", text)), metadata: None };
            assert!(challenge.to_string().contains(text), "{text}");
        }
    }

    #[test]
    fn a_token_in_the_query_is_seen_however_it_is_written() {
        let has = |uri: &'static str| has_token_in_query(&Uri::from_static(uri));
        for uri in ["/mcp?access_token=a", "/mcp?a=b&access_token", "/mcp?%61ccess%5ftoken=a"] {
            assert!(has(uri), "{uri}");
        }
        assert!(!has("/mcp") && !has("/message?sessionId=access_token"));
    }
}
