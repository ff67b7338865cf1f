//! The checked configuration: read once, all mistakes reported at once, with their places.

mod credential;
mod file;
mod log;
mod operation;
mod quota;
mod signals;
mod tls;

pub(crate) use self::log::{LogConfig, RetentionConfig, S3Config, TsaConfig, WitnessConfig};
pub(crate) use self::operation::OperationConfig;
pub(crate) use self::signals::{SignalsConfig, TransmitterConfig};
pub(crate) use self::tls::{ClientCertificates, PairFiles, ServerTlsFiles, TlsFiles};

use self::file::File;
use crate::{digest, environment};
use anyhow::{Context as _, bail};
use gateway::config::{
    AnswerDurability, Command, Limits, Listener, NamedServer, PublicUrl, Quota, Server, Stderr,
    UnknownHandles,
};
use gateway::tls::ServerTls;
use settings::{Mistake, Text};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that `serve` needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// SHA-256 of the file, in hex; none when there was no file.
    pub(crate) sha256: Option<String>,
    pub(crate) gateway_name: String,
    pub(crate) region: Option<String>,
    pub(crate) answers: AnswerDurability,
    /// Whether results carry the receipt of their call.
    pub(crate) receipts: bool,
    pub(crate) listener: Listener,
    /// Where certificates and keys are; neither `listener` nor `servers` have any yet.
    pub(crate) tls: TlsFiles,
    /// The servers behind the gateway; none in a configuration for `wrap` alone.
    pub(crate) servers: Vec<NamedServer>,
    /// What the gateway shows to them, by name.
    pub(crate) credentials: BTreeMap<String, broker::Config>,
    /// The name of the first server, which `wrap` gives to the program that it starts.
    pub(crate) server_name: String,
    pub(crate) log: LogConfig,
    pub(crate) policy_directory: PathBuf,
    pub(crate) policy_reload: Option<Duration>,
    pub(crate) identity: identity::Config,
    pub(crate) limits: Limits,
    pub(crate) operation: OperationConfig,
    /// What others may tell; nothing when nobody is believed.
    pub(crate) signals: Option<SignalsConfig>,
    /// The file as it is written; empty when there was none.
    pub(crate) written: toml::Table,
    pub(crate) inventory: InventoryConfig,
}

/// What is known of what servers declare, and how it is used.
#[derive(Debug, Clone)]
pub(crate) struct InventoryConfig {
    pub(crate) directory: PathBuf,
    /// Another inventory that takes the place of this one at each start, where it is there.
    pub(crate) seed: Option<PathBuf>,
    pub(crate) settings: inventory::Settings,
    /// Whether items that policies forbid are hidden from lists.
    pub(crate) hide_forbidden: bool,
}

impl InventoryConfig {
    /// The defaults, for a log in this directory.
    pub(crate) fn beside(log: &Path) -> Self {
        Self {
            directory: log.with_file_name("inventory"),
            seed: None,
            settings: inventory::Settings::default(),
            hide_forbidden: false,
        }
    }
}

impl Config {
    /// Reads and checks a file. Relative paths in it are relative to its directory.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read configuration `{}`", path.display()))?;
        let directory = path.parent().unwrap_or_else(|| Path::new(""));
        let config = Self::parse(&text, directory).map_err(|mistakes| report(path, &mistakes))?;
        let written = text.parse().unwrap_or_default();
        Ok(Self { sha256: Some(digest::of(text.as_bytes())), written, ..config })
    }

    /// As [`Config::load`], for text.
    pub(crate) fn parse(text: &str, directory: &Path) -> Result<Self, Vec<Mistake>> {
        let text = Text::new(text, "server");
        let (file, mistakes) = text.read::<File>();
        let mut checker = Checker { text: &text, directory, mistakes };
        let config = checker.config(file);
        if checker.mistakes.is_empty() { Ok(config) } else { Err(checker.mistakes) }
    }
}

