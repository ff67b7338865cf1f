//! Results on standard output. A reader that has seen enough (`| head`) ends the program quietly.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// Writes a line.
///
/// # Errors
/// When standard output cannot be written; [`is_closed_pipe`] tells the harmless case.
pub(crate) fn line(text: impl std::fmt::Display) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")
}

/// Whether an error only says that nobody reads any more.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
}

/// Reports an error on standard error, with its causes.
pub(crate) fn error(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    // There is nowhere left to say that standard error is gone.
    writeln!(std::io::stderr().lock(), "error: {error:#}").ok();
    ExitCode::FAILURE
}

/// A hint or note for people on standard error.
pub(crate) fn note(text: impl std::fmt::Display) {
    writeln!(std::io::stderr().lock(), "{text}").ok();
}
