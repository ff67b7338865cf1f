//! The processes that are measured: how they are started, found, watched and ended.

use crate::proc;
use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal};
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to start.
const START_MAX: Duration = Duration::from_secs(300);

/// A running process that takes calls.
pub(crate) struct Child {
    process: std::process::Child,
    /// Address and port.
    pub(crate) address: String,
    /// Kept open for those that write to it.
    stdout: Option<BufReader<ChildStdout>>,
}

impl Child {
    /// This program again, in another role; its first line says where it listens.
    pub(crate) fn own(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process =
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut stdout = BufReader::new(process.stdout.take().context("no standard output")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        Ok(Self { process, address: line.trim().to_owned(), stdout: Some(stdout) })
    }

    /// A program of others that was told to listen there; returns when it does.
    pub(crate) fn other(mut command: Command, address: String) -> anyhow::Result<Self> {
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let mut child = Self { process, address, stdout: None };
        let started = Instant::now();
        while TcpStream::connect(&child.address).is_err() {
            if let Some(status) = child.process.try_wait()? {
                anyhow::bail!("it ended at once: {status}");
            }
            ensure!(started.elapsed() < START_MAX, "it does not start");
            std::thread::yield_now();
        }
        Ok(child)
    }

    /// The processor time that it and what it started have used so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        proc::family(self.process.id())?.into_iter().map(proc::cpu).sum()
    }

    /// Resident memory of it and of what it started, in MiB. Pages that they share count twice.
    pub(crate) fn resident_mib(&self) -> anyhow::Result<u64> {
        let family = proc::family(self.process.id())?.into_iter();
        Ok(family.map(proc::resident_kib).sum::<anyhow::Result<u64>>()? / 1_024)
    }

    /// Asks it and what it started to end, and waits.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        for process in proc::family(self.process.id())?.into_iter().rev() {
            let pid = Pid::from_raw(i32::try_from(process)?).context("no process")?;
            // It may have ended by itself, as those do whose parent was asked first.
            rustix::process::kill_process(pid, Signal::TERM).ok();
        }
        self.process.wait()?;
        drop(self.stdout);
        Ok(())
    }
}

/// Free until this moment; nobody else is expected to take it in the next.
pub(crate) fn free_address() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