fn report(path: &Path, mistakes: &[Mistake]) -> anyhow::Error {
    let mut text = format!("`{}` has {} mistake(s):", path.display(), mistakes.len());
    for mistake in mistakes {
        // Writing to a string cannot fail.
        write!(text, "\n  {mistake}").ok();
    }
    anyhow::anyhow!(text)
}

/// Turns what is written into what is meant, and collects what is wrong.
struct Checker<'t> {
    text: &'t Text<'t>,
    directory: &'t Path,
    mistakes: Vec<Mistake>,
}

impl Checker<'_> {
    fn config(&mut self, file: File) -> Config {
        let listener = self.listener(&file.gateway);
        let tls = self.tls(&file);
        let credentials = self.credentials(&file.server);
        let (server_name, servers) = self.servers(&file.server, &file.limits.server);
        let answers = match file.gateway.answers.as_deref() {
            None | Some("next-commit") => AnswerDurability::NextCommit,
            Some("before-release") => AnswerDurability::BeforeRelease,
            Some(_) => {
                self.wrong("gateway.answers", "must be `next-commit` or `before-release`");
                AnswerDurability::NextCommit
            }
        };
        let operation = self.operation(&file);
        let mut identity = file.identity;
        identity.has_resources = file.gateway.public_url.is_some();
        for problem in identity.check() {
            self.wrong(&format!("identity.{}", problem.path), &problem.problem);
        }
        for provider in &mut identity.provider {
            provider.jwks_file = provider.jwks_file.take().map(|path| self.path(path));
        }
        let log = self.log(file.log);
        let inventory = self.inventory(file.inventory, &log.directory);
        let signals = self.signals(file.signals, &log);
        let reload = file.policy.reload_interval_ms.unwrap_or(1_000);
        Config {
            sha256: None,
            gateway_name: self.name("gateway.name", file.gateway.name),
            region: file.gateway.region,
            answers,
            receipts: file.gateway.receipts,
            listener,
            tls,
            server_name,
            servers,
            credentials,
            log,
            policy_directory: self.path(file.policy.directory.unwrap_or_else(|| "policy".into())),
            policy_reload: (reload > 0).then(|| Duration::from_millis(reload)),
            identity,
            limits: self.limits(&file.limits),
            inventory,
            operation,
            signals,
            written: toml::Table::new(),
        }
    }

    /// A name that events and policies use: present, short, without characters that would confuse.
    fn name(&mut self, path: &str, name: Option<String>) -> String {
        let name = name.unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() {
            self.wrong(path, "is required: a short name such as `crm-prod`");
        } else if name.len() > 64 || !name.chars().all(plain) {
            self.wrong(path, "must be at most 64 letters, digits, `-`, `_` or `.`");
        }
        name
    }

    fn inventory(&self, written: file::Inventory, log: &Path) -> InventoryConfig {
        let beside = InventoryConfig::beside(log);
        let trust_on_first_use =
            written.trust_on_first_use.unwrap_or(beside.settings.trust_on_first_use);
        InventoryConfig {
            seed: None,
            directory: written.directory.map_or(beside.directory, |path| self.path(path)),
            settings: inventory::Settings { trust_on_first_use },
            hide_forbidden: written.hide_forbidden,
        }
    }

    fn listener(&mut self, gateway: &file::Gateway) -> Listener {
        let listen = gateway.listen.as_deref().unwrap_or(LISTEN_DEFAULT);
        let address = listen.parse().unwrap_or_else(|_| {
            self.wrong("gateway.listen", "must be an address and a port, such as `127.0.0.1:8700`");
            SocketAddr::from(([127, 0, 0, 1], 8_700))
        });
        let path = gateway.path.clone().unwrap_or_else(|| "/mcp".to_owned());
        let taken = ["/s/", "/.well-known/"].iter().any(|prefix| path.starts_with(prefix));
        if !path.starts_with('/') || path.contains(['?', '#', ' ']) || taken || path == "/healthz" {
            let problem = "must be a path such as `/mcp`, other than `/healthz` and those below `/s/` and `/.well-known/`";
            self.wrong("gateway.path", problem);
        }
        let public_url = gateway.public_url.as_deref().and_then(|url| {
            let read = PublicUrl::parse(url);
            read.map_err(|problem| self.wrong("gateway.public_url", &problem.to_string())).ok()
        });
        let allowed_hosts = gateway.allowed_hosts.clone().unwrap_or_else(|| {
            let own = hosts_of(address, if gateway.tls.is_some() { 443 } else { 80 });
            own.into_iter().chain(public_url.iter().map(PublicUrl::authority)).collect()
        });
        for (i, host) in allowed_hosts.iter().enumerate() {
            if host.is_empty() || host.contains(['/', ' ', '*']) {
                let path = format!("gateway.allowed_hosts[{i}]");
                self.wrong(&path, "must be a host as clients send it, such as `gw.example:8700`");
            }
        }
        let own =
            || allowed_hosts.iter().flat_map(|h| [format!("http://{h}"), format!("https://{h}")]);
        let allowed_origins = gateway.allowed_origins.clone().unwrap_or_else(|| own().collect());
        for (i, origin) in allowed_origins.iter().enumerate() {
            if !origin.contains("://") || origin.ends_with('/') || origin.contains('*') {
                let path = format!("gateway.allowed_origins[{i}]");
                self.wrong(&path, "must be an origin such as `https://app.example`");
            }
        }
        Listener { address, path, allowed_hosts, allowed_origins, public_url, tls: None }
    }

    fn servers(
        &mut self,
        servers: &[file::Server],
        limits: &file::Quota,
    ) -> (String, Vec<NamedServer>) {
        if servers.is_empty() {
            return (self.name("server.name", None), Vec::new());
        }
        let mut names: Vec<String> = Vec::with_capacity(servers.len());
        let mut checked = Vec::with_capacity(servers.len());
        for (i, written) in servers.iter().enumerate() {
            let path =
                if servers.len() == 1 { "server".to_owned() } else { format!("server[{i}]") };
            let name = self.name(&format!("{path}.name"), written.name.clone());
            let is_new = !names.contains(&name);
            if !is_new {
                self.wrong(&format!("{path}.name"), "is the name of another server already");
            }
            names.push(name.clone());
            let prefix = self.prefix(&path, written, &name, servers.len());
            if is_new && checked.iter().any(|other: &NamedServer| other.prefix == prefix) {
                self.wrong(&format!("{path}.prefix"), "is the prefix of another server already");
            }
            let quota = quota::merged(&written.limits, limits);
            let quota = self.quota(&format!("{path}.limits"), &quota);
            match self.server(&path, written) {
                Some(server) => checked.push(NamedServer { name, prefix, server, quota }),
                None if servers.len() > 1 && written.url.is_none() && written.command.is_none() => {
                    self.wrong(&path, "has neither `url` nor `command`; add one");
                }
                None => {}
            }
        }
        (names.swap_remove(0), checked)
    }

    /// What stands before the server's names on the endpoint of all servers; of no use to one alone.
    fn prefix(&mut self, path: &str, server: &file::Server, name: &str, servers: usize) -> String {
        let prefix = server.prefix.clone().unwrap_or_else(|| name.to_ascii_lowercase());
        let needed = servers > 1 || server.prefix.is_some();
        if needed && !name.is_empty() && !gateway::config::is_prefix(&prefix) {
            let place = format!("{path}.prefix");
            let problem = match server.prefix {
                Some(_) => "must be a lower-case letter, then lower-case letters, digits and `-`",
                None => {
                    "is required, since the name cannot be one: a lower-case letter, then lower-case letters, digits and `-`"
                }
            };
            self.wrong(&place, problem);
        }
        prefix
    }

    fn server(&mut self, path: &str, server: &file::Server) -> Option<Server> {
        match (&server.url, &server.command) {
            (Some(_), Some(_)) => {
                self.wrong(path, "has both `url` and `command`; keep one");
                None
            }
            (None, None) => None,
            (Some(url), None) => self.remote(path, server, url),
            (None, Some(command)) => {
                if server.transport.is_some() {
                    self.wrong(&format!("{path}.transport"), "goes with `url` only");
                }
                self.command(path, server, command).map(Server::Stdio)
            }
        }
    }

    fn remote(&mut self, path: &str, server: &file::Server, url: &str) -> Option<Server> {
        let url = url.parse::<url::Url>().ok();
        let Some(url) = url.filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host())
        else {
            self.wrong(&format!("{path}.url"), "must be an `http` or `https` URL");
            return None;
        };
        if !url.username().is_empty() || url.password().is_some() {
            self.wrong(&format!("{path}.url"), "must not hold credentials");
        }
        match server.transport.as_deref() {
            None | Some("streamable-http") => Some(Server::Http { url, tls: ServerTls::default() }),
            Some("sse") => Some(Server::Sse { url, tls: ServerTls::default() }),
            Some(_) => {
                self.wrong(&format!("{path}.transport"), "must be `streamable-http` or `sse`");
                None
            }
        }
    }

    fn command(
        &mut self,
        path: &str,
        server: &file::Server,
        command: &[String],
    ) -> Option<Command> {
        let Some((program, arguments)) = command.split_first().filter(|(p, _)| !p.is_empty())
        else {
            self.wrong(&format!("{path}.command"), "must name a program, then its arguments");
            return None;
        };
        let stderr = match server.stderr.as_deref() {
            None | Some("discard") => Stderr::Discard,
            Some("inherit") => Stderr::Inherit,
            Some(_) => {
                self.wrong(&format!("{path}.stderr"), "must be `discard` or `inherit`");
                Stderr::Discard
            }
        };
        let inherit = server.inherit_environment.clone();
        let inherit =
            inherit.unwrap_or_else(|| INHERITED.iter().map(|n| (*n).to_owned()).collect());
        let mut environment = environment::variables(&inherit);
        environment.extend(server.environment.iter().map(|(k, v)| (k.clone(), v.clone())));
        Some(Command {
            program: program.clone(),
            arguments: arguments.to_vec(),
            environment,
            directory: server.directory.clone().map(|d| self.path(d)),
            stderr,
        })
    }

    fn limits(&mut self, limits: &file::Limits) -> Limits {
        let base = Limits::default();
        let ms =
            |value: Option<u64>, default: Duration| value.map_or(default, Duration::from_millis);
        for (path, value) in [
            ("limits.connections_max", limits.connections_max),
            ("limits.streams_max", limits.streams_max),
            ("limits.handshakes_max", limits.handshakes_max),
            ("limits.calls_max", limits.calls_max),
            ("limits.request_bytes_max", limits.request_bytes_max),
            ("limits.reply_bytes_max", limits.reply_bytes_max),
            ("limits.sessions_max", limits.sessions_max),
            ("limits.handles_max", limits.handles_max),
            ("limits.processes_max", limits.processes_max),
        ] {
            if value.is_some_and(|v| v == 0 || v > COUNT_MAX) {
                self.wrong(path, &format!("must be from 1 to {COUNT_MAX}"));
            }
        }
        let unknown_handles = match limits.unknown_handles.as_deref() {
            None | Some("pass") => UnknownHandles::Pass,
            Some("refuse") => UnknownHandles::Refuse,
            Some(_) => {
                self.wrong("limits.unknown_handles", "must be `pass` or `refuse`");
                UnknownHandles::Refuse
            }
        };
        Limits {
            connections_max: limits.connections_max.unwrap_or(base.connections_max),
            streams_max: limits.streams_max.unwrap_or(base.streams_max),
            handshakes_max: limits.handshakes_max.unwrap_or(base.handshakes_max),
            calls_max: limits.calls_max.unwrap_or(base.calls_max),
            request_bytes_max: limits.request_bytes_max.unwrap_or(base.request_bytes_max),
            reply_bytes_max: limits.reply_bytes_max.unwrap_or(base.reply_bytes_max),
            handshake_timeout: ms(limits.handshake_timeout_ms, base.handshake_timeout),
            idle_timeout: ms(limits.idle_timeout_ms, base.idle_timeout),
            head_timeout: ms(limits.head_timeout_ms, base.head_timeout),
            body_timeout: ms(limits.body_timeout_ms, base.body_timeout),
            write_timeout: ms(limits.write_timeout_ms, base.write_timeout),
            reply_timeout: ms(limits.reply_timeout_ms, base.reply_timeout),
            member_timeout: ms(limits.member_timeout_ms, base.member_timeout),
            member_retry: ms(limits.member_retry_ms, base.member_retry),
            connect_timeout: ms(limits.connect_timeout_ms, base.connect_timeout),
            sessions_max: limits.sessions_max.unwrap_or(base.sessions_max),
            session_idle: limits.session_idle_s.map_or(base.session_idle, Duration::from_secs),
            processes_max: limits.processes_max.unwrap_or(base.processes_max),
            stream_idle_timeout: limits.stream_idle_timeout_ms.map(Duration::from_millis),
            handles_max: limits.handles_max.unwrap_or(base.handles_max),
            handle_age: limits.handle_age_s.map_or(base.handle_age, Duration::from_secs),
            unknown_handles,
            shutdown_grace: ms(limits.shutdown_grace_ms, base.shutdown_grace),
            actor: self.quota("limits.actor", &limits.actor),
            ..base
        }
    }

    fn quota(&mut self, path: &str, written: &file::Quota) -> Quota {
        for (key, problem) in quota::mistakes(written) {
            self.wrong(&format!("{path}.{key}"), &problem);
        }
        quota::meant(written)
    }

    fn path(&self, path: PathBuf) -> PathBuf {
        if path.is_absolute() { path } else { self.directory.join(path) }
    }

    fn wrong(&mut self, path: &str, message: &str) {
        self.mistakes.push(self.text.mistake_at(path, message));
    }
}

