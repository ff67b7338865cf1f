//! `countersign doctor`: looks at everything that a gateway depends on, and says what is wrong, why it
//! matters and what to do. Changes nothing, and sends no message to a server: nothing reaches a server that
//! is not a recorded call.

mod certificates;
mod clock;
mod files;
mod finding;
mod http;
mod log;
mod machine;
mod network;

use self::finding::{Finding, Level};
use crate::config::Config;
use crate::output;
use audit::Clock;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", default_value = "countersign.toml")]
    config: PathBuf,
    /// The findings as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) const HELP: &str = "\
Exit status: 0 when all is well, 1 with warnings, 2 with errors. May be run while the gateway runs.";

pub(crate) fn run(arguments: &Doctor) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let findings = runtime.block_on(examine(&arguments.config));
    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    if arguments.json {
        output::line(serde_json::json!({ "worst": worst, "findings": findings }))?;
    } else {
        for finding in &findings {
            output::line(finding)?;
        }
        let count = |level| findings.iter().filter(|finding| finding.level == level).count();
        let (errors, warnings) = (count(Level::Error), count(Level::Warning));
        output::line(format_args!(
            "\n{} checks: {errors} errors, {warnings} warnings",
            findings.len()
        ))?;
    }
    Ok(ExitCode::from(worst.exit_code()))
}

/// Every finding, in the order in which things depend on each other.
async fn examine(path: &std::path::Path) -> Vec<Finding> {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => {
            return vec![
                Finding::error("configuration", format!("{error:#}"))
                    .because("the gateway does not start with it")
                    .so("correct what is named; docs/config.md has every key"),
            ];
        }
    };
    let mut findings = vec![Finding::ok("configuration", format!("`{}` is good", path.display()))];
    let clock = Clock::start();
    findings.extend(files::check(path, &config));
    findings.extend(log::check(&config));
    findings.extend(certificates::check(&config, clock.now().unix_s()));
    findings.push(files::policies(&config));
    findings.extend(files::credentials(&config));
    let running = log::is_running(&config.log.directory);
    findings.extend(machine::check(&config, running));
    findings.extend(network::check(&config, running).await);
    findings.extend(clock::check(&config, clock.now()).await);
    findings
}
