//! What came out of a call: transport, protocol and tool results told apart, and the reasons for
//! which the gateway itself refuses.

use serde::{Deserialize, Serialize};

/// The result of a call that was passed to its receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Success, failure or anomaly.
    pub class: OutcomeClass,
    /// JSON-RPC error code, when the receiver answered with an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// How many items the gateway hid from a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filtered: Option<u64>,
    /// HTTP status of the reply, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// From the first byte sent upstream to the last byte received, in microseconds.
    pub latency_us: u64,
    /// What happened.
    pub status: Status,
    /// State of the task that the answer speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskState>,
}

/// How far a task has come (MCP 2025-11-25 `TaskStatus`; the tasks extension of 2026-07-28).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// It was ended before it was done.
    Cancelled,
    /// It is done, and its result is there.
    Completed,
    /// It is over and did not do what was asked.
    Failed,
    /// It waits for more input.
    InputRequired,
    /// It is under way.
    Working,
}

impl TaskState {
    /// The word used in events, searches and on screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::InputRequired => "input-required",
            Self::Working => "working",
        }
    }
}

impl Outcome {
    /// An outcome with a status and a latency; codes are added by the caller.
    #[must_use]
    pub fn new(status: Status, latency_us: u64) -> Self {
        Self {
            class: status.class(),
            code: None,
            filtered: None,
            http_status: None,
            latency_us,
            status,
            task: None,
        }
    }
}

/// The three classes that alerts and reports speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeClass {
    /// Something that an honest and healthy receiver does not do, or whose result is unknown.
    Anomaly,
    /// The call did not do what was asked.
    Failure,
    /// The call did what was asked, or is under way as agreed.
    Success,
}

/// What happened to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// A notification or response was taken by the receiver, which owes no answer.
    Accepted,
    /// The caller cancelled it.
    Cancelled,
    /// The caller went away before the answer was complete.
    ClientGone,
    /// The receiver answered with an HTTP error that holds no JSON-RPC error.
    HttpError,
    /// The receiver asks for more input before it completes (multi round-trip).
    InputRequired,
    /// It completed, and the gateway hid items of the list that the caller may not use.
    ListFiltered,
    /// The answer was not a valid message, or not an answer to this call.
    MalformedReply,
    /// The gateway had no credential for the receiver; the call never ran.
    NoCredential,
    /// It completed.
    Ok,
    /// The receiver answered with a JSON-RPC error.
    ProtocolError,
    /// The answer exceeds a configured limit.
    ReplyTooLarge,
    /// A task was created or is under way.
    Task,
    /// No answer within the configured time.
    TimedOut,
    /// A tool ran and reported failure (`isError`).
    ToolError,
    /// The connection broke before the answer was complete.
    TransportFailure,
    /// The gateway stopped or crashed before it knew; nobody can say whether the call ran.
    Unknown,
    /// The receiver could not be reached; the call never ran.
    Unreachable,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 17] = [
        Self::Accepted,
        Self::Cancelled,
        Self::ClientGone,
        Self::HttpError,
        Self::InputRequired,
        Self::ListFiltered,
        Self::MalformedReply,
        Self::NoCredential,
        Self::Ok,
        Self::ProtocolError,
        Self::ReplyTooLarge,
        Self::Task,
        Self::TimedOut,
        Self::ToolError,
        Self::TransportFailure,
        Self::Unknown,
        Self::Unreachable,
    ];

    /// The class of this status.
    #[must_use]
    pub fn class(self) -> OutcomeClass {
        match self {
            Self::Accepted | Self::InputRequired | Self::ListFiltered | Self::Ok | Self::Task => {
                OutcomeClass::Success
            }
            Self::MalformedReply | Self::ReplyTooLarge | Self::Unknown => OutcomeClass::Anomaly,
            Self::Cancelled
            | Self::ClientGone
            | Self::HttpError
            | Self::NoCredential
            | Self::ProtocolError
            | Self::TimedOut
            | Self::ToolError
            | Self::TransportFailure
            | Self::Unreachable => OutcomeClass::Failure,
        }
    }

    /// The word used in events, searches and on screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Cancelled => "cancelled",
            Self::ClientGone => "client-gone",
            Self::HttpError => "http-error",
            Self::InputRequired => "input-required",
            Self::ListFiltered => "list-filtered",
            Self::MalformedReply => "malformed-reply",
            Self::NoCredential => "no-credential",
            Self::Ok => "ok",
            Self::ProtocolError => "protocol-error",
            Self::ReplyTooLarge => "reply-too-large",
            Self::Task => "task",
            Self::TimedOut => "timed-out",
            Self::ToolError => "tool-error",
            Self::TransportFailure => "transport-failure",
            Self::Unknown => "unknown",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Why the gateway refused a call. The caller sees `code`; the record also holds the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// JSON-RPC error code sent to the caller.
    pub code: i64,
    /// HTTP status sent to the caller; absent on stdio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// Stable reason code, such as `policy.forbid` or `identity.expired`.
    pub reason: String,
}
