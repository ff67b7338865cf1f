#![doc = include_str!("../README.md")]

mod client;
mod directory;
mod evidence;
mod keys;
mod logs;
mod quorum;
mod request;
mod server;
mod state;
mod storage;
mod witness;

pub use client::{BadUrl, Client, Cosigned, Failure, Known, Reason, Settings};
pub use directory::{Added, DirectoryError, add_log, forget_log, init, status};
pub use keys::KeysError;
pub use logs::{LOGS_MAX, LogsError, ORIGIN_BYTES_MAX};
pub use quorum::{OnNoQuorum, State, Watch};
pub use request::{BadRequest, PROOF_LINES_MAX, REQUEST_BYTES_MAX, Request};
pub use server::{Clock, Limits, Server};
pub use state::{LogState, StateError};
pub use witness::{Inconsistency, Refusal, Witness, policy_lines};
