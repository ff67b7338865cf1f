//! The pages by which the gateway is watched: whether it lives, whether it is ready, and its metrics. Some of
//! it is on the gateway's own address, for load balancers; all of it on an address of its own.

use crate::certificates::InUse;
use crate::log_pages::LogPages;
use crate::signals::Signals;
use audit::Recorder;
use bytes::Bytes;
use gateway::{Answering, Beside, Gateway, RequestHead};
use http::{HeaderValue, Method, Response, StatusCode, header};
use policy::Engine;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use telemetry::{CertificateExpiry, LogDisk, Snapshot, Telemetry};
use tlog::Log;
use tokio_util::sync::CancellationToken;

/// What is served beside the MCP endpoint, on its address.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) log: Option<Arc<LogPages>>,
    pub(crate) signals: Option<Signals>,
    pub(crate) recorder: Recorder,
    pub(crate) draining: CancellationToken,
}

impl Beside for Front {
    fn body_bytes_max(&self, request: &RequestHead) -> Option<usize> {
        self.signals.as_ref().and_then(|signals| signals.body_bytes_max(request))
    }

    fn answer<'a>(&'a self, request: &'a RequestHead, body: Bytes) -> Option<Answering<'a>> {
        if request.uri.path() != "/readyz" {
            let told = self.signals.as_ref().and_then(|signals| signals.answer(request, body));
            return told.or_else(|| self.log.as_ref().and_then(|log| log.answer(request)));
        }
        let problem = match self.recorder.health() {
            _ if self.draining.is_cancelled() => Some("draining".to_owned()),
            Ok(()) => None,
            Err(error) => Some(error.to_string()),
        };
        let (status, text) = verdict(problem);
        Some(Box::pin(std::future::ready(page(request, status, TEXT, text))))
    }
}

/// Everything by which the gateway is watched.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) recorder: Recorder,
    pub(crate) policy: Arc<Engine>,
    pub(crate) log: Log,
    pub(crate) log_directory: PathBuf,
    pub(crate) certificates: InUse,
    pub(crate) telemetry: Telemetry,
    pub(crate) draining: CancellationToken,
}

impl Beside for Watch {
    fn answer<'a>(&'a self, request: &'a RequestHead, _body: Bytes) -> Option<Answering<'a>> {
        let (status, media_type, text) = match request.uri.path() {
            "/metrics" => return Some(Box::pin(self.metrics_page(request))),
            "/healthz" => {
                let (status, text) = match self.recorder.health() {
                    Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
                    Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
                };
                (status, TEXT, text)
            }
            "/readyz" => {
                let (status, text) = self.readiness();
                (status, TEXT, text)
            }
            _ => return None,
        };
        Some(Box::pin(std::future::ready(page(request, status, media_type, text))))
    }
}

impl Watch {
    /// Why new calls are not welcome; nothing when they are. A server that cannot be reached does not
    /// make the gateway unready, unless there is no other.
    fn problem(&self) -> Option<String> {
        if self.draining.is_cancelled() {
            return Some("draining".to_owned());
        }
        if let Err(error) = self.recorder.health() {
            return Some(error.to_string());
        }
        match &*self.gateway.state().servers {
            [only] if only.unreachable => Some(format!("server {} is not reachable", only.name)),
            _ => None,
        }
    }

    fn readiness(&self) -> (StatusCode, String) {
        let (status, mut text) = verdict(self.problem());
        let log = self.recorder.health().map_or_else(|error| error.to_string(), |()| "ok".into());
        // Writing to a string cannot fail.
        write!(text, "log: {log}\npolicies: {}\n", self.policy.active().digest()).ok();
        for server in self.gateway.state().servers {
            let state = if server.unreachable { "not reachable" } else { "ok" };
            writeln!(text, "server {}: {state}", server.name).ok();
        }
        (status, text)
    }

    async fn metrics_page(&self, request: &RequestHead) -> Response<Bytes> {
        // A log of years has many segments.
        let directory = self.log_directory.clone();
        let disk = tokio::task::spawn_blocking(move || disk(&directory)).await.ok().flatten();
        page(request, StatusCode::OK, Telemetry::MEDIA_TYPE, self.metrics(disk))
    }

    fn metrics(&self, log_disk: Option<LogDisk>) -> String {
        let certificates = self.certificates.expiries().into_iter();
        let certificates = certificates.map(|expiry| CertificateExpiry {
            role: expiry.role.as_str(),
            server: expiry.server,
            not_after_s: expiry.not_after_s,
        });
        self.telemetry.text(&Snapshot {
            state: self.gateway.state(),
            log_takes_records: self.recorder.health().is_ok(),
            log_entries: self.log.tip().size,
            checkpoint_entries: self.log.checkpoint().size,
            checkpoint_age: self.checkpoint_age(),
            log_queue: self.log.waiting(),
            log_disk,
            certificates: certificates.collect(),
            ready: self.problem().is_none(),
        })
    }

    /// By the time of its file: the checkpoint itself holds none.
    fn checkpoint_age(&self) -> Option<Duration> {
        let file = std::fs::metadata(self.log_directory.join("checkpoint")).ok()?;
        let written = file.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        let now = u64::try_from(self.recorder.clock().now().unix_us()).ok()?;
        Some(Duration::from_micros(now).saturating_sub(written))
    }
}

/// What the log takes of its disk, and what is left.
fn disk(log: &Path) -> Option<LogDisk> {
    let mut segment_bytes = 0_u64;
    for found in std::fs::read_dir(log.join("segments")).ok()? {
        // A segment may go while we look.
        let length = found.and_then(|found| found.metadata()).map_or(0, |found| found.len());
        segment_bytes = segment_bytes.saturating_add(length);
    }
    let disk = rustix::fs::statvfs(log).ok()?;
    Some(LogDisk { segment_bytes, free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize) })
}

fn verdict(problem: Option<String>) -> (StatusCode, String) {
    match problem {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {problem}\n")),
    }
}

fn page(
    request: &RequestHead,
    status: StatusCode,
    media_type: &'static str,
    text: String,
) -> Response<Bytes> {
    let known = matches!(request.method, Method::GET | Method::HEAD);
    let (status, text) =
        if known { (status, text) } else { (StatusCode::METHOD_NOT_ALLOWED, String::new()) };
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

const TEXT: &str = "text/plain; charset=utf-8";
