//! Handles by which calls go on with others (`requestState`, task ids): to whom the server gave them, and
//! for which call. Possession of a handle proves nothing (MCP security best practices, "state handles"),
//! so one that was given to somebody else is refused. Keeps digests only, a bounded number of them.

use crate::asked::Asked;
use crate::bounds::Bounds;
use crate::call::Call;
use crate::pipeline::{Pipeline, Received, known};
use crate::refusal::{Cause, Refusal};
use crate::session::{Owner, handle_digest};
use event::{Actor, CallId, Chain};
use mcp::reply::ResultView;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The share of all handles that one owner may hold: one part in so many. Who has more loses its own
/// oldest, not those of others.
const OWNER_SHARE: usize = 8;

/// What becomes of a handle that the gateway has not seen given out, such as one of before a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownHandles {
    /// It goes on, and policies see `context.handle == "unknown"`: the server judges it.
    Pass,
    /// It is refused.
    Refuse,
}

/// A handle that a call names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) digest: String,
    /// For a `requestState`, what it may be used with: a digest of method and names. Tasks may be asked
    /// about with every method.
    pub(crate) used_with: Option<String>,
}

/// What is known of the handles that a call names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It names none.
    None,
    /// All were given to this owner, for this.
    Known(Chain),
    /// One was never seen.
    Unknown,
    /// One was given to somebody else.
    OfAnother,
    /// One was given to this owner, for another call.
    OfAnotherCall,
}

/// A handle that was given out before the gateway started, as the log has it.
#[derive(Debug, Clone)]
pub struct Remembered {
    /// Its digest, as in `handles` of the event.
    pub digest: String,
    /// Provider and id of the actor who got it.
    pub owner: (String, String),
    /// The key that the actor's token was bound to.
    pub bound_to: Option<String>,
    /// First call of its chain.
    pub root: CallId,
    /// The last call that it was part of.
    pub last: CallId,
    /// Method and names of the call, for a `requestState`; nothing for a task.
    pub used_with: Option<(String, Vec<String>)>,
    /// How long ago it was given out.
    pub age: Duration,
}

/// All handles that one server gave out, as far as they are remembered.
#[derive(Debug)]
pub(crate) struct Handles {
    state: Mutex<State>,
    bounds: Bounds,
}

#[derive(Debug, Default)]
struct State {
    grants: HashMap<(String, Owner), Vec<Grant>>,
    /// How many grants of each handle there are, whoever has them.
    of_handle: HashMap<String, usize>,
    /// By age, the oldest first.
    order: BTreeMap<u64, (String, Owner)>,
    of_owner: HashMap<Owner, BTreeSet<u64>>,
    next: u64,
}

/// One handle given to one owner for one kind of call. Servers may give the same to many.
#[derive(Debug)]
struct Grant {
    serial: u64,
    used_with: Option<String>,
    root: CallId,
    last: CallId,
    since: Instant,
}

impl Named {
    /// The `requestState` of a call of this method on these names.
    pub(crate) fn state(state: &str, method: &str, names: &[String]) -> Self {
        Self { digest: handle_digest(state.as_bytes()), used_with: Some(usage(method, names)) }
    }

    /// A task, by the digest of its id.
    pub(crate) fn task(digest: String) -> Self {
        Self { digest, used_with: None }
    }
}

impl Pipeline {
    /// A call that names handles goes on with the calls that brought them, if those were its caller's.
    pub(crate) fn join_chain(
        &self,
        received: &Received,
        call: &mut Call,
        actor: &Actor,
    ) -> Result<(), Refusal> {
        let standing = self.handles.standing(call, &Owner::of(actor), Instant::now());
        let refused = match standing {
            Standing::None => return Ok(()),
            Standing::Known(chain) => {
                let root = received.chain.root.or(chain.root);
                call.chain = Chain { follows: chain.follows, root };
                return Ok(());
            }
            Standing::Unknown if self.limits.unknown_handles == UnknownHandles::Pass => {
                return Ok(());
            }
            Standing::Unknown => Cause::UnknownHandle,
            Standing::OfAnother => Cause::HandleOfAnother,
            Standing::OfAnotherCall => Cause::HandleOfAnotherCall,
        };
        Err(Refusal::new(refused, known(received, Some(call), Some(actor))))
    }
}

impl Handles {
    pub(crate) fn new(max: usize, age: Duration) -> Self {
        Self { state: Mutex::default(), bounds: Bounds::new(max.max(1), age) }
    }

    /// Other bounds from now on.
    pub(crate) fn rebound(&self, max: usize, age: Duration) {
        self.bounds.set(max.max(1), age);
    }

