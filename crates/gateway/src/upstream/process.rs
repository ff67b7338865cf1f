//! A server program on standard input and output: one message a line. It knows lines, not messages.
//!
//! Shutdown follows the stdio transport of MCP: close its input, wait, terminate, kill.

use super::one_line::one_line;
use crate::config::{Command, Stderr};
use crate::proof::Cleared;
use crate::queue::{Bound, Closed, Receiver, Sender, queue};
use bytes::{Bytes, BytesMut};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::Mutex;

/// Lines that may wait for a program that is slow to read its input.
const INPUT: Bound = Bound { items: 256, bytes: 8 << 20 };

/// How long a line waits for room among them; then the program counts as stuck, and the call fails unsent.
const STALL_MAX: Duration = Duration::from_secs(10);

/// How long a program may take to end by itself once its input is closed, and again once it was asked
/// to terminate.
const EXIT_GRACE: Duration = Duration::from_secs(2);

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start server program `{program}`: {reason}")]
pub struct SpawnError {
    program: String,
    reason: String,
}

/// The input of a running program.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    lines: Sender<Bytes>,
    /// How long one line may wait for room.
    patience: Duration,
}

/// The program no longer reads its input.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    /// The program ended or closed its input.
    #[error("server program does not read its input any more")]
    Closed,
    /// The program reads nothing, and as many lines wait as are allowed.
    #[error("server program has read nothing for {} s", .0.as_secs())]
    Stalled(Duration),
}

/// A running program whose output has not been taken.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    output: Option<BufReader<ChildStdout>>,
    input: Option<Input>,
}

impl Process {
    /// Starts the program.
    pub(crate) fn spawn(command: &Command) -> Result<Self, SpawnError> {
        let failed = |reason: String| SpawnError { program: command.program.clone(), reason };
        let mut builder = tokio::process::Command::new(&command.program);
        builder
            .args(&command.arguments)
            .env_clear()
            .envs(command.environment.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(match command.stderr {
                Stderr::Discard => Stdio::null(),
                Stderr::Inherit => Stdio::inherit(),
            })
            .kill_on_drop(true);
        if let Some(directory) = &command.directory {
            builder.current_dir(directory);
        }
        let mut child = builder.spawn().map_err(|e| failed(e.to_string()))?;
        let stdin = child.stdin.take().ok_or_else(|| failed("no standard input".to_owned()))?;
        let stdout = child.stdout.take().ok_or_else(|| failed("no standard output".to_owned()))?;
        let (lines, waiting) = queue(INPUT);
        tokio::spawn(write_lines(stdin, waiting));
        Ok(Self {
            child,
            output: Some(BufReader::new(stdout)),
            input: Some(Input { lines, patience: STALL_MAX }),
        })
    }

    /// The program's input; can be taken once, and is closed when the last clone of it is gone.
    pub(crate) fn take_input(&mut self) -> Option<Input> {
        self.input.take()
    }

    /// The program's output; can be taken once.
    pub(crate) fn take_output(&mut self) -> Option<BufReader<ChildStdout>> {
        self.output.take()
    }

    /// Closes the input, gives the program time to end, then terminates and at last kills it. All
    /// clones of the input must be gone, or the program is terminated after the first wait.
    pub(crate) async fn end(self) -> std::io::Result<ExitStatus> {
        let Self { mut child, input, output } = self;
        drop(input);
        drop(output);
        if let Ok(status) = tokio::time::timeout(EXIT_GRACE, child.wait()).await {
            return status;
        }
        terminate(&child);
        if let Ok(status) = tokio::time::timeout(EXIT_GRACE, child.wait()).await {
            return status;
        }
        child.kill().await?;
        child.wait().await
    }
}

/// Asks the program to terminate, where the system has such a request.
fn terminate(child: &Child) {
    #[cfg(unix)]
    if let Some(pid) =
        child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
        && let Err(error) = rustix::process::kill_process(pid, rustix::process::Signal::TERM)
    {
        tracing::debug!(%error, "server program could not be asked to terminate");
    }
    #[cfg(not(unix))]
    let _unused = child;
}

impl Input {
    /// Sends one line. Only bytes cleared by the proofs of their call can be sent.
    pub(crate) async fn send(&self, line: Cleared) -> Result<(), InputError> {
        self.send_own(line.into_bytes()).await
    }

