//! A log behind an address that serves its published files (C2SP tlog-tiles).
//!
//! Believes nothing it is sent: that is for the checks.

use crate::source::{READ_BYTES_MAX, Source, SourceError};
use std::fmt;
use std::time::Duration;
use ureq::Agent;

/// The published files of a log under an address.
#[derive(Clone)]
pub struct Http {
    prefix: String,
    agent: Agent,
    /// The header that shows who reads; it never appears in a message.
    authorization: Option<String>,
}

impl Http {
    /// The log whose checkpoint is at `<prefix>/checkpoint`.
    ///
    /// # Errors
    /// When this program was built without TLS and the address needs it.
    pub fn new(prefix: &str) -> Result<Self, SourceError> {
        let prefix = prefix.trim_end_matches('/').to_owned();
        if prefix.starts_with("https://") && !cfg!(feature = "https") {
            let what = "this program was built without TLS: use one that has the feature `https`";
            return Err(SourceError::Unreadable(what.to_owned()));
        }
        let config = Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(FILE_TIMEOUT))
            .http_status_as_error(false)
            .user_agent(USER_AGENT);
        Ok(Self { prefix, agent: with_tls(config).build().new_agent(), authorization: None })
    }

    /// The same, read with a bearer token: gateways give entries to configured readers only.
    #[must_use]
    pub fn with_token(self, token: &str) -> Self {
        Self { authorization: Some(format!("Bearer {token}")), ..self }
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Source for Http {
    fn name(&self) -> String {
        self.prefix.clone()
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, SourceError> {
        let unreadable = |error: ureq::Error| SourceError::Unreadable(error.to_string());
        let url = format!("{}/{path}", self.prefix);
        let mut request = self.agent.get(&url);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let mut response = request.call().map_err(unreadable)?;
        match response.status().as_u16() {
            200 => {}
            404 | 410 => return Err(SourceError::NotFound),
            401 | 403 => {
                let what = "it is for configured readers only: give a token with --token-file";
                return Err(SourceError::Unreadable(what.to_owned()));
            }
            status => return Err(SourceError::Unreadable(format!("HTTP status {status}"))),
        }
        let body = response.body_mut().with_config().limit(READ_BYTES_MAX);
        match body.read_to_vec() {
            Err(ureq::Error::BodyExceedsLimit(_)) => Err(SourceError::TooLong),
            read => read.map_err(unreadable),
        }
    }
}

type Builder = ureq::config::ConfigBuilder<ureq::typestate::AgentScope>;

#[cfg(feature = "https")]
fn with_tls(config: Builder) -> Builder {
    use std::sync::Arc;
    use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::WebPki)
        .unversioned_rustls_crypto_provider(provider);
    config.tls_config(tls.build())
}

#[cfg(not(feature = "https"))]
fn with_tls(config: Builder) -> Builder {
    config
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const FILE_TIMEOUT: Duration = Duration::from_secs(120);
const USER_AGENT: &str = "countersign-verify";
