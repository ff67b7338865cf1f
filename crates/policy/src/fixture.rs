//! Requests for tests to start from.

use crate::{Context, Request};
use event::{
    Actor, ActorKind, CallId, Direction, Evidence, EvidenceKind, Hop, HopRole, Level, MethodClass,
    Resource, ResourceKind, Time, Transport,
};
use std::net::IpAddr;
use uuid::Uuid;

pub(crate) fn request<'a>(
    actor: &'a Actor,
    resource: &'a Resource,
    direction: Direction,
    context: Context<'a>,
) -> Request<'a> {
    Request { call: CallId(Uuid::nil()), actor, resource, direction, context }
}

pub(crate) fn resource(method: &str, kind: ResourceKind, names: &[&str]) -> Resource {
    Resource {
        class: MethodClass::Write,
        kind,
        method: method.to_owned(),
        names: names.iter().map(|&name| name.to_owned()).collect(),
        server: "tracker".to_owned(),
    }
}

pub(crate) fn agent_for_a_person() -> Actor {
    let hop = |id: &str, role, level| Hop {
        evidence: Evidence::new(EvidenceKind::Jwt),
        id: id.to_owned(),
        level,
        role,
    };
    let mut agent = hop("agent-7", HopRole::Agent, Level::VerifiedBearer);
    agent.evidence.iss = Some("https://issuer.example".to_owned());
    Actor {
        chain: [
            hop("ann@example.org", HopRole::Human, Level::IssuerAsserted),
            hop("push", HopRole::Trigger, Level::PeerAsserted),
            agent,
        ]
        .into(),
        development: true,
        id: "agent-7".to_owned(),
        kind: ActorKind::Workload,
        level: Level::VerifiedBearer,
        provider: "github".to_owned(),
        ..Actor::anonymous()
    }
}

pub(crate) fn bare() -> Context<'static> {
    Context {
        definition: "none",
        gateway: "gate-1",
        peer: None,
        protocol: None,
        region: None,
        handle: None,
        request_bytes: 0,
        session: false,
        time: Time::from_unix_us(0),
        transport: Transport::Stdio,
    }
}

pub(crate) fn full() -> Context<'static> {
    Context {
        definition: "none",
        gateway: "gate-1",
        peer: Some(IpAddr::from([192, 0, 2, 7])),
        protocol: Some("2026-07-28"),
        region: Some("eu"),
        handle: Some("known"),
        request_bytes: u64::MAX,
        session: true,
        time: Time::parse("2026-11-22T08:37:00.123456Z").unwrap_or(Time::from_unix_us(0)),
        transport: Transport::Http,
    }
}
