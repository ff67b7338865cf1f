//! Sessions of the aggregated endpoint: whose they are, and which session of each member stands behind
//! them. An id works like a password; only its digest is kept. Refuses to send anything.

use super::older::Level;
use super::subscribed::Subscribed;
use crate::body::Cut;
use crate::bounds::Bounds;
use crate::queue::WeakSender;
use crate::queue::permits;
use crate::session::{NoSession, Owner, SessionsFull, handle_digest};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use mcp::{RequestId, Revision};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

/// One client's session, and its links to the members.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) owner: Owner,
    pub(crate) opening: Opening,
    state: Mutex<State>,
    calls_max: usize,
    pub(crate) subscribed: Subscribed,
    /// For answers of the client that wait.
    room: Arc<Semaphore>,
    /// Everything that goes on for its sake ends then.
    ended: CancellationToken,
}

/// How the client opened it, for members that come later.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The words are the gateway's, on behalf of a client that has no sessions.
    pub(crate) own: bool,
}

/// The way to a member within a session.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// The member's own session id; some servers have none.
    pub(crate) id: Option<HeaderValue>,
    /// The revision that the member chose.
    pub(crate) revision: String,
    /// Its answer to `initialize`.
    pub(crate) about: Arc<Value>,
}

#[derive(Debug)]
struct State {
    last_used: Instant,
    /// By prefix.
    links: BTreeMap<String, Link>,
    /// When a member without link was last tried in vain.
    tried: BTreeMap<String, Instant>,
    /// Only one request at a time opens a link.
    gates: BTreeMap<String, Arc<Gate>>,
    /// Members that have the client's requests in progress.
    calls: HashMap<RequestId, String>,
    initialized: bool,
    /// The least log level that was asked of each member.
    levels: BTreeMap<String, Level>,
    /// Ids that the gateway has given to requests of its own making.
    ids: i64,
    /// The log level that the client wants to hear.
    level: Option<&'static str>,
    /// Ends what carries a request of the client.
    stops: HashMap<RequestId, CancellationToken>,
    /// Where answers of the client go that the gateway waits for, by the id that it knows.
    questions: HashMap<String, oneshot::Sender<Given>>,
    /// Subscriptions to resources of stateless members, by the name that the client knows.
    watched: HashMap<String, CancellationToken>,
    /// The stream on which the client listens now.
    hearer: Option<Hearer>,
    /// The revision that the client was told.
    agreed: Option<Revision>,
}

/// What the client answered to a question that the gateway put.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) answer: Bytes,
    /// Free again when it is gone.
    pub(crate) room: OwnedSemaphorePermit,
}

/// Too many answers of the client wait already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// Bytes of answers of one client that wait until the last one of a round has come; a larger one waits
/// alone.
const ANSWERS_BYTES_MAX: usize = 16 << 20;

/// Where a client hears what belongs to no request of its own.
pub(crate) type Hearer = WeakSender<Result<Bytes, Cut>>;

/// Whoever holds it opens the link of a member.
pub(crate) type Gate = tokio::sync::Mutex<()>;

impl Link {
    /// Whether requests to the member stand alone.
    pub(crate) fn is_stateless(&self) -> bool {
        Revision::from_name(&self.revision).is_modern()
    }

    /// Whether the server declares what stands at this path of its capabilities.
    pub(crate) fn offers(&self, path: &[&str]) -> bool {
        self.capability(path).is_some_and(|value| !value.is_null())
    }

    /// Whether what stands there is `true`.
    pub(crate) fn says(&self, path: &[&str]) -> bool {
        self.capability(path).is_some_and(|value| *value == Value::Bool(true))
    }

    fn capability(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(self.about.get("capabilities")?, |at, key| at.get(key))
    }
}

impl Session {
    pub(crate) fn new(owner: Owner, opening: Opening, calls_max: usize, now: Instant) -> Self {
        let state = State {
            last_used: now,
            links: BTreeMap::new(),
            tried: BTreeMap::new(),
            gates: BTreeMap::new(),
            calls: HashMap::new(),
            initialized: false,
            levels: BTreeMap::new(),
            ids: 0,
            level: None,
            stops: HashMap::new(),
            questions: HashMap::new(),
            watched: HashMap::new(),
            hearer: None,
            agreed: None,
        };
        let ended = CancellationToken::new();
        let room = Arc::new(Semaphore::new(ANSWERS_BYTES_MAX));
        let subscribed = Subscribed::new(calls_max);
        Self { owner, opening, state: Mutex::new(state), calls_max, subscribed, room, ended }
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
        state.levels.remove(prefix);
    }

