//! A gateway and what it stands on: a log, policies, an issuer of tokens. It starts on a free port and
//! stops in order; then the log must verify.

use crate::client::{Ask, Reply};
use crate::trail::{self, Trail};
use crate::upstream::Upstream;
use crate::{messages, within};
use audit::{Clock, Place, Recorder};
use broker::Broker;
use gateway::config::{
    AnswerDurability, Command, Limits, Listener, NamedServer, PublicUrl, Quota, Server, Stderr,
};
use gateway::tls::{ListenerTls, ServerTls};
use gateway::{Beside, Changeable, Definitions, Gateway, Observer, Parts, Unobserved};
use identity::dev::TokenIssuer;
use identity::{Config, ProviderConfig, Verifier};
use inventory::{Inventory, Settings};
use policy::{Bundle, Engine, Source};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tlog::storage::{Files, Memory, Storage};
use tlog::{Log, Signer};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What a gateway under test is made of.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) server: Server,
    /// Servers beside it, each with its name.
    pub(crate) more: Vec<(&'static str, Server)>,
    pub(crate) policy: String,
    pub(crate) limits: Limits,
    pub(crate) answers: AnswerDurability,
    pub(crate) origins: Vec<String>,
    pub(crate) tls: Option<ListenerTls>,
    /// Where clients find it. Then its tokens are for single endpoints, and its issuer is told of.
    pub(crate) public_url: Option<&'static str>,
    pub(crate) beside: Option<Arc<dyn Beside>>,
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) quota: Quota,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) free_bytes_min: u64,
    /// A disk in memory instead of a directory.
    pub(crate) memory: Option<Memory>,
    pub(crate) credentials: Broker,
}

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    pub(crate) log: Log,
    pub(crate) recorder: Recorder,
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) key: String,
    pub(crate) issuer: TokenIssuer,
    pub(crate) gateway: Arc<Gateway>,
    /// What it was started with, of what may change.
    pub(crate) changeable: Changeable,
    memory: Option<Memory>,
    directory: TempDir,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Plan {
    pub(crate) fn http(upstream: &Upstream) -> Self {
        Self::at(upstream.address)
    }

    pub(crate) fn at(address: SocketAddr) -> Self {
        let url = format!("http://{address}/mcp").parse().unwrap();
        Self::in_front_of(Server::Http { url, tls: ServerTls::default() })
    }

    /// In front of a program for `/bin/sh`.
    pub(crate) fn sh(script: &str) -> Self {
        Self::in_front_of(Server::Stdio(sh(script)))
    }

    pub(crate) fn in_front_of(server: Server) -> Self {
        Self {
            server,
            more: Vec::new(),
            policy: POLICY.to_owned(),
            limits: Limits::default(),
            answers: AnswerDurability::BeforeRelease,
            origins: Vec::new(),
            tls: None,
            public_url: None,
            beside: None,
            definitions: definitions(),
            quota: Quota::default(),
            observer: Arc::new(Unobserved),
            free_bytes_min: 0,
            memory: None,
            credentials: Broker::default(),
        }
    }

    /// With another HTTP server beside those before.
    pub(crate) fn and(mut self, name: &'static str, address: SocketAddr) -> Self {
        let url = format!("http://{address}/mcp").parse().unwrap();
        self.more.push((name, Server::Http { url, tls: ServerTls::default() }));
        self
    }

    pub(crate) fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    pub(crate) fn quota(self, quota: Quota) -> Self {
        Self { quota, ..self }
    }

    pub(crate) async fn start(self) -> Rig {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::start();
        let storage: Arc<dyn Storage> = match &self.memory {
            Some(memory) => Arc::new(memory.clone()),
            None => Arc::new(Files::new(&directory.path().join("log"))),
        };
        let (signer, key) = Signer::generate("example.com/log").unwrap();
        let log = Log::create_on(storage, signer, log_config(clock, self.free_bytes_min)).unwrap();
        let recorder = Recorder::new(log.clone(), place(), clock);
        recorder.begin(BTreeMap::new()).await.unwrap();
        let issuer = TokenIssuer::generate(ISSUER, "key-1").unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let changeable = Changeable {
            identity: Arc::new(verifier(&issuer, self.public_url)),
            authorization_servers: self.public_url.iter().map(|_| ISSUER.to_owned()).collect(),
            servers: std::iter::once(("srv", self.server))
                .chain(self.more)
                .map(|(name, server)| named(name, server, &self.quota))
                .collect(),
            limits: self.limits,
            allowed_hosts: vec![address.to_string()],
            allowed_origins: self.origins,
            credentials: self.credentials,
        };
        let parts = changeable.clone();
        let gateway = Gateway::new(Parts {
            recorder: recorder.clone(),
            identity: parts.identity,
            authorization_servers: parts.authorization_servers,
            policy: engine(&self.policy),
            definitions: Arc::clone(&self.definitions),
            servers: parts.servers,
            credentials: parts.credentials,
            listener: Listener {
                public_url: self.public_url.map(|url| PublicUrl::parse(url).unwrap()),
                address,
                path: "/mcp".to_owned(),
                allowed_hosts: parts.allowed_hosts,
                allowed_origins: parts.allowed_origins,
                tls: self.tls,
            },
            limits: parts.limits,
            answers: self.answers,
            receipts: false,
            beside: self.beside,
            observer: self.observer,
        });
        let gateway = Arc::new(gateway.unwrap());
        let stop = CancellationToken::new();
        let serving = tokio::spawn(Arc::clone(&gateway).serve(listener, stop.clone()));
        let key = key.to_string();
        let memory = self.memory;
        Rig {
            address,
            log,
            recorder,
            definitions: self.definitions,
            key,
            issuer,
            gateway,
            changeable,
            memory,
            directory,
            stop,
            serving,
        }
    }
}

