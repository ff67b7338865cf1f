//! `countersign demo`: a complete run on this machine, with nothing but this program. A sample server, a
//! token issuer, the gateway and clients; then the trail and its proof.

pub(crate) mod sample;
mod scenario;

use crate::cli::Demo;
use crate::config::Config;
use crate::running::{Running, StopSignals};
use crate::{environment, logging, output, search, setup, table};
use anyhow::Context as _;
use audit::Follower;
use gateway::{Gateway, Parts};
use identity::Verifier;
use identity::dev::TokenIssuer;
use scenario::Stage;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use verify::{Directory, Options};

const ISSUER: &str = "https://issuer.demo.example";
/// The port that documentation speaks of; any other is taken when it is in use.
const PORT: u16 = 8_700;
const SEGMENT_BYTES: u64 = 1 << 20;

const POLICY: &str = "\
// The policies of `countersign demo`. Each is named in the record of the calls it decided.

@id(\"known-callers-may-look-around\")
permit (
  principal,
  action in [Action::\"session\", Action::\"list\"],
  resource
)
when { principal.level >= 4 };

@id(\"known-callers-may-query\")
permit (
  principal,
  action == Action::\"tools/call\",
  resource == Tool::\"crm/query\"
)
when { principal.level >= 4 };

@id(\"known-callers-may-read-files-and-prompts\")
permit (
  principal,
  action in [Action::\"resources/read\", Action::\"prompts/get\"],
  resource
)
when { principal.level >= 4 };

@id(\"support-may-close-tickets\")
permit (
  principal == Actor::\"demo-issuer/support-agent\",
  action == Action::\"tools/call\",
  resource == Tool::\"crm/close_ticket\"
);

@id(\"reports-never-change-anything\")
forbid (
  principal == Actor::\"demo-issuer/reporting-job\",
  action == Action::\"tools/call\",
  resource == Tool::\"crm/close_ticket\"
);

@id(\"no-changed-definitions\")
forbid (principal, action, resource)
when { context.definition == \"changed\" };

@id(\"server-may-ask-client\")
permit (
  principal is Server,
  action in Action::\"to-client\",
  resource
);
";

pub(crate) fn run(arguments: &Demo) -> anyhow::Result<ExitCode> {
    // The clients of the demo are refused on purpose; what they say of it is no error.
    logging::start("error,rmcp=off")?;
    let temporary = match &arguments.data {
        Some(_) => None,
        None => Some(tempfile::tempdir().context("cannot make a temporary directory")?),
    };
    let directory: PathBuf = match (&arguments.data, &temporary) {
        (Some(data), _) => data.clone(),
        (None, Some(temporary)) => temporary.path().join("countersign-demo"),
        (None, None) => PathBuf::from("countersign-demo"),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(demo(arguments, &directory))
}

async fn demo(arguments: &Demo, directory: &Path) -> anyhow::Result<ExitCode> {
    let listener = listen().await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    let issuer = TokenIssuer::generate(ISSUER, "demo-key-1")?;
    // Same issuer, same key id, another key.
    let forger = TokenIssuer::generate(ISSUER, "demo-key-1")?;
    let developer_key = make(directory, &url, &issuer)?;
    let config = Config::load(&directory.join("countersign.toml"))?;
    let running = Running::start(&config, "demo").await?;
    let stop = running.stop.clone();
    let gateway = gateway(&config, &running)?;
    let serving = tokio::spawn(gateway.serve(listener, stop.clone()));

    output::line(format_args!(
        "Gateway on {url}, in front of a sample MCP server. What happens:\n"
    ))?;
    let now = running.recorder.clock().now();
    Stage { url: &url, issuer: &issuer, forger: &forger, now }.play().await?;
    if arguments.keep {
        settle(&directory.join("log")).await?;
        show(&directory.join("log"))?;
        invite(&url, &developer_key, directory)?;
        keep(&stop).await?;
    }
    stop.cancel();
    serving.await?;
    running.end().await?;
    if !arguments.keep {
        show(&directory.join("log"))?;
        next_steps(arguments)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn listen() -> anyhow::Result<TcpListener> {
    match TcpListener::bind(("127.0.0.1", PORT)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen on 127.0.0.1"),
    }
}

fn gateway(config: &Config, running: &Running) -> anyhow::Result<Arc<Gateway>> {
    Ok(Arc::new(Gateway::new(Parts {
        recorder: running.recorder.clone(),
        identity: Arc::new(Verifier::new(&config.identity)?),
        authorization_servers: config.identity.authorization_servers(),
        policy: Arc::clone(&running.policy),
        definitions: Arc::clone(&running.definitions),
        servers: config.servers()?,
        credentials: config.broker()?,
        listener: config.listener.clone(),
        limits: config.limits.clone(),
        answers: config.answers,
        receipts: config.receipts,
        beside: None,
        observer: Arc::new(gateway::Unobserved),
    })?))
}

/// Writes the complete example that `--data` keeps; returns the developer's key.
fn make(directory: &Path, url: &str, issuer: &TokenIssuer) -> anyhow::Result<String> {
    let program = environment::own_program()?;
    let program = program.to_str().context("the path of this program is not text")?;
    let key = identity::ApiKey::generate()?;
    let listen = url.trim_start_matches("http://").trim_end_matches("/mcp");
    let identity = format!(
        "[identity]\naudience = {}\n\n\
         # The issuer of the demo; its keys are in a file, a real one has jwks_url.\n\
         [[identity.provider]]\nname = \"demo-issuer\"\nissuer = {}\n\
         jwks_file = \"keys/issuer-jwks.json\"\n\n\
         # A static key for your own trials (development only).\n\
         [[identity.api_key]]\nname = \"developer\"\nsha256 = \"{}\"\n",
        setup::quoted(url),
        setup::quoted(ISSUER),
        key.digest()
    );
    let plan = setup::Plan {
        gateway: "demo-gateway",
        server: "crm",
        listen,
        upstream: format!("command = [{}, \"sample-server\"]\n", setup::quoted(program)),
        identity,
        policy: POLICY,
        segment_bytes: SEGMENT_BYTES,
    };
    setup::make(directory, &plan)?;
    let jwks = directory.join("keys").join("issuer-jwks.json");
    setup::write_new(&jwks, issuer.jwks().as_bytes(), 0o644)?;
    Ok(key.plain_text().to_owned())
}

/// Waits until every call that was asked has its end on record, for a log that goes on being written.
async fn settle(log: &Path) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..100 {
        ticks.tick().await;
        let records = search::read(&mut Follower::open(log, 0)?, |_| true)?;
        if records.iter().all(|record| record.outcome_word() != "open") {
            return Ok(());
        }
    }
    Ok(())
}

fn show(log: &Path) -> anyhow::Result<()> {
    let records = search::read(&mut Follower::open(log, 0)?, |event| event.call.is_some())?;
    output::line("\nThe trail (who, what, decided by which policy, what came out):\n")?;
    output::line(table::calls(&records))?;
    let verified = verify::verify(&Directory::new(log), &Options::default(), &mut ());
    let verified = verified.map_err(|failure| anyhow::anyhow!("log does NOT verify: {failure}"))?;
    let entries = verified.entries;
    output::line(format_args!(
        "\nEach call above was on disk before the server saw it; its answer is a second entry.\n\
         log verified: {entries} entries"
    ))?;
    Ok(())
}

fn next_steps(arguments: &Demo) -> anyhow::Result<()> {
    let Some(data) = &arguments.data else {
        output::line(
            "\nNext:  countersign demo --data demo    keep configuration, policies and log to look at\n       \
             countersign demo --keep         leave it running and connect a client of your own\n       \
             countersign wrap --help         record what your client does with a local server",
        )?;
        return Ok(());
    };
    let data = data.display();
    output::line(format_args!(
        "\nKept in {data}: countersign.toml, policy/, keys/, log/. Look at:\n  \
         countersign search {data}/log --decision forbid\n  \
         countersign verify {data}/log --key {data}/keys/log.key.pub\n  \
         $EDITOR {data}/policy/main.cedar && countersign policy check {data}/policy\n  \
         countersign serve --config {data}/countersign.toml\n\
         Or change any byte in {data}/log and verify again."
    ))?;
    Ok(())
}

fn invite(url: &str, key: &str, directory: &Path) -> anyhow::Result<()> {
    let log = directory.join("log");
    output::line(format_args!(
        "\nStill running. Connect a client with a development key:\n\n  \
         npx -y @modelcontextprotocol/inspector --cli {url} --transport http \\\n    \
         --header \"Authorization: Bearer {key}\" \\\n    \
         --method tools/call --tool-name query --tool-arg sql='SELECT * FROM tickets'\n\n\
         and see it on record:\n\n  countersign search {} --since 5m\n\nCtrl-C ends.",
        log.display()
    ))?;
    Ok(())
}

async fn keep(stop: &CancellationToken) -> anyhow::Result<()> {
    let mut signals = StopSignals::new()?;
    tokio::select! {
        () = signals.asked() => Ok(()),
        () = stop.cancelled() => anyhow::bail!("the gateway stopped by itself"),
    }
}
