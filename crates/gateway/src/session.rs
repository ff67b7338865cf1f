//! Sessions of the legacy revisions: whose they are, and which calls wait for an answer in either
//! direction. A session id is a secret that works like a password; only its digest is kept.

use crate::asked::Asked;
use crate::upstream::conversation::Conversation;
use crate::upstream::http::SendError;
use aws_lc_rs::digest;
use bytes::Bytes;
use event::Actor;
use mcp::{RequestId, Revision};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Who a session belongs to. Kind and provider count: the same name from two providers is two actors.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    provider: String,
    id: String,
}

impl Owner {
    pub(crate) fn of(actor: &Actor) -> Self {
        Self { provider: actor.provider.clone(), id: actor.id.clone() }
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
    calls_max: usize,
}

#[derive(Debug)]
struct State {
    last_used: Instant,
    /// Calls of the client whose exchange ended before their answer came; it may come on another one.
    open: HashMap<RequestId, Asked>,
    /// Calls of the server that wait for the client's answer.
    to_client: HashMap<RequestId, Asked>,
    /// Calls in progress that the client has cancelled.
    cancelled: HashSet<RequestId>,
    /// Set at the end of the session: nothing can wait in it any more.
    over: bool,
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

    /// Keeps a call whose answer may still come; gives it back when there is no room or its id is
    /// taken.
    pub(crate) fn keep_open(&self, id: RequestId, asked: Asked) -> Option<Asked> {
        let mut state = self.lock();
        if state.over || state.open.len() >= self.calls_max || state.open.contains_key(&id) {
            return Some(asked);
        }
        state.open.insert(id, asked);
        None
    }

    /// Takes the call that an answer belongs to.
    pub(crate) fn take_open(&self, id: &RequestId) -> Option<Asked> {
        self.lock().open.remove(id)
    }

    /// Keeps a call of the server until the client answers; gives it back when there is no room or its
    /// id is taken.
    pub(crate) fn keep_to_client(&self, id: RequestId, asked: Asked) -> Option<Asked> {
        let mut state = self.lock();
        let full = state.to_client.len() >= self.calls_max;
        if state.over || full || state.to_client.contains_key(&id) {
            return Some(asked);
        }
        state.to_client.insert(id, asked);
        None
    }

    /// Takes the server's call that a client's answer belongs to.
    pub(crate) fn take_to_client(&self, id: &RequestId) -> Option<Asked> {
        self.lock().to_client.remove(id)
    }

    /// Notes that the client cancelled a call, and takes it when it waits here; when its exchange is
    /// still in progress, that learns it from [`Session::was_cancelled`].
    pub(crate) fn cancel(&self, id: &RequestId) -> Option<Asked> {
        let mut state = self.lock();
        let asked = state.open.remove(id);
        if asked.is_none() && state.cancelled.len() < self.calls_max {
            state.cancelled.insert(id.clone());
        }
        asked
    }

    /// Whether the client cancelled this call; asked once, when its exchange ends.
    pub(crate) fn was_cancelled(&self, id: &RequestId) -> bool {
        self.lock().cancelled.remove(id)
    }

    /// Takes the client's calls that still wait, with their ids.
    pub(crate) fn take_open_with_ids(&self) -> Vec<(RequestId, Asked)> {
        self.lock().open.drain().collect()
    }

    /// Ends the session and takes everything that still waits in it. An exchange that is still in
    /// progress gets its call back when it wants to keep it here.
    pub(crate) fn take_all(&self) -> Vec<Asked> {
        let mut state = self.lock();
        state.over = true;
        let State { open, to_client, .. } = &mut *state;
        open.drain().chain(to_client.drain()).map(|(_, asked)| asked).collect()
    }

