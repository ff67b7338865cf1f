//! Which session goes when there is no room for another. It ends none.

use super::{Owner, Session};
use std::collections::HashMap;
use std::sync::Arc;

/// The session that has to go when there is no room for one more of this owner: of the owner with the most
/// sessions, if that one has at least two more, the one that was used least lately of those without a call
/// in progress. So nobody can take all places from others, and who has most has to end some first.
pub(super) fn dispensable(
    sessions: &HashMap<String, Arc<Session>>,
    owner: &Owner,
) -> Option<String> {
    let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
    for session in sessions.values() {
        *counts.entry(session.owner.actor()).or_default() += 1;
    }
    let own = counts.get(&owner.actor()).copied().unwrap_or_default();
    let (most, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    if count < own + 2 {
        return None;
    }
    let idle =
        sessions.iter().filter(|(_, session)| session.owner.actor() == most && session.is_idle());
    let oldest = idle.min_by_key(|(_, session)| session.lock().last_used);
    oldest.map(|(digest, _)| digest.clone())
}
