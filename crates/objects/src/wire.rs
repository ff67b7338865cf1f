//! Requests as they go out: signed, with a deadline, repeated while the storage is not there, and
//! answers of a bounded size.
//!
//! Sends only what may be sent twice, and knows no operation by name. The signature itself is made by
//! `aws-sigv4`.

use crate::answer::{Answer, hex};
use crate::config::{BadConfig, Config, Limits, Place, authorities};
use crate::error::ObjectError;
use crate::lock::UNIX_S_MAX;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Connections to one server, and the right to sign.
pub(crate) struct Wire {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    origin: String,
    region: String,
    credentials: aws_credential_types::Credentials,
    limits: Limits,
}

/// A request that may be sent twice.
#[derive(Debug)]
pub(crate) struct Ask {
    /// The operation and its object, for errors.
    pub(crate) doing: String,
    pub(crate) method: Method,
    /// Path and query, encoded.
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    pub(crate) body_sha256: [u8; 32],
    /// Bytes of a successful answer.
    pub(crate) answer_bytes_max: u64,
}

/// The time a caller gave, moved on by what passes during the operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    unix_s: u64,
    since: Instant,
}

/// Why one attempt came to nothing.
#[derive(Debug)]
enum Failure {
    /// Worth another attempt.
    Passing(String),
    /// Not worth one.
    Final(ObjectError),
}

impl Clock {
    pub(crate) fn start(now_unix_s: u64) -> Result<Self, ObjectError> {
        if UNIX_S_MAX < now_unix_s {
            return Err(ObjectError::BadTime { now_unix_s });
        }
        Ok(Self { unix_s: now_unix_s, since: Instant::now() })
    }

    fn now(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.unix_s) + self.since.elapsed()
    }
}

