//! Which bucket, where, as whom and with what patience; checked once, before anything is sent.
//!
//! Reads no file and no environment variable: whoever configures this brings the values.

use crate::key::{BadKey, Key};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;
use url::{Host, Url};
use zeroize::Zeroizing;

/// A place for objects and the right to use it.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of the server, `https://host[:port]` without a path. None: Amazon S3 in `region`.
    pub endpoint: Option<Url>,
    /// The region, which signatures name. Servers without regions mostly say `us-east-1`.
    pub region: String,
    /// The bucket, made with Object Lock enabled.
    pub bucket: String,
    /// What every name begins with, followed by a slash; empty for nothing.
    pub prefix: String,
    /// As whom requests are signed.
    pub credentials: Credentials,
    /// Whether the bucket stands in the path (`host/bucket/…`), as most servers other than Amazon's
    /// want it, or before the host (`bucket.host/…`).
    pub path_style: bool,
    /// Whether `http://` will do for an endpoint on this machine (`127.0.0.1`, `::1`, `localhost`).
    /// For tests.
    pub allow_insecure_http_loopback: bool,
    /// Certificates (PEM) of the authorities to trust instead of the public ones; none: the public
    /// ones.
    pub authorities_pem: Option<Vec<u8>>,
    /// Deadlines and repeats.
    pub limits: Limits,
}

/// An access key. Cleared from memory when dropped, and never shown.
#[derive(Clone)]
pub struct Credentials {
    access_key_id: Zeroizing<String>,
    secret_access_key: Zeroizing<String>,
    session_token: Option<Zeroizing<String>>,
}

/// How long to wait and how often to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until a connection stands. Default: 5 s.
    pub connect_timeout: Duration,
    /// Until a whole answer is there, beside the time that its bytes and those sent take at
    /// `bytes_per_s_min`. Default: 30 s.
    pub request_timeout: Duration,
    /// The slowest connection that is waited for, in bytes a second. Default: 256 KiB/s.
    pub bytes_per_s_min: NonZeroU32,
    /// How often a request is sent before the storage counts as unavailable. Default: 5.
    pub attempts_max: NonZeroU32,
    /// Pause after the first attempt; it doubles with every further one. Default: 200 ms.
    pub backoff_first: Duration,
    /// The longest pause. Default: 10 s.
    pub backoff_max: Duration,
}

/// Why a place cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadConfig {
    /// The endpoint is no bare `https` address.
    #[error("endpoint `{endpoint}` cannot be used: {reason}")]
    Endpoint {
        /// Scheme, host and port of it.
        endpoint: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The region is no region.
    #[error("region `{0}` cannot be used: write letters, digits and `-`, as in `eu-central-1`")]
    Region(String),
    /// The bucket's name is against the rules of S3.
    #[error(
        "bucket `{0}` cannot be used: a name has 3 to 63 lower-case letters, digits, `-` and `.`"
    )]
    Bucket(String),
    /// The bucket's name cannot stand before the host.
    #[error("bucket `{0}` has dots, which no certificate covers before a host: use path style")]
    DottedBucket(String),
    /// The prefix is no beginning of names.
    #[error("the prefix does not do")]
    Prefix(#[from] BadKey),
    /// The access key is empty or has characters that none has.
    #[error("the access key cannot be used: its {0} is empty or has characters that none has")]
    Credentials(&'static str),
    /// The authorities' certificates cannot be read.
    #[error("the certificates of the authorities cannot be read: {0}")]
    Authorities(String),
    /// TLS cannot be set up.
    #[error("connections cannot be secured: {0}")]
    Tls(String),
}

/// Where requests go, in the parts they are made of.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// `https://host[:port]`.
    pub(crate) origin: String,
    /// Path of the bucket: `/` or `/bucket/`.
    pub(crate) root: String,
    /// What every name begins with: nothing, or segments and a slash.
    pub(crate) prefix: String,
    /// Whether connections are secured.
    pub(crate) secure: bool,
}

impl Credentials {
    /// An access key: its id, its secret and, for temporary ones, the session token.
    #[must_use]
    pub fn new(
        access_key_id: String,
        secret_access_key: String,
        session_token: Option<String>,
    ) -> Self {
        Self {
            access_key_id: Zeroizing::new(access_key_id),
            secret_access_key: Zeroizing::new(secret_access_key),
            session_token: session_token.map(Zeroizing::new),
        }
    }

