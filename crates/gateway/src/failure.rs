//! What the client is told when its call was permitted and brings no answer that can be passed on. It
//! puts nothing on record.

use crate::refusal::{Detail, error_message, json_response};
use crate::upstream::http::SendError;
use bytes::Bytes;
use event::Status;
use http::{Response, StatusCode};

/// A call that was sent, or could not be, and brought no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    /// With which the server took the message, where that is all it said.
    pub(crate) http_status: Option<u16>,
    /// What is known of the client.
    pub(crate) client: Option<&'static str>,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(status: Status, message: &str) -> Self {
        Self { status, http_status: None, client: None, message: message.to_owned() }
    }

    /// Code, HTTP status and stable reason of this failure.
    pub(crate) fn terms(&self) -> (i64, StatusCode, &'static str) {
        match self.status {
            Status::Unreachable => (50_200, StatusCode::BAD_GATEWAY, "upstream.unreachable"),
            Status::NoCredential => {
                (50_311, StatusCode::SERVICE_UNAVAILABLE, "credential.unavailable")
            }
            Status::TimedOut => (50_400, StatusCode::GATEWAY_TIMEOUT, "upstream.timed-out"),
            Status::ReplyTooLarge => (50_202, StatusCode::BAD_GATEWAY, "upstream.reply-too-large"),
            Status::MalformedReply => (50_203, StatusCode::BAD_GATEWAY, "upstream.malformed-reply"),
            Status::Unknown => (50_301, StatusCode::SERVICE_UNAVAILABLE, "gateway.overloaded"),
            _ => (50_201, StatusCode::BAD_GATEWAY, "upstream.broke"),
        }
    }

    /// The JSON-RPC error for the caller.
    pub(crate) fn error(&self, call: &crate::call::Call, id: event::CallId) -> Bytes {
        let (code, _, reason) = self.terms();
        error_message(call.id.as_ref(), code, &self.message, &Detail { call: id, reason })
    }

    pub(crate) fn response(
        &self,
        call: &crate::call::Call,
        id: event::CallId,
    ) -> Response<crate::body::ReplyBody> {
        json_response(self.terms().1, self.error(call, id))
    }
}

impl From<&SendError> for Failure {
    fn from(error: &SendError) -> Self {
        let status = match error {
            SendError::Unreachable(_) | SendError::Unproven(_) => Status::Unreachable,
            SendError::NoCredential => Status::NoCredential,
            SendError::Broken(_) => Status::TransportFailure,
            SendError::NotTaken(_) => Status::HttpError,
            SendError::TimedOut(_) => Status::TimedOut,
            SendError::Full(_) => Status::Unknown,
        };
        let http_status = match error {
            SendError::NotTaken(status) => Some(status.as_u16()),
            _ => None,
        };
        Self { status, http_status, client: None, message: error.to_string() }
    }
}

/// The call was carried out, but its answer could not be put on record, so it is not released.
pub(crate) fn unrecorded(
    call: &crate::call::Call,
    id: event::CallId,
    error: &audit::Unavailable,
) -> Response<crate::body::ReplyBody> {
    let message = format!("the call ran, but its answer could not be put on record: {error}");
    let detail = Detail { call: id, reason: "log.unavailable" };
    json_response(
        StatusCode::SERVICE_UNAVAILABLE,
        error_message(call.id.as_ref(), 50_300, &message, &detail),
    )
}
