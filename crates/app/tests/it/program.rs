//! Runs the program as a user does, and keeps what it says.

use rustix::process::{Pid, Signal};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Output, Stdio};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_countersign");

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Said {
    /// `None` when a signal ended it.
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    fn of(output: Output) -> Self {
        Self {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What it said, when it succeeded.
    pub(crate) fn good(self) -> String {
        assert_eq!(self.status, Some(0), "{self:#?}");
        self.out
    }

    /// What it said on standard error, when it failed with the status for that.
    pub(crate) fn bad(self) -> String {
        assert_eq!(self.status, Some(1), "{self:#?}");
        assert!(self.err.lines().any(|line| line.starts_with("error: ")), "{self:#?}");
        self.err
    }

    /// The lines of standard output as JSON.
    pub(crate) fn json(self) -> Vec<serde_json::Value> {
        let out = self.good();
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Runs to the end.
pub(crate) fn run(arguments: &[&str]) -> Said {
    Said::of(command(arguments).stdin(Stdio::null()).output().unwrap())
}

/// Runs to the end, with these variables beside the usual ones.
pub(crate) fn run_in(arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    let mut command = command(arguments);
    command.envs(variables.iter().copied());
    Said::of(command.stdin(Stdio::null()).output().unwrap())
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_remove("COUNTERSIGN_LOG");
    command
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The program while it runs.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    errors: BufReader<ChildStderr>,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(arguments, &[])
    }

    /// With these variables beside the usual ones.
    pub(crate) fn start_in(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = command(arguments);
        command.envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let errors = BufReader::new(child.stderr.take().unwrap());
        Self { child, input, output, errors }
    }

    /// Waits for a line on standard error that holds these words; the program ends instead in a
    /// failure of the test.
    pub(crate) fn until_told(&mut self, words: &str) {
        let mut told = String::new();
        while !told.contains(words) {
            let more = self.errors.read_line(&mut told).unwrap();
            assert_ne!(more, 0, "{words}: {told}");
        }
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The next line on standard output.
    pub(crate) fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    pub(crate) fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks it to read its configuration again.
    pub(crate) fn ask_to_reload(&self) {
        self.signal(Signal::HUP);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Closes its input and waits for its end; the rest of what it says.
    pub(crate) fn end(mut self) -> Said {
        drop(self.input.take());
        let (mut out, mut err) = (String::new(), String::new());
        self.output.read_to_string(&mut out).unwrap();
        self.errors.read_to_string(&mut err).unwrap();
        Said { status: self.child.wait().unwrap().code(), out, err }
    }
}