impl Config {
    /// The servers, for commands that need one.
    pub(crate) fn servers(&self) -> anyhow::Result<Vec<NamedServer>> {
        if self.servers.is_empty() {
            bail!(
                "the configuration names no server: add `url` or `command` to the table `[server]`"
            );
        }
        Ok(self.servers.clone())
    }

    /// The names of all servers, for the record.
    pub(crate) fn server_names(&self) -> String {
        if self.servers.is_empty() {
            return self.server_name.clone();
        }
        let names: Vec<&str> = self.servers.iter().map(|server| server.name.as_str()).collect();
        names.join(" ")
    }
}

/// What clients write in `Host` when they connect to this address; they leave out the port that goes
/// with the scheme.
fn hosts_of(address: SocketAddr, scheme_port: u16) -> Vec<String> {
    let loopback = address.ip().is_loopback();
    let mut hosts = vec![address.to_string()];
    if loopback {
        hosts.push(format!("localhost:{}", address.port()));
    }
    if address.port() == scheme_port {
        hosts.push(match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        });
        hosts.extend(loopback.then(|| "localhost".to_owned()));
    }
    hosts
}

const LISTEN_DEFAULT: &str = "127.0.0.1:8700";
const INHERITED: [&str; 5] = ["PATH", "HOME", "LANG", "TMPDIR", "USER"];
/// Bound on numbers of things and bytes in the configuration: a quarter of what 32 bits count.
const COUNT_MAX: usize = 1 << 30;

#[cfg(test)]
mod tests;
