//! `countersign wrap`.

use crate::cli::Wrap;
use crate::config::{Config, InventoryConfig, LogConfig, OperationConfig, TlsFiles};
use crate::running::{Running, StopSignals};
use crate::{environment, logging, output, setup};
use anyhow::{Context as _, bail};
use gateway::config::{AnswerDurability, Command, Limits, Listener, Stderr};
use gateway::{WrapEnd, WrapParts, WrapUrlParts};
use http::{HeaderMap, HeaderName, HeaderValue};
use identity::local;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::BufReader;

/// Everything that a local user does is permitted, and on record.
const LOCAL_POLICY: &str = "\
// The policy of `countersign wrap`: a local user may do everything, and all of it is on record.
// Narrow it as you like; changes are active within a second and are on record too.
// Example: forbid one tool.
//
// @id(\"no-deleting\")
// forbid (
//   principal,
//   action == Action::\"tools/call\",
//   resource == Tool::\"local/delete_file\"
// );

@id(\"local-user\")
permit (
  principal is Actor,
  action,
  resource
)
when { principal.kind == \"local\" };

@id(\"server-asks-client\")
permit (
  principal is Server,
  action in Action::\"to-client\",
  resource
);
";

/// Bytes of one segment of a log on somebody's own machine.
const SEGMENT_BYTES: u64 = 8 << 20;

pub(crate) fn run(arguments: Wrap) -> anyhow::Result<ExitCode> {
    logging::start("warn")?;
    let config = match &arguments.config {
        Some(path) => Config::load(path)?,
        None => own_config(&arguments)?,
    };
    let name = if arguments.config.is_some() { config.server_name.clone() } else { arguments.name };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = match arguments.url {
        Some(url) => {
            let remote = Remote { url, headers: headers(&arguments.header_from_file)? };
            runtime.block_on(wrap_url(&config, name, remote))
        }
        None => runtime.block_on(wrap(&config, name, arguments.command)),
    };
    // Standard input may be in a blocking read that nothing but its end interrupts.
    runtime.shutdown_background();
    ended
}

/// A server on HTTP.
struct Remote {
    url: url::Url,
    headers: HeaderMap,
}

async fn wrap_url(config: &Config, name: String, remote: Remote) -> anyhow::Result<ExitCode> {
    if !matches!(remote.url.scheme(), "http" | "https") {
        bail!("--url must be an `http` or `https` URL");
    }
    let running = start(config).await?;
    let stop = running.stop.clone();
    let parts = WrapUrlParts {
        recorder: running.recorder.clone(),
        policy: Arc::clone(&running.policy),
        server_name: name,
        url: remote.url,
        headers: remote.headers,
        actor: local::actor(&local::observe()),
        limits: config.limits.clone(),
        answers: config.answers,
        definitions: Arc::clone(&running.definitions),
    };
    let (reader, writer) = (BufReader::new(tokio::io::stdin()), tokio::io::stdout());
    let ended = gateway::wrap_url(parts, reader, writer, stop).await;
    running.end().await?;
    ended?;
    Ok(ExitCode::SUCCESS)
}

/// Starts what a wrapped server needs; a signal ends it.
async fn start(config: &Config) -> anyhow::Result<Running> {
    let mut signals = StopSignals::new()?;
    let running = Running::start(config, "wrap").await?;
    let stop = running.stop.clone();
    tokio::spawn(async move {
        signals.asked().await;
        stop.cancel();
    });
    Ok(running)
}

/// Headers whose values are in files, so that no credential is in an argument.
fn headers(named: &[String]) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for pair in named {
        let Some((name, file)) = pair.split_once('=') else {
            bail!("--header-from-file must be NAME=FILE");
        };
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read file `{file}` of header `{name}`"))?;
        let line = text.lines().next().unwrap_or_default().trim();
        let name: HeaderName = name.parse().with_context(|| format!("header name `{name}`"))?;
        let mut value = HeaderValue::from_str(line)
            .with_context(|| format!("the first line of `{file}` is no header value"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

async fn wrap(config: &Config, name: String, command: Vec<String>) -> anyhow::Result<ExitCode> {
    let Some((program, rest)) = command.split_first() else {
        bail!("name the server's command after `--`");
    };
    let running = start(config).await?;
    let stop = running.stop.clone();
    let parts = WrapParts {
        recorder: running.recorder.clone(),
        policy: Arc::clone(&running.policy),
        definitions: Arc::clone(&running.definitions),
        server_name: name,
        command: Command {
            program: program.clone(),
            arguments: rest.to_vec(),
            environment: environment::all(),
            directory: None,
            stderr: Stderr::Inherit,
        },
        actor: local::actor(&local::observe()),
        limits: config.limits.clone(),
        answers: config.answers,
    };
    let ended =
        gateway::wrap(parts, BufReader::new(tokio::io::stdin()), tokio::io::stdout(), stop).await;
    running.end().await?;
    let code = |status: Option<ExitStatus>| {
        status.and_then(|s| s.code()).and_then(|code| u8::try_from(code).ok()).map(ExitCode::from)
    };
    Ok(match ended? {
        // A program that had to be told to end has no code of its own.
        WrapEnd::Closed(status) => code(status).unwrap_or(ExitCode::SUCCESS),
        WrapEnd::ProgramEnded(status) => code(status).unwrap_or(ExitCode::FAILURE),
    })
}

/// The configuration of a wrap without a file: everything in one directory, made on first use.
fn own_config(arguments: &Wrap) -> anyhow::Result<Config> {
    let directory = data_directory(arguments)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if arguments.name.is_empty() || !arguments.name.chars().all(plain) {
        bail!("--name must be letters, digits, `-`, `_` or `.`");
    }
    if !directory.join("log").exists() {
        make(&directory, &arguments.name)?;
        output::note(format_args!(
            "countersign: made key, policy and log in {} (first use)",
            directory.display()
        ));
    }
    Ok(Config {
        sha256: None,
        gateway_name: format!("wrap-{}", arguments.name),
        region: None,
        answers: AnswerDurability::NextCommit,
        receipts: false,
        listener: Listener {
            address: ([127, 0, 0, 1], 0).into(),
            path: "/mcp".to_owned(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            tls: None,
        },
        tls: TlsFiles::default(),
        server_name: arguments.name.clone(),
        servers: Vec::new(),
        log: LogConfig {
            segment_bytes: SEGMENT_BYTES,
            free_bytes_min: 64 << 20,
            ..LogConfig::plain(&directory.join("log"), &directory.join("keys").join("log.key"))
        },
        policy_directory: directory.join("policy"),
        policy_reload: Some(Duration::from_secs(1)),
        identity: identity::Config::default(),
        limits: Limits::default(),
        inventory: InventoryConfig::beside(&directory.join("log")),
        operation: OperationConfig::default(),
        written: toml::Table::new(),
    })
}

fn data_directory(arguments: &Wrap) -> anyhow::Result<PathBuf> {
    if let Some(data) = &arguments.data {
        return Ok(data.clone());
    }
    let data = environment::data_directory()
        .context("there is no data directory for this user: name one with --data DIR")?;
    Ok(data.join(&arguments.name))
}

/// Made beside its final place and moved there whole, so that an interrupted first use leaves nothing
/// half made.
fn make(directory: &Path, name: &str) -> anyhow::Result<()> {
    let parent = directory.parent().filter(|p| !p.as_os_str().is_empty());
    let parent = parent.unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(parent)
        .with_context(|| format!("cannot make directory `{}`", parent.display()))?;
    let new = parent.join(format!(".{name}.new-{}", std::process::id()));
    for part in ["keys", "policy"] {
        std::fs::create_dir_all(new.join(part))
            .with_context(|| format!("cannot make directory `{}`", new.display()))?;
    }
    setup::write_new(&new.join("policy").join("main.cedar"), LOCAL_POLICY.as_bytes(), 0o644)?;
    let signer = setup::make_key(
        &format!("countersign.local/wrap-{name}"),
        &new.join("keys").join("log.key"),
    )?;
    setup::create_log(&new.join("log"), signer, SEGMENT_BYTES)?;
    std::fs::rename(&new, directory).with_context(|| {
        format!("cannot make `{}`: is something else there already?", directory.display())
    })
}

#[cfg(test)]
mod tests {
    use super::LOCAL_POLICY;
    use policy::{Bundle, Source};

    #[test]
    fn the_policy_that_is_written_can_be_used() {
        let source = Source { name: "main.cedar".to_owned(), text: LOCAL_POLICY.to_owned() };
        let bundle = Bundle::parse(vec![source]).unwrap();
        assert_eq!(bundle.warnings(), []);
    }
}
