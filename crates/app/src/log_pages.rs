//! The published log on the address of the gateway, below `/log/`. The gateway knows only that something is
//! served beside it, and the pages know no gateway.

use archive::http::{Reader, Site, Which};
use audit::Recorder;
use gateway::{Answering, Beside, RequestHead};
use note::Sign;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The pages of the log that this gateway writes.
#[derive(Debug)]
pub(crate) struct LogPages {
    site: Site,
}

impl LogPages {
    /// The pages of the log in `directory`; `key` signs COSE receipts.
    pub(crate) fn new(
        directory: &Path,
        readers: Vec<Reader>,
        key: Option<Arc<dyn Sign>>,
        recorder: &Recorder,
    ) -> Arc<Self> {
        let site = Site::new(directory, readers, key, Arc::new(recorder.clone()));
        Arc::new(Self { site })
    }

    /// Puts on record what readers read, at most a minute later, until `stop`, and then the rest. The
    /// gateway must have stopped serving by then.
    pub(crate) async fn record_reads(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(RECORD_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let which = tokio::select! {
                () = stop.cancelled() => Which::All,
                _ = ticks.tick() => Which::Due,
            };
            if let Err(error) = self.site.record_reads(Instant::now(), which).await {
                tracing::error!(%error, "who read the log could not be put on record");
            }
            if which == Which::All {
                return;
            }
        }
    }
}

impl Beside for LogPages {
    fn answer<'a>(&'a self, request: &'a RequestHead) -> Option<Answering<'a>> {
        let RequestHead { method, uri, headers, .. } = request;
        Site::has(uri.path())
            .then(|| Box::pin(self.site.answer(method, uri, headers, Instant::now())) as _)
    }
}

/// How often is looked whether something is to be recorded.
const RECORD_INTERVAL: Duration = Duration::from_secs(10);
