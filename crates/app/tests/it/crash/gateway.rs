//! The program under test as an operator runs it: `init`, `serve`, `verify`, `search`, a kill.

use super::load::Target;
use anyhow::Context as _;
use rustix::process::{Pid, Signal};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use tlog::{Log, Signer};

const PROGRAM: &str = env!("CARGO_BIN_EXE_countersign");

/// Small, so that many segments begin and end during the test.
const SEGMENT_BYTES: u64 = 256 * 1_024;

/// Lines of the gateway's standard error that are kept to explain a failure.
const LINES_KEPT: usize = 100;

/// A directory with configuration, keys, policy and log.
pub(super) struct Site {
    directory: PathBuf,
    upstream: String,
    /// The lines of the configuration that say who may call.
    identity: String,
    pub(super) target: Target,
}

impl Site {
    /// Makes everything by `countersign init`, with a log of small segments in place of its own.
    pub(super) fn make(directory: &Path, upstream: &str) -> anyhow::Result<Self> {
        let made =
            Command::new(PROGRAM).arg("init").arg(directory).args(["--url", upstream]).output()?;
        let said = String::from_utf8(made.stdout)?;
        anyhow::ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let key = said.lines().find_map(|line| line.trim().strip_prefix("Authorization: Bearer "));
        let target =
            Target { host: own_address(), key: key.context("no key in `{said}`")?.to_owned() };
        let text = std::fs::read_to_string(directory.join("countersign.toml"))?;
        let (_, identity) =
            text.split_once("[[identity.api_key]]").context("no key in the file")?;
        let identity = format!("[[identity.api_key]]{identity}");
        std::fs::remove_dir_all(directory.join("log"))?;
        let signer = std::fs::read_to_string(directory.join("keys/log.key"))?;
        let clock = audit::Clock::start();
        let mut config = tlog::Config::new(Arc::new(move || clock.now().unix_ms()));
        config.segment_bytes = SEGMENT_BYTES;
        Log::create(&directory.join("log"), Signer::from_text(signer.trim_end())?, config)?
            .close()?;
        let site = Self {
            directory: directory.to_owned(),
            upstream: upstream.to_owned(),
            identity,
            target,
        };
        Ok(site)
    }

    /// Writes the configuration; `answers` says when the record of an answer is durable.
    pub(super) fn configure(&self, answers: &str) -> anyhow::Result<()> {
        let text = format!(
            "[gateway]\nname = \"gateway-1\"\nlisten = \"{}\"\nanswers = \"{answers}\"\n\
             [server]\nname = \"server-1\"\nurl = \"{}\"\n\
             [log]\nsegment_bytes = {SEGMENT_BYTES}\npublish_interval_ms = 100\n\n{}",
            self.target.host, self.upstream, self.identity
        );
        Ok(std::fs::write(self.configuration(), text)?)
    }

    /// Starts `serve` and waits until it says that it serves.
    pub(super) fn serve(&self) -> anyhow::Result<Gateway> {
        let mut child = Command::new(PROGRAM)
            .args(["serve", "--config"])
            .arg(self.configuration())
            .env("COUNTERSIGN_LOG", "warn,countersign=info")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take().context("no standard error")?;
        let mut lines = BufReader::new(stderr).lines();
        let mut said = Vec::new();
        for line in lines.by_ref() {
            let line = line?;
            let serves = line.contains("serving MCP on ");
            said.push(line);
            if serves {
                let rest = std::thread::spawn(move || {
                    lines.map_while(Result::ok).take(LINES_KEPT).collect()
                });
                return Ok(Gateway { child, said, rest });
            }
        }
        anyhow::bail!("`serve` ended with {}: {}", child.wait()?, said.join("\n"));
    }

    /// Runs `verify --json`: its exit status and what it found. `checkpoint` is one that was kept.
    pub(super) fn verify(&self, checkpoint: Option<&Path>) -> anyhow::Result<(Option<i32>, Value)> {
        let mut command = Command::new(PROGRAM);
        command.arg("verify").arg(self.log()).arg("--json");
        command.arg("--key").arg(self.directory.join("keys/log.key.pub"));
        if let Some(checkpoint) = checkpoint {
            command.arg("--checkpoint").arg(checkpoint);
        }
        let output = command.output()?;
        let found = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        Ok((output.status.code(), found))
    }

    /// Runs `search --json` for all calls.
    pub(super) fn search(&self) -> anyhow::Result<Vec<u8>> {
        let output = Command::new(PROGRAM).arg("search").arg(self.log()).arg("--json").output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    }

    /// Keeps a copy of the published checkpoint, as an auditor would.
    pub(super) fn keep_checkpoint(&self) -> anyhow::Result<PathBuf> {
        let kept = self.directory.join("kept-checkpoint");
        std::fs::copy(self.log().join("checkpoint"), &kept)?;
        Ok(kept)
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    fn configuration(&self) -> PathBuf {
        self.directory.join("countersign.toml")
    }
}

/// A running `serve`.
pub(super) struct Gateway {
    child: Child,
    said: Vec<String>,
    rest: JoinHandle<Vec<String>>,
}

impl Gateway {
    /// Ends it at once, as a crash would: SIGKILL, nothing is flushed or closed in order.
    pub(super) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end, and waits for it.
    pub(super) fn terminate(mut self) -> anyhow::Result<(ExitStatus, String)> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("no process")?;
        rustix::process::kill_process(pid, Signal::TERM)?;
        let status = self.child.wait()?;
        self.said.extend(self.rest.join().unwrap_or_default());
        Ok((status, self.said.join("\n")))
    }
}

/// A loopback address that no other process of this machine uses, so that the port is free whenever
/// the gateway starts again: outgoing connections come from 127.0.0.1.
fn own_address() -> String {
    let [.., a, b, c] = std::process::id().to_be_bytes();
    format!("127.{}.{b}.{c}:8700", a.max(1))
}
