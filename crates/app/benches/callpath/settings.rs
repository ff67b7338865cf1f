//! What to measure and how long, from the words after `--`.

use anyhow::{Context as _, ensure};
use std::path::PathBuf;
use std::time::Duration;

/// How to measure.
pub(crate) struct Settings {
    /// How often each cell is measured; the median counts.
    pub(crate) rounds: usize,
    pub(crate) round: Duration,
    /// Calls in flight, each on a connection of its own.
    pub(crate) concurrency: Vec<usize>,
    /// Only targets whose name holds this, or ends so when it ends with `$`.
    pub(crate) only: Option<String>,
    /// Where the list of rivals is.
    pub(crate) rivals: Option<PathBuf>,
    /// A program to run the gateways under, with its arguments.
    pub(crate) under: Vec<String>,
}

impl Settings {
    /// Reads the words; those it does not know are left to cargo.
    pub(crate) fn of(arguments: &[String]) -> anyhow::Result<Self> {
        let text = |name: &str| {
            let mut rest = arguments.iter().skip_while(|word| *word != name).skip(1);
            rest.next().cloned()
        };
        let number = |name: &str, default: u64| {
            text(name).map_or(Ok(default), |text| text.parse().context(name.to_owned()))
        };
        let concurrency = text("--concurrency").unwrap_or_else(|| "1,16,64,256".to_owned());
        let concurrency: Result<Vec<usize>, _> = concurrency.split(',').map(str::parse).collect();
        let concurrency = concurrency.context("--concurrency")?;
        let rounds = usize::try_from(number("--rounds", 5)?)?;
        ensure!(rounds > 0 && !concurrency.contains(&0), "nothing to measure");
        Ok(Self {
            rounds,
            round: Duration::from_millis(number("--round-ms", 1_000)?),
            concurrency,
            only: text("--only"),
            rivals: text("--rivals").map(PathBuf::from),
            under: text("--under")
                .map(|under| under.split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default(),
        })
    }

    /// Whether a target is to be measured.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| match only.strip_suffix('$') {
            Some(end) => name.ends_with(end),
            None => name.contains(only),
        })
    }
}
