//! `countersign serve`.

use crate::certificates::Certificates;
use crate::cli::Serve;
use crate::config::Config;
use crate::front::{Front, Watch};
use crate::logging;
use crate::reloading::{Hangups, Reloading};
use crate::remembered;
use crate::running::{Running, StopSignals};
use crate::signals::Signals;
use anyhow::Context as _;
use gateway::config::Listener;
use gateway::{Gateway, Parts};
use identity::Verifier;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Telemetry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(crate) fn run(arguments: &Serve) -> anyhow::Result<ExitCode> {
    let config = Config::load(&arguments.config)?;
    logging::start("info")?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve(&arguments.config, config))
}

async fn serve(path: &Path, config: Config) -> anyhow::Result<ExitCode> {
    let certificates = Certificates::load(&config.tls)?;
    let servers = certificates.for_servers(config.servers()?);
    let tls = certificates.listener();
    let verifier = Arc::new(Verifier::new(&config.identity)?);
    let credentials = config.broker()?;
    let listener = listen(config.listener.address, "gateway.listen").await?;
    let pages_listener = match config.operation.metrics {
        Some(address) => Some(listen(address, "metrics.listen").await?),
        None => None,
    };
    let (signals, hangups) = (StopSignals::new()?, Hangups::new()?);
    let running = Running::start(&config, "serve").await?;
    let servers_tls = certificates.servers();
    running.keeper().keep(certificates);
    warm_up(&verifier, &running).await;
    let telemetry = telemetry(&config, &running)?;
    let draining = CancellationToken::new();
    let front = Front {
        log: running.pages(),
        signals: Signals::start(&config, &running.recorder, verifier.revocations())?,
        recorder: running.recorder.clone(),
        draining: draining.clone(),
    };
    let gateway = Arc::new(Gateway::new(Parts {
        recorder: running.recorder.clone(),
        identity: Arc::clone(&verifier),
        authorization_servers: config.identity.authorization_servers(),
        policy: Arc::clone(&running.policy),
        definitions: Arc::clone(&running.definitions),
        servers,
        credentials,
        listener: Listener { tls, ..config.listener.clone() },
        limits: config.limits.clone(),
        answers: config.answers,
        receipts: config.receipts,
        beside: Some(Arc::new(front)),
        observer: Arc::new(telemetry.clone()),
    })?);
    remember(&gateway, &config, &running).await;
    if let Some(listener) = pages_listener {
        let watch = watch(&config, &running, (&gateway, telemetry), draining.clone());
        running.spawn(|stop| gateway::serve_aside(listener, Arc::new(watch), stop));
    }
    announce(&gateway, &config);
    let delay = config.operation.drain_delay;
    let asked = draining.clone();
    let signal = tokio::spawn(drain(signals, draining, delay, running.stop.clone()));
    let interval = config.operation.reload;
    let reloading = Reloading {
        path: path.to_owned(),
        active: config,
        verifier,
        servers_tls,
        keeper: running.keeper(),
        gateway: Arc::clone(&gateway),
        recorder: running.recorder.clone(),
        pages: running.pages(),
        log: running.log().clone(),
    };
    let stop = running.stop.clone();
    let reloading = tokio::spawn(reloading.run(interval, hangups, stop));
    gateway.serve(listener, running.stop.clone()).await;
    // Without a signal it was the log that stopped the gateway.
    let failed = !asked.is_cancelled();
    signal.abort();
    reloading.await.context("the task that takes over configurations failed")?;
    tracing::info!("stopping");
    running.end().await?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Hands the gateway what earlier runs gave out.
async fn remember(gateway: &Gateway, config: &Config, running: &Running) {
    let (now, age) = (running.recorder.clock().now(), config.limits.handle_age);
    let handles = remembered::read(&config.log.directory, running.log_size(), now, age).await;
    remembered::restore(gateway, handles, |_| true);
}

/// Says where MCP is served.
fn announce(gateway: &Gateway, config: &Config) {
    let scheme = if config.tls.listener.is_some() { "https" } else { "http" };
    let (address, servers) = (config.listener.address, config.server_names());
    for endpoint in gateway.endpoints() {
        tracing::info!(%servers, "serving MCP on {scheme}://{address}{endpoint}");
    }
}

async fn listen(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("cannot listen on {address} (`{key}`)"))
}

/// Metrics, and traces when they are configured.
fn telemetry(config: &Config, running: &Running) -> anyhow::Result<Telemetry> {
    let version = env!("CARGO_PKG_VERSION");
    let telemetry = Telemetry::new(version);
    let Some(traces) = &config.operation.traces else { return Ok(telemetry) };
    let (telemetry, export) = telemetry.with_traces(traces, version)?;
    running.spawn(|stop| export.run(stop));
    Ok(telemetry)
}

fn watch(
    config: &Config,
    running: &Running,
    (gateway, telemetry): (&Arc<Gateway>, Telemetry),
    draining: CancellationToken,
) -> Watch {
    Watch {
        gateway: Arc::clone(gateway),
        recorder: running.recorder.clone(),
        policy: Arc::clone(&running.policy),
        log: running.log().clone(),
        log_directory: config.log.directory.clone(),
        certificates: running.certificates(),
        telemetry,
        draining,
    }
}

/// Waits for the wish to stop, says at once that the gateway is not ready, and ends the listening after
/// the delay, or at a second wish.
async fn drain(
    mut signals: StopSignals,
    draining: CancellationToken,
    delay: Duration,
    stop: CancellationToken,
) {
    signals.asked().await;
    draining.cancel();
    if !delay.is_zero() {
        tracing::info!(delay_ms = delay.as_millis(), "draining: calls are served a little longer");
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = signals.asked() => {}
        }
    }
    stop.cancel();
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
