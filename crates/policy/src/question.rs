//! A request in the words of policies: principal, action, resources and circumstances, built so that it
//! fits the schema by construction. It evaluates nothing and knows no protocol beyond method names.

use crate::needs::Needs;
use crate::platform::{Known, Wanted};
use crate::vocabulary::{Action, Name, Vocabulary, text};
use cedar_policy::{Entities, Entity, EntityUid, RestrictedExpression};
use event::{
    Actor, ActorKind, CallId, Direction, HopRole, Level, MethodClass, Resource, ResourceKind, Time,
    Transport,
};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

/// Most things that one request may name. Each is decided by itself, at some ten microseconds.
pub const NAMES_MAX: usize = 256;

/// May this actor do this?
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The call that a permit will be for.
    pub call: CallId,
    /// Who asks.
    pub actor: &'a Actor,
    /// What is touched. Without `names` the call acts on the server as a whole, or on the client when it
    /// goes towards it; with several, all must be permitted.
    pub resource: &'a Resource,
    /// Which way the call goes.
    pub direction: Direction,
    /// Under which circumstances.
    pub context: Context<'a>,
}

/// The circumstances of a call: `context` in policies, where `method` and `class` are added.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What became of the definition that the call rests on: `approved`, `unreviewed`, `changed`,
    /// `unknown`, or `none`.
    pub definition: &'a str,
    /// Name of the gateway, from its configuration.
    pub gateway: &'a str,
    /// Address of the caller's connection, as the gateway sees it.
    pub peer: Option<IpAddr>,
    /// `known` or `unknown`: whether the gateway saw the handle (`requestState`, task id) given out by
    /// which the call goes on with others; absent when it names none.
    pub handle: Option<&'a str>,
    /// Protocol revision that the message claims.
    pub protocol: Option<&'a str>,
    /// Region, from the configuration.
    pub region: Option<&'a str>,
    /// Bytes of the message.
    pub request_bytes: u64,
    /// Whether the call belongs to a session that the gateway knows.
    pub session: bool,
    /// When the gateway received the call.
    pub time: Time,
    /// How the caller reached the gateway.
    pub transport: Transport,
}

/// A request in the words of policies.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) principal: EntityUid,
    pub(crate) action: EntityUid,
    /// Never empty; no two alike.
    pub(crate) resources: Vec<EntityUid>,
    pub(crate) context: cedar_policy::Context,
    pub(crate) entities: Entities,
}

