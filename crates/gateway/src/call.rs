//! What a message asks for, in the words of the record: the resource it touches and what it claims of
//! itself. Read from the decoded body, never from headers.

use crate::handles::Named;
use crate::session::handle_digest;
use event::{Chain, ClaimedClient, MethodClass, Resource, ResourceKind, bounded};
use mcp::{Class, Message, Method, Params, RequestId, Revision, Target};

/// Bytes of a name or version that an unverified party claims, as recorded.
const CLAIM_BYTES_MAX: usize = 200;

/// A request or notification, as far as the gateway is concerned.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// `None` for a notification.
    pub(crate) id: Option<RequestId>,
    pub(crate) method: Method<'static>,
    pub(crate) resource: Resource,
    pub(crate) client: Option<ClaimedClient>,
    /// The revision that the body claims.
    pub(crate) revision: Option<Revision>,
    /// The request that a cancellation names.
    pub(crate) cancels: Option<RequestId>,
    /// The token by which progress of this request is reported.
    pub(crate) progress_token: Option<RequestId>,
    /// The handles by which it goes on with other calls.
    pub(crate) handles: Vec<Named>,
    /// The calls that those were part of.
    pub(crate) chain: Chain,
    /// `traceparent` of `_meta`, when it has the length of one (W3C Trace Context); unchecked.
    pub(crate) traceparent: Option<String>,
}

impl Call {
    /// Reads a request or notification; `None` for a response.
    pub(crate) fn of(message: &Message<'_>, server: &str) -> Option<Self> {
        let (method, params) = (message.method()?, message.params()?);
        let target = message.target().ok()?;
        let id = match message {
            Message::Request(request) => Some(request.id.clone()),
            _ => None,
        };
        let (kind, names) = named(&target);
        let handles = handles(&target, params, method.name(), &names);
        Some(Self {
            id,
            method: method.clone().into_owned(),
            resource: Resource {
                class: class(method),
                kind,
                method: method.name().to_owned(),
                names,
                server: server.to_owned(),
            },
            client: claimed_client(params),
            revision: revision(params),
            cancels: params.request_id.clone(),
            progress_token: params.meta.as_ref().and_then(|m| m.progress_token.clone()),
            handles,
            chain: Chain::default(),
            traceparent: traceparent(params),
        })
    }

    /// An operation of the HTTP transport that carries no message.
    pub(crate) fn http(method: &str, server: &str) -> Self {
        Self {
            id: None,
            method: Method::from_name(method.to_owned().into()),
            resource: Resource {
                class: MethodClass::Session,
                kind: ResourceKind::Server,
                method: method.to_owned(),
                names: Vec::new(),
                server: server.to_owned(),
            },
            client: None,
            revision: None,
            cancels: None,
            progress_token: None,
            handles: Vec::new(),
            chain: Chain::default(),
            traceparent: None,
        }
    }

    /// The same call; a body that claims no revision (as notifications and the legacy revisions do
    /// not) gets the one of the HTTP header.
    pub(crate) fn or_revision(self, header: Option<Revision>) -> Self {
        Self { revision: self.revision.or(header), ..self }
    }

    /// Whether the message is of a stateless revision (2026-07-28 and later). `initialize` never is,
    /// whatever revision it proposes: those revisions do not have it.
    pub(crate) fn is_modern(&self) -> bool {
        !matches!(self.method, Method::Initialize)
            && self.revision.as_ref().is_some_and(Revision::is_modern)
    }

    /// How policies see the handles that it names, which were checked.
    pub(crate) fn handle_word(&self) -> Option<&'static str> {
        let word = if self.chain.follows.is_some() { "known" } else { "unknown" };
        (!self.handles.is_empty()).then_some(word)
    }

    /// Whether this only takes back or ends what is there.
    pub(crate) fn ends_something(&self) -> bool {
        matches!(self.method, Method::NotificationsCancelled)
            || self.resource.method == "http/delete"
    }

    /// Whether this opens a stream that is meant to stay open.
    pub(crate) fn is_listening(&self) -> bool {
        matches!(self.method, Method::SubscriptionsListen) || self.resource.method == "http/get"
    }
}

/// The handles that a message names. What a caller holds, it may use for this and nothing else.
fn handles(target: &Target<'_>, params: &Params<'_>, method: &str, names: &[String]) -> Vec<Named> {
    let task = |id: &str| Named::task(handle_digest(id.as_bytes()));
    let mut handles = match target {
        Target::Task(id) => vec![task(id)],
        Target::Subscription { tasks, .. } => tasks.iter().map(|id| task(id)).collect(),
        _ => Vec::new(),
    };
    handles.extend(params.request_state.iter().map(|state| Named::state(state, method, names)));
    handles
}

/// Later versions of the format may be longer; nothing sensible is longer than this.
const TRACEPARENT_BYTES_MAX: usize = 128;

fn traceparent(params: &Params<'_>) -> Option<String> {
    let written = params.meta.as_ref()?.traceparent.as_deref()?;
    (written.len() <= TRACEPARENT_BYTES_MAX).then(|| written.to_owned())
}

fn revision(params: &Params<'_>) -> Option<Revision> {
    let meta = params.meta.as_ref().and_then(|m| m.protocol_version.as_deref());
    meta.or(params.protocol_version.as_deref()).map(Revision::from_name)
}

fn claimed_client(params: &Params<'_>) -> Option<ClaimedClient> {
    let peer = params.meta.as_ref().and_then(|m| m.client.as_ref()).or(params.client.as_ref())?;
    Some(ClaimedClient {
        name: bounded(peer.name.as_deref().unwrap_or(""), CLAIM_BYTES_MAX),
        version: peer.version.as_deref().map(|v| bounded(v, CLAIM_BYTES_MAX)),
    })
}

/// What a method does, in the words of the record.
pub(crate) fn class(method: &Method<'_>) -> MethodClass {
    match method.class() {
        Class::List => MethodClass::List,
        Class::Read | Class::Subscribe => MethodClass::Read,
        Class::Session | Class::Notice => MethodClass::Session,
        Class::Write | Class::Ask | Class::Unknown => MethodClass::Write,
    }
}

/// Names are neither cut nor left out here, since policy decides on them; their length and number are
/// bounded by the limits on messages.
fn named(target: &Target<'_>) -> (ResourceKind, Vec<String>) {
    let one = |name: &str| vec![name.to_owned()];
    match target {
        Target::Tool(name) => (ResourceKind::Tool, one(name)),
        Target::Resource(uri) | Target::ResourceTemplate(uri) => (ResourceKind::Resource, one(uri)),
        Target::Prompt(name) => (ResourceKind::Prompt, one(name)),
        Target::Task(id) => (ResourceKind::Task, vec![handle_digest(id.as_bytes())]),
        Target::Subscription { uris, tasks } => {
            let tasks = tasks.iter().map(|id| handle_digest(id.as_bytes()));
            if uris.is_empty() {
                let tasks: Vec<String> = tasks.collect();
                let kind = if tasks.is_empty() { ResourceKind::Server } else { ResourceKind::Task };
                (kind, tasks)
            } else {
                let names = uris.iter().map(|uri| uri.clone().into_owned()).chain(tasks).collect();
                (ResourceKind::Resource, names)
            }
        }
        Target::Client => (ResourceKind::Client, Vec::new()),
        Target::Call(_) | Target::Server | Target::None => (ResourceKind::Server, Vec::new()),
    }
}
