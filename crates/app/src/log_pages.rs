//! The published log on the address of the gateway, below `/log/`. The gateway knows only that something is
//! served beside it, and the pages know no gateway.

use archive::http::{Reader, Site, Which};
use audit::Recorder;
use gateway::{Answering, RequestHead};
use note::Sign;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The pages of the log that this gateway writes.
#[derive(Debug)]
pub(crate) struct LogPages {
    directory: PathBuf,
    key: Option<Arc<dyn Sign>>,
    recorder: Recorder,
    sites: Mutex<Sites>,
}

#[derive(Debug)]
struct Sites {
    active: Arc<Site>,
    /// With readers of before; something of what they read may not be on record yet.
    before: Vec<Arc<Site>>,
}

impl LogPages {
    /// The pages of the log in `directory`; `key` signs COSE receipts.
    pub(crate) fn new(
        directory: &Path,
        readers: Vec<Reader>,
        key: Option<Arc<dyn Sign>>,
        recorder: &Recorder,
    ) -> Arc<Self> {
        let site = Site::new(directory, readers, key.clone(), Arc::new(recorder.clone()));
        Arc::new(Self {
            directory: directory.to_owned(),
            key,
            recorder: recorder.clone(),
            sites: Mutex::new(Sites { active: Arc::new(site), before: Vec::new() }),
        })
    }

    /// From now on these may read entries, and nobody else.
    pub(crate) fn replace_readers(&self, readers: Vec<Reader>) {
        let notices = Arc::new(self.recorder.clone());
        let site = Arc::new(Site::new(&self.directory, readers, self.key.clone(), notices));
        let mut sites = self.lock();
        let before = std::mem::replace(&mut sites.active, site);
        sites.before.push(before);
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
            let active = Arc::clone(&self.lock().active);
            record(&active, which).await;
            self.record_reads_of_before().await;
            if which == Which::All {
                return;
            }
        }
    }

    /// What the readers of before read is on record at once; those whom no request uses any more go.
    async fn record_reads_of_before(&self) {
        let before = std::mem::take(&mut self.lock().before);
        for site in before {
            let in_use = Arc::strong_count(&site) > 1;
            record(&site, Which::All).await;
            if in_use {
                self.lock().before.push(site);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sites> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn record(site: &Site, which: Which) {
    if let Err(error) = site.record_reads(Instant::now(), which).await {
        tracing::error!(%error, "who read the log could not be put on record");
    }
}

impl LogPages {
    /// The answer to a request, or nothing when its path is none of the log's.
    pub(crate) fn answer<'a>(&'a self, request: &'a RequestHead) -> Option<Answering<'a>> {
        if !Site::has(request.uri.path()) {
            return None;
        }
        let site = Arc::clone(&self.lock().active);
        Some(Box::pin(async move {
            let RequestHead { method, uri, headers, .. } = request;
            site.answer(method, uri, headers, Instant::now()).await
        }))
    }
}

/// How often is looked whether something is to be recorded.
const RECORD_INTERVAL: Duration = Duration::from_secs(10);
