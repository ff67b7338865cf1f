//! What the gateway is called from outside: the URI that a request asks for, and the canonical URI of the
//! endpoint it goes to (RFC 8707 section 2), which is the audience of tokens for it. Believes nothing that a
//! request says where the configuration says it.

use http::{HeaderMap, Uri, header};
use url::{Host, Url};

/// Where clients find the gateway: scheme and authority, and the path before its own paths, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

/// Why a URL is not one under which clients can find the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an `https` URL (`http` for loopback) without query and fragment, such as `https://gw.example`"
)]
pub struct BadPublicUrl;

impl PublicUrl {
    /// Reads one.
    ///
    /// # Errors
    /// [`BadPublicUrl`].
    pub fn parse(text: &str) -> Result<Self, BadPublicUrl> {
        let url = Url::parse(text).map_err(|_| BadPublicUrl)?;
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => return Err(BadPublicUrl),
        };
        let scheme = url.scheme() == "https" || (url.scheme() == "http" && loopback);
        let user = !url.username().is_empty() || url.password().is_some();
        if !scheme || user || url.query().is_some() || url.fragment().is_some() {
            return Err(BadPublicUrl);
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    /// Host, and port where it is not that of the scheme: as clients write it in `Host`.
    #[must_use]
    pub fn authority(&self) -> String {
        let after = self.0.split_once("://").map_or("", |(_, after)| after);
        after.split('/').next().unwrap_or_default().to_owned()
    }

    /// The path before the paths of the gateway; empty when there is none.
    pub(crate) fn path(&self) -> &str {
        self.0.get(self.before_path()..).unwrap_or_default()
    }

    /// How long scheme and authority are.
    pub(crate) fn before_path(&self) -> usize {
        let scheme = self.0.find("://").map_or(0, |at| at + "://".len());
        scheme + self.authority().len()
    }

    /// The URI of a path of the gateway.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

/// The URI that a request asks for, without query and fragment.
pub(crate) fn asked_for(
    public: Option<&PublicUrl>,
    (tls, uri, headers): (bool, &Uri, &HeaderMap),
) -> String {
    if let Some(public) = public {
        return public.at(uri.path());
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = uri.authority().map(http::uri::Authority::as_str).or(host).unwrap_or_default();
    let scheme = if tls { "https" } else { "http" };
    format!("{scheme}://{authority}{}", uri.path())
}

/// The canonical URI of the endpoint at this path; empty where the gateway does not know its public URL.
/// Messages of HTTP+SSE belong to the address of their stream, which is the one that clients are given.
pub(crate) fn canonical(public: Option<&PublicUrl>, path: &str) -> String {
    let Some(public) = public else { return String::new() };
    match path.strip_suffix(MESSAGE) {
        Some(before) => public.at(&format!("{before}{STREAM}")),
        None => public.at(path),
    }
}

const MESSAGE: &str = "/message";
const STREAM: &str = "/sse";

#[cfg(test)]
mod tests {
    use super::{PublicUrl, asked_for, canonical};
    use http::{HeaderMap, HeaderValue, Uri, header};

    #[test]
    fn a_public_url_is_where_clients_find_the_gateway() {
        let read = |text: &str| PublicUrl::parse(text).ok().map(|url| url.at("/mcp"));
        assert_eq!(read("https://GW.example/").as_deref(), Some("https://gw.example/mcp"));
        assert_eq!(read("https://gw.example:443").as_deref(), Some("https://gw.example/mcp"));
        assert_eq!(read("https://gw.example/a/").as_deref(), Some("https://gw.example/a/mcp"));
        assert_eq!(read("http://[::1]:8700").as_deref(), Some("http://[::1]:8700/mcp"));
        assert_eq!(read("http://127.0.0.1:1").as_deref(), Some("http://127.0.0.1:1/mcp"));
        let authority = |text: &str| PublicUrl::parse(text).unwrap().authority();
        assert_eq!(authority("https://gw.example:443/a"), "gw.example");
        assert_eq!(authority("https://gw.example:8443"), "gw.example:8443");
        for bad in [
            "http://gw.example",
            "https://u@gw.example",
            "https://gw/?a",
            "https://gw/#a",
            "gw",
            "",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_configured_counts_and_not_what_a_request_says() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("h.example:1"));
        let plain = Uri::from_static("/mcp?a=b");
        assert_eq!(asked_for(None, (false, &plain, &headers)), "http://h.example:1/mcp");
        let full = Uri::from_static("https://f.example/mcp");
        assert_eq!(asked_for(None, (true, &full, &headers)), "https://f.example/mcp");
        let public = PublicUrl::parse("https://gw.example").unwrap();
        assert_eq!(asked_for(Some(&public), (false, &full, &headers)), "https://gw.example/mcp");
    }

    #[test]
    fn messages_belong_to_their_stream() {
        let public = PublicUrl::parse("https://gw.example").unwrap();
        let at = |path| canonical(Some(&public), path);
        assert_eq!(at("/s/a/message"), "https://gw.example/s/a/sse");
        assert_eq!(at("/s/a/mcp"), "https://gw.example/s/a/mcp");
        assert_eq!(canonical(None, "/mcp"), "");
    }
}
