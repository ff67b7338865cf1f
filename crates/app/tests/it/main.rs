//! The program as its users run it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot set itself up has failed"
)]

mod chains;
mod crash;
mod demo;
mod install;
mod operation;
mod program;
mod revocation;
mod serve;
mod upstream;
mod verify;
mod wrap;
