//! The server behind the gateway, over HTTP, HTTP+SSE or as a local program. Everything that goes there needs
//! the proofs of its call.

pub(crate) mod bridge;
pub(crate) mod conversation;
pub(crate) mod http;
pub(crate) mod lanes;
pub(crate) mod lines;
pub(crate) mod one_line;
pub(crate) mod peer;
pub(crate) mod process;
pub(crate) mod splice;
pub(crate) mod sse;
pub(crate) mod waiting;

use self::bridge::Bridge;
use self::http::HttpUpstream;
use self::sse::SseUpstream;

/// A closed set: a new transport is a new variant.
#[derive(Debug)]
pub(crate) enum Upstream {
    Http(HttpUpstream),
    Stdio(Bridge),
    Sse(Box<SseUpstream>),
}

impl Upstream {
    /// Whether it is behind a network, and not a program of the gateway's own.
    pub(crate) fn is_remote(&self) -> bool {
        match self {
            Self::Http(_) | Self::Sse(_) => true,
            Self::Stdio(_) => false,
        }
    }
}
