//! What concerns the operation of the gateway: metrics, traces, reload, the way it stops.

use super::{Checker, file};
use std::net::SocketAddr;
use std::time::Duration;
use telemetry::TraceConfig;

/// How the gateway is watched and changed while it runs, and how it stops.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct OperationConfig {
    /// Where metrics and the pages on health are served.
    pub(crate) metrics: Option<SocketAddr>,
    /// Where traces go.
    pub(crate) traces: Option<TraceConfig>,
    /// Between two looks at the configuration file.
    pub(crate) reload: Option<Duration>,
    /// From the wish to stop to the end of listening.
    pub(crate) drain_delay: Duration,
}

impl Checker<'_> {
    pub(super) fn operation(&mut self, file: &file::File) -> OperationConfig {
        let reload = file.gateway.reload_interval_ms.unwrap_or(1_000);
        OperationConfig {
            metrics: file.metrics.listen.as_deref().and_then(|listen| self.metrics(listen)),
            traces: self.traces(&file.traces, file.gateway.name.as_deref().unwrap_or_default()),
            reload: (reload > 0).then(|| Duration::from_millis(reload)),
            drain_delay: Duration::from_millis(file.gateway.drain_delay_ms.unwrap_or(0)),
        }
    }

    fn metrics(&mut self, listen: &str) -> Option<SocketAddr> {
        let address = listen.parse().ok();
        if address.is_none() {
            self.wrong("metrics.listen", "must be an address and a port, such as `127.0.0.1:9464`");
        }
        address
    }

    fn traces(&mut self, traces: &file::Traces, instance: &str) -> Option<TraceConfig> {
        let written = traces.otlp_url.as_deref()?;
        let url = written.parse::<url::Url>().ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if url.is_none() {
            self.wrong(
                "traces.otlp_url",
                "must be an `http` or `https` URL, such as `http://127.0.0.1:4318/v1/traces`",
            );
        }
        let ratio = traces.ratio.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&ratio) {
            self.wrong("traces.ratio", "must be from 0 to 1");
        }
        let queue_calls_max = traces.queue_calls_max.unwrap_or(QUEUE_CALLS);
        if !(1..=QUEUE_CALLS_MAX).contains(&queue_calls_max) {
            self.wrong("traces.queue_calls_max", &format!("must be from 1 to {QUEUE_CALLS_MAX}"));
        }
        Some(TraceConfig {
            url: url?,
            ratio,
            queue_calls_max,
            timeout: Duration::from_millis(traces.timeout_ms.unwrap_or(5_000)),
            instance: instance.to_owned(),
        })
    }
}

const QUEUE_CALLS: usize = 4_096;
/// A queue of more calls is memory that nobody meant to give: about 2 KiB each.
const QUEUE_CALLS_MAX: usize = 1 << 20;
