//! Witnesses and their clients over loopback.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set itself up has failed"
)]

mod client;
mod fake_log;
mod liars;
mod rig;
mod server;
