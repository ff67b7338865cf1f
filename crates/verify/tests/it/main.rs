//! Logs that the real writer made, judged by the verifier that shares no code with it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set itself up has failed"
)]

mod writer;
