//! Requests to whoever issues credentials: TLS, no redirects, no proxies, bounded bodies and time. What
//! comes back is wiped; it knows no protocol.

use crate::refused::{Reason, Refused};
use http::{HeaderMap, StatusCode};
use reqwest::{Certificate, Client, redirect};
use std::error::Error;
use std::path::Path;
use std::time::Duration;
use url::{Host, Url};
use zeroize::Zeroizing;

/// The way to one issuer.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    client: Client,
}

/// What it said.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Wire {
    /// Prepares the connection; nothing is sent yet.
    pub(crate) fn new(roots: Option<&Path>, timeout: Duration) -> Result<Self, String> {
        let builder = Client::builder()
            .user_agent("countersign")
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(timeout)
            .timeout(timeout)
            .pool_max_idle_per_host(1);
        let builder = match roots {
            None => builder,
            Some(path) => builder.tls_certs_only(authorities(path)?),
        };
        let client = builder.build().map_err(|error| root(&error))?;
        Ok(Self { client })
    }

    /// Posts a body and reads the answer, whatever its status.
    pub(crate) async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: String,
    ) -> Result<Answer, Refused> {
        let request = self.client.post(url.clone()).headers(headers).body(body);
        self.send(request).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, Refused> {
        let mut response = request.send().await.map_err(|error| unreachable(&error))?;
        let status = response.status();
        let mut body = Zeroizing::new(Vec::with_capacity(4_096));
        while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
            if ANSWER_BYTES_MAX < body.len() + chunk.len() {
                let problem =
                    format!("the issuer's answer is larger than {ANSWER_BYTES_MAX} bytes");
                return Err(Refused::new(Reason::Malformed, problem));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }
}

/// An address that credentials may come from, or why not.
pub(crate) fn address(text: &str, insecure_loopback: bool) -> Result<Url, String> {
    let problem = |text: &str| Err(text.to_owned());
    let Ok(url) = Url::parse(text) else { return problem("must be an `https` address") };
    let is_loopback = match url.host() {
        None => return problem("must name a host"),
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
    };
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return problem("must have no user, password or fragment");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback && insecure_loopback => Ok(url),
        "http" if is_loopback => {
            problem("must be an `https` address, or set `allow_insecure_loopback`")
        }
        _ => problem("must be an `https` address"),
    }
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, String> {
    let shown = path.display();
    let pem = std::fs::read(path).map_err(|error| format!("cannot read `{shown}`: {error}"))?;
    let found = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if found.is_empty() {
        return Err(format!("`{shown}` holds no certificate in PEM"));
    }
    Ok(found)
}

/// What the network says; the outer texts of such errors would repeat the URL.
fn unreachable(error: &reqwest::Error) -> Refused {
    let what = if error.is_timeout() { "no answer in time".to_owned() } else { root(error) };
    Refused::new(Reason::Unreachable, format!("the issuer cannot be reached: {what}"))
}

fn root(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Bytes of an answer: tokens with many groups take some tens of kilobytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
