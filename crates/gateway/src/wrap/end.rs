//! How a wrapped program comes to its end, and what that says of calls without an answer.

use event::Status;
use std::process::ExitStatus;

/// How a wrapped program came to its end.
#[derive(Debug)]
pub enum WrapEnd {
    /// The client closed its side, or the gateway was told to stop; then the program ended.
    Closed(Option<ExitStatus>),
    /// The program ended first.
    ProgramEnded(Option<ExitStatus>),
}

/// What came to its end first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    Client,
    Program,
    Stop,
}

impl First {
    /// The outcome of calls that have no answer then.
    pub(super) fn outcome(self) -> Status {
        match self {
            Self::Program => Status::TransportFailure,
            Self::Client => Status::ClientGone,
            Self::Stop => Status::Unknown,
        }
    }

    /// How the wrap ended, with the status of its program.
    pub(super) fn ended(self, status: Option<ExitStatus>) -> WrapEnd {
        match self {
            Self::Program => WrapEnd::ProgramEnded(status),
            Self::Client | Self::Stop => WrapEnd::Closed(status),
        }
    }
}