impl Rig {
    pub(crate) fn token(&self, subject: &str) -> String {
        self.token_for(subject, AUDIENCE)
    }

    pub(crate) fn token_for(&self, subject: &str, audience: &str) -> String {
        self.issuer.token(subject, audience, self.recorder.clock().now(), 600).unwrap()
    }

    /// Sends as `alice`.
    pub(crate) async fn send(&self, ask: Ask) -> Reply {
        self.send_as("alice", ask).await
    }

    pub(crate) async fn send_as(&self, subject: &str, ask: Ask) -> Reply {
        ask.token(&self.token(subject)).send(self.address).await
    }

    /// A verifier like the one in use, and not the same.
    pub(crate) fn another_verifier(&self) -> Arc<Verifier> {
        Arc::new(verifier(&self.issuer, None))
    }

    /// Opens a session as `alice`.
    pub(crate) async fn session(&self) -> String {
        let reply = self.send(messages::initialize()).await;
        assert_eq!(reply.status, 200);
        let session = reply.session();
        let initialized = messages::legacy(&session, messages::INITIALIZED);
        assert_eq!(self.send(initialized).await.status, 202);
        session
    }

    pub(crate) fn log_directory(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Waits until the log holds what is wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&Trail) -> bool) -> Trail {
        let mut committed = self.log.committed();
        within("the log holds what is expected", async {
            loop {
                committed.mark_unchanged();
                let trail = Trail::read(&self.log_directory());
                if wanted(&trail) {
                    return trail;
                }
                committed.changed().await.unwrap();
            }
        })
        .await
    }

    /// Asks the gateway to stop, without waiting.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    /// Stops in order and reads the log, which verifies and has no open call.
    pub(crate) async fn stop(self) -> Trail {
        self.stop_with(|_| {}).await
    }

    /// As [`Rig::stop`], with a look at the directory of the log.
    pub(crate) async fn stop_with(self, look: impl FnOnce(&Path)) -> Trail {
        let directory = self.log_directory();
        self.stop.cancel();
        within("the gateway stops", self.serving).await.unwrap();
        self.recorder.end().await.unwrap();
        close(self.log).await.unwrap();
        if let Some(memory) = &self.memory {
            memory.copy_to(&directory).unwrap();
        }
        assert_eq!(trail::verify(&directory).open, 0);
        look(&directory);
        let trail = Trail::read(&directory);
        assert!(trail.sessions_ended(), "{:#?}", trail.rows);
        trail
    }

    /// Stops a gateway whose log has stopped already; the log is read as it was left.
    pub(crate) async fn stop_without_log(self) {
        self.stop.cancel();
        within("the gateway stops", self.serving).await.unwrap();
        close(self.log).await.unwrap_err();
    }
}

/// Nothing known of any server, and nothing kept.
pub(crate) fn definitions() -> Arc<Definitions> {
    Arc::new(Definitions::in_memory(Inventory::new(Settings::default()), false))
}

fn named(name: &str, server: Server, quota: &Quota) -> NamedServer {
    NamedServer { name: name.to_owned(), prefix: name.to_owned(), server, quota: quota.clone() }
}

/// Closes a log, which blocks.
pub(crate) async fn close(log: Log) -> Result<(), tlog::Error> {
    tokio::task::spawn_blocking(move || log.close()).await.unwrap()
}

/// A program for `/bin/sh`, without any environment.
pub(crate) fn sh(script: &str) -> Command {
    Command {
        program: "/bin/sh".to_owned(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        environment: Vec::new(),
        directory: None,
        stderr: Stderr::Inherit,
    }
}

pub(crate) fn engine(policy: &str) -> Arc<Engine> {
    let source = Source { name: "main.cedar".to_owned(), text: policy.to_owned() };
    Arc::new(Engine::new(Bundle::parse(vec![source]).unwrap()))
}

pub(crate) fn place() -> Place {
    Place { gateway: "gw".to_owned(), region: None }
}

pub(crate) fn log_config(clock: Clock, free_bytes_min: u64) -> tlog::Config {
    let mut config = tlog::Config::new(Arc::new(move || clock.now().unix_ms()));
    config.segment_bytes = 1 << 20;
    config.free_bytes_min = free_bytes_min;
    config
}

fn verifier(issuer: &TokenIssuer, public_url: Option<&str>) -> Verifier {
    let config = Config {
        audience: if public_url.is_some() { String::new() } else { AUDIENCE.to_owned() },
        has_resources: public_url.is_some(),
        provider: vec![ProviderConfig {
            name: "ci".to_owned(),
            issuer: ISSUER.to_owned(),
            jwks_file: Some("not-read".into()),
            ..ProviderConfig::default()
        }],
        ..Config::default()
    };
    let sources = HashMap::from([("ci".to_owned(), issuer.key_source())]);
    Verifier::with_sources(&config, sources).unwrap()
}

/// Short enough for a test to wait for.
pub(crate) const SOON: Duration = Duration::from_millis(50);

pub(crate) const AUDIENCE: &str = "https://gateway.example/mcp";
pub(crate) const ISSUER: &str = "https://issuer.example";

/// Everything is permitted but one tool, and one thing that servers ask.
pub(crate) const POLICY: &str = r#"
@id("everything")
permit (principal, action, resource);

@id("no-wipe")
forbid (principal, action == Action::"tools/call", resource == Tool::"srv/wipe");

@id("no-sampling")
forbid (principal is Server, action == Action::"to-client/sampling/createMessage", resource);
"#;