impl Wire {
    pub(crate) fn new(config: &Config, place: &Place) -> Result<Self, BadConfig> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(config.limits.connect_timeout));
        let tls = |error: rustls::Error| BadConfig::Tls(error.to_string());
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let builder = match &config.authorities_pem {
            None => HttpsConnectorBuilder::new()
                .with_provider_and_webpki_roots(provider)
                .map_err(tls)?,
            Some(pem) => {
                let builder = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
                    .with_safe_default_protocol_versions()
                    .map_err(tls)?;
                let builder = builder.with_root_certificates(authorities(pem)?);
                HttpsConnectorBuilder::new().with_tls_config(builder.with_no_client_auth())
            }
        };
        let builder = if place.secure { builder.https_only() } else { builder.https_or_http() };
        let connector = builder.enable_http1().wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        Ok(Self {
            client,
            origin: place.origin.clone(),
            region: config.region.clone(),
            credentials: config.credentials.checked()?,
            limits: config.limits,
        })
    }

    /// Sends a request until there is an answer that counts, whatever its status, or no attempt is
    /// left.
    pub(crate) async fn ask(&self, ask: &Ask, clock: Clock) -> Result<Answer, ObjectError> {
        let mut attempts = 1;
        loop {
            let attempt = self.attempt(ask, clock.now());
            let cause = match tokio::time::timeout(self.deadline(ask), attempt).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Failure::Final(error))) => return Err(error),
                Ok(Err(Failure::Passing(cause))) => cause,
                Err(_) => format!("no whole answer within {} s", self.deadline(ask).as_secs_f32()),
            };
            if self.limits.attempts_max.get() <= attempts {
                let doing = ask.doing.clone();
                return Err(ObjectError::Unavailable { doing, attempts, cause });
            }
            tokio::time::sleep(pause(&self.limits, attempts)).await;
            attempts += 1;
        }
    }

    /// Time for one attempt: the fixed part, and what the bytes take on the slowest connection.
    fn deadline(&self, ask: &Ask) -> Duration {
        let sent = u64::try_from(ask.body.len()).unwrap_or(u64::MAX);
        let bytes = sent.saturating_add(ask.answer_bytes_max);
        let moving = bytes / u64::from(self.limits.bytes_per_s_min.get());
        self.limits.request_timeout.saturating_add(Duration::from_secs(moving))
    }

    async fn attempt(&self, ask: &Ask, now: SystemTime) -> Result<Answer, Failure> {
        let request = self.signed(ask, now).map_err(Failure::Final)?;
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|error| Failure::Passing(root(&error)))?;
        let answer = self.whole(ask, answer).await?;
        if passing(&answer) {
            let code = answer.code();
            let code = if code.is_empty() { code } else { format!(" (`{code}`)") };
            return Err(Failure::Passing(format!("status {}{code}", answer.status.as_u16())));
        }
        Ok(answer)
    }

    async fn whole(&self, ask: &Ask, answer: Response<Incoming>) -> Result<Answer, Failure> {
        let success = answer.status().is_success();
        let max = if success { ask.answer_bytes_max } else { ERROR_BYTES_MAX };
        let too_large =
            || ObjectError::TooLarge { doing: ask.doing.clone(), bytes_max: ask.answer_bytes_max };
        let (head, body) = answer.into_parts();
        let announced = body.size_hint().lower();
        let limit = usize::try_from(max).unwrap_or(usize::MAX);
        let body = if max < announced {
            Err(Failure::Final(too_large()))
        } else {
            match Limited::new(body, limit).collect().await {
                Ok(body) => Ok(body.to_bytes()),
                Err(error) if error.is::<LengthLimitError>() => Err(Failure::Final(too_large())),
                Err(error) => Err(Failure::Passing(root(error.as_ref()))),
            }
        };
        // The page that some proxy adds to an error tells no more than its status.
        let body = match body {
            Err(Failure::Final(_)) if !success => Bytes::new(),
            other => other?,
        };
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    fn signed(&self, ask: &Ask, now: SystemTime) -> Result<Request<Full<Bytes>>, ObjectError> {
        let bad = |reason: &str| ObjectError::Malformed {
            doing: ask.doing.clone(),
            reason: format!("no request can be made of it: {reason}"),
        };
        let uri = format!("{}{}", self.origin, ask.target);
        let mut request = Request::builder().method(ask.method.clone()).uri(&uri);
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(ask.body.clone()));
        let mut request = request.map_err(|error| bad(&error.to_string()))?;

        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let identity = self.credentials.clone().into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("s3")
            .time(now)
            .settings(settings)
            .build();
        let params = params.map_err(|_| bad("the signature lacks a part"))?.into();
        let headers = ask.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let body = SignableBody::Precomputed(hex(&ask.body_sha256));
        let signable = SignableRequest::new(ask.method.as_str(), &uri, headers, body);
        let signable = signable.map_err(|_| bad("it cannot be signed"))?;
        let signed = sign(signable, &params).map_err(|_| bad("it cannot be signed"))?;
        let (headers, _) = signed.into_parts().0.into_parts();
        for header in headers {
            let value = HeaderValue::from_str(header.value());
            let mut value = value.map_err(|_| bad("the signature is no header"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(header.name(), value);
        }
        // Amazon wants the length of a put even when it is nothing, which hyper would leave out.
        if ask.method == Method::PUT {
            request.headers_mut().insert(CONTENT_LENGTH, ask.body.len().into());
        }
        Ok(request)
    }
}

/// How long to wait after so many attempts.
fn pause(limits: &Limits, attempts: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
    limits.backoff_first.saturating_mul(doubled).min(limits.backoff_max)
}

/// Answers that say "not now".
///
/// Source: S3 API, error responses; 409 when another conditional write of the same name was under
/// way.
fn passing(answer: &Answer) -> bool {
    match answer.status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::INTERNAL_SERVER_ERROR
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => true,
        StatusCode::CONFLICT => {
            matches!(answer.code().as_str(), "ConditionalRequestConflict" | "OperationAborted")
        }
        StatusCode::BAD_REQUEST => answer.code() == "RequestTimeout",
        _ => false,
    }
}

/// The innermost cause, which names what went wrong ("connection refused").
fn root(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Bytes of an answer with an error that are read.
const ERROR_BYTES_MAX: u64 = 64 * 1024;
/// How long a connection is kept for the next request.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Connections kept for the next request.
const IDLE_CONNECTIONS_MAX: usize = 4;

#[cfg(test)]
mod tests;
