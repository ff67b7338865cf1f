//! Sessions of the legacy revisions: whose they are, and which calls wait for an answer in either
//! direction. A session id is a secret that works like a password; only its digest is kept.

mod questions;
mod room;

use self::room::dispensable;
use crate::asked::Asked;
use crate::bounds::Bounds;
use crate::upstream::conversation::Conversation;
use crate::upstream::http::SendError;
use aws_lc_rs::digest;
use bytes::Bytes;
use event::Actor;
use mcp::{RequestId, Revision};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Who a session belongs to. Kind and provider count: the same name from two providers is two actors. So
/// does the key that the actor's token is bound to: what was opened with proof of it is nothing that a
/// stolen token of the same actor opens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    provider: String,
    id: String,
    key: Option<String>,
}

impl Owner {
    /// The owner of this provider and name, whose token is bound to this key.
    pub(crate) fn new(provider: String, id: String, key: Option<String>) -> Self {
        Self { provider, id, key }
    }

    pub(crate) fn of(actor: &Actor) -> Self {
        Self { key: actor.bound_to().map(str::to_owned), ..Self::with_any_key(actor) }
    }

    /// The actor by all of its keys: what it may have, it may have once.
    pub(crate) fn with_any_key(actor: &Actor) -> Self {
        Self::new(actor.provider.clone(), actor.id.clone(), None)
    }

    /// Provider and name: the actor by all of its keys.
    pub(crate) fn actor(&self) -> (&str, &str) {
        (&self.provider, &self.id)
    }
}

/// `sha256:` and the first 32 hex digits of the digest of an opaque handle.
pub(crate) fn handle_digest(handle: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, handle);
    let mut text = String::with_capacity(39);
    text.push_str("sha256:");
    for byte in hash.as_ref().iter().take(16) {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
    }
    text
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) owner: Owner,
    pub(crate) digest: String,
    /// The server program that serves this session alone, when the server is a local program.
    pub(crate) program: Option<Arc<Conversation>>,
    /// What client and server agreed on; unknown until the answer to `initialize`.
    revision: OnceLock<Revision>,
    state: Mutex<State>,
    /// An id is free again.
    freed: Notify,
    calls_max: usize,
}

#[derive(Debug)]
struct State {
    last_used: Instant,
    /// Calls of the client that have no end yet, by the id that is theirs until then.
    open: HashMap<RequestId, Open>,
    /// Calls of the server that wait for the client's answer. Its ids are a space of their own.
    to_client: HashMap<RequestId, Asked>,
    /// Calls that ended without an answer, the latest last: one may still come.
    unanswered: VecDeque<RequestId>,
    /// Set at the end of the session: nothing can wait in it any more.
    over: bool,
}

/// A call of the client that has no end yet.
#[derive(Debug, Default)]
struct Open {
    /// Nothing until the call is on record.
    asked: Option<Arc<Asked>>,
    /// Ends the exchange that carries it.
    stop: Option<CancellationToken>,
    /// Its exchange is over; the answer may come on another one.
    kept: bool,
    /// Its caller cancelled it before it was on record.
    cancelled: bool,
}

/// Why a call cannot begin in a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// A call in progress has this id.
    InUse,
    /// As many calls are in progress as are allowed.
    Full,
}

impl Session {
    /// Notes the revision that the answer to `initialize` names; the first one stands.
    pub(crate) fn negotiated(&self, name: &str) {
        self.revision.get_or_init(|| Revision::from_name(name));
    }

    /// The revision that client and server agreed on.
    pub(crate) fn revision(&self) -> Option<&Revision> {
        self.revision.get()
    }

    /// Whether several messages may come in one body, from either side.
    pub(crate) fn takes_batches(&self) -> bool {
        self.revision().is_some_and(Revision::allows_batch)
    }

    /// Sends the session's own program a message that the gateway wrote.
    pub(crate) async fn send_own(&self, message: Bytes) -> Result<(), SendError> {
        match &self.program {
            Some(program) => program.send_own(message).await,
            None => Err(SendError::Unreachable("the session has no program".to_owned())),
        }
    }

