//! The processes that are measured: how they are set up, found, watched and ended.

use crate::machine::field;
use anyhow::{Context as _, ensure};
use identity::dev::TokenIssuer;
use rustix::process::{Pid, Signal};
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_countersign");

/// Where the logs are: beside the build, so on a real disk.
const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");

/// What `aud` says in the token.
const AUDIENCE: &str = "https://gateway.example/mcp";
const ISSUER: &str = "https://issuer.example";

/// What the kernel counts processor time in: `USER_HZ` is 100 wherever this will run.
const TICK_MS: u64 = 10;

/// How long a gateway may take to start.
const START_MAX: Duration = Duration::from_secs(20);

/// Configuration, keys and logs of the gateways.
pub(crate) struct Site {
    directory: TempDir,
    pub(crate) key: String,
    pub(crate) token: String,
    jwks: PathBuf,
    digest: String,
}

impl Site {
    /// An empty place, a development key and a trust provider with one token.
    pub(crate) fn make() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir_in(SCRATCH)?;
        let key = identity::ApiKey::generate()?;
        let issuer = TokenIssuer::generate(ISSUER, "k1")?;
        let jwks = directory.path().join("jwks.json");
        std::fs::write(&jwks, issuer.jwks())?;
        let now = audit::Clock::start().now();
        let token = issuer.token("bench-client", AUDIENCE, now, 3_600)?;
        let digest = key.digest();
        Ok(Self { directory, key: key.plain_text().to_owned(), token, jwks, digest })
    }

    /// A gateway with a directory and a log of its own, as `countersign init` makes them, that accepts
    /// the key and the token and permits everything to both by one policy.
    pub(crate) fn gateway(&self, answers: &str, upstream: &str) -> anyhow::Result<Child> {
        let directory = self.directory.path().join(answers);
        let url = format!("http://{upstream}/mcp");
        let made =
            Command::new(PROGRAM).arg("init").arg(&directory).args(["--url", &url]).output()?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // Free until this moment; nobody else is expected to take it in the next.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let file = directory.join("countersign.toml");
        let text = std::fs::read_to_string(&file)?;
        let (text, _) = text.split_once("[identity]").context("no identity in the file")?;
        let answers = format!("\"{address}\"\nanswers = \"{answers}\"");
        let text = text.replace("\"127.0.0.1:8700\"", &answers);
        let identity = format!(
            "[identity]\naudience = \"{AUDIENCE}\"\n\
             [[identity.api_key]]\nname = \"bench\"\nsha256 = \"{}\"\n\
             [[identity.provider]]\nname = \"bench-issuer\"\nissuer = \"{ISSUER}\"\njwks_file = {:?}\n",
            self.digest, self.jwks
        );
        std::fs::write(&file, text + &identity)?;
        let policy = "@id(\"bench\")\npermit (principal, action, resource);\n";
        std::fs::write(directory.join("policy").join("bench.cedar"), policy)?;
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--config"]).arg(&file).env("COUNTERSIGN_LOG", "warn");
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let child = Child { process, address, stdout: None };
        child.until_it_listens()?;
        Ok(child)
    }

    /// The logs that were written must verify, or what was measured was no audit log.
    pub(crate) fn verify(&self) -> anyhow::Result<()> {
        for answers in ["next-commit", "before-release"] {
            let log = self.directory.path().join(answers).join("log");
            let verified = Command::new(PROGRAM).arg("verify").arg(log).output()?;
            ensure!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
        }
        Ok(())
    }
}

/// A running process that takes calls.
pub(crate) struct Child {
    process: std::process::Child,
    /// Address and port.
    pub(crate) address: String,
    /// Kept open for those that write to it.
    stdout: Option<BufReader<ChildStdout>>,
}

impl Child {
    /// The MCP server that everything ends at.
    pub(crate) fn upstream() -> anyhow::Result<Self> {
        Self::own(&["upstream"])
    }

    /// A proxy that only passes on.
    pub(crate) fn pass_through(to: &str) -> anyhow::Result<Self> {
        Self::own(&["pass-through", to])
    }

    /// This program again, in another role; its first line says where it listens.
    fn own(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process =
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut stdout = BufReader::new(process.stdout.take().context("no standard output")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        Ok(Self { process, address: line.trim().to_owned(), stdout: Some(stdout) })
    }

    fn until_it_listens(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        while TcpStream::connect(&self.address).is_err() {
            ensure!(started.elapsed() < START_MAX, "the gateway does not start");
            std::thread::yield_now();
        }
        Ok(())
    }

    /// The processor time it has used so far, in user and system mode.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The second field is a name in parentheses; utime and stime are fields 14 and 15 (proc(5)).
        let (_, rest) = stat.rsplit_once(')').context("no name in its state")?;
        let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks: u64 = ticks.sum::<Result<u64, _>>()?;
        Ok(Duration::from_millis(ticks * TICK_MS))
    }

    /// A line of its `/proc` status, in MiB.
    pub(crate) fn memory_mib(&self, name: &str) -> anyhow::Result<u64> {
        let value = field(&format!("/proc/{}/status", self.process.id()), name)?;
        let kib: u64 = value.split(' ').next().unwrap_or_default().parse()?;
        Ok(kib / 1_024)
    }

    /// Asks it to end, and waits.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.process.id())?).context("no process")?;
        rustix::process::kill_process(pid, Signal::TERM)?;
        self.process.wait()?;
        drop(self.stdout);
        Ok(())
    }
}
