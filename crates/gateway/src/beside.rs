//! What others serve on the same address beside the MCP endpoint, such as the published files of the log.
//!
//! Knows nothing of what that is: a request, its body read where one is wanted, gets a whole answer. No call goes
//! this way.

use bytes::Bytes;
use http::Response;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

/// A request without its body.
pub type RequestHead = http::request::Parts;

/// An answer in the making. It is dropped when the client goes away.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Response<Bytes>> + Send + 'a>>;

/// Serves requests whose path is not that of the MCP endpoint.
///
/// **Order.** It is asked before `/healthz` is looked at, and may be asked by many connections at once.
pub trait Beside: Debug + Send + Sync {
    /// The most bytes that the body of this request may have. Nothing when none is wanted: then it is not
    /// read. A larger one is refused here.
    fn body_bytes_max(&self, _request: &RequestHead) -> Option<usize> {
        None
    }

    /// The answer to a request with this body, or nothing when its path is none of those served here.
    fn answer<'a>(&'a self, request: &'a RequestHead, body: Bytes) -> Option<Answering<'a>>;
}