    /// For the signer, which clears its copy as well.
    pub(crate) fn checked(&self) -> Result<aws_credential_types::Credentials, BadConfig> {
        let good = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let parts = [
            ("id", Some(&self.access_key_id)),
            ("secret", Some(&self.secret_access_key)),
            ("session token", self.session_token.as_ref()),
        ];
        for (part, text) in parts {
            if text.is_some_and(|text| !good(text)) {
                return Err(BadConfig::Credentials(part));
            }
        }
        Ok(aws_credential_types::Credentials::new(
            self.access_key_id.as_str(),
            self.secret_access_key.as_str(),
            self.session_token.as_ref().map(|token| token.to_string()),
            None,
            "configured",
        ))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            bytes_per_s_min: NonZeroU32::MIN.saturating_add(256 * 1024 - 1),
            attempts_max: NonZeroU32::MIN.saturating_add(4),
            backoff_first: Duration::from_millis(200),
            backoff_max: Duration::from_secs(10),
        }
    }
}

impl Place {
    pub(crate) fn new(config: &Config) -> Result<Self, BadConfig> {
        let region = &config.region;
        if region.is_empty() || !region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(BadConfig::Region(region.clone()));
        }
        check_bucket(&config.bucket, config.path_style)?;
        let prefix = match config.prefix.strip_suffix('/').unwrap_or(&config.prefix) {
            "" => String::new(),
            segments => format!("{}/", Key::new(segments)?),
        };
        let endpoint = match &config.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => amazon(region)?,
        };
        let secure = check_endpoint(&endpoint, config.allow_insecure_http_loopback)?;
        let bucket = &config.bucket;
        let (before, root) = if config.path_style {
            (String::new(), format!("/{bucket}/"))
        } else {
            (format!("{bucket}."), "/".to_owned())
        };
        let host = endpoint.host_str().unwrap_or_default();
        let port = endpoint.port().map_or_else(String::new, |port| format!(":{port}"));
        let origin = format!("{}://{before}{host}{port}", endpoint.scheme());
        Ok(Self { origin, root, prefix, secure })
    }
}

/// The authorities to trust instead of the public ones.
pub(crate) fn authorities(pem: &[u8]) -> Result<rustls::RootCertStore, BadConfig> {
    let bad = |reason: String| BadConfig::Authorities(reason);
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("there is no certificate in the text".to_owned()));
    }
    Ok(roots)
}

/// Source: Amazon S3 endpoints; partitions other than those two need an endpoint of their own.
fn amazon(region: &str) -> Result<Url, BadConfig> {
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    let text = format!("https://s3.{region}.amazonaws.com{china}");
    Url::parse(&text).map_err(|_| BadConfig::Region(region.to_owned()))
}

/// Source: S3 user guide, general purpose bucket naming rules.
fn check_bucket(bucket: &str, path_style: bool) -> Result<(), BadConfig> {
    let bad = || Err(BadConfig::Bucket(bucket.to_owned()));
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let inner = |b: u8| edge(Some(b)) || b == b'-' || b == b'.';
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(inner) || bucket.contains("..") {
        return bad();
    }
    if !edge(bucket.bytes().next()) || !edge(bucket.bytes().next_back()) {
        return bad();
    }
    if bucket.contains('.') && !path_style {
        return Err(BadConfig::DottedBucket(bucket.to_owned()));
    }
    Ok(())
}

