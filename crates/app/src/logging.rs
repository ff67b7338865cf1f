//! Log lines of the program itself: for people on a terminal, JSON elsewhere. Always on standard error;
//! standard output belongs to results, and to MCP in `wrap`.

use crate::environment;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Sets up log lines. `COUNTERSIGN_LOG` chooses what is shown; `default` is used without it.
///
/// # Errors
/// When the filter cannot be read.
pub(crate) fn start(default: &str) -> anyhow::Result<()> {
    let text = environment::log_filter().unwrap_or_else(|| default.to_owned());
    let filter = EnvFilter::try_new(&text).map_err(|error| {
        anyhow::anyhow!("COUNTERSIGN_LOG: `{text}` is not a filter such as `info`: {error}")
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        lines.with_target(false).compact().init();
    } else {
        lines.json().flatten_event(true).init();
    }
    Ok(())
}