    /// Sends a line that the gateway itself wrote in answer to the server.
    pub(crate) async fn send_own(&self, line: Bytes) -> Result<(), InputError> {
        match tokio::time::timeout(self.patience, self.lines.send(line)).await {
            Ok(sent) => sent.map_err(|Closed| InputError::Closed),
            Err(_) => Err(InputError::Stalled(self.patience)),
        }
    }
}

async fn write_lines(mut stdin: ChildStdin, mut queue: Receiver<Bytes>) {
    while let Some(line) = queue.recv().await {
        let line = one_line(line);
        let written = async {
            stdin.write_all(&line).await?;
            if !line.ends_with(b"\n") {
                stdin.write_all(b"\n").await?;
            }
            stdin.flush().await
        };
        if let Err(error) = written.await {
            tracing::debug!(%error, "server program closed its input");
            return;
        }
    }
}

/// What the next line is.
#[derive(Debug)]
pub(crate) enum Line {
    /// A line, with its line feed where it had one.
    Whole(Bytes),
    /// A line over the limit; it was read to its end and dropped.
    TooLong,
}

/// Reads the next line, at most `bytes_max` bytes; `None` at the end.
pub(crate) async fn read_line<R: AsyncBufRead + Unpin>(
    reader: &mut R,
    bytes_max: usize,
) -> std::io::Result<Option<Line>> {
    let mut line = BytesMut::new();
    let mut too_long = false;
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            return Ok(match (too_long, line.is_empty()) {
                (true, _) => Some(Line::TooLong),
                (false, true) => None,
                (false, false) => Some(Line::Whole(line.freeze())),
            });
        }
        let (take, ends) = match available.iter().position(|b| *b == b'\n') {
            Some(at) => (at + 1, true),
            None => (available.len(), false),
        };
        if line.len() + take > bytes_max {
            too_long = true;
            line.clear();
        }
        if !too_long {
            line.extend_from_slice(available.get(..take).unwrap_or_default());
        }
        reader.consume(take);
        if ends {
            return Ok(Some(if too_long { Line::TooLong } else { Line::Whole(line.freeze()) }));
        }
    }
}

/// A program shared by tasks: its handle is taken by whoever ends it.
pub(crate) type Shared = Mutex<Option<Process>>;

#[cfg(test)]
mod tests {
    use super::{Input, InputError, Line, Process, read_line};
    use crate::config::{Command, Stderr};
    use crate::queue::{Bound, queue};
    use crate::upstream::one_line::one_line;
    use bytes::Bytes;
    use std::time::Duration;
    use tokio::io::BufReader;

    async fn lines(input: &[u8], max: usize) -> Vec<Option<Vec<u8>>> {
        let mut reader = BufReader::with_capacity(3, input);
        let mut out = Vec::new();
        while let Some(line) = read_line(&mut reader, max).await.unwrap() {
            out.push(match line {
                Line::Whole(bytes) => Some(bytes.to_vec()),
                Line::TooLong => None,
            });
        }
        out
    }

    #[tokio::test]
    async fn lines_are_cut_at_line_feeds_and_bounded() {
        assert_eq!(
            lines(b"one\r\ntwo\n\nlast", 10).await,
            vec![
                Some(b"one\r\n".to_vec()),
                Some(b"two\n".to_vec()),
                Some(b"\n".to_vec()),
                Some(b"last".to_vec())
            ]
        );
        assert_eq!(lines(b"0123456789\nok\n", 5).await, vec![None, Some(b"ok\n".to_vec())]);
        assert_eq!(lines(b"0123456789", 5).await, vec![None]);
    }

    #[test]
    fn nothing_inside_a_message_ends_its_line() {
        for (message, line) in [
            ("{}", "{}"),
            ("{}\n", "{}\n"),
            ("{}\r\n", "{}\r\n"),
            (" {\t} \n", " {\t} \n"),
            ("{\"a\":\r1}\n", "{\"a\": 1}\n"),
            ("{\r\n\"a\":\n1}", "{  \"a\": 1}"),
            ("{}\r\r\n", "{} \r\n"),
            ("{}\r", "{} "),
        ] {
            assert_eq!(one_line(Bytes::from_static(message.as_bytes())), line, "{message:?}");
        }
    }

    #[tokio::test]
    async fn a_program_that_does_not_read_holds_nobody_up() {
        let (lines, mut queue) = queue(Bound { items: 256, bytes: 1 });
        let input = Input { lines, patience: Duration::from_millis(1) };
        input.send_own(Bytes::from_static(b"1")).await.unwrap();
        let stalled = input.send_own(Bytes::from_static(b"2")).await;
        assert!(matches!(stalled, Err(InputError::Stalled(_))));
        assert_eq!(queue.recv().await.unwrap(), "1");
        input.send_own(Bytes::from_static(b"3")).await.unwrap();
        assert_eq!(queue.recv().await.unwrap(), "3", "what had no room was not sent");
        drop(queue);
        let closed = input.send_own(Bytes::from_static(b"4")).await;
        assert!(matches!(closed, Err(InputError::Closed)));
    }

    #[tokio::test]
    async fn a_program_that_does_not_exist_is_named() {
        let error = Process::spawn(&Command {
            program: "/no/such/program".to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: None,
            stderr: Stderr::Discard,
        })
        .unwrap_err();
        assert!(error.to_string().starts_with("cannot start server program `/no/such/program`: "));
    }
}
