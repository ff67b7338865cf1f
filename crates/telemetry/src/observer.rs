//! Hears what happens on the call path and leads it to metrics and traces.

use crate::export::{BadEndpoint, Export, TraceConfig};
use crate::metrics::{Metrics, Name, Snapshot};
use crate::trace::Tracer;
use gateway::{AdmittedCall, AnsweredCall, Observer, RefusedCall, ServerObserver, Span};
use std::sync::Arc;
use std::time::Duration;

/// Metrics, and traces when they are wanted.
#[derive(Debug, Clone)]
pub struct Telemetry {
    metrics: Arc<Metrics>,
    tracer: Option<Tracer>,
}

impl Telemetry {
    /// Metrics alone. `version` is that of the program.
    #[must_use]
    pub fn new(version: &str) -> Self {
        Self { metrics: Arc::new(Metrics::new(version)), tracer: None }
    }

    /// With traces too; the task that sends them is to be run.
    ///
    /// # Errors
    /// When the collector's address cannot be used.
    pub fn with_traces(
        self,
        config: &TraceConfig,
        version: &str,
    ) -> Result<(Self, Export), BadEndpoint> {
        let (queue, export) = Export::new(config, &self.metrics, version)?;
        let tracer = Some(Tracer::new(queue, config.ratio, version));
        Ok((Self { tracer, ..self }, export))
    }

    /// All metrics in the text format of `OpenMetrics` 1.0.
    #[must_use]
    pub fn text(&self, now: &Snapshot) -> String {
        self.metrics.text(now)
    }

    /// The media type of [`Telemetry::text`].
    pub const MEDIA_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

impl Observer for Telemetry {
    fn server(&self, name: &str) -> Arc<dyn ServerObserver> {
        Arc::new(OfServer {
            name: Arc::new(name.to_owned()),
            metrics: Arc::clone(&self.metrics),
            tracer: self.tracer.clone(),
        })
    }
}

#[derive(Debug)]
struct OfServer {
    name: Name,
    metrics: Arc<Metrics>,
    tracer: Option<Tracer>,
}

impl ServerObserver for OfServer {
    fn admitted(&self, call: &AdmittedCall<'_>) -> Option<Box<dyn Span>> {
        self.metrics.admitted(&self.name, call.method, call.admission);
        self.tracer.as_ref()?.follow(&self.name, call)
    }

    fn refused(&self, call: &RefusedCall<'_>) {
        self.metrics.refused(&self.name, call.method, call.reason);
    }

    fn answered(&self, call: &AnsweredCall) {
        self.metrics.answered(&self.name, call);
    }

    fn recorded(&self, waited: Duration) {
        self.metrics.recorded(waited);
    }
}