/// Why a request does not fit the schema. No message holds what the caller sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Misfit {
    #[error("a call towards the {0} cannot come from this sort of actor")]
    Direction(&'static str),
    #[error("{0} names cannot hold a `/`: rename it in the configuration")]
    Slash(&'static str),
    #[error("the call acts on a {kind}, but the action `{action}` does not apply to one")]
    Kind { action: String, kind: &'static str },
    #[error("the call acts on the server as a whole and yet names something in it")]
    Whole,
    #[error("the call names {0} things; at most {NAMES_MAX} can be decided at once")]
    Names(usize),
    #[error("its values do not fit the schema: {0}")]
    Value(String),
}

/// What policies can see of an actor, and nothing else: whatever is the same here is the same to them.
#[derive(Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) id: &'a str,
    pub(crate) provider: &'a str,
    pub(crate) kind: ActorKind,
    pub(crate) chain_depth: usize,
    pub(crate) chain_level: Level,
    pub(crate) development: bool,
    pub(crate) level: Level,
    pub(crate) human: Option<&'a str>,
    pub(crate) issuer: Option<&'a str>,
    pub(crate) platform: Option<Known<'a>>,
}

impl<'a> Caller<'a> {
    pub(crate) fn of(actor: &'a Actor, wanted: Wanted) -> Self {
        let Actor { attributes, chain, development, id, kind, level, profile: _, provider } = actor;
        let human = chain
            .iter()
            .rev()
            .find(|hop| hop.role == HopRole::Human && Level::IssuerAsserted <= hop.level);
        Self {
            id,
            provider,
            kind: *kind,
            chain_depth: chain.len(),
            chain_level: chain.iter().map(|hop| hop.level).min().unwrap_or(Level::None),
            development: *development,
            level: *level,
            human: human.map(|hop| hop.id.as_str()),
            issuer: chain.last().and_then(|hop| hop.evidence.iss.as_deref()),
            platform: wanted.of(attributes),
        }
    }
}

impl Question {
    /// Leaves out what the policies do not need.
    pub(crate) fn new(
        words: &Vocabulary,
        needs: Needs,
        request: &Request<'_>,
    ) -> Result<Self, Misfit> {
        let resource = request.resource;
        check_names(request)?;
        let action = words.action(request.direction, &resource.method);
        let context = context(needs, request)?;
        let principal = principal(words, needs, request)?;
        let mut question = Self {
            principal: principal.uid(),
            action: action.uid.clone(),
            resources: Vec::new(),
            context,
            entities: Entities::empty(),
        };
        let mut entities = vec![principal, action.entity.clone()];
        for thing in things(words, request, action)? {
            question.resources.push(thing.uid());
            entities.push(thing);
        }
        question.entities = Entities::from_entities(entities, None).map_err(Misfit::value)?;
        Ok(question)
    }
}

impl Misfit {
    pub(crate) fn value(error: impl std::fmt::Display) -> Self {
        Self::Value(error.to_string())
    }
}

/// Identifiers are `<outer>/<inner>`; without a slash in the outer name they can be read one way only.
fn check_names(request: &Request<'_>) -> Result<(), Misfit> {
    let resource = request.resource;
    if resource.server.contains('/') {
        return Err(Misfit::Slash("server"));
    }
    if request.actor.provider.contains('/') {
        return Err(Misfit::Slash("trust provider"));
    }
    if NAMES_MAX < resource.names.len() {
        return Err(Misfit::Names(resource.names.len()));
    }
    if resource.kind == ResourceKind::Server && !resource.names.is_empty() {
        return Err(Misfit::Whole);
    }
    Ok(())
}

fn principal(words: &Vocabulary, needs: Needs, request: &Request<'_>) -> Result<Entity, Misfit> {
    let actor = request.actor;
    match (request.direction, actor.kind) {
        (Direction::ToClient, ActorKind::Server) => server(words, &actor.id),
        (Direction::ToClient, _) => Err(Misfit::Direction("client")),
        (Direction::ToServer, ActorKind::Server) => Err(Misfit::Direction("server")),
        (Direction::ToServer, _) => caller(words, &Caller::of(actor, needs.platform)),
    }
}

fn caller(words: &Vocabulary, caller: &Caller<'_>) -> Result<Entity, Misfit> {
    let Caller { id, provider, kind, chain_depth, chain_level, .. } = *caller;
    let Caller { development, level, human, issuer, ref platform, .. } = *caller;
    let uid = match kind {
        ActorKind::Anonymous => ANONYMOUS.to_owned(),
        _ => format!("{provider}/{id}"),
    };
    let mut attributes = HashMap::from([
        ("chain_depth".to_owned(), long(chain_depth)),
        ("chain_level".to_owned(), RestrictedExpression::new_long(rank(chain_level))),
        ("development".to_owned(), RestrictedExpression::new_bool(development)),
        ("id".to_owned(), text(id)),
        ("kind".to_owned(), text(kind_word(kind))),
        ("level".to_owned(), RestrictedExpression::new_long(rank(level))),
        ("level_name".to_owned(), text(level_word(level))),
        ("provider".to_owned(), text(provider)),
    ]);
    attributes.extend(human.map(|human| ("human".to_owned(), text(human))));
    attributes.extend(issuer.map(|issuer| ("issuer".to_owned(), text(issuer))));
    let record = platform.as_ref().and_then(|known| Some((known.platform, known.record()?)));
    attributes.extend(record.map(|(name, record)| (name.to_owned(), record)));
    let mut parents = HashSet::new();
    if kind != ActorKind::Anonymous && !provider.is_empty() {
        parents.insert(words.uid(Name::Provider, provider));
    }
    Entity::new(words.uid(Name::Actor, &uid), attributes, parents).map_err(Misfit::value)
}

/// The entities that the call acts on, each one that the action applies to.
fn things(
    words: &Vocabulary,
    request: &Request<'_>,
    action: &Action,
) -> Result<Vec<Entity>, Misfit> {
    let resource = request.resource;
    let kind = match (request.direction, resource.names.is_empty()) {
        (_, false) => resource.kind,
        (Direction::ToClient, true) => ResourceKind::Client,
        (Direction::ToServer, true) => ResourceKind::Server,
    };
    if !action.applies_to(kind) {
        let action = action.uid.id().unescaped().to_owned();
        return Err(Misfit::Kind { action, kind: kind.as_str() });
    }
    if resource.names.is_empty() {
        return Ok(vec![match kind {
            ResourceKind::Client => thing(words, request, kind, None)?,
            _ => server(words, &resource.server)?,
        }]);
    }
    let names: BTreeSet<&str> = resource.names.iter().map(String::as_str).collect();
    names.into_iter().map(|name| thing(words, request, kind, Some(name))).collect()
}

fn thing(
    words: &Vocabulary,
    request: &Request<'_>,
    kind: ResourceKind,
    name: Option<&str>,
) -> Result<Entity, Misfit> {
    let inside = &request.resource.server;
    let mut attributes = HashMap::from([("server".to_owned(), text(inside))]);
    let mut id = inside.clone();
    if let Some(name) = name {
        let attribute = if kind == ResourceKind::Resource { "uri" } else { "name" };
        attributes.insert(attribute.to_owned(), text(name));
        id = format!("{inside}/{name}");
    }
    let parents = HashSet::from([words.uid(Name::Thing(ResourceKind::Server), inside)]);
    Entity::new(words.uid(Name::Thing(kind), &id), attributes, parents).map_err(Misfit::value)
}

fn server(words: &Vocabulary, name: &str) -> Result<Entity, Misfit> {
    let attributes = HashMap::from([("name".to_owned(), text(name))]);
    let uid = words.uid(Name::Thing(ResourceKind::Server), name);
    Entity::new(uid, attributes, HashSet::new()).map_err(Misfit::value)
}

fn context(needs: Needs, request: &Request<'_>) -> Result<cedar_policy::Context, Misfit> {
    let Context { definition, gateway, handle, peer, protocol, region, .. } = request.context;
    let Context { request_bytes, session, time, transport, .. } = request.context;
    let bytes = i64::try_from(request_bytes).unwrap_or(i64::MAX);
    let fixed = [
        ("class", text(class_word(request.resource.class))),
        ("definition", text(definition)),
        ("gateway", text(gateway)),
        ("method", text(&request.resource.method)),
        ("request_bytes", RestrictedExpression::new_long(bytes)),
        ("session", RestrictedExpression::new_bool(session)),
        ("transport", text(transport_word(transport))),
    ];
    let peer = peer.filter(|_| needs.peer).map(|peer| RestrictedExpression::new_ip(address(peer)));
    let time = needs.time.then(|| RestrictedExpression::new_datetime(milliseconds(time)));
    let known = [
        ("handle", handle.map(text)),
        ("peer", peer),
        ("protocol", protocol.map(text)),
        ("region", region.map(text)),
        ("time", time),
    ];
    let known = known.into_iter().filter_map(|(key, value)| Some((key, value?)));
    let pairs = fixed.into_iter().chain(known);
    let pairs = pairs.map(|(key, value)| (key.to_owned(), value));
    cedar_policy::Context::from_pairs(pairs).map_err(Misfit::value)
}

/// RFC 3339 with three fractional digits, the only precision that Cedar reads. Years outside 0 to 9999
/// come out as something it refuses.
fn milliseconds(time: Time) -> String {
    let micros = time.to_string();
    match micros.strip_suffix('Z').and_then(|digits| digits.get(..MILLISECONDS_LEN)) {
        Some(millis) => format!("{millis}Z"),
        None => micros,
    }
}

/// Cedar refuses IPv6 addresses with an IPv4 tail: mapped addresses become the IPv4 address that they
/// stand for, all others are written out in hexadecimal groups.
fn address(peer: IpAddr) -> String {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.segments().map(|group| format!("{group:x}")).join(":"),
    }
}

