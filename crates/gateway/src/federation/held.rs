//! Sessions that the gateway holds with members of the older revisions on behalf of clients of the
//! stateless ones: one for each caller, with a link to every such member that was needed. Nobody is given
//! an id of them. Refuses to know what is asked in them.

use super::era::without_message;
use super::session::{Link, Opening, Session};
use super::{Federation, Whole, older};
use crate::asked::Origin;
use crate::bounds::Bounds;
use crate::refusal::Cause;
use crate::session::Owner;
use bytes::Bytes;
use event::Actor;
use http::{HeaderMap, Method as HttpMethod};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// All of them, by whose they are.
#[derive(Debug)]
pub(super) struct HeldSessions {
    by_owner: Mutex<HashMap<Owner, Arc<Held>>>,
    /// Sessions, and how long one may be idle.
    bounds: Bounds,
}

/// One caller's.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) session: Arc<Session>,
    /// In whose name it ends, and from where it was last asked for.
    actor: Actor,
    origin: Origin,
}

impl HeldSessions {
    pub(super) fn new(sessions_max: usize, idle: Duration) -> Self {
        Self { by_owner: Mutex::default(), bounds: Bounds::new(sessions_max, idle) }
    }

    /// Other bounds from now on; sessions that are there stay as long as they are used.
    pub(super) fn rebound(&self, sessions_max: usize, idle: Duration) {
        self.bounds.set(sessions_max, idle);
    }

    /// The session of this caller, made when there is none; `None` when no more can be kept.
    fn enter(
        &self,
        actor: &Actor,
        now: Instant,
        make: impl FnOnce() -> Held,
    ) -> Option<Arc<Session>> {
        let mut held = self.lock();
        let owner = Owner::of(actor);
        if let Some(known) = held.get(&owner) {
            known.session.touch(now);
            return Some(Arc::clone(&known.session));
        }
        if self.bounds.most() <= held.len() {
            return None;
        }
        let made = Arc::new(make());
        let session = Arc::clone(&made.session);
        held.insert(owner, made);
        Some(session)
    }

    fn take_idle(&self, now: Instant) -> Vec<Arc<Held>> {
        let idle = self.bounds.age();
        let mut held = self.lock();
        held.extract_if(|_, held| held.session.is_idle(now, idle)).map(|(_, held)| held).collect()
    }