    /// What has to be held while the link of a member is opened.
    pub(crate) fn gate(&self, prefix: &str) -> Arc<Gate> {
        Arc::clone(self.lock().gates.entry(prefix.to_owned()).or_default())
    }

    /// Whether a member without link may be tried now: not for `pause` after it was tried in vain.
    pub(crate) fn may_try(&self, prefix: &str, pause: Duration, now: Instant) -> bool {
        let state = self.lock();
        state.tried.get(prefix).is_none_or(|then| pause <= now.saturating_duration_since(*then))
    }

    pub(crate) fn tried_in_vain(&self, prefix: &str, now: Instant) {
        self.lock().tried.insert(prefix.to_owned(), now);
    }

    /// An id that no request of this session had before.
    pub(crate) fn next_id(&self) -> RequestId {
        let mut state = self.lock();
        state.ids = state.ids.saturating_add(1);
        RequestId::from(state.ids)
    }

    /// Whether a member has to be asked for this log level to be heard.
    pub(crate) fn is_quieter(&self, prefix: &str, level: Level) -> bool {
        self.lock().levels.get(prefix).is_none_or(|held| level < *held)
    }

    pub(crate) fn set_level(&self, prefix: &str, level: Level) {
        self.lock().levels.insert(prefix.to_owned(), level);
    }

    /// Its links, to end them.
    pub(crate) fn take_links(&self) -> BTreeMap<String, Link> {
        std::mem::take(&mut self.lock().links)
    }

    /// Notes which member has a request. Beyond the bound, a cancellation does not find it.
    pub(crate) fn begin(&self, id: &RequestId, prefix: &str) {
        let mut state = self.lock();
        if state.calls.len() < self.calls_max {
            state.calls.insert(id.clone(), prefix.to_owned());
        }
    }

    pub(crate) fn done(&self, id: &RequestId) {
        let mut state = self.lock();
        state.last_used = Instant::now();
        state.calls.remove(id);
        state.stops.remove(id);
    }

    /// Notes how a request that is in progress is ended.
    pub(crate) fn stoppable(&self, id: &RequestId, stop: CancellationToken) {
        let mut state = self.lock();
        if state.calls.contains_key(id) {
            state.stops.insert(id.clone(), stop);
        }
    }

    /// Ends what carries a request, if that is how it is cancelled.
    pub(crate) fn stop(&self, id: &RequestId) -> bool {
        let stop = self.lock().stops.remove(id);
        stop.inspect(CancellationToken::cancel).is_some()
    }

    /// A token that is cancelled with the session.
    pub(crate) fn ending(&self) -> CancellationToken {
        self.ended.child_token()
    }

    /// Ends what goes on for the sake of this session.
    pub(crate) fn end(&self) {
        self.ended.cancel();
    }

    /// Waits for the client's answer to this id; `None` beyond the bound.
    pub(crate) fn await_answer(&self, seen: &str) -> Option<oneshot::Receiver<Given>> {
        let mut state = self.lock();
        state.questions.retain(|_, sender| !sender.is_closed());
        if self.calls_max <= state.questions.len() {
            return None;
        }
        let (sender, answer) = oneshot::channel();
        state.questions.insert(seen.to_owned(), sender);
        Some(answer)
    }