    /// How the handles that a call names stand to its caller.
    pub(crate) fn standing(&self, call: &Call, owner: &Owner, now: Instant) -> Standing {
        if call.handles.is_empty() {
            return Standing::None;
        }
        let mut state = self.lock();
        state.forget_old(now, self.bounds.age());
        let mut chain = None;
        for named in &call.handles {
            match state.find(named, owner) {
                Ok(found) => chain = chain.or(Some(found)),
                Err(standing) => return standing,
            }
        }
        chain.map_or(Standing::None, Standing::Known)
    }

    /// The calls that a handle of this owner goes on with, as far as they are remembered.
    pub(crate) fn chain_of(&self, named: &Named, owner: &Owner) -> Option<Chain> {
        self.lock().find(named, owner).ok()
    }

    /// The call that names handles is on record: the next one follows it.
    pub(crate) fn follow(&self, call: &Call, asked: &Asked) {
        if call.handles.is_empty() {
            return;
        }
        let mut state = self.lock();
        for named in &call.handles {
            let key = (named.digest.clone(), asked.owner.clone());
            let grants = state.grants.get_mut(&key);
            let grant =
                grants.and_then(|all| all.iter_mut().find(|g| g.used_with == named.used_with));
            if let Some(grant) = grant {
                grant.last = asked.call;
            }
        }
    }

    /// Takes in the handles that an answer gives out; their digests, for the record. One that the call
    /// named itself and that its caller was not known to have is not given out: whoever asks first for
    /// what was forgotten would own it from then on.
    pub(crate) fn give(&self, asked: &Asked, result: &ResultView<'_>, now: Instant) -> Vec<String> {
        let mut given = Vec::new();
        if let Some(state) = &result.request_state {
            given.push(Named::state(state, &asked.on.0, &asked.on.1));
        }
        if let Some(task) = &result.task {
            given.push(Named::task(handle_digest(task.id.as_bytes())));
        }
        if given.is_empty() {
            return Vec::new();
        }
        let root = asked.chain.root.unwrap_or(asked.call);
        let mut state = self.lock();
        state.forget_old(now, self.bounds.age());
        given.retain(|given| {
            let is_named = asked.named.iter().any(|named| named.digest == given.digest);
            !is_named || state.grants.contains_key(&(given.digest.clone(), asked.owner.clone()))
        });
        for named in &given {
            let grant = Grant {
                serial: 0,
                used_with: named.used_with.clone(),
                root,
                last: asked.call,
                since: now,
            };
            state.grant(named.digest.clone(), asked.owner.clone(), grant, self.bounds.most());
        }
        given.into_iter().map(|named| named.digest).collect()
    }

    /// Takes in what an earlier run gave out, the oldest first.
    pub(crate) fn remember(&self, remembered: Remembered, now: Instant) {
        let Some(since) = now.checked_sub(remembered.age) else { return };
        let (provider, id) = remembered.owner;
        let used_with = remembered.used_with.map(|(method, names)| usage(&method, &names));
        let (root, last) = (remembered.root, remembered.last);
        let grant = Grant { serial: 0, used_with, root, last, since };
        let (owner, most) = (Owner::new(provider, id, remembered.bound_to), self.bounds.most());
        self.lock().grant(remembered.digest, owner, grant, most);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&self, named: &Named, owner: &Owner) -> Result<Chain, Standing> {
        let key = (named.digest.clone(), owner.clone());
        let Some(grants) = self.grants.get(&key) else {
            let known = self.of_handle.contains_key(&named.digest);
            return Err(if known { Standing::OfAnother } else { Standing::Unknown });
        };
        let grant = grants.iter().find(|grant| grant.used_with == named.used_with);
        let grant = grant.ok_or(Standing::OfAnotherCall)?;
        Ok(Chain { follows: Some(grant.last), root: Some(grant.root) })
    }

    fn grant(&mut self, digest: String, owner: Owner, mut grant: Grant, max: usize) {
        let key = (digest, owner);
        let known = self.grants.get_mut(&key).into_iter().flatten();
        if let Some(known) = known.into_iter().find(|known| known.used_with == grant.used_with) {
            // A state that servers give out again and again begins a chain of its own each time; a task
            // stays what it is.
            if known.used_with.is_some() {
                known.root = grant.root;
            }
            known.last = grant.last;
            return;
        }
        let share = (max / OWNER_SHARE).max(1);
        let own = self.of_owner.get(&key.1).filter(|own| share <= own.len());
        let oldest = match own {
            Some(own) => own.first().copied(),
            None if max <= self.order.len() => self.order.keys().next().copied(),
            None => None,
        };
        if let Some(serial) = oldest {
            self.forget(serial);
        }
        // The bound may have been a higher one.
        while max <= self.order.len()
            && let Some(serial) = self.order.keys().next().copied()
        {
            self.forget(serial);
        }
        grant.serial = self.next;
        self.next += 1;
        self.order.insert(grant.serial, key.clone());
        self.of_owner.entry(key.1.clone()).or_default().insert(grant.serial);
        *self.of_handle.entry(key.0.clone()).or_default() += 1;
        self.grants.entry(key).or_default().push(grant);
    }