    fn take_all(&self) -> Vec<Arc<Held>> {
        self.lock().drain().map(|(_, held)| held).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Owner, Arc<Held>>> {
        self.by_owner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Federation {
    /// The request of a stateless client as one within the session that is held for it.
    pub(super) fn in_held_session(&self, whole: &Whole) -> Result<Whole, Cause> {
        let session = self.held.enter(&whole.actor, Instant::now(), || Held {
            session: Arc::new(self.own_session(whole)),
            actor: whole.actor.clone(),
            origin: whole.origin.clone(),
        });
        let session = session.ok_or(Cause::Overloaded("no more sessions can be kept"))?;
        Ok(whole.within(session))
    }

    /// A session that the gateway opens in its own words.
    pub(super) fn own_session(&self, whole: &Whole) -> Session {
        let opening = Opening {
            headers: without_message(&HeaderMap::new()),
            body: older::opening(&self.recorder.place().gateway),
            own: true,
        };
        let (owner, calls_max) = (Owner::of(&whole.actor), self.limits.session_calls_max);
        let session = Session::new(owner, opening, calls_max, Instant::now());
        // Links are opened one by one, and each is told that it may begin.
        session.set_initialized();
        session
    }

    /// Takes out the sessions that nobody needed for long, and ends them at the members, whom nobody
    /// waits for.
    pub(super) fn end_idle_held(self: &Arc<Self>, now: Instant) {
        let taken = self.taken(self.held.take_idle(now), now);
        let this = Arc::clone(self);
        self.exchanges.spawn(async move { this.end_held(taken).await });
    }

    /// Ends all of them, at the members too.
    pub(crate) async fn end(&self) {
        self.end_held(self.taken(self.held.take_all(), Instant::now())).await;
    }

    /// With the links of each. The sessions of the members are as idle, and kept until they are ended.
    fn taken(&self, sessions: Vec<Arc<Held>>, now: Instant) -> Vec<Taken> {
        let taken = sessions.into_iter().map(|held| (held.session.take_links(), held));
        let taken: Vec<Taken> = taken.collect();
        for (prefix, link) in taken.iter().flat_map(|(links, _)| links) {
            if let (Some((_, member)), Some(id)) = (self.member(prefix), &link.id) {
                member.backend.pipeline.sessions.keep(id.as_bytes(), now);
            }
        }
        taken
    }

    async fn end_held(&self, taken: Vec<Taken>) {
        for some in taken.chunks(ENDED_AT_ONCE) {
            let mut parts = Vec::new();
            for (links, held) in some {
                let whole = self.ending(held);
                for (prefix, link) in links {
                    let Some((place, _)) = self.member(prefix) else { continue };
                    if link.id.is_some() {
                        let headers = whole.headers_on(link, None);
                        parts.push((place, whole.part(HttpMethod::DELETE, headers, Bytes::new())));
                    }
                }
            }
            self.ask_each(parts, None).await;
        }
    }

    fn ending(&self, held: &Held) -> Whole {
        let call = self.recorder.call_id();
        Whole {
            call,
            root: call,
            actor: held.actor.clone(),
            origin: held.origin.clone(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            modern: false,
            id: None,
            session: Some(Arc::clone(&held.session)),
        }
    }
}

impl Whole {
    /// The same request in a session of the gateway's own, whose headers say nothing of its message.
    pub(super) fn within(&self, session: Arc<Session>) -> Self {
        Self {
            headers: without_message(&self.headers),
            modern: false,
            session: Some(session),
            ..self.clone()
        }
    }
}

/// A session that is to end, with its links by prefix.
type Taken = (BTreeMap<String, Link>, Arc<Held>);

/// Sessions that are ended at once; the others wait.
const ENDED_AT_ONCE: usize = 32;

#[cfg(test)]
mod tests {
    use super::{Held, HeldSessions};
    use crate::asked::Origin;
    use crate::federation::session::{Opening, Session};
    use crate::session::Owner;
    use bytes::Bytes;
    use event::{Actor, Transport};
    use http::HeaderMap;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    fn actor(id: &str) -> Actor {
        Actor { id: id.to_owned(), ..Actor::anonymous() }
    }

    fn held(actor: &Actor, now: Instant) -> Held {
        let opening = Opening { headers: HeaderMap::new(), body: Bytes::new(), own: true };
        let session = Arc::new(Session::new(Owner::of(actor), opening, 1, now));
        let origin = Origin::local(Transport::Http);
        Held { session, actor: actor.clone(), origin }
    }

    #[test]
    fn each_caller_has_one_of_a_bounded_number_until_it_is_idle() {
        let (idle, start) = (Duration::from_secs(60), Instant::now());
        let sessions = HeldSessions::new(1, idle);
        let (a, b) = (actor("a"), actor("b"));
        let enter = |actor: &Actor, now| sessions.enter(actor, now, || held(actor, now));
        let first = enter(&a, start).unwrap();
        assert!(Arc::ptr_eq(&first, &enter(&a, start + idle / 2).unwrap()));
        assert!(enter(&b, start).is_none());
        assert!(sessions.take_idle(start + idle).is_empty());
        first.begin(&mcp::RequestId::from(1), "crm");
        assert!(sessions.take_idle(start + idle * 2).is_empty(), "it has a call in progress");
        first.done(&mcp::RequestId::from(1));
        assert_eq!(sessions.take_idle(start + idle * 2).len(), 1);
        assert!(enter(&b, start).is_some());
        assert_eq!(sessions.take_all().len(), 1);
    }
}
