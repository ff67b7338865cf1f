//! The program as its users run it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot set itself up has failed"
)]

mod crash;
mod demo;
mod operation;
mod program;
mod serve;
mod verify;
mod wrap;
