//! Refusals of requests that are no calls: for paths and with methods that are not served. Anybody can send
//! them as fast as the network goes, so that each has a record of its own only up to a bound; what comes
//! beyond it is on record as a number.

use audit::Recorder;
use event::{Actor, Chain, Direction, Event};

/// Records of single requests in one minute; scanners send thousands.
pub(crate) const SINGLE_MAX: u32 = 60;

/// Code in the record of what was only counted.
const CODE: i64 = 40_421;

/// Puts on record how many requests were only counted, durable with the next group commit.
pub(crate) fn record(recorder: &Recorder, counted: u64) {
    if counted == 0 {
        return;
    }
    let mut event = Event::refused(
        recorder.stamp(None, None),
        event::Refused {
            call: recorder.call_id(),
            actor: Actor::anonymous(),
            direction: Direction::ToServer,
            resource: None,
            decision: None,
            refusal: event::Refusal {
                code: CODE,
                http_status: None,
                reason: "http.more-refused".to_owned(),
            },
            request_bytes: 0,
            client: None,
            protocol: None,
            session: None,
            chain: Chain::default(),
        },
    );
    event.details.insert("refused".to_owned(), counted.to_string());
    if let Err(error) = recorder.submit(&event) {
        tracing::error!(counted, %error, "requests that were refused could not be put on record");
    }
}