    /// Gives the client's answer to this id to whoever waits for it; whether somebody does. It comes back
    /// where there is no room for it to wait.
    pub(crate) fn answer(&self, seen: &str, answer: &Bytes) -> Result<bool, NoRoom> {
        let mut state = self.lock();
        if state.questions.get(seen).is_none_or(oneshot::Sender::is_closed) {
            return Ok(false);
        }
        let permits = permits(answer.len(), ANSWERS_BYTES_MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(permits).map_err(|_| NoRoom)?;
        let asked = state.questions.remove(seen);
        // Whoever asked may have given up meanwhile.
        asked.and_then(|asked| asked.send(Given { answer: answer.clone(), room }).ok());
        Ok(true)
    }

    /// Begins a subscription; what stops it. One that is there already ends. `None` beyond the bound.
    pub(crate) fn watch(&self, seen: &str) -> Option<CancellationToken> {
        let mut state = self.lock();
        if self.calls_max <= state.watched.len() && !state.watched.contains_key(seen) {
            return None;
        }
        let stop = self.ended.child_token();
        if let Some(before) = state.watched.insert(seen.to_owned(), stop.clone()) {
            before.cancel();
        }
        Some(stop)
    }

    /// This subscription ended by itself; it may have a successor by now.
    pub(crate) fn unwatched(&self, seen: &str, stop: &CancellationToken) {
        let mut state = self.lock();
        if !stop.is_cancelled() {
            state.watched.remove(seen);
        }
    }

    pub(crate) fn unwatch(&self, seen: &str) {
        if let Some(stop) = self.lock().watched.remove(seen) {
            stop.cancel();
        }
    }

    /// The client listens on this stream from now on.
    pub(crate) fn hear_on(&self, hearer: Hearer) {
        self.lock().hearer = Some(hearer);
    }

    /// Whether the client listens now.
    pub(crate) fn is_heard(&self) -> bool {
        self.lock().hearer.as_ref().is_some_and(|hearer| hearer.upgrade().is_some())
    }

    /// Tells the client something on that stream; one that does not listen now hears nothing.
    pub(crate) async fn tell(&self, event: Bytes) {
        let hearer = self.lock().hearer.as_ref().and_then(Hearer::upgrade);
        if let Some(hearer) = hearer {
            hearer.send(Ok(event)).await.ok();
        }
    }

    pub(crate) fn agree(&self, revision: Revision) {
        self.lock().agreed = Some(revision);
    }

    /// Whether several messages may come in one body.
    pub(crate) fn takes_batches(&self) -> bool {
        self.lock().agreed.as_ref().is_some_and(Revision::allows_batch)
    }

    pub(crate) fn level(&self) -> Option<&'static str> {
        self.lock().level
    }

    pub(crate) fn want_level(&self, level: Level) {
        self.lock().level = Some(level.name());
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

    /// A session with requests in progress is not idle.
    pub(crate) fn is_idle(&self, now: Instant, idle: Duration) -> bool {
        let state = self.lock();
        state.calls.is_empty() && idle <= now.saturating_duration_since(state.last_used)
    }

    pub(crate) fn touch(&self, now: Instant) {
        self.lock().last_used = now;
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
            for (_, session) in sessions.extract_if(|_, session| session.is_idle(now, idle)) {
                session.end();
            }
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
        session.touch(now);
        Ok(Arc::clone(session))
    }

    pub(crate) fn close(&self, id: &[u8]) {
        if let Some(session) = self.lock().remove(&handle_digest(id)) {
            session.end();
        }
    }

    /// Forgets the sessions that were idle too long.
    pub(crate) fn sweep(&self, now: Instant) {
        let idle = self.bounds.age();
        for (_, session) in self.lock().extract_if(|_, session| session.is_idle(now, idle)) {
            session.end();
        }
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
        let opening = Opening { headers: HeaderMap::new(), body: Bytes::new(), own: false };
        Session::new(owner(id), opening, 1, now)
    }

    #[test]
    fn the_end_of_a_call_is_use() {
        let idle = Duration::from_secs(60);
        let now = Instant::now() + idle;
        let session = session("a", now - idle * 2);
        session.begin(&mcp::RequestId::from(1), "srv");
        assert!(!session.is_idle(now, idle), "a call is in progress");
        session.done(&mcp::RequestId::from(1));
        assert!(!session.is_idle(now - Duration::from_secs(1), idle));
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
        session.tried_in_vain("crm", start);
        assert!(!session.may_try("crm", pause, start + pause / 2));
        assert!(session.may_try("crm", pause, start + pause));
        session.lose("crm");
        assert!(session.may_try("crm", pause, start + pause / 2));
    }
}