    /// Gives a call of the client its id until it ends. A session that is over has no ids to give: what is
    /// still said in it ends by itself.
    pub(crate) fn reserve(&self, id: &RequestId) -> Result<(), NoPlace> {
        let mut state = self.lock();
        if state.open.contains_key(id) {
            return Err(NoPlace::InUse);
        }
        if self.calls_max <= state.open.len() {
            return Err(NoPlace::Full);
        }
        if !state.over {
            state.open.insert(id.clone(), Open::default());
        }
        Ok(())
    }

    /// As [`Session::reserve`]. A client that went away may be back, with the id that it used last, before
    /// we have seen it go: an id in use is given up to `patience` to become free.
    pub(crate) async fn reserve_within(
        &self,
        id: &RequestId,
        patience: Duration,
    ) -> Result<(), NoPlace> {
        let freed = async {
            loop {
                // Before the look, so that nothing is missed in between.
                let freed = self.freed.notified();
                match self.reserve(id) {
                    Err(NoPlace::InUse) => freed.await,
                    reserved => return reserved,
                }
            }
        };
        tokio::time::timeout(patience, freed).await.unwrap_or(Err(NoPlace::InUse))
    }

    /// Takes the id back from a call that does not come about.
    pub(crate) fn release(&self, id: &RequestId) {
        let mut state = self.lock();
        if state.open.get(id).is_some_and(|open| open.asked.is_none()) {
            state.open.remove(id);
            self.freed.notify_waiters();
        }
    }

    /// The call with this id is on record. Its caller may have cancelled it meanwhile.
    pub(crate) fn hold(&self, id: &RequestId, asked: &Arc<Asked>) {
        if let Some(open) = self.lock().open.get_mut(id) {
            open.asked = Some(Arc::clone(asked));
            if open.cancelled {
                asked.cancel();
            }
        }
    }

    /// The call with this id is carried by an exchange that `stop` ends. One that was cancelled meanwhile
    /// ends at once.
    pub(crate) fn carry(&self, id: &RequestId, asked: &Arc<Asked>, stop: &CancellationToken) {
        let mut state = self.lock();
        if let Some(open) = state.open.get_mut(id).filter(|open| open.is(asked)) {
            open.stop = Some(stop.clone());
        }
        if asked.is_cancelled() {
            stop.cancel();
        }
    }

    /// Leaves a call open whose exchange is over and whose answer may come on another one. False when that
    /// is not to be: it has ended, was cancelled, or the session is over.
    pub(crate) fn keep_open(&self, id: &RequestId, asked: &Arc<Asked>) -> bool {
        let mut state = self.lock();
        if state.over || asked.has_ended() || asked.is_cancelled() {
            return false;
        }
        let full = self.calls_max <= state.open.len();
        match state.open.entry(id.clone()) {
            Entry::Occupied(place) if !place.get().is(asked) => return false,
            Entry::Occupied(mut place) => place.get_mut().kept = true,
            // The call that opened the session had no place in it.
            Entry::Vacant(_) if full => return false,
            Entry::Vacant(place) => {
                let asked = Some(Arc::clone(asked));
                place.insert(Open { asked, kept: true, ..Open::default() });
            }
        }
        true
    }

    /// The call has ended; its id is free again.
    pub(crate) fn end_call(&self, id: &RequestId, asked: &Arc<Asked>) {
        let mut state = self.lock();
        if state.open.get(id).is_some_and(|open| open.is(asked)) {
            state.open.remove(id);
            self.freed.notify_waiters();
        }
    }

    /// Takes the call that an answer belongs to, whichever exchange carries it.
    pub(crate) fn take_open(&self, id: &RequestId) -> Option<Arc<Asked>> {
        let mut state = self.lock();
        state.open.get(id)?.asked.as_ref()?;
        let open = state.open.remove(id)?;
        self.freed.notify_waiters();
        open.asked.filter(|asked| asked.end())
    }

