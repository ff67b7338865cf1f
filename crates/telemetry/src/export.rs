//! Sends spans to a collector: OTLP over HTTP in protobuf, in batches, from a bounded queue. What does not
//! fit, or is not taken, is dropped and counted; nobody waits.

use crate::metrics::Metrics;
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::KeyValue;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Where spans go, and which.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceConfig {
    /// The collector's address for traces, such as `http://127.0.0.1:4318/v1/traces`.
    pub url: Url,
    /// Share of traces that are kept, from 0 to 1.
    pub ratio: f64,
    /// Calls whose spans may wait to be sent; more are dropped.
    pub queue_calls_max: usize,
    /// Time for the collector to take a batch.
    pub timeout: Duration,
    /// Name of this gateway (`service.instance.id`).
    pub instance: String,
}

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot go to `{url}`: {reason}")]
pub struct BadEndpoint {
    url: Url,
    reason: String,
}

/// The spans of one call.
pub(crate) type Spans = Box<[SpanData; 2]>;

/// The way to the task that sends.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    spans: mpsc::Sender<Spans>,
    dropped: prometheus_client::metrics::counter::Counter,
}

impl Queue {
    /// A queue for so many calls, and its other end.
    #[cfg(test)]
    pub(crate) fn new(calls_max: usize) -> (Self, mpsc::Receiver<Spans>) {
        let (spans, waiting) = mpsc::channel(calls_max);
        (Self { spans, dropped: prometheus_client::metrics::counter::Counter::default() }, waiting)
    }

    /// Leaves the spans of a call to be sent.
    pub(crate) fn put(&self, spans: [SpanData; 2]) {
        if self.spans.try_send(Box::new(spans)).is_err() {
            self.dropped.inc_by(2);
        }
    }
}

/// Sends what is in the queue until it is told to stop, and then the rest.
#[derive(Debug)]
pub struct Export {
    waiting: mpsc::Receiver<Spans>,
    exporter: opentelemetry_otlp::SpanExporter,
    metrics: Arc<Metrics>,
    timeout: Duration,
}

impl Export {
    pub(crate) fn new(
        config: &TraceConfig,
        metrics: &Arc<Metrics>,
        version: &str,
    ) -> Result<(Queue, Self), BadEndpoint> {
        let bad = |reason: String| BadEndpoint { url: config.url.clone(), reason };
        let client = Collector::new(config.timeout).map_err(|error| bad(error.to_string()))?;
        let mut exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(config.url.as_str())
            .with_timeout(config.timeout)
            .build()
            .map_err(|error| bad(error.to_string()))?;
        exporter.set_resource(
            &Resource::builder_empty()
                .with_attributes([
                    KeyValue::new("service.name", "countersign"),
                    KeyValue::new("service.version", version.to_owned()),
                    KeyValue::new("service.instance.id", config.instance.clone()),
                ])
                .build(),
        );
        let (spans, waiting) = mpsc::channel(config.queue_calls_max.max(1));
        let queue = Queue { spans, dropped: metrics.spans_dropped.clone() };
        let timeout = config.timeout;
        Ok((queue, Self { waiting, exporter, metrics: Arc::clone(metrics), timeout }))
    }

    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut failing = false;
        let mut ticks = tokio::time::interval(BATCH_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let stopping = tokio::select! {
                () = stop.cancelled() => true,
                _ = ticks.tick() => false,
            };
            loop {
                let batch = self.take_batch();
                let is_last = batch.len() < BATCH_CALLS_MAX;
                if !batch.is_empty() {
                    failing = self.send(batch, failing).await;
                }
                if is_last || failing {
                    break;
                }
            }
            if stopping {
                return;
            }
        }
    }

    fn take_batch(&mut self) -> Vec<Spans> {
        let mut batch = Vec::new();
        while batch.len() < BATCH_CALLS_MAX
            && let Ok(spans) = self.waiting.try_recv()
        {
            batch.push(spans);
        }
        batch
    }

    /// Sends one batch; whether that failed. The operator is told when it begins and when it ends.
    async fn send(&self, batch: Vec<Spans>, failing: bool) -> bool {
        let spans: Vec<SpanData> = batch.into_iter().flat_map(|spans| *spans).collect();
        let number = u64::try_from(spans.len()).unwrap_or(u64::MAX);
        let sent = tokio::time::timeout(self.timeout, self.exporter.export(spans)).await;
        let error = match sent {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {} ms", self.timeout.as_millis())),
        };
        match error {
            None => {
                self.metrics.spans_exported.inc_by(number);
                if failing {
                    tracing::info!("the collector takes spans again");
                }
                false
            }
            Some(error) => {
                self.metrics.spans_dropped.inc_by(number);
                if !failing {
                    tracing::warn!(error, "the collector takes no spans; they are dropped");
                }
                true
            }
        }
    }
}

/// The collector, over HTTP or HTTPS.
#[derive(Debug)]
struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
}

impl Collector {
    fn new(timeout: Duration) -> Result<Self, rustls::Error> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(timeout));
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(provider)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), timeout })
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let exchange = async {
            let (parts, body) = self.client.request(request.map(Full::new)).await?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
            Ok(Response::from_parts(parts, body))
        };
        tokio::time::timeout(self.timeout, exchange).await?
    }
}

/// Calls whose spans go in one message.
const BATCH_CALLS_MAX: usize = 256;

/// Between two looks into the queue.
const BATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of a collector's answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;
