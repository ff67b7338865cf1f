//! The table `[log]` and those below it, turned into checked values.

use super::{Checker, file};
use keys::Source;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;
use witness::OnNoQuorum;

/// Where the log is, how it is written, and who else sees it.
#[derive(Debug, Clone)]
pub(crate) struct LogConfig {
    pub(crate) directory: PathBuf,
    pub(crate) key: Source,
    pub(crate) also_keys: Vec<Source>,
    pub(crate) high_water: Option<PathBuf>,
    pub(crate) segment_bytes: u64,
    pub(crate) publish_interval: Duration,
    pub(crate) free_bytes_min: u64,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) sync_stall_max_ms: u64,
    pub(crate) clock_back_max_ms: u64,
    pub(crate) witness: Option<WitnessConfig>,
    pub(crate) http: Option<HttpConfig>,
    pub(crate) tsa: Option<TsaConfig>,
    pub(crate) s3: Option<S3Config>,
    pub(crate) retention: Option<RetentionConfig>,
}

/// Who cosigns, and what happens when too few do.
#[derive(Debug, Clone)]
pub(crate) struct WitnessConfig {
    pub(crate) policy: PathBuf,
    pub(crate) without_quorum: OnNoQuorum,
    pub(crate) timeout: Duration,
}

/// The published log over HTTP.
#[derive(Debug, Clone)]
pub(crate) struct HttpConfig {
    pub(crate) readers: Vec<archive::http::Reader>,
}

/// Who stamps checkpoints.
#[derive(Debug, Clone)]
pub(crate) struct TsaConfig {
    pub(crate) urls: Vec<Url>,
    pub(crate) roots: PathBuf,
    pub(crate) interval: Duration,
}

/// Where copies go.
#[derive(Debug, Clone)]
pub(crate) struct S3Config {
    pub(crate) bucket: String,
    pub(crate) prefix: String,
    pub(crate) region: String,
    pub(crate) endpoint: Option<Url>,
    pub(crate) path_style: bool,
    pub(crate) allow_insecure_loopback: bool,
    pub(crate) credentials: PathBuf,
    pub(crate) retention: Duration,
    pub(crate) interval: Duration,
    pub(crate) cursor: PathBuf,
}

/// How long entries are kept, by class; what has no duration is kept for ever.
#[derive(Debug, Clone, Default)]
pub(crate) struct RetentionConfig {
    pub(crate) calls: Option<Duration>,
    pub(crate) refusals: Option<Duration>,
    pub(crate) gateway: Option<Duration>,
    pub(crate) prune: bool,
}

impl LogConfig {
    /// A log in this directory with this key file, and every default.
    pub(crate) fn plain(directory: &Path, key: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            key: Source::File(key.to_owned()),
            also_keys: Vec::new(),
            high_water: None,
            segment_bytes: SEGMENT_BYTES,
            publish_interval: Duration::from_secs(1),
            free_bytes_min: FREE_BYTES_MIN,
            heartbeat_interval: Duration::from_secs(HEARTBEAT_S),
            sync_stall_max_ms: SYNC_STALL_MS,
            clock_back_max_ms: CLOCK_BACK_MS,
            witness: None,
            http: None,
            tsa: None,
            s3: None,
            retention: None,
        }
    }
}