fn long(count: usize) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(count).unwrap_or(i64::MAX))
}

pub(crate) fn rank(level: Level) -> i64 {
    match level {
        Level::None => 0,
        Level::Observed => 1,
        Level::PeerAsserted => 2,
        Level::IssuerAsserted => 3,
        Level::VerifiedBearer => 4,
        Level::VerifiedPop => 5,
    }
}

fn level_word(level: Level) -> &'static str {
    match level {
        Level::None => "none",
        Level::Observed => "observed",
        Level::PeerAsserted => "peer-asserted",
        Level::IssuerAsserted => "issuer-asserted",
        Level::VerifiedBearer => "verified-bearer",
        Level::VerifiedPop => "verified-pop",
    }
}

pub(crate) fn kind_word(kind: ActorKind) -> &'static str {
    match kind {
        ActorKind::Anonymous => ANONYMOUS,
        ActorKind::Human => "human",
        ActorKind::Local => "local",
        ActorKind::Server => "server",
        ActorKind::Workload => "workload",
    }
}

pub(crate) fn class_word(class: MethodClass) -> &'static str {
    match class {
        MethodClass::List => "list",
        MethodClass::Read => "read",
        MethodClass::Session => "session",
        MethodClass::Write => "write",
    }
}

pub(crate) fn transport_word(transport: Transport) -> &'static str {
    match transport {
        Transport::Http => "http",
        Transport::HttpSse => "http-sse",
        Transport::Stdio => "stdio",
    }
}

const ANONYMOUS: &str = "anonymous";
/// Length of `2026-11-22T08:37:00.123`.
const MILLISECONDS_LEN: usize = 23;

#[cfg(test)]
mod tests;
