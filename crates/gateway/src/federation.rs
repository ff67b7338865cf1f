//! Many servers behind one endpoint. It is a client of its members, in process: every request of the
//! real client becomes requests to members, each of which goes through the whole call path by itself
//! and is on record with the same `root`. Refuses to judge what members say.

mod ask;
mod batches;
mod carried;
mod current;
mod cursor;
mod discover;
mod era;
mod given;
mod hearing;
mod held;
mod listen;
mod lists;
mod names;
mod newer;
mod notify;
mod older;
mod opening;
mod overheard;
mod rewrite;
mod rounds;
mod session;
mod single;
mod stream;
mod subscribed;
mod watched;

use self::ask::Answer;
use self::current::{Current, Standing};
use self::era::Eras;
use self::held::HeldSessions;
use self::session::{Link, Session, Sessions};
use crate::asked::Origin;
use crate::backend::{Backend, Stops, method_not_allowed, stopping};
use crate::body::ReplyBody;
use crate::call::Call;
use crate::client::ClientEnd;
use crate::config::Limits;
use crate::endpoint::is_batch;
use crate::event_stream::Streams;
use crate::headers;
use crate::inbound::Inbound;
use crate::observer::{self, Observer, ServerObserver};
use crate::pipeline::{Caller, Pipeline, Received, known};
use crate::refusal::{self, Cause, Known, Refusal};
use crate::session::Owner;
use audit::Recorder;
use bytes::Bytes;
use event::{Actor, CallId, Chain};
use http::{HeaderMap, HeaderValue, Method as HttpMethod, Response};
use identity::Revocations;
use mcp::{Frame, Message, Method, Request, RequestId};
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

pub(crate) use self::names::is_prefix;

/// The endpoint of all servers together.
#[derive(Debug)]
pub(crate) struct Federation {
    /// In the order of the configuration, which is the order of lists.
    members: Vec<Member>,
    /// Checks what is checked before a member is chosen; all servers do that alike.
    first: Arc<Backend>,
    sessions: Arc<Sessions>,
    /// On behalf of stateless clients.
    held: Arc<HeldSessions>,
    eras: Arc<Eras>,
    /// This one, or its successor with the same members.
    current: Arc<Current>,
    /// Is told of what is refused here, before a member is found.
    observer: Arc<dyn ServerObserver>,
    recorder: Recorder,
    limits: Limits,
    stops: Stops,
    /// Every exchange in progress, of every backend of the gateway.
    exchanges: TaskTracker,
    /// Clients of HTTP+SSE.
    streams: Arc<Streams>,
}

/// A server and what stands before its names.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) prefix: String,
    pub(crate) backend: Arc<Backend>,
}

/// A request of the client whose sender is known, from which the requests to members are made.
#[derive(Debug, Clone)]
struct Whole {
    call: CallId,
    /// The root of everything that is recorded of it.
    root: CallId,
    actor: Actor,
    origin: Origin,
    headers: HeaderMap,
    body: Bytes,
    /// Of a stateless revision.
    modern: bool,
    id: Option<RequestId>,
    session: Option<Arc<Session>>,
}

impl Federation {
    /// `None` when one server alone needs no endpoint for all. Sessions go on when the members are the
    /// same as before.
    pub(crate) fn new(
        members: Vec<Member>,
        observer: &Arc<dyn Observer>,
        before: Option<&Self>,
    ) -> Option<Arc<Self>> {
        let [first, _, ..] = members.as_slice() else { return None };
        let backend = Arc::clone(&first.backend);
        let limits = backend.pipeline.limits.clone();
        let same = before.filter(|before| {
            let stays = |(old, new): (&Member, &Member)| {
                old.prefix == new.prefix
                    && old.backend.name() == new.backend.name()
                    && old.backend.definition.server == new.backend.definition.server
            };
            before.members.len() == members.len() && before.members.iter().zip(&members).all(stays)
        });
        let sessions = same.map_or_else(
            || Arc::new(Sessions::new(limits.sessions_max, limits.session_idle)),
            |before| Arc::clone(&before.sessions),
        );
        sessions.rebound(limits.sessions_max, limits.session_idle);
        let held = same.map_or_else(
            || Arc::new(HeldSessions::new(limits.sessions_max, limits.session_idle)),
            |before| Arc::clone(&before.held),
        );
        held.rebound(limits.sessions_max, limits.session_idle);
        let federation = Arc::new(Self {
            sessions,
            held,
            current: same.map_or_else(Arc::default, |before| Arc::clone(&before.current)),
            eras: same.map_or_else(Arc::default, |before| Arc::clone(&before.eras)),
            observer: before.map_or_else(
                || observer.server(EVERY_SERVER),
                |before| Arc::clone(&before.observer),
            ),
            recorder: backend.pipeline.recorder.clone(),
            stops: same.map_or_else(|| backend.stops.child(), |before| before.stops.clone()),
            streams: same.map_or_else(Arc::default, |before| Arc::clone(&before.streams)),
            exchanges: backend.exchanges.clone(),
            limits,
            first: backend,
            members,
        });
        federation.current.set(&federation);
        Some(federation)
    }