/// Whether connections to it are secured.
fn check_endpoint(endpoint: &Url, allow_insecure: bool) -> Result<bool, BadConfig> {
    // The whole text might hold a password.
    let shown = format!("{}://{}", endpoint.scheme(), endpoint.host_str().unwrap_or_default());
    let bad = |reason| Err(BadConfig::Endpoint { endpoint: shown.clone(), reason });
    let loopback = match endpoint.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return bad("it has no host"),
    };
    if !endpoint.username().is_empty() || endpoint.password().is_some() {
        return bad("credentials do not belong into it");
    }
    if endpoint.path() != "/" || endpoint.query().is_some() || endpoint.fragment().is_some() {
        return bad("write scheme, host and port only; the bucket has its own setting");
    }
    match endpoint.scheme() {
        "https" => Ok(true),
        "http" if allow_insecure && loopback => Ok(false),
        "http" => bad("use `https`; `http` is for tests on this machine, and must be allowed"),
        _ => bad("use `https`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            endpoint: None,
            region: "eu-central-1".to_owned(),
            bucket: "audit-log".to_owned(),
            prefix: String::new(),
            credentials: Credentials::new("AKID".to_owned(), "SECRET".to_owned(), None),
            path_style: false,
            allow_insecure_http_loopback: false,
            authorities_pem: None,
            limits: Limits::default(),
        }
    }

    fn at(endpoint: &str, path_style: bool, insecure: bool) -> Result<Place, BadConfig> {
        Place::new(&Config {
            endpoint: Some(endpoint.parse().unwrap()),
            path_style,
            allow_insecure_http_loopback: insecure,
            ..config()
        })
    }

    #[test]
    fn a_place_is_made_of_endpoint_bucket_and_prefix() {
        let shown = |place: Place| format!("{}{}{}", place.origin, place.root, place.prefix);
        let amazon = "https://audit-log.s3.eu-central-1.amazonaws.com/";
        assert_eq!(shown(Place::new(&config()).unwrap()), amazon);
        let china = Config { region: "cn-north-1".to_owned(), ..config() };
        let china = shown(Place::new(&china).unwrap());
        assert_eq!(china, "https://audit-log.s3.cn-north-1.amazonaws.com.cn/");
        for prefix in ["a/b", "a/b/"] {
            let place = Place::new(&Config { prefix: prefix.to_owned(), ..config() }).unwrap();
            assert_eq!(shown(place), format!("{amazon}a/b/"));
        }
        let own = |path_style| shown(at("https://s3.example:9000", path_style, false).unwrap());
        assert_eq!(own(true), "https://s3.example:9000/audit-log/");
        assert_eq!(own(false), "https://audit-log.s3.example:9000/");
        assert_eq!(
            shown(at("https://s3.example:443", true, false).unwrap()),
            "https://s3.example/audit-log/"
        );
    }

    #[test]
    fn plain_http_stays_on_this_machine_and_must_be_allowed() {
        for endpoint in ["http://127.0.0.1:9", "http://[::1]:9", "http://localhost:9"] {
            assert!(!at(endpoint, true, true).unwrap().secure, "{endpoint}");
            assert!(at(endpoint, true, false).is_err(), "{endpoint}");
        }
        for endpoint in ["http://s3.example", "http://10.0.0.1", "http://localhost.example"] {
            assert!(at(endpoint, true, true).is_err(), "{endpoint}");
        }
        assert!(at("https://127.0.0.1:9", true, false).unwrap().secure);
    }

    #[test]
    fn an_endpoint_is_scheme_host_and_port_only() {
        for endpoint in [
            "https://s3.example/path",
            "https://s3.example/?a",
            "https://s3.example/#a",
            "ftp://s3.example",
            "data:a",
        ] {
            assert!(at(endpoint, true, true).is_err(), "{endpoint}");
        }
        let error = at("https://user:hunter2@s3.example", true, false).unwrap_err().to_string();
        assert!(!error.contains("hunter2") && !error.contains("user"), "{error}");
    }

    #[test]
    fn regions_buckets_and_prefixes_are_checked() {
        for region in ["", "eu central", "eu/../x"] {
            let config = Config { region: region.to_owned(), ..config() };
            assert!(matches!(Place::new(&config), Err(BadConfig::Region(_))), "{region}");
        }
        for bucket in ["", "ab", "Audit", "a_b", "-ab", "ab-", "a..b", "a/b", &"a".repeat(64)] {
            let config = Config { bucket: bucket.to_owned(), path_style: true, ..config() };
            assert!(matches!(Place::new(&config), Err(BadConfig::Bucket(_))), "{bucket}");
        }
        let dotted = |path_style| {
            Place::new(&Config { bucket: "audit.log".to_owned(), path_style, ..config() })
        };
        assert!(dotted(true).is_ok());
        assert!(matches!(dotted(false), Err(BadConfig::DottedBucket(_))));
        for prefix in ["/a", "a//b", "a b", "..", "//"] {
            let config = Config { prefix: prefix.to_owned(), ..config() };
            assert!(matches!(Place::new(&config), Err(BadConfig::Prefix(_))), "{prefix}");
        }
    }

    #[test]
    fn an_access_key_is_checked_and_never_shown() {
        let key = |id: &str, secret: &str, token: Option<&str>| {
            Credentials::new(id.to_owned(), secret.to_owned(), token.map(str::to_owned))
        };
        assert!(key("AKID", "s/e+c", Some("to/ken==")).checked().is_ok());
        for bad in [
            key("", "secret", None),
            key("AKID", "", None),
            key("AKID", "hunter2\n", None),
            key("AKID\r\nx: y", "secret", None),
            key("AKID", "secret", Some("")),
            key("AKID", "secret", Some("tok\nen")),
        ] {
            let error = bad.checked().unwrap_err().to_string();
            assert!(!error.contains("hunter2") && !error.contains("AKID"), "{error}");
        }
        let mut config = config();
        config.credentials = key("AKIDEXAMPLE", "hunter2", Some("tokentoken"));
        let shown = format!("{config:?}");
        assert!(!["AKIDEXAMPLE", "hunter2", "tokentoken"].iter().any(|s| shown.contains(s)));
    }

    #[test]
    fn authorities_are_certificates() {
        for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
            assert!(authorities(text.as_bytes()).is_err(), "{text}");
        }
        let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(authorities(junk.as_bytes()), Err(BadConfig::Authorities(_))));
    }
}