    /// Notes that a call ended without its answer, which may still come.
    pub(crate) fn note_unanswered(&self, id: &RequestId) {
        let mut state = self.lock();
        if UNANSWERED_MAX <= state.unanswered.len() {
            state.unanswered.pop_front();
        }
        state.unanswered.push_back(id.clone());
    }

    /// Whether a call with this id ended without its answer; asked once for each.
    pub(crate) fn was_unanswered(&self, id: &RequestId) -> bool {
        let mut state = self.lock();
        let at = state.unanswered.iter().rposition(|known| known == id);
        at.and_then(|at| state.unanswered.remove(at)).is_some()
    }

    /// Cancels a call of the client, and takes it when no exchange carries it; one that does ends now and
    /// puts the end on record itself. So does one that is not on record yet, as soon as it is.
    pub(crate) fn cancel(&self, id: &RequestId) -> Option<Arc<Asked>> {
        let mut state = self.lock();
        let open = state.open.get_mut(id)?;
        let Some(asked) = open.asked.clone() else {
            open.cancelled = true;
            return None;
        };
        asked.cancel();
        if let Some(stop) = open.stop.as_ref().filter(|_| !open.kept) {
            stop.cancel();
            return None;
        }
        state.open.remove(id);
        self.freed.notify_waiters();
        asked.end().then_some(asked)
    }

    /// Takes the client's calls that have no end yet, with their ids.
    pub(crate) fn take_open_with_ids(&self) -> Vec<(RequestId, Arc<Asked>)> {
        let open = std::mem::take(&mut self.lock().open);
        let asked = open.into_iter().filter_map(|(id, open)| Some((id, open.asked?)));
        asked.filter(|(_, asked)| asked.end()).collect()
    }

    /// Ends the session and takes everything that still waits in it. An exchange that is still in
    /// progress ends by itself and can leave nothing here.
    pub(crate) fn take_all(&self) -> Vec<Arc<Asked>> {
        let mut state = self.lock();
        state.over = true;
        let waiting = state.open.extract_if(|_, open| open.kept);
        let mut all: Vec<Arc<Asked>> =
            waiting.filter_map(|(_, open)| open.asked).filter(|asked| asked.end()).collect();
        all.extend(state.to_client.drain().map(|(_, asked)| Arc::new(asked)));
        all
    }

    /// Whether the session has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().over
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn is(&self, asked: &Arc<Asked>) -> bool {
        self.asked.as_ref().is_some_and(|held| Arc::ptr_eq(held, asked))
    }
}

/// Calls of one session that are remembered when they end without an answer.
const UNANSWERED_MAX: usize = 64;

/// All sessions of one gateway, by digest of their id.
#[derive(Debug)]
pub(crate) struct Sessions {
    by_digest: Mutex<HashMap<String, Arc<Session>>>,
    calls_max: usize,
    /// Sessions, and how long one may be idle.
    bounds: Bounds,
}

/// Why a session cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoSession {
    Unknown,
    OfAnother,
}

impl Sessions {
    pub(crate) fn new(sessions_max: usize, calls_max: usize, idle: Duration) -> Self {
        let bounds = Bounds::new(sessions_max, idle);
        Self { by_digest: Mutex::new(HashMap::new()), calls_max, bounds }
    }

    /// Other bounds from now on; sessions that are there stay as long as they are used.
    pub(crate) fn rebound(&self, sessions_max: usize, idle: Duration) {
        self.bounds.set(sessions_max, idle);
    }

    /// Binds a new session to its owner. `Err` when no more sessions can be kept; the idle ones that
    /// made room come back in any case, since their open calls must be put on record.
    pub(crate) fn open(
        &self,
        id: &[u8],
        owner: Owner,
        program: Option<Arc<Conversation>>,
        now: Instant,
    ) -> (Result<Arc<Session>, SessionsFull>, Vec<Arc<Session>>) {
        let digest = handle_digest(id);
        let mut sessions = self.lock();
        let mut expired = Vec::new();
        let (most, idle) = (self.bounds.most(), self.bounds.age());
        if sessions.len() >= most {
            expired.extend(sessions.extract_if(|_, s| s.is_over(now, idle)).map(|(_, s)| s));
        }
        if sessions.len() >= most {
            expired
                .extend(dispensable(&sessions, &owner).and_then(|digest| sessions.remove(&digest)));
        }
        if sessions.len() >= most {
            return (Err(SessionsFull), expired);
        }
        let session = Arc::new(self.session(digest.clone(), owner, program, now));
        // A server that hands out the same id again starts that session anew.
        expired.extend(sessions.insert(digest, Arc::clone(&session)));
        (Ok(session), expired)
    }