    fn forget_old(&mut self, now: Instant, age: Duration) {
        while let Some((serial, key)) = self.order.first_key_value() {
            let serial = *serial;
            let grants = self.grants.get(key).into_iter().flatten();
            let is_old = |grant: &Grant| age <= now.saturating_duration_since(grant.since);
            if grants.into_iter().any(|grant| grant.serial == serial && !is_old(grant)) {
                return;
            }
            self.forget(serial);
        }
    }

    fn forget(&mut self, serial: u64) {
        let Some(key) = self.order.remove(&serial) else { return };
        if let Some(own) = self.of_owner.get_mut(&key.1) {
            own.remove(&serial);
            if own.is_empty() {
                self.of_owner.remove(&key.1);
            }
        }
        if let Some(count) = self.of_handle.get_mut(&key.0) {
            *count -= 1;
            if *count == 0 {
                self.of_handle.remove(&key.0);
            }
        }
        if let Some(grants) = self.grants.get_mut(&key) {
            grants.retain(|grant| grant.serial != serial);
            if grants.is_empty() {
                self.grants.remove(&key);
            }
        }
    }
}

/// What a `requestState` may be used with, in few bytes.
pub(crate) fn usage(method: &str, names: &[String]) -> String {
    let mut text = method.to_owned();
    for name in names {
        // No name holds a control character.
        text.push('\u{0}');
        text.push_str(name);
    }
    handle_digest(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::{Grant, Handles, Named, Remembered, Standing};
    use crate::call::Call;
    use crate::session::Owner;
    use event::CallId;
    use std::time::{Duration, Instant};

    const AGE: Duration = Duration::from_secs(60);

    fn call(number: u8) -> CallId {
        serde_json::from_str(&format!("\"00000000-0000-0000-0000-00000000000{number}\"")).unwrap()
    }

    fn owner(id: usize) -> Owner {
        Owner::new("ci".to_owned(), id.to_string(), None)
    }

    fn grant(since: Instant) -> Grant {
        Grant { serial: 0, used_with: None, root: call(1), last: call(1), since }
    }

    fn asks(digest: &str) -> Call {
        let handles = vec![Named::task(digest.to_owned())];
        Call { handles, ..Call::http("tasks/get", "srv") }
    }

    #[test]
    fn nobody_pushes_out_the_handles_of_others() {
        let (handles, now) = (Handles::new(16, AGE), Instant::now());
        for (digest, who) in [("a", 1), ("b", 2), ("c", 2), ("d", 2), ("e", 2)] {
            handles.lock().grant(digest.to_owned(), owner(who), grant(now), 16);
        }
        let standing = |digest: &str, who| handles.standing(&asks(digest), &owner(who), now);
        assert!(matches!(standing("a", 1), Standing::Known(_)));
        assert_eq!(standing("a", 2), Standing::OfAnother);
        assert_eq!(standing("b", 2), Standing::Unknown);
        assert_eq!(standing("c", 2), Standing::Unknown);
        assert!(matches!(standing("e", 2), Standing::Known(_)));
        assert_eq!(handles.lock().order.len(), 3);
    }

    #[test]
    fn all_of_it_is_bounded_and_grows_old() {
        let (handles, now) = (Handles::new(16, AGE), Instant::now());
        for who in 0..40 {
            handles.lock().grant(format!("t{who}"), owner(who), grant(now), 16);
        }
        {
            let state = handles.lock();
            let sizes = [state.order.len(), state.grants.len(), state.of_handle.len()];
            assert_eq!(sizes, [16; 3]);
            assert_eq!(state.of_owner.len(), 16);
        }
        assert!(matches!(handles.standing(&asks("t39"), &owner(39), now), Standing::Known(_)));
        let later = now + AGE;
        assert_eq!(handles.standing(&asks("t39"), &owner(39), later), Standing::Unknown);
        assert!(handles.lock().grants.is_empty() && handles.lock().of_owner.is_empty());
    }

    #[test]
    fn what_is_remembered_counts_with_its_age() {
        let (handles, now) = (Handles::new(16, AGE), Instant::now() + AGE * 3);
        for (digest, age) in [("old", AGE), ("new", AGE / 2)] {
            let remembered = Remembered {
                digest: digest.to_owned(),
                owner: ("ci".to_owned(), "1".to_owned()),
                bound_to: None,
                root: call(1),
                last: call(2),
                used_with: None,
                age,
            };
            handles.remember(remembered, now);
        }
        assert_eq!(handles.standing(&asks("old"), &owner(1), now), Standing::Unknown);
        let Standing::Known(chain) = handles.standing(&asks("new"), &owner(1), now) else {
            panic!("it is not old");
        };
        assert_eq!(chain.follows, Some(call(2)));
    }
}
