//! `countersign verify`: the verifier of crate `verify`, which also reads copies in object storage here.

use crate::config::Config;
use crate::{operator, outside};
use anyhow::{Context as _, anyhow};
use archive::anchor::Copies;
use archive::s3source::{S3Source, SourceError as Missing};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::Runtime;
use verify::command::{self, Arguments};
use verify::{READ_BYTES_MAX, Source, SourceError};

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let other = |text: &str| {
        let config = text.strip_prefix(S3)?;
        let opened = Copy::open(Path::new(config)).map_err(|error| format!("{error:#}"));
        Some(opened.map(|copy| Box::new(copy) as Box<dyn Source>))
    };
    let status = command::run(arguments, &other).map_err(|problem| anyhow!(problem))?;
    Ok(ExitCode::from(status))
}

/// A copy of a log in object storage, by the newest manifest.
struct Copy {
    source: S3Source,
    runtime: Runtime,
}

impl Copy {
    /// The copy that the table `[log.s3]` of a configuration names.
    fn open(config: &Path) -> anyhow::Result<Self> {
        let config = Config::load(config)?;
        let s3 = config.log.s3.as_ref().context("the configuration has no table `[log.s3]`")?;
        let store: Arc<dyn Copies> = Arc::new(outside::store(s3)?);
        let clock = outside::seconds(audit::Clock::start());
        let runtime = operator::runtime()?;
        let source = runtime.block_on(async {
            let newest = S3Source::newest(store.as_ref(), &clock).await?;
            S3Source::open(store, Arc::clone(&clock), newest).await
        })?;
        Ok(Self { source, runtime })
    }
}

impl Source for Copy {
    fn name(&self) -> String {
        format!("{S3}{} ({} entries)", self.source.origin(), self.source.size())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, SourceError> {
        let bytes = match self.runtime.block_on(self.source.read(path)) {
            Err(Missing::NotThere(_)) => return Err(SourceError::NotFound),
            read => read.map_err(|error| SourceError::Unreadable(error.to_string()))?,
        };
        let fits = u64::try_from(bytes.len()).is_ok_and(|length| length <= READ_BYTES_MAX);
        if fits { Ok(bytes.to_vec()) } else { Err(SourceError::TooLong) }
    }

    fn list(&self, directory: &str) -> Result<Option<Vec<String>>, SourceError> {
        let inside = |path: &str| {
            let name = path.strip_prefix(directory)?.strip_prefix('/')?;
            (!name.contains('/')).then(|| name.to_owned())
        };
        Ok(Some(self.source.paths().filter_map(inside).collect()))
    }
}

/// What names a copy in object storage: this, and the configuration file that says where it is.
const S3: &str = "s3:";