    /// Takes out a session, to be ended, so that this owner may have one: see [`dispensable`].
    pub(crate) fn make_room(&self, owner: &Owner) -> Option<Arc<Session>> {
        let mut sessions = self.lock();
        dispensable(&sessions, owner).and_then(|digest| sessions.remove(&digest))
    }

    /// The one session of a wrapped program.
    pub(crate) fn open_only(&self, id: &[u8], owner: Owner, now: Instant) -> Arc<Session> {
        let session = Arc::new(self.session(handle_digest(id), owner, None, now));
        self.lock().insert(session.digest.clone(), Arc::clone(&session));
        session
    }

    fn session(
        &self,
        digest: String,
        owner: Owner,
        program: Option<Arc<Conversation>>,
        now: Instant,
    ) -> Session {
        let state = State {
            last_used: now,
            open: HashMap::new(),
            to_client: HashMap::new(),
            unanswered: VecDeque::new(),
            over: false,
        };
        Session {
            owner,
            digest,
            program,
            revision: OnceLock::new(),
            state: Mutex::new(state),
            freed: Notify::new(),
            calls_max: self.calls_max,
        }
    }

    /// The session with this id, for its owner only.
    pub(crate) fn enter(
        &self,
        id: &[u8],
        owner: &Owner,
        now: Instant,
    ) -> Result<Arc<Session>, NoSession> {
        let sessions = self.lock();
        let session = sessions.get(&handle_digest(id)).ok_or(NoSession::Unknown)?;
        if session.owner != *owner {
            return Err(NoSession::OfAnother);
        }
        if session.is_over(now, self.bounds.age()) {
            return Err(NoSession::Unknown);
        }
        session.lock().last_used = now;
        Ok(Arc::clone(session))
    }

    /// Keeps a session for now, however idle it was: whoever opened it on behalf of a client ends it.
    pub(crate) fn keep(&self, id: &[u8], now: Instant) {
        if let Some(session) = self.lock().get(&handle_digest(id)) {
            session.lock().last_used = now;
        }
    }

    /// Sessions kept.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Forgets a session.
    pub(crate) fn close(&self, digest: &str) -> Option<Arc<Session>> {
        self.lock().remove(digest)
    }

    /// Forgets the sessions that were idle too long or lost their program, and hands them back.
    pub(crate) fn expire(&self, now: Instant) -> Vec<Arc<Session>> {
        let idle = self.bounds.age();
        self.lock().extract_if(|_, s| s.is_over(now, idle)).map(|(_, s)| s).collect()
    }

    /// Forgets all sessions, and hands them back; for the end of the gateway.
    pub(crate) fn close_all(&self) -> Vec<Arc<Session>> {
        self.lock().drain().map(|(_, s)| s).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.by_digest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The configured number of sessions is in use.
#[derive(Debug)]
pub(crate) struct SessionsFull;

impl Session {
    /// Whether no call is in progress in it.
    fn is_idle(&self) -> bool {
        let state = self.lock();
        state.open.is_empty() && state.to_client.is_empty()
    }

    /// Whether it was idle too long, or its own program has ended: the client must start anew. While a
    /// call is in progress it is in use; one that only waits to be resumed keeps nothing alive.
    fn is_over(&self, now: Instant, idle: Duration) -> bool {
        if self.program.as_ref().is_some_and(|program| program.is_ended()) {
            return true;
        }
        let mut state = self.lock();
        if state.open.values().any(|open| !open.kept) {
            state.last_used = now;
        }
        now.saturating_duration_since(state.last_used) >= idle
    }
}

#[cfg(test)]
mod tests;
