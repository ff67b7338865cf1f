//! Sessions of the aggregated endpoint: whose they are, and which session of each member stands behind
//! them. An id works like a password; only its digest is kept. Refuses to send anything.

use crate::bounds::Bounds;
use crate::session::{NoSession, Owner, SessionsFull, handle_digest};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use mcp::RequestId;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One client's session, and its links to the members.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) owner: Owner,
    pub(crate) opening: Opening,
    state: Mutex<State>,
    calls_max: usize,
}

/// How the client opened it, for members that come later.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The way to a member within a session.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// The member's own session id; some servers have none.
    pub(crate) id: Option<HeaderValue>,
    /// The revision that the member chose.
    pub(crate) revision: String,
    pub(crate) capabilities: Arc<Value>,
}

#[derive(Debug)]
struct State {
    last_used: Instant,
    /// By prefix.
    links: BTreeMap<String, Link>,
    /// When a member without link was last tried.
    tried: BTreeMap<String, Instant>,
    /// Members that have the client's requests in progress.
    calls: HashMap<RequestId, String>,
    initialized: bool,
}

impl Session {
    pub(crate) fn new(owner: Owner, opening: Opening, calls_max: usize, now: Instant) -> Self {
        let state = State {
            last_used: now,
            links: BTreeMap::new(),
            tried: BTreeMap::new(),
            calls: HashMap::new(),
            initialized: false,
        };
        Self { owner, opening, state: Mutex::new(state), calls_max }
    }

    pub(crate) fn link(&self, prefix: &str) -> Option<Link> {
        self.lock().links.get(prefix).cloned()
    }

    pub(crate) fn join(&self, prefix: &str, link: Link) {
        self.lock().links.insert(prefix.to_owned(), link);
    }

    /// The member does not know its session any more; it may be asked for another one at once.
    pub(crate) fn lose(&self, prefix: &str) {
        let mut state = self.lock();
        state.links.remove(prefix);
        state.tried.remove(prefix);
    }

    /// Whether a member without link may be tried now. Only one caller gets a yes, and for `pause`
    /// nobody else does.
    pub(crate) fn may_try(&self, prefix: &str, pause: Duration, now: Instant) -> bool {
        let mut state = self.lock();
        let waiting = state.tried.get(prefix).is_some_and(|then| now.duration_since(*then) < pause);
        if !waiting {
            state.tried.insert(prefix.to_owned(), now);
        }
        !waiting
    }

    /// Notes which member has a request. Beyond the bound, a cancellation does not find it.
    pub(crate) fn begin(&self, id: &RequestId, prefix: &str) {
        let mut state = self.lock();
        if state.calls.len() < self.calls_max {
            state.calls.insert(id.clone(), prefix.to_owned());
        }
    }

    pub(crate) fn done(&self, id: &RequestId) {
        self.lock().calls.remove(id);
    }

    /// The member that has a request in progress.
    pub(crate) fn holder(&self, id: &RequestId) -> Option<String> {
        self.lock().calls.get(id).cloned()
    }

    pub(crate) fn set_initialized(&self) {
        self.lock().initialized = true;
    }

    pub(crate) fn is_initialized(&self) -> bool {
        self.lock().initialized
    }

    fn is_idle(&self, now: Instant, idle: Duration) -> bool {
        idle <= now.saturating_duration_since(self.lock().last_used)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All sessions of the endpoint, by digest of their id.
#[derive(Debug)]
pub(crate) struct Sessions {
    by_digest: Mutex<HashMap<String, Arc<Session>>>,
    /// Sessions, and how long one may be idle.
    bounds: Bounds,
}

impl Sessions {
    pub(crate) fn new(sessions_max: usize, idle: Duration) -> Self {
        Self { by_digest: Mutex::new(HashMap::new()), bounds: Bounds::new(sessions_max, idle) }
    }

    /// Other bounds from now on; sessions that are there stay as long as they are used.
    pub(crate) fn rebound(&self, sessions_max: usize, idle: Duration) {
        self.bounds.set(sessions_max, idle);
    }

    /// Keeps a new session; idle ones make room. What they were linked to ends by itself: members
    /// forget idle sessions too.
    pub(crate) fn open(
        &self,
        id: &[u8],
        session: Session,
        now: Instant,
    ) -> Result<(), SessionsFull> {
        let mut sessions = self.lock();
        let (most, idle) = (self.bounds.most(), self.bounds.age());
        if most <= sessions.len() {
            sessions.retain(|_, session| !session.is_idle(now, idle));
        }
        if most <= sessions.len() {
            return Err(SessionsFull);
        }
        sessions.insert(handle_digest(id), Arc::new(session));
        Ok(())
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
        if session.is_idle(now, self.bounds.age()) {
            return Err(NoSession::Unknown);
        }
        session.lock().last_used = now;
        Ok(Arc::clone(session))
    }

    pub(crate) fn close(&self, id: &[u8]) {
        self.lock().remove(&handle_digest(id));
    }

    /// Forgets the sessions that were idle too long.
    pub(crate) fn sweep(&self, now: Instant) {
        let idle = self.bounds.age();
        self.lock().retain(|_, session| !session.is_idle(now, idle));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.by_digest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Opening, Session, Sessions};
    use crate::session::{NoSession, Owner};
    use bytes::Bytes;
    use event::Actor;
    use http::HeaderMap;
    use std::time::{Duration, Instant};

    fn owner(id: &str) -> Owner {
        Owner::of(&Actor { id: id.to_owned(), ..Actor::anonymous() })
    }

    fn session(id: &str, now: Instant) -> Session {
        let opening = Opening { headers: HeaderMap::new(), body: Bytes::new() };
        Session::new(owner(id), opening, 1, now)
    }

    #[test]
    fn a_session_serves_its_owner_until_it_is_idle_or_closed() {
        let idle = Duration::from_secs(60);
        let sessions = Sessions::new(1, idle);
        let start = Instant::now();
        sessions.open(b"s", session("a", start), start).unwrap();
        assert!(sessions.open(b"t", session("a", start), start).is_err());
        assert!(sessions.enter(b"s", &owner("a"), start + idle / 2).is_ok());
        assert_eq!(sessions.enter(b"s", &owner("b"), start).unwrap_err(), NoSession::OfAnother);
        assert_eq!(sessions.enter(b"t", &owner("a"), start).unwrap_err(), NoSession::Unknown);
        let late = start + idle * 2;
        assert_eq!(sessions.enter(b"s", &owner("a"), late).unwrap_err(), NoSession::Unknown);
        sessions.open(b"t", session("a", late), late).unwrap();
        sessions.close(b"t");
        assert_eq!(sessions.enter(b"t", &owner("a"), late).unwrap_err(), NoSession::Unknown);
    }

    #[test]
    fn a_dead_member_is_tried_again_after_a_pause() {
        let start = Instant::now();
        let session = session("a", start);
        let pause = Duration::from_secs(5);
        assert!(session.may_try("crm", pause, start));
        assert!(!session.may_try("crm", pause, start + pause / 2));
        assert!(session.may_try("crm", pause, start + pause));
        session.lose("crm");
        assert!(session.may_try("crm", pause, start + pause));
    }
}
