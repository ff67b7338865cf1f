//! The public surface of the crate, driven with data. These tests refuse to know how it is done.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of a test fails like the test itself"
)]

mod build;
mod fields;
mod header;
mod listing;
mod methods;
mod reply;
mod sse;
mod strictness;

use mcp::{Frame, Limits, Malformed, Message};

/// Reads a body that is one message.
fn parse_one(body: &str) -> Result<Message<'_>, Malformed> {
    mcp::parse(body.as_bytes(), &Limits::default()).map(|frame| match frame {
        Frame::Single(message) => message,
        Frame::Batch(mut messages) => messages.remove(0),
    })
}

/// A request with these parameters.
fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}