impl Checker<'_> {
    pub(super) fn log(&mut self, log: file::Log) -> LogConfig {
        let segment_bytes = log.segment_bytes.unwrap_or(SEGMENT_BYTES);
        if !(256 * 1_024..=1 << 32).contains(&segment_bytes) {
            self.wrong("log.segment_bytes", "must be from 262144 (256 KiB) to 4294967296 (4 GiB)");
        }
        let publish = log.publish_interval_ms.unwrap_or(1_000);
        if publish == 0 {
            self.wrong("log.publish_interval_ms", "must be at least 1");
        }
        let heartbeat = log.heartbeat_s.unwrap_or(HEARTBEAT_S);
        if !(1..=HEARTBEAT_S_MAX).contains(&heartbeat) {
            self.wrong("log.heartbeat_s", "must be from 1 to 3600");
        }
        let stall = log.sync_stall_max_ms.unwrap_or(SYNC_STALL_MS);
        if stall == 0 {
            self.wrong("log.sync_stall_max_ms", "must be at least 1");
        }
        let directory = self.path(log.directory.unwrap_or_else(|| "log".into()));
        let s3 = log.s3.map(|s3| self.s3(s3, &directory));
        let further = log.also_keys.iter().enumerate();
        let also_keys =
            further.map(|(i, key)| self.key(&format!("log.also_keys[{i}]"), key)).collect();
        let http = self.http(&log.http);
        LogConfig {
            key: self.key("log.key", log.key.as_deref().unwrap_or("keys/log.key")),
            also_keys,
            high_water: log.high_water.map(|path| self.path(path)),
            segment_bytes,
            publish_interval: Duration::from_millis(publish.max(1)),
            free_bytes_min: log.free_bytes_min.unwrap_or(FREE_BYTES_MIN),
            heartbeat_interval: Duration::from_secs(heartbeat),
            sync_stall_max_ms: stall,
            clock_back_max_ms: log.clock_back_max_ms.unwrap_or(CLOCK_BACK_MS),
            witness: log.witness.map(|witness| self.witness(witness)),
            http,
            tsa: log.tsa.map(|tsa| self.tsa(tsa)),
            s3,
            retention: log.retention.map(|retention| self.retention(&retention)),
            directory,
        }
    }

    fn key(&mut self, path: &str, key: &str) -> Source {
        Source::parse(key, self.directory).unwrap_or_else(|error| {
            self.wrong(path, &error.to_string());
            Source::File(PathBuf::new())
        })
    }

    fn witness(&mut self, witness: file::Witness) -> WitnessConfig {
        let after = Duration::from_secs(witness.fail_closed_after_s.unwrap_or(FAIL_CLOSED_S));
        let without_quorum = match witness.without_quorum.as_deref() {
            None | Some("warn") => OnNoQuorum::Warn,
            Some("stop-publishing") => OnNoQuorum::StopPublishing,
            Some("fail-closed") => OnNoQuorum::FailClosedAfter(after),
            Some(_) => {
                let must = "must be `warn`, `stop-publishing` or `fail-closed`";
                self.wrong("log.witness.without_quorum", must);
                OnNoQuorum::Warn
            }
        };
        let timeout = witness.timeout_ms.unwrap_or(WITNESS_TIMEOUT_MS);
        if timeout == 0 {
            self.wrong("log.witness.timeout_ms", "must be at least 1");
        }
        WitnessConfig {
            policy: self.needed_path("log.witness.policy", witness.policy),
            without_quorum,
            timeout: Duration::from_millis(timeout),
        }
    }

    fn http(&mut self, http: &file::Http) -> Option<HttpConfig> {
        if !http.enabled {
            if !http.reader.is_empty() {
                self.wrong("log.http.reader", "has no effect without `enabled = true`");
            }
            return None;
        }
        let mut readers = Vec::new();
        for (i, reader) in http.reader.iter().enumerate() {
            match archive::http::Reader::new(&reader.name, &reader.sha256) {
                Ok(reader) => readers.push(reader),
                Err(error) => self.wrong(&format!("log.http.reader[{i}]"), &error.to_string()),
            }
        }
        Some(HttpConfig { readers })
    }

    fn tsa(&mut self, tsa: file::Tsa) -> TsaConfig {
        if tsa.urls.is_empty() {
            self.wrong("log.tsa.urls", "must name a timestamp authority");
        }
        let mut urls = Vec::new();
        for (i, url) in tsa.urls.iter().enumerate() {
            urls.extend(self.web_address(&format!("log.tsa.urls[{i}]"), url));
        }
        TsaConfig {
            urls,
            roots: self.needed_path("log.tsa.roots", tsa.roots),
            interval: self.interval("log.tsa.interval_s", tsa.interval_s, TSA_INTERVAL_S),
        }
    }

    fn s3(&mut self, s3: file::S3, log: &Path) -> S3Config {
        let days = s3.retention_days.unwrap_or_default();
        if !(1..=DAYS_MAX).contains(&days) {
            self.wrong("log.s3.retention_days", "must be from 1 to 36500");
        }
        let mut needed = |path: &str, value: Option<String>| {
            let value = value.unwrap_or_default();
            if value.is_empty() {
                self.wrong(path, "is required");
            }
            value
        };
        let bucket = needed("log.s3.bucket", s3.bucket);
        let region = needed("log.s3.region", s3.region);
        let beside = log.with_file_name("s3.cursor");
        S3Config {
            bucket,
            prefix: s3.prefix.unwrap_or_default(),
            region,
            endpoint: s3.endpoint.and_then(|url| self.web_address("log.s3.endpoint", &url)),
            path_style: s3.path_style,
            allow_insecure_loopback: s3.allow_insecure_loopback,
            credentials: self.needed_path("log.s3.credentials", s3.credentials),
            retention: Duration::from_secs(days.min(DAYS_MAX) * DAY_S),
            interval: self.interval("log.s3.interval_s", s3.interval_s, S3_INTERVAL_S),
            cursor: s3.cursor.map_or(beside, |path| self.path(path)),
        }
    }

    fn retention(&mut self, retention: &file::Retention) -> RetentionConfig {
        let mut keep = |path: &str, days: Option<u64>| {
            if days.is_some_and(|days| !(1..=DAYS_MAX).contains(&days)) {
                self.wrong(path, "must be from 1 to 36500");
            }
            days.map(|days| Duration::from_secs(days.min(DAYS_MAX) * DAY_S))
        };
        RetentionConfig {
            calls: keep("log.retention.calls_days", retention.calls_days),
            refusals: keep("log.retention.refusals_days", retention.refusals_days),
            gateway: keep("log.retention.gateway_days", retention.gateway_days),
            prune: retention.prune,
        }
    }

    fn interval(&mut self, path: &str, seconds: Option<u64>, default: u64) -> Duration {
        let seconds = seconds.unwrap_or(default);
        if seconds == 0 {
            self.wrong(path, "must be at least 1");
        }
        Duration::from_secs(seconds.max(1))
    }

    fn needed_path(&mut self, path: &str, value: Option<PathBuf>) -> PathBuf {
        if value.is_none() {
            self.wrong(path, "is required: the path of a file");
        }
        self.path(value.unwrap_or_default())
    }

    fn web_address(&mut self, path: &str, url: &str) -> Option<Url> {
        let parsed = url.parse::<Url>().ok();
        let good = parsed.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if good.is_none() {
            self.wrong(path, "must be an `http` or `https` URL");
        }
        good
    }
}

const SEGMENT_BYTES: u64 = 64 << 20;
const FREE_BYTES_MIN: u64 = 128 << 20;
const HEARTBEAT_S: u64 = 30;
const HEARTBEAT_S_MAX: u64 = 3_600;
const SYNC_STALL_MS: u64 = 10_000;
const CLOCK_BACK_MS: u64 = 5_000;
const FAIL_CLOSED_S: u64 = 60;
const WITNESS_TIMEOUT_MS: u64 = 5_000;
const TSA_INTERVAL_S: u64 = 3_600;
const S3_INTERVAL_S: u64 = 60;
const DAY_S: u64 = 86_400;
const DAYS_MAX: u64 = 36_500;
