//! Why a body was refused. It refuses to know what the body contained: messages name fields,
//! places and limits, never values.

use std::fmt;

use thiserror::Error;

use crate::code;
use crate::id::RequestId;

/// A body that is not a message we can vouch for.
///
/// The message is fit for the client.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{fault}{}", Place(*at))]
pub struct Malformed {
    fault: Fault,
    at: Option<usize>,
    id: Option<Box<RequestId>>,
}

/// What is wrong with the body. Fields are named as on the wire, from the envelope down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// No bytes, or nothing but blanks.
    #[error("the body is empty: send one JSON-RPC message")]
    Empty,
    /// The body looks like UTF-16 or UTF-32.
    #[error("the body is not in UTF-8 but looks like UTF-16 or UTF-32: send UTF-8")]
    WideEncoding,
    /// A byte order mark opens the body.
    #[error("the body opens with a byte order mark: leave it out")]
    ByteOrderMark,
    /// Invalid UTF-8.
    #[error("the body is not valid UTF-8")]
    NotUtf8,
    /// A byte that JSON does not allow here (RFC 8259).
    #[error("the body is not valid JSON")]
    NotJson,
    /// The body ends inside its value.
    #[error("the body ends before its JSON value does")]
    Truncated,
    /// Something follows the one JSON value.
    #[error("the body goes on after its JSON value: send one value")]
    TrailingBytes,
    /// A raw control character or an unknown escape in a string (RFC 8259, section 7).
    #[error("a string has a raw control character or an unknown escape")]
    BadString,
    /// A number outside the grammar (RFC 8259, section 6).
    #[error("a number is not written as JSON wants it")]
    BadNumber,
    /// Half of a surrogate pair in a key or in a field we read (RFC 7493, section 2.1).
    #[error("a key or a field that is read has half of a surrogate pair")]
    LoneSurrogate,
    /// More open objects and arrays than [`crate::Limits::depth_max`].
    #[error("the body is nested deeper than {max} levels")]
    TooDeep {
        /// The limit in levels.
        max: usize,
    },
    /// One object has a key twice.
    #[error("an object has the same key twice: send each key once")]
    DuplicateKey,
    /// A key that equals one we read but for its case; some parsers take one for the other.
    #[error("a key differs only in case from one of the protocol: write it as the protocol does")]
    LookalikeKey,
    /// The message is a scalar.
    #[error("a message must be a JSON object")]
    NotAnObject,
    /// An empty array.
    #[error("a batch must hold at least one message")]
    EmptyBatch,
    /// An array in an array.
    #[error("a batch must not hold another batch")]
    NestedBatch,
    /// More messages than [`crate::Limits::batch_max`].
    #[error("a batch must not hold more than {max} messages")]
    BatchTooLong {
        /// The limit in messages.
        max: usize,
    },
    /// `jsonrpc` is absent or not the string `2.0`.
    #[error("`jsonrpc` must be the string `2.0`")]
    WrongVersion,
    /// A required field is absent.
    #[error("`{field}` is required")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field has another type than the schema gives it.
    #[error("`{field}` must be {expected}")]
    WrongType {
        /// The field.
        field: &'static str,
        /// What it must be, with its article.
        expected: &'static str,
    },
    /// A name, a URI or a method without a character.
    #[error("`{field}` must not be empty")]
    EmptyText {
        /// The field.
        field: &'static str,
    },
    /// A text beyond its limit.
    #[error("`{field}` is longer than {max} bytes")]
    TooLong {
        /// The field.
        field: &'static str,
        /// The limit in bytes.
        max: usize,
    },
    /// A control character in a method, a name, a URI or a task id.
    #[error("`{field}` must not hold a control character")]
    ControlCharacter {
        /// The field.
        field: &'static str,
    },
    /// More entries than [`crate::Limits::items_max`].
    #[error("`{field}` has more than {max} entries")]
    TooMany {
        /// The field.
        field: &'static str,
        /// The limit in entries.
        max: usize,
    },
    /// `id` is null where only an error response may have none.
    #[error("`id` must not be null")]
    NullId,
    /// A method that is a notification came with an `id`.
    #[error("`id` must be left out: this method is a notification")]
    UnexpectedId,
    /// Both `result` and `error`.
    #[error("a response has either `result` or `error`, not both")]
    ResultAndError,
    /// `method` beside `result` or `error`.
    #[error("a message is a request or a response, not both")]
    MethodAndResult,
    /// Neither `method` nor `result` nor `error`.
    #[error("a message needs `method`, `result` or `error`")]
    NoKind,
}

impl Malformed {
    /// The fault, without its place.
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// The offset in bytes at which the fault was noticed, counted from the start of the body.
    #[must_use]
    pub fn at(&self) -> Option<usize> {
        self.at
    }

    /// The id of the refused message, where it was read before the fault: an answer repeats it.
    /// Never known for a message inside a batch, as the batch is refused as a whole.
    #[must_use]
    pub fn id(&self) -> Option<&RequestId> {
        self.id.as_deref()
    }

    /// The JSON-RPC error code for the answer; see [`code::http_status`] for its status.
    #[must_use]
    pub fn code(&self) -> i64 {
        self.fault.code()
    }

    pub(crate) fn new(fault: Fault, at: usize) -> Self {
        Self { fault, at: Some(at), id: None }
    }

    pub(crate) fn nowhere(fault: Fault) -> Self {
        Self { fault, at: None, id: None }
    }

    pub(crate) fn with_id(mut self, id: Option<&RequestId>) -> Self {
        self.id = id.cloned().map(Box::new);
        self
    }
}

impl Fault {
    /// The JSON-RPC error code: not JSON, not a message, or not the parameters of its method.
    #[must_use]
    pub fn code(self) -> i64 {
        match self {
            Self::Empty
            | Self::WideEncoding
            | Self::ByteOrderMark
            | Self::NotUtf8
            | Self::NotJson
            | Self::Truncated
            | Self::TrailingBytes
            | Self::BadString
            | Self::BadNumber
            | Self::LoneSurrogate => code::PARSE_ERROR,
            Self::Missing { field }
            | Self::WrongType { field, .. }
            | Self::EmptyText { field }
            | Self::TooLong { field, .. }
            | Self::ControlCharacter { field }
            | Self::TooMany { field, .. }
                if field.starts_with("params.") =>
            {
                code::INVALID_PARAMS
            }
            _ => code::INVALID_REQUEST,
        }
    }
}

struct Place(Option<usize>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => write!(f, " (at byte {at})"),
            None => Ok(()),
        }
    }
}
