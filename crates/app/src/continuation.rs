//! `countersign log continue`: the ceremony after a log was lost or went back. A new log begins, of its own
//! origin and key, and says in its second entry which log it continues, how far that one is known to have
//! come, and why.

use crate::cli::Continue;
use crate::config::LogConfig;
use crate::operator::{self, Run};
use crate::{digest, opening, output, setup};
use anyhow::{Context as _, bail};
use audit::Clock;
use event::Kind;
use note::{Checkpoint, Lines, Verifier};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use tlog::Log;

pub(crate) fn run(arguments: &Continue) -> anyhow::Result<ExitCode> {
    let shown = arguments.checkpoint.display();
    let note = std::fs::read(&arguments.checkpoint)
        .with_context(|| format!("cannot read the last known checkpoint `{shown}`"))?;
    let key = std::fs::read_to_string(&arguments.key)
        .with_context(|| format!("cannot read the verifier key `{}`", arguments.key.display()))?;
    let key = Verifier::from_text(&key)?;
    let last = Checkpoint::verify(&note, &key, Lines::WithWitnesses)
        .with_context(|| format!("`{shown}` is not a checkpoint of the log `{}`", key.name()))?;
    let origin = next_origin(&last.origin);
    if arguments.directory.exists() {
        bail!("`{}` is there already: name a new directory", arguments.directory.display());
    }
    let signer = setup::make_key(&origin, &arguments.new_key)?;
    let verifier = signer.verifier().to_text();
    operator::block_on(async {
        let config = LogConfig::plain(&arguments.directory, &arguments.new_key);
        let clock = Clock::start();
        let settings = opening::settings(&config, clock, 1_024);
        let log = Log::create(&arguments.directory, signer, settings)
            .with_context(|| format!("cannot make a log in `{}`", arguments.directory.display()))?;
        log.close()?;
        let keys = vec![Arc::new(keys::read(&arguments.new_key)?) as _];
        let run = Run::begin(&config, (&arguments.name, "log continue"), keys).await?;
        let details = BTreeMap::from([
            ("checkpoint_sha256".to_owned(), digest::of(&note)),
            ("previous_key".to_owned(), key.to_text()),
            ("previous_origin".to_owned(), last.origin.clone()),
            ("previous_root".to_owned(), last.root.to_base64()),
            ("previous_size".to_owned(), last.size.to_string()),
            ("reason".to_owned(), event::bounded(&arguments.reason, 1_000)),
        ]);
        run.recorder.notice(Kind::LogContinued, details).await?;
        run.end().await
    })?;
    output::line(format_args!(
        "made {}\n  origin  {origin}\n  key     {verifier}\n\nIt continues `{}` after {} entries, as its second \
         entry says. Put directory and key into the\nconfiguration, keep what is left of the old log, and \
         give the new verifier key to those who verify.",
        arguments.directory.display(),
        last.origin,
        last.size
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// `…/e2` after the first log, `…/e3` after that.
fn next_origin(origin: &str) -> String {
    let parts = origin.rsplit_once("/e");
    let number = parts.and_then(|(base, number)| Some((base, number.parse::<u32>().ok()?)));
    match number {
        Some((base, number)) if 1 < number => format!("{base}/e{}", number.saturating_add(1)),
        _ => format!("{origin}/e2"),
    }
}

#[cfg(test)]
mod tests {
    use super::next_origin;

    #[test]
    fn origins_are_numbered_from_two() {
        assert_eq!(next_origin("a.example/log"), "a.example/log/e2");
        assert_eq!(next_origin("a.example/log/e2"), "a.example/log/e3");
        assert_eq!(next_origin("a.example/log/e9"), "a.example/log/e10");
        assert_eq!(next_origin("a.example/e"), "a.example/e/e2");
        assert_eq!(next_origin("a.example/e1"), "a.example/e1/e2");
    }
}
