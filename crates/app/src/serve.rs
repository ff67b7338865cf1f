//! `countersign serve`.

use crate::certificates::Certificates;
use crate::cli::Serve;
use crate::config::Config;
use crate::logging;
use crate::remembered;
use crate::running::{Running, StopSignals};
use anyhow::Context as _;
use gateway::config::Listener;
use gateway::{Gateway, Parts};
use identity::Verifier;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(crate) fn run(arguments: &Serve) -> anyhow::Result<ExitCode> {
    let config = Config::load(&arguments.config)?;
    logging::start("info")?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(&config))
}

async fn serve(config: &Config) -> anyhow::Result<ExitCode> {
    let certificates = Certificates::load(&config.tls)?;
    let servers = certificates.for_servers(config.servers()?);
    let tls = certificates.listener();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let verifier = Arc::new(Verifier::new(&config.identity)?);
    let address = config.listener.address;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} (`gateway.listen`)"))?;
    let mut signals = StopSignals::new()?;
    let running = Running::start(config, "serve").await?;
    running.keep_certificates(certificates);
    warm_up(&verifier, &running).await;
    let pages = running.pages();
    let gateway = Arc::new(Gateway::new(Parts {
        recorder: running.recorder.clone(),
        identity: verifier,
        policy: Arc::clone(&running.policy),
        definitions: Arc::clone(&running.definitions),
        servers,
        listener: Listener { tls, ..config.listener.clone() },
        limits: config.limits.clone(),
        answers: config.answers,
        receipts: config.receipts,
        beside: pages.map(|pages| pages as _),
    })?);
    let (now, age) = (running.recorder.clock().now(), config.limits.handle_age);
    remembered::restore(&gateway, &config.log.directory, running.log_size(), now, age).await;
    let servers = config.server_names();
    for endpoint in gateway.endpoints() {
        tracing::info!(%servers, "serving MCP on {scheme}://{address}{endpoint}");
    }
    let stop = running.stop.clone();
    let asked = CancellationToken::new();
    let heard = asked.clone();
    let signal = tokio::spawn(async move {
        signals.asked().await;
        heard.cancel();
        stop.cancel();
    });
    gateway.serve(listener, running.stop.clone()).await;
    // Without a signal it was the log that stopped the gateway.
    let failed = !asked.is_cancelled();
    signal.abort();
    tracing::info!("stopping");
    running.end().await?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Fetches the keys of the trust providers, so that the first caller does not wait and the operator
/// sees what is missing.
async fn warm_up(verifier: &Verifier, running: &Running) {
    for (provider, loaded) in verifier.warm_up(running.recorder.clock().now()).await {
        if let Err(error) = loaded {
            tracing::warn!(provider, %error, "keys of a trust provider are not there yet");
        }
    }
}