    /// One request of the client, from its whole body to the head of the answer.
    pub(crate) async fn serve(self: &Arc<Self>, inbound: Inbound, client: ClientEnd) {
        if is_batch(&inbound) {
            Box::pin(self.batch(inbound, client)).await;
        } else {
            self.serve_single(inbound, client).await;
        }
    }

    /// As [`Self::serve`], for what is known to be one message.
    pub(crate) async fn serve_single(self: &Arc<Self>, inbound: Inbound, mut client: ClientEnd) {
        let response = tokio::select! {
            biased;
            () = self.stops.hard.cancelled() => stopping(),
            // What was asked of members until now ends as any call whose client goes away.
            () = client.gone() => return,
            response = Box::pin(self.respond(inbound)) => response,
        };
        client.answer(response);
    }

    /// Forgets idle sessions, and ends those that the gateway holds itself.
    pub(crate) fn sweep(self: &Arc<Self>, now: Instant) {
        self.sessions.sweep(now);
        self.end_idle_held(now);
    }

    /// Whether both hold the same sessions with members.
    pub(crate) fn holds_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.held, &other.held)
    }

    /// What goes on in this caller's name, for as long as it counts.
    fn standing(&self, actor: &Actor) -> Standing {
        self.current.standing(actor, self.recorder.clock().now())
    }

    /// These revocations count from now on.
    pub(crate) fn heed(&self, revocations: &Arc<Revocations>) {
        self.current.heed(revocations);
        self.streams.heed(revocations);
    }

    /// Callers are found out otherwise from now on.
    pub(crate) fn change_identities(&self) {
        self.current.change_identities();
    }

    /// Forgets a session that its client has left.
    pub(crate) fn close_session(&self, id: &[u8]) {
        self.sessions.close(id);
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    pub(crate) fn exchanges(&self) -> &TaskTracker {
        &self.exchanges
    }

    pub(crate) fn stops(&self) -> &Stops {
        &self.stops
    }

    pub(crate) fn streams(&self) -> &Streams {
        &self.streams
    }

    /// A refusal on record, and told of as those of a single server are.
    pub(crate) async fn refuse(&self, refusal: &Refusal, origin: &Origin) {
        self.tell_refusal(refusal);
        refusal::record(&self.recorder, refusal, origin).await;
    }

    /// Tells of a refusal.
    pub(crate) fn tell_refusal(&self, refusal: &Refusal) {
        observer::tell_refusal(&*self.observer, refusal);
    }

    async fn respond(self: &Arc<Self>, inbound: Inbound) -> Response<ReplyBody> {
        let (method, received) = inbound.into_received(self.recorder.call_id());
        let answered = match method {
            HttpMethod::POST => self.post(&received).await,
            HttpMethod::GET => self.get(&received).await,
            HttpMethod::DELETE => self.delete(&received).await,
            _ => return method_not_allowed(),
        };
        match answered {
            Ok(response) => response,
            Err(refused) => {
                self.refuse(&refused, &received.origin).await;
                refused.response()
            }
        }
    }

    async fn post(self: &Arc<Self>, received: &Received) -> Result<Response<ReplyBody>, Refusal> {
        let checks = self.checks();
        let message = self.parse(received)?;
        let call = Call::of(&message, EVERY_SERVER)
            .map(|call| call.or_revision(received.header_revision()));
        if let Some(call) = &call {
            checks.check_headers(received, &message, call)?;
        }
        let actor = Pipeline::identify(received, call.as_ref())?;
        let known = || known(received, call.as_ref(), Some(&actor));
        let modern = call.as_ref().is_some_and(Call::is_modern);
        let opens = matches!(message.method(), Some(Method::Initialize));
        let session = match modern || opens {
            true => None,
            false => Some(self.enter(received, &actor).map_err(|c| Refusal::new(c, known()))?),
        };
        let whole = Whole { id: message.id().cloned(), modern, ..whole(received, &actor, session) };
        let answered = match &message {
            Message::Request(request) => self.request(&whole, request).await,
            Message::Notification(notice) => self.notify(&whole, notice).await,
            Message::Response(response) => self.answer(&whole, response.id.as_ref()).await,
        };
        answered.map_err(|cause| Refusal::new(cause, known()))
    }

    fn parse<'a>(&self, received: &'a Received) -> Result<Message<'a>, Refusal> {
        let read = self.checks().parse(received);
        if read.is_ok() {
            return read;
        }
        match mcp::parse(&received.raw, &rewrite::for_answers(&self.limits.messages)) {
            Ok(Frame::Single(m @ (Message::Response(_) | Message::Notification(_)))) => Ok(m),
            _ => read,
        }
    }

    async fn get(self: &Arc<Self>, received: &Received) -> Result<Response<ReplyBody>, Refusal> {
        let call = Call::http("http/get", EVERY_SERVER).or_revision(received.header_revision());
        let actor = Pipeline::identify(received, Some(&call))?;
        let known = || known(received, Some(&call), Some(&actor));
        let session = self.enter(received, &actor).map_err(|c| Refusal::new(c, known()))?;
        Ok(self.listen(&whole(received, &actor, Some(session))).await)
    }

    /// Ends the session at every member.
    async fn delete(&self, received: &Received) -> Result<Response<ReplyBody>, Refusal> {
        let call = Call::http("http/delete", EVERY_SERVER).or_revision(received.header_revision());
        let actor = Pipeline::identify(received, Some(&call))?;
        let known = || known(received, Some(&call), Some(&actor));
        let session = self.enter(received, &actor).map_err(|c| Refusal::new(c, known()))?;
        let whole = whole(received, &actor, Some(session));
        let parts = self.linked(&whole).filter(|(_, link)| link.id.is_some());
        let parts = parts.map(|(place, link)| {
            (place, whole.part(HttpMethod::DELETE, whole.headers_on(&link, None), Bytes::new()))
        });
        // What goes on for its sake ends first.
        if let Some(session) = &whole.session {
            session.end();
        }
        self.ask_each(parts.collect(), None).await;
        self.sessions.close(received.session_id.as_deref().unwrap_or_default());
        Ok(Response::new(ReplyBody::empty()))
    }

    async fn request(
        self: &Arc<Self>,
        whole: &Whole,
        request: &Request<'_>,
    ) -> Result<Response<ReplyBody>, Cause> {
        match &request.method {
            Method::Initialize => self.initialize(whole, &request.id).await,
            Method::ServerDiscover if whole.modern => self.discover(whole, &request.id).await,
            Method::SubscriptionsListen if whole.modern => self.subscribe(whole, request).await,
            Method::Ping if !whole.modern => self.everywhere(whole, request, None).await,
            Method::LoggingSetLevel if !whole.modern => {
                self.everywhere(whole, request, Some("logging")).await
            }
            method => match lists::List::of(method) {
                Some(list) => self.list(whole, request, list).await,
                None => self.single(whole, request).await,
            },
        }
    }

    /// Asks members at once, each within the time for members, and gives what came of it in their
    /// order. Dropping this future ends what is in progress.
    async fn ask_each(
        &self,
        parts: Vec<(usize, Inbound)>,
        id: Option<&RequestId>,
    ) -> Vec<(usize, Option<Answer>)> {
        let mut asking = Vec::new();
        for (place, inbound) in parts {
            let Some(member) = self.members.get(place) else { continue };
            let (backend, id) = (Arc::clone(&member.backend), id.cloned());
            let bytes_max = self.limits.reply_bytes_max;
            let asked = async move {
                ask::whole(backend.ask_single(inbound).await, id.as_ref(), bytes_max).await
            };
            asking.push((place, asked));
        }
        self.each(asking).await
    }

    /// As [`Self::ask_each`], for whatever takes some time at each member.
    async fn each<T, F>(&self, asking: Vec<(usize, F)>) -> Vec<(usize, Option<T>)>
    where
        T: Send + 'static,
        F: Future<Output = Option<T>> + Send + 'static,
    {
        let time = self.limits.member_timeout;
        let mut running = JoinSet::new();
        for (place, asked) in asking {
            running.spawn(async move {
                (place, tokio::time::timeout(time, asked).await.ok().flatten())
            });
        }
        let mut answers = Vec::new();
        while let Some(answer) = running.join_next().await {
            answers.extend(answer);
        }
        answers.sort_by_key(|(place, _)| *place);
        answers
    }

    /// What is known of a request that is refused after it was accepted.
    fn known_of(&self, whole: &Whole) -> Known {
        let message = match mcp::parse(&whole.body, &self.limits.messages) {
            Ok(Frame::Single(message)) => Some(message),
            _ => None,
        };
        let call = message.and_then(|message| Call::of(&message, EVERY_SERVER));
        let received = Received {
            call: whole.call,
            chain: Chain::default(),
            caller: Caller::Known(whole.actor.clone()),
            headers: None,
            origin: whole.origin.clone(),
            session_id: whole.headers.get(headers::SESSION_ID).map(|id| id.as_bytes().to_vec()),
            only: None,
            raw: whole.body.clone(),
            arrived: Instant::now(),
        };
        known(&received, call.map(|call| call.or_revision(whole.revision())).as_ref(), None)
    }

    /// The session that a request of the older revisions names.
    fn enter(&self, received: &Received, actor: &Actor) -> Result<Arc<Session>, Cause> {
        let id = received.session_id.as_deref().ok_or(Cause::UnknownSession)?;
        Ok(self.sessions.enter(id, &Owner::of(actor), Instant::now())?)
    }

    /// The members that have a link in this session, with it.
    fn linked<'a>(&'a self, whole: &'a Whole) -> impl Iterator<Item = (usize, Link)> + 'a {
        let session = whole.session.as_ref();
        let link = move |member: &Member| session.and_then(|s| s.link(&member.prefix));
        self.members.iter().enumerate().filter_map(move |(at, member)| Some((at, link(member)?)))
    }

    fn member(&self, prefix: &str) -> Option<(usize, &Member)> {
        self.members.iter().enumerate().find(|(_, member)| member.prefix == prefix)
    }

    /// What all servers check alike: the form of messages, their headers, who sends them.
    fn checks(&self) -> &Pipeline {
        &self.first.pipeline
    }
}

