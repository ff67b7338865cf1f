#![doc = include_str!("../README.md")]
//! This file names the targets; it refuses to know what they do.

mod archive_request;
mod client_file;
mod event_decode;
mod gateway_endpoint;
mod gateway_head;
mod identity_bearer;
mod inventory_state;
mod json;
mod mcp_header;
mod mcp_listing;
mod mcp_parse;
mod mcp_sse;
mod note_formats;
mod policy_files;
mod s3_listing;
mod script;
mod settings_text;
mod timestamp_response;
mod tlog_checkpoint;
mod tlog_open;
mod tlog_sample;
mod tlog_verify;
mod verify_receipt;
mod witness_request;

pub use crate::archive_request::archive_request;
pub use crate::client_file::client_file;
pub use crate::event_decode::event_decode;
pub use crate::gateway_endpoint::gateway_endpoint;
pub use crate::gateway_head::gateway_head;
pub use crate::identity_bearer::identity_bearer;
pub use crate::inventory_state::inventory_state;
pub use crate::mcp_header::mcp_header;
pub use crate::mcp_listing::mcp_listing;
pub use crate::mcp_parse::mcp_parse;
pub use crate::mcp_sse::mcp_sse;
pub use crate::note_formats::note_formats;
pub use crate::policy_files::policy_files;
pub use crate::s3_listing::s3_listing;
pub use crate::settings_text::settings_text;
pub use crate::timestamp_response::timestamp_response;
pub use crate::tlog_checkpoint::tlog_checkpoint;
pub use crate::tlog_open::tlog_open;
pub use crate::tlog_verify::tlog_verify;
pub use crate::verify_receipt::verify_receipt;
pub use crate::witness_request::witness_request;

/// A target: it panics when the input breaks one of its laws.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its executable and of its folder in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("archive_request", archive_request),
    ("client_file", client_file),
    ("event_decode", event_decode),
    ("gateway_endpoint", gateway_endpoint),
    ("gateway_head", gateway_head),
    ("identity_bearer", identity_bearer),
    ("inventory_state", inventory_state),
    ("mcp_header", mcp_header),
    ("mcp_listing", mcp_listing),
    ("mcp_parse", mcp_parse),
    ("mcp_sse", mcp_sse),
    ("note_formats", note_formats),
    ("policy_files", policy_files),
    ("s3_listing", s3_listing),
    ("settings_text", settings_text),
    ("timestamp_response", timestamp_response),
    ("tlog_checkpoint", tlog_checkpoint),
    ("tlog_open", tlog_open),
    ("tlog_verify", tlog_verify),
    ("verify_receipt", verify_receipt),
    ("witness_request", witness_request),
];
