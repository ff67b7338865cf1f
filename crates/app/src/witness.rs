//! `countersign witness`: to be a witness of other people's logs. What a witness may cosign is in the
//! crate `witness`; here are its operator's commands.

use crate::running::StopSignals;
use crate::{logging, output};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use note::Verifier;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use witness::{Added, Limits, LogState, Server};

/// Arguments of `witness`.
#[derive(Debug, Args)]
pub(crate) struct Witness {
    #[command(subcommand)]
    command: Command,
}

pub(crate) const HELP: &str = "\
Two minutes to be the witness of a log:
  countersign witness init --name witness.example.com --data w
  countersign witness add-log --data w --vkey gateway.key.pub
  countersign witness serve --data w --listen 127.0.0.1:8710
`init` prints the lines that the operator of the log puts into the log's policy. When others than
this machine shall reach it, put a TLS proxy before it.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a directory with the keys of a new witness.
    Init {
        /// Its name, such as `witness.example.com`: unique, without spaces or `+`.
        #[arg(long)]
        name: String,
        #[command(flatten)]
        data: Data,
        /// Where the log will reach it.
        #[arg(long, value_name = "URL", default_value = DEFAULT_URL)]
        url: String,
    },
    /// Serve a log: its checkpoints are cosigned as long as the log only grows.
    ///
    /// A witness that runs serves it at once. A second key of a log is added in the same way.
    AddLog {
        #[command(flatten)]
        data: Data,
        /// The verifier key of the log: the line itself, or a file that holds it.
        #[arg(long, value_name = "KEY")]
        vkey: String,
    },
    /// Be the witness, until it is stopped.
    Serve {
        #[command(flatten)]
        data: Data,
        /// Address and port. HTTP without TLS: leave it on this machine, or put a proxy before it.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8710")]
        listen: SocketAddr,
        /// Where the logs reach it, if not at that address.
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Show the logs and how far each was cosigned.
    ///
    /// Exit status: 0, or 1 when the state of a log is missing or damaged.
    Status {
        #[command(flatten)]
        data: Data,
    },
    /// Start a log over: put aside what was cosigned of it, and take its next checkpoint unseen.
    ///
    /// Only for a log whose state is lost: from then on this witness proves nothing about the time
    /// before. It must not be running.
    ForgetLog {
        #[command(flatten)]
        data: Data,
        /// The origin of the log.
        #[arg(long)]
        origin: String,
    },
}

#[derive(Debug, Args)]
struct Data {
    /// The directory of the witness.
    #[arg(long, value_name = "DIR", default_value = "witness")]
    data: PathBuf,
}

pub(crate) fn run(arguments: &Witness) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Init { name, data, url } => init(name, &data.data, url),
        Command::AddLog { data, vkey } => add_log(&data.data, vkey),
        Command::Serve { data, listen, url } => {
            logging::start("info")?;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(serve(&data.data, *listen, url.as_deref()))
        }
        Command::Status { data } => status(&data.data),
        Command::ForgetLog { data, origin } => forget_log(&data.data, origin),
    }
}

fn init(name: &str, directory: &Path, url: &str) -> anyhow::Result<ExitCode> {
    let keys = witness::init(directory, name)?;
    let shown = directory.display();
    output::line(format_args!(
        "made {shown}\n\n  {shown}/keys/      what it cosigns with: keep them secret\n  \
         {shown}/logs       the logs it serves\n  \
         {shown}/state/     what it cosigned: never put an older copy back\n  \
         {shown}/evidence/  contradictions that logs signed, if there ever are any\n\n\
         next:\n  countersign witness add-log --data {shown} --vkey KEY\n  \
         countersign witness serve --data {shown}\n\n\
         for the policy of a log that asks it at {url}:\n{}",
        witness::policy_lines(&keys, url).trim_end()
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn add_log(directory: &Path, vkey: &str) -> anyhow::Result<ExitCode> {
    let key = read_key(vkey)?;
    let added = witness::add_log(directory, &key)?;
    let log = key.name();
    output::line(match added {
        Added::Begun => format!("{log}: will be cosigned, from the first checkpoint it sends"),
        Added::Resumed => format!("{log}: will be cosigned again, from where it was left"),
        Added::FurtherKey => format!("{log}: may now sign with this key too"),
        Added::Unchanged => format!("{log}: has this key already"),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A verifier key line, or a file with one.
fn read_key(text: &str) -> anyhow::Result<Verifier> {
    let path = Path::new(text);
    let line = if path.is_file() {
        std::fs::read_to_string(path).with_context(|| format!("cannot read `{text}`"))?
    } else {
        text.to_owned()
    };
    Verifier::from_text(line.trim()).context("`--vkey` is neither a file nor a verifier key")
}

async fn serve(
    directory: &Path,
    listen: SocketAddr,
    url: Option<&str>,
) -> anyhow::Result<ExitCode> {
    let witness = Arc::new(witness::Witness::open(directory)?);
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen} (`--listen`)"))?;
    let address = listener.local_addr()?;
    let mut signals = StopSignals::new()?;
    let url = url.map_or_else(|| format!("http://{address}"), str::to_owned);
    for LogState { origin, size } in witness.logs() {
        match size {
            Ok(size) => tracing::info!(origin, size, "serves a log"),
            Err(error) => tracing::error!(%error, "does not serve a log"),
        }
    }
    let clock = audit::Clock::start();
    let clock = Arc::new(move || clock.now().unix_ms() / 1_000);
    let server = Server::new(witness, clock, Limits::default(), &url);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let signal = tokio::spawn(async move {
        signals.asked().await;
        stopped.cancel();
    });
    tracing::info!("witnessing on http://{address}; its keys are at {url}/");
    server.serve(listener, stop).await;
    signal.abort();
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

fn status(directory: &Path) -> anyhow::Result<ExitCode> {
    let (_, logs) = witness::status(directory)?;
    if logs.is_empty() {
        output::line("no logs yet: `countersign witness add-log` adds one")?;
    }
    let mut good = true;
    for LogState { origin, size } in logs {
        match size {
            Ok(0) => output::line(format_args!("{origin}: nothing cosigned yet"))?,
            Ok(size) => output::line(format_args!("{origin}: cosigned {size} entries"))?,
            Err(error) => {
                good = false;
                output::line(format_args!("{origin}: not served: {error}"))?;
            }
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn forget_log(directory: &Path, origin: &str) -> anyhow::Result<ExitCode> {
    if origin.is_empty() {
        bail!("name the log: --origin ORIGIN");
    }
    let aside = witness::forget_log(directory, origin)?;
    output::line(format_args!("{origin}: its next checkpoint is taken unseen"))?;
    if let Some(aside) = aside {
        output::note(format_args!("what was cosigned of it is in {}", aside.display()));
    }
    Ok(ExitCode::SUCCESS)
}

const DEFAULT_URL: &str = "http://127.0.0.1:8710";
