//! Which answer belongs to which question. Holds only the open calls, so that a log of any length can be
//! checked in one pass.

use event::{CallId, Event, Kind};
use std::collections::HashMap;

/// The open calls while a log is read from its beginning.
#[derive(Debug, Default)]
pub(crate) struct Pairing {
    open: HashMap<CallId, u64>,
}

impl Pairing {
    /// Takes the next event. `Err` says why it does not fit what came before.
    pub(crate) fn take(&mut self, index: u64, event: &Event) -> Result<(), String> {
        match (event.kind, event.call) {
            (Kind::CallAsked, Some(call)) => match self.open.insert(call, index) {
                None => Ok(()),
                Some(earlier) => Err(format!("call {call} was already asked in entry {earlier}")),
            },
            (Kind::CallAnswered | Kind::CallInDoubt, Some(call)) => {
                let Some(asked) = self.open.remove(&call) else {
                    return Err(format!("call {call} is answered but not open"));
                };
                if event.asked == Some(asked) {
                    Ok(())
                } else {
                    Err(format!(
                        "call {call} was asked in entry {asked}, not where its answer says"
                    ))
                }
            }
            (
                Kind::CallAsked | Kind::CallAnswered | Kind::CallInDoubt | Kind::CallRefused,
                None,
            ) => Err("the record of a call names no call".to_owned()),
            _ => Ok(()),
        }
    }

    /// How many calls are open.
    pub(crate) fn open_calls(&self) -> u64 {
        u64::try_from(self.open.len()).unwrap_or(u64::MAX)
    }

    /// The open calls with the index of their `call.asked`, in that order.
    pub(crate) fn into_open(self) -> Vec<(CallId, u64)> {
        let mut open: Vec<(CallId, u64)> = self.open.into_iter().collect();
        open.sort_by_key(|(_, asked)| *asked);
        open
    }
}
