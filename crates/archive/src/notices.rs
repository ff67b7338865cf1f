//! How this crate puts on record what it does: through the recorder of the log, or, in tests, anything.
//!
//! Knows no log: only that a notice is durable, or was not taken.

use event::Kind;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

/// The recording of a notice: done when the notice is durable.
pub type Recording<'a> = Pin<Box<dyn Future<Output = Result<(), Unrecorded>> + Send + 'a>>;

/// Takes notices for the log.
///
/// **Durability.** When the recording ends well, the notice is on stable storage. **Cancellation.** When
/// the recording is dropped, the notice may be in the log or not.
pub trait Notices: Debug + Send + Sync {
    /// Records an event of this kind with these details; keys are ASCII.
    fn notice(&self, kind: Kind, details: BTreeMap<String, String>) -> Recording<'_>;
}

/// The log did not take a notice: what depends on it must not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this cannot be put on record: {0}")]
pub struct Unrecorded(pub String);

impl Notices for audit::Recorder {
    fn notice(&self, kind: Kind, details: BTreeMap<String, String>) -> Recording<'_> {
        Box::pin(async move {
            let recorded = Self::notice(self, kind, details).await;
            recorded.map(|_| ()).map_err(|error| Unrecorded(error.to_string()))
        })
    }
}
