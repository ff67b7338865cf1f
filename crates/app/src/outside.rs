//! What leaves the machine beside checkpoints: copies in object storage, and checkpoints that a timestamp
//! authority stamps. Each is a task with a cadence; what fails is tried again the next time.

use crate::cadence::Cadence;
use crate::config::{LogConfig, S3Config, TsaConfig};
use anyhow::{Context as _, bail};
use archive::anchor::Anchor;
use archive::stamp::{Authorities, Shelf, Stamper};
use audit::{Clock, Recorder};
use objects::{Credentials, Store};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tlog::Log;
use tokio_util::sync::CancellationToken;

/// Makes the stamper that the configuration asks for.
pub(crate) fn stamper(
    config: &TsaConfig,
    directory: &Path,
    log: &Log,
    recorder: &Recorder,
) -> anyhow::Result<Stamper> {
    let path = config.roots.display();
    let pem = std::fs::read_to_string(&config.roots)
        .with_context(|| format!("cannot read the roots of the timestamp authority `{path}`"))?;
    let roots = timestamp::roots_from_pem(&pem).with_context(|| format!("`{path}`"))?;
    let authorities = Authorities { urls: config.urls.clone(), roots };
    let client = archive::client::Client::new(REQUEST_TIMEOUT)?;
    let shelf = Arc::new(LogShelf(log.clone()));
    Ok(Stamper::new(directory, authorities, client, shelf, Arc::new(recorder.clone())))
}

/// Where stamps are kept: beside the log that they are of.
#[derive(Debug)]
struct LogShelf(Log);

impl Shelf for LogShelf {
    fn put(&self, path: &str, bytes: &[u8]) -> std::io::Result<()> {
        self.0.put_beside(path, bytes).map_err(std::io::Error::other)
    }
}

/// Has the published checkpoint stamped every interval.
pub(crate) async fn stamp(stamper: Stamper, interval: Duration, stop: CancellationToken) {
    let mut cadence = Cadence::new(interval, stop);
    while cadence.next().await {
        let mut nonce = [0; 8];
        if aws_lc_rs::rand::fill(&mut nonce).is_err() {
            tracing::error!("the system has no randomness for a timestamp request");
            continue;
        }
        match stamper.stamp(u64::from_be_bytes(nonce)).await {
            Ok(Some(stamped)) => tracing::info!(size = stamped.size, "checkpoint stamped"),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the checkpoint could not be stamped"),
        }
    }
}

/// The object storage that the configuration names.
pub(crate) fn store(config: &S3Config) -> anyhow::Result<Store> {
    let credentials = credentials(&config.credentials)?;
    let store = objects::Config {
        endpoint: config.endpoint.clone(),
        region: config.region.clone(),
        bucket: config.bucket.clone(),
        prefix: config.prefix.clone(),
        credentials,
        path_style: config.path_style,
        allow_insecure_http_loopback: config.allow_insecure_loopback,
        authorities_pem: None,
        limits: objects::Limits::default(),
    };
    Store::new(&store).context("`[log.s3]`")
}

/// Makes the anchor that the configuration asks for.
pub(crate) async fn anchor(
    config: &S3Config,
    log: &LogConfig,
    recorder: &Recorder,
) -> anyhow::Result<Anchor> {
    let store = store(config)?;
    let now = seconds(recorder.clock());
    store.require_lock(now()).await.context("`[log.s3]`")?;
    let anchor = archive::anchor::Config {
        bucket: config.bucket.clone(),
        prefix: config.prefix.clone(),
        retention: config.retention,
        cursor: config.cursor.clone(),
    };
    let parts = (Arc::new(store) as _, Arc::new(recorder.clone()) as _);
    Ok(Anchor::new(&log.directory, anchor, parts, now))
}

/// The wall clock in seconds since 1970-01-01 UTC, as requests to object storage are signed with.
pub(crate) fn seconds(clock: Clock) -> archive::anchor::Clock {
    Arc::new(move || u64::try_from(clock.now().unix_us() / 1_000_000).unwrap_or_default())
}

/// Copies what is published every interval.
pub(crate) async fn copy(anchor: Anchor, interval: Duration, stop: CancellationToken) {
    let mut cadence = Cadence::new(interval, stop);
    while cadence.next().await {
        match anchor.round().await {
            Ok(Some(copied)) => {
                tracing::info!(size = copied.size, objects = copied.objects, "log copied");
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the log could not be copied"),
        }
    }
}

/// The key to object storage: a TOML file with `access_key_id`, `secret_access_key` and perhaps
/// `session_token`, for its owner only.
fn credentials(path: &Path) -> anyhow::Result<Credentials> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        access_key_id: String,
        secret_access_key: String,
        session_token: Option<String>,
    }
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the credentials file `{shown}`"))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if std::fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
            bail!("the credentials file `{shown}` can be used by others: run `chmod 600` on it");
        }
    }
    // What the parser would say shows the line, and with it the secret.
    let Ok(file) = toml::from_str::<File>(&text) else {
        bail!(
            "the credentials file `{shown}` is not TOML with `access_key_id`, `secret_access_key` and, \
             where there is one, `session_token`"
        );
    };
    Ok(Credentials::new(file.access_key_id, file.secret_access_key, file.session_token))
}

/// Time for a timestamp authority to answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
