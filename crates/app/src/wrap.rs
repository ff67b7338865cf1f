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
use std::collections::BTreeMap;
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

/// Wraps of one name that run at once, each with a log of its own.
const AT_ONCE_MAX: usize = 64;

pub(crate) fn run(arguments: Wrap) -> anyhow::Result<ExitCode> {
    logging::start("warn")?;
    let remote = arguments.url.as_ref().map(|url| remote(url, &arguments.header_from_file));
    let remote = remote.transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let (config, running) = start(&arguments).await?;
        let name = config.server_name.clone();
        match remote {
            Some(remote) => wrap_url(&config, running, name, remote).await,
            None => wrap(&config, running, name, arguments.command).await,
        }
    });
    // Standard input may be in a blocking read that nothing but its end interrupts.
    runtime.shutdown_background();
    ended
}

/// A server on HTTP.
struct Remote {
    url: url::Url,
    headers: HeaderMap,
}

fn remote(url: &url::Url, header_files: &[String]) -> anyhow::Result<Remote> {
    if !matches!(url.scheme(), "http" | "https") {
        bail!("--url must be an `http` or `https` URL");
    }
    Ok(Remote { url: url.clone(), headers: headers(header_files)? })
}

async fn wrap_url(
    config: &Config,
    running: Running,
    name: String,
    remote: Remote,
) -> anyhow::Result<ExitCode> {
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
async fn start(arguments: &Wrap) -> anyhow::Result<(Config, Running)> {
    let mut signals = StopSignals::new()?;
    let (config, running) = match &arguments.config {
        Some(path) => {
            let config = Config::load(path)?;
            let running = Running::start(&config, "wrap").await?;
            (config, running)
        }
        None => start_own(arguments).await?,
    };
    let stop = running.stop.clone();
    tokio::spawn(async move {
        signals.asked().await;
        stop.cancel();
    });
    Ok((config, running))
}

/// Without a configuration file: several clients may wrap a server of one name at once, and a log has
/// one writer, so each takes the first place whose log nobody writes.
async fn start_own(arguments: &Wrap) -> anyhow::Result<(Config, Running)> {
    for number in 1..=AT_ONCE_MAX {
        let config = own_config(arguments, number)?;
        match Running::start(&config, "wrap").await {
            Err(error) if is_taken(&error) => continue,
            Err(error) => return Err(error),
            Ok(running) => {
                if 1 < number {
                    note_others(arguments, &config);
                }
                return Ok((config, running));
            }
        }
    }
    bail!(
        "{AT_ONCE_MAX} wraps of `{}` are running already: end some, or choose another --name",
        arguments.name
    )
}

fn note_others(arguments: &Wrap, config: &Config) {
    output::note(format_args!(
        "countersign: another wrap of `{}` is running; this one is on record in {}",
        arguments.name,
        config.log.directory.display()
    ));
}

fn is_taken(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(tlog::Error::Locked)))
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

async fn wrap(
    config: &Config,
    running: Running,
    name: String,
    command: Vec<String>,
) -> anyhow::Result<ExitCode> {
    let Some((program, rest)) = command.split_first() else {
        bail!("name the server's command after `--`");
    };
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

/// The configuration of a wrap without a file: everything in one directory, made on first use. The first
/// wrap has key and log right there, others that run at the same time in a numbered directory within;
/// all share the policy, and each begins with what the first knows of the server's tools.
fn own_config(arguments: &Wrap, number: usize) -> anyhow::Result<Config> {
    let shared = data_directory(arguments)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if arguments.name.is_empty() || !arguments.name.chars().all(plain) {
        bail!("--name must be letters, digits, `-`, `_` or `.`");
    }
    let first = Place { directory: shared.clone(), log: format!("wrap-{}", arguments.name) };
    let place = match number {
        1 => first,
        _ => Place {
            directory: shared.join(number.to_string()),
            log: format!("{}/{number}", first.log),
        },
    };
    if !place.is_made() {
        place.make((number == 1).then_some(LOCAL_POLICY))?;
        output::note(format_args!(
            "countersign: made {} in {} (first use)",
            if number == 1 { "key, policy and log" } else { "key and log" },
            place.directory.display()
        ));
    }
    let directory = place.directory;
    Ok(Config {
        sha256: None,
        gateway_name: place.log,
        region: None,
        answers: AnswerDurability::NextCommit,
        receipts: false,
        listener: Listener {
            address: ([127, 0, 0, 1], 0).into(),
            path: "/mcp".to_owned(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            public_url: None,
            tls: None,
        },
        tls: TlsFiles::default(),
        server_name: arguments.name.clone(),
        servers: Vec::new(),
        credentials: BTreeMap::new(),
        log: LogConfig {
            segment_bytes: SEGMENT_BYTES,
            free_bytes_min: 64 << 20,
            ..LogConfig::plain(&directory.join("log"), &directory.join("keys").join("log.key"))
        },
        policy_directory: shared.join("policy"),
        policy_reload: Some(Duration::from_secs(1)),
        identity: identity::Config::default(),
        limits: Limits::default(),
        inventory: InventoryConfig {
            seed: (number != 1).then(|| shared.join("inventory")),
            ..InventoryConfig::beside(&directory.join("log"))
        },
        operation: OperationConfig::default(),
        signals: None,
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

/// Where the key and the log of a wrap are.
struct Place {
    directory: PathBuf,
    /// By which name the log is known.
    log: String,
}

impl Place {
    /// Made beside its final place and moved there whole, so that an interrupted first use leaves
    /// nothing half made.
    fn make(&self, policy: Option<&str>) -> anyhow::Result<()> {
        let parent = self.directory.parent().filter(|p| !p.as_os_str().is_empty());
        let parent = parent.unwrap_or_else(|| Path::new("."));
        let log = self.log.replace('/', "-");
        let new = parent.join(format!(".{log}.new-{}", std::process::id()));
        make_directory(&new.join("keys"))?;
        if let Some(policy) = policy {
            make_directory(&new.join("policy"))?;
            let path = new.join("policy").join("main.cedar");
            setup::write_new(&path, policy.as_bytes(), 0o644)?;
        }
        let origin = format!("countersign.local/{}", self.log);
        let signer = setup::make_key(&origin, &new.join("keys").join("log.key"))?;
        setup::create_log(&new.join("log"), signer, SEGMENT_BYTES)?;
        let Err(error) = std::fs::rename(&new, &self.directory) else { return Ok(()) };
        // Another wrap may have been first.
        std::fs::remove_dir_all(&new).ok();
        if self.is_made() {
            return Ok(());
        }
        let place = self.directory.display();
        Err(error)
            .with_context(|| format!("cannot make `{place}`: is something else there already?"))
    }

    fn is_made(&self) -> bool {
        self.directory.join("log").exists()
    }
}

fn make_directory(path: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(path)
        .with_context(|| format!("cannot make directory `{}`", path.display()))
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
