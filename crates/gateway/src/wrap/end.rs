//! How a wrapped program comes to its end. Knows nothing of its calls.

use std::process::ExitStatus;

/// How a wrapped program came to its end.
#[derive(Debug)]
pub enum WrapEnd {
    /// The client closed its side, or the gateway was told to stop; then the program ended.
    Closed(Option<ExitStatus>),
    /// The program ended first.
    ProgramEnded(Option<ExitStatus>),
}
