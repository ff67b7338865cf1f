//! A small HTTP client: one request, one whole answer, bounded in time and size.
//!
//! Follows no redirect, keeps no cookie and sends no credentials but what a caller puts in a header.

use ::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::time::Duration;
use url::Url;

/// Asks other servers, over HTTP or HTTPS with the public certificate authorities.
#[derive(Debug, Clone)]
pub struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none that can be asked.
    #[error("`{url}` cannot be asked: {reason}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS cannot be set up.
    #[error("connections cannot be secured: {0}")]
    Tls(String),
    /// The server cannot be reached, or the connection broke.
    #[error("`{url}` does not answer: {cause}")]
    Unreachable {
        /// The address.
        url: String,
        /// What happened.
        cause: String,
    },
    /// The whole answer was not there in time.
    #[error("`{url}` did not answer within {} s", .timeout.as_secs())]
    TimedOut {
        /// The address.
        url: String,
        /// The bound.
        timeout: Duration,
    },
    /// The answer is longer than what was asked for can be.
    #[error("`{url}` answers with more than {bytes_max} bytes")]
    TooLarge {
        /// The address.
        url: String,
        /// The bound.
        bytes_max: usize,
    },
}

impl Client {
    /// A client that waits so long for a whole answer.
    ///
    /// # Errors
    /// [`ClientError::Tls`].
    pub fn new(timeout: Duration) -> Result<Self, ClientError> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(timeout));
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(provider)
            .map_err(|error| ClientError::Tls(error.to_string()))?
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let pool =
            Pool::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Ok(Self { pool, timeout })
    }

    /// Asks for what is at an address.
    ///
    /// # Errors
    /// [`ClientError`]; an answer that says no is an answer.
    pub async fn get(
        &self,
        url: &Url,
        headers: HeaderMap,
        bytes_max: usize,
    ) -> Result<Answer, ClientError> {
        let mut request = self.request(Method::GET, url, Bytes::new())?;
        *request.headers_mut() = headers;
        self.ask(request, url, bytes_max).await
    }

    /// Sends a body to an address.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(
        &self,
        url: &Url,
        media_type: &'static str,
        body: Bytes,
        bytes_max: usize,
    ) -> Result<Answer, ClientError> {
        let mut request = self.request(Method::POST, url, body)?;
        let media_type = HeaderValue::from_static(media_type);
        request.headers_mut().insert(header::CONTENT_TYPE, media_type);
        self.ask(request, url, bytes_max).await
    }

    fn request(
        &self,
        method: Method,
        url: &Url,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let bad =
            |reason: &str| ClientError::Address { url: shown(url), reason: reason.to_owned() };
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(bad("it must be an `http` or `https` URL"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it must not hold credentials"));
        }
        let uri: Uri = url.as_str().parse().map_err(|_| bad("it is no address of a server"))?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        Ok(request)
    }

    async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        url: &Url,
        bytes_max: usize,
    ) -> Result<Answer, ClientError> {
        let answered = tokio::time::timeout(self.timeout, async {
            let response = self.pool.request(request).await.map_err(|error| root(&error))?;
            Ok(whole(response, bytes_max).await)
        });
        match answered.await {
            Err(_) => Err(ClientError::TimedOut { url: shown(url), timeout: self.timeout }),
            Ok(Err(cause)) => Err(ClientError::Unreachable { url: shown(url), cause }),
            Ok(Ok(Err(Unread::TooLarge))) => {
                Err(ClientError::TooLarge { url: shown(url), bytes_max })
            }
            Ok(Ok(Err(Unread::Broken(cause)))) => {
                Err(ClientError::Unreachable { url: shown(url), cause })
            }
            Ok(Ok(Ok(answer))) => Ok(answer),
        }
    }
}

enum Unread {
    TooLarge,
    Broken(String),
}

async fn whole(response: Response<Incoming>, bytes_max: usize) -> Result<Answer, Unread> {
    let (parts, body) = response.into_parts();
    let collected = Limited::new(body, bytes_max).collect().await.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            Unread::TooLarge
        } else {
            Unread::Broken(root(error.as_ref()))
        }
    })?;
    Ok(Answer { status: parts.status, headers: parts.headers, body: collected.to_bytes() })
}

/// An address for a message: no credentials, no query.
fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// The innermost cause, which names what went wrong.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