impl Whole {
    /// A request to a member, on behalf of this one.
    fn part(&self, method: HttpMethod, headers: HeaderMap, body: Bytes) -> Inbound {
        Inbound {
            method,
            headers,
            body,
            caller: Caller::Known(self.actor.clone()),
            origin: self.origin.clone(),
            chain: Chain { root: Some(self.root), follows: None },
        }
    }

    /// The headers of a request to a member in its session. `name` is what the member calls the
    /// target.
    fn headers_on(&self, link: &Link, name: Option<&str>) -> HeaderMap {
        let mut out = self.headers_for(name);
        match &link.id {
            Some(id) => out.insert(headers::SESSION_ID, id.clone()),
            None => out.remove(headers::SESSION_ID),
        };
        out.remove(headers::LAST_EVENT_ID);
        if mcp::Revision::from_name(&link.revision).requires_version_header()
            && let Ok(revision) = HeaderValue::from_str(&link.revision)
        {
            out.insert(mcp::header::PROTOCOL_VERSION, revision);
        }
        out
    }

    /// As [`Whole::headers_on`], for the stateless revisions.
    fn headers_for(&self, name: Option<&str>) -> HeaderMap {
        let mut out = self.headers.clone();
        let name = name.filter(|_| out.contains_key(mcp::header::NAME));
        let name = name.map(mcp::header::encode_header_value);
        if let Some(name) = name.and_then(|name| HeaderValue::from_str(&name).ok()) {
            out.insert(mcp::header::NAME, name);
        }
        out
    }
}

fn whole(received: &Received, actor: &Actor, session: Option<Arc<Session>>) -> Whole {
    Whole {
        call: received.call,
        root: received.chain.root.unwrap_or(received.call),
        actor: actor.clone(),
        origin: received.origin.clone(),
        headers: received.headers.clone().unwrap_or_default(),
        body: received.raw.clone(),
        modern: false,
        id: None,
        session,
    }
}

/// The server in the record of what was refused before a member was found; no server can be called so.
const EVERY_SERVER: &str = "*";
