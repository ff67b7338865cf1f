//! Calls that go on with one another: all records of the chain of one call. Knows ids, not what they did.

use crate::search::Record;
use event::CallId;
use std::collections::{HashMap, HashSet};

/// The records that hang together with the calls `wanted` says, in their order.
pub(crate) fn of(records: Vec<Record>, wanted: impl Fn(&Record) -> bool) -> Vec<Record> {
    let mut linked: HashMap<CallId, Vec<CallId>> = HashMap::new();
    for record in &records {
        let event = &record.event;
        let Some(call) = event.call else { continue };
        for other in [event.root, event.follows].into_iter().flatten() {
            linked.entry(call).or_default().push(other);
            linked.entry(other).or_default().push(call);
        }
    }
    let mut found: HashSet<CallId> = HashSet::new();
    let mut next: Vec<CallId> =
        records.iter().filter(|record| wanted(record)).filter_map(|r| r.event.call).collect();
    while let Some(call) = next.pop() {
        if found.insert(call) {
            next.extend(linked.get(&call).into_iter().flatten());
        }
    }
    let in_chain = |record: &Record| record.event.call.is_some_and(|call| found.contains(&call));
    records.into_iter().filter(in_chain).collect()
}