    /// Whether the session has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().over
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All sessions of one gateway, by digest of their id.
#[derive(Debug)]
pub(crate) struct Sessions {
    by_digest: Mutex<HashMap<String, Arc<Session>>>,
    sessions_max: usize,
    calls_max: usize,
    idle: Duration,
}

/// Why a session cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoSession {
    Unknown,
    OfAnother,
}

impl Sessions {
    pub(crate) fn new(sessions_max: usize, calls_max: usize, idle: Duration) -> Self {
        Self { by_digest: Mutex::new(HashMap::new()), sessions_max, calls_max, idle }
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
        if sessions.len() >= self.sessions_max {
            let idle = self.idle;
            expired.extend(sessions.extract_if(|_, s| s.is_over(now, idle)).map(|(_, s)| s));
        }
        if sessions.len() >= self.sessions_max {
            return (Err(SessionsFull), expired);
        }
        let session = Arc::new(self.session(digest.clone(), owner, program, now));
        // A server that hands out the same id again starts that session anew.
        expired.extend(sessions.insert(digest, Arc::clone(&session)));
        (Ok(session), expired)
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
            cancelled: HashSet::new(),
            over: false,
        };
        Session {
            owner,
            digest,
            program,
            revision: OnceLock::new(),
            state: Mutex::new(state),
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
        if session.is_over(now, self.idle) {
            return Err(NoSession::Unknown);
        }
        session.lock().last_used = now;
        Ok(Arc::clone(session))
    }

    /// Forgets a session.
    pub(crate) fn close(&self, digest: &str) -> Option<Arc<Session>> {
        self.lock().remove(digest)
    }

    /// Forgets the sessions that were idle too long or lost their program, and hands them back.
    pub(crate) fn expire(&self, now: Instant) -> Vec<Arc<Session>> {
        let idle = self.idle;
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
    /// Whether it was idle too long, or its own program has ended: the client must start anew.
    fn is_over(&self, now: Instant, idle: Duration) -> bool {
        self.program.as_ref().is_some_and(|program| program.is_ended())
            || now.saturating_duration_since(self.lock().last_used) >= idle
    }
}

#[cfg(test)]
mod tests {
    use super::{NoSession, Owner, Sessions, handle_digest};
    use event::Actor;
    use std::time::{Duration, Instant};

    fn owner(id: &str) -> Owner {
        Owner::of(&Actor { id: id.to_owned(), ..Actor::anonymous() })
    }

    #[test]
    fn a_session_serves_its_owner_only() {
        let sessions = Sessions::new(10, 10, Duration::from_secs(60));
        let now = Instant::now();
        sessions.open(b"s1", owner("a"), None, now).0.unwrap();
        assert!(sessions.enter(b"s1", &owner("a"), now).is_ok());
        assert_eq!(sessions.enter(b"s1", &owner("b"), now).unwrap_err(), NoSession::OfAnother);
        assert_eq!(sessions.enter(b"s2", &owner("a"), now).unwrap_err(), NoSession::Unknown);
        assert!(sessions.close(&handle_digest(b"s1")).is_some());
        assert_eq!(sessions.enter(b"s1", &owner("a"), now).unwrap_err(), NoSession::Unknown);
    }

    #[test]
    fn full_means_refused_unless_idle_ones_make_room() {
        let idle = Duration::from_secs(60);
        let sessions = Sessions::new(1, 10, idle);
        let start = Instant::now();
        sessions.open(b"s1", owner("a"), None, start).0.unwrap();
        assert!(sessions.open(b"s2", owner("a"), None, start).0.is_err());
        let (opened, expired) = sessions.open(b"s2", owner("a"), None, start + idle);
        assert!(opened.is_ok());
        assert_eq!(expired.len(), 1);
    }

    #[test]
    fn idle_sessions_end() {
        let idle = Duration::from_secs(60);
        let sessions = Sessions::new(10, 10, idle);
        let start = Instant::now();
        sessions.open(b"s1", owner("a"), None, start).0.unwrap();
        sessions.enter(b"s1", &owner("a"), start + idle / 2).unwrap();
        assert!(sessions.enter(b"s1", &owner("a"), start + idle).is_ok());
        assert_eq!(
            sessions.enter(b"s1", &owner("a"), start + idle * 2).unwrap_err(),
            NoSession::Unknown
        );
        assert_eq!(sessions.expire(start + idle * 2).len(), 1);
    }
}
