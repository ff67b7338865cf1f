//! JSON-RPC messages, read in one pass over the bytes and borrowed from them. It refuses whatever
//! two parsers could understand differently, and it knows nothing of transports or sessions.

mod envelope;
mod params;

pub use self::envelope::parse;
pub use self::params::{Meta, Params, Peer, Reference, Subscriptions};
pub(crate) use self::params::{Notes, read_peer};
use crate::id::RequestId;
use crate::malformed::Malformed;
use crate::method::{Method, Target};
use crate::reply::ResultView;

/// A body: one message, or several sent together.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame<'a> {
    /// One message.
    Single(Message<'a>),
    /// A batch, never empty. Whether it is welcome is for [`crate::Revision::allows_batch`] and
    /// the gateway to say.
    Batch(Vec<Message<'a>>),
}

/// A JSON-RPC message.
#[derive(Debug, Clone, PartialEq)]
pub enum Message<'a> {
    /// Wants an answer.
    Request(Request<'a>),
    /// Wants none.
    Notification(Notification<'a>),
    /// Is the answer.
    Response(Response<'a>),
}

/// A request; its target is known to be named.
#[derive(Debug, Clone, PartialEq)]
pub struct Request<'a> {
    /// By which the answer finds it.
    pub id: RequestId,
    /// The method.
    pub method: Method<'a>,
    /// The parameters; empty if there are none.
    pub params: Box<Params<'a>>,
}

/// A notification; its target is known to be named.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification<'a> {
    /// The method.
    pub method: Method<'a>,
    /// The parameters; empty if there are none.
    pub params: Box<Params<'a>>,
}

/// A response.
#[derive(Debug, Clone, PartialEq)]
pub struct Response<'a> {
    /// The id of the request; `None` only for an error about a message whose id was not read.
    pub id: Option<RequestId>,
    /// How it went.
    pub outcome: Outcome<'a>,
}

/// How a request went, by its response.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<'a> {
    /// There is a result, which may still say that a tool failed.
    Result(Box<ResultView<'a>>),
    /// There is a JSON-RPC error. Its message and its `data` stay in the bytes: they may hold
    /// anything.
    Error {
        /// The error code.
        code: i64,
    },
}

impl<'a> Frame<'a> {
    /// The messages, in order.
    #[must_use]
    pub fn messages(&self) -> &[Message<'a>] {
        match self {
            Self::Single(message) => std::slice::from_ref(message),
            Self::Batch(messages) => messages,
        }
    }
}

impl<'a> Message<'a> {
    /// The id of a request, or the one a response answers.
    #[must_use]
    pub fn id(&self) -> Option<&RequestId> {
        match self {
            Self::Request(request) => Some(&request.id),
            Self::Notification(_) => None,
            Self::Response(response) => response.id.as_ref(),
        }
    }

    /// The method, unless it is a response.
    #[must_use]
    pub fn method(&self) -> Option<&Method<'a>> {
        match self {
            Self::Request(request) => Some(&request.method),
            Self::Notification(notification) => Some(&notification.method),
            Self::Response(_) => None,
        }
    }

    /// The parameters, unless it is a response.
    #[must_use]
    pub fn params(&self) -> Option<&Params<'a>> {
        match self {
            Self::Request(request) => Some(&request.params),
            Self::Notification(notification) => Some(&notification.params),
            Self::Response(_) => None,
        }
    }

    /// What the message touches; a response touches nothing by itself.
    ///
    /// # Errors
    /// As [`Method::target`]; never for a message that [`parse`] made.
    pub fn target(&self) -> Result<Target<'_>, Malformed> {
        match self {
            Self::Request(request) => request.method.target(&request.params),
            Self::Notification(notification) => notification.method.target(&notification.params),
            Self::Response(_) => Ok(Target::None),
        }
    }
}
