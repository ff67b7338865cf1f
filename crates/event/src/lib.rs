#![doc = include_str!("../README.md")]

mod actor;
mod credential;
mod decision;
mod encode;
mod event;
mod kind;
mod outcome;
mod resource;
mod sequence;
mod time;

pub use actor::{
    Actor, ActorKind, Certificate, Evidence, EvidenceKind, Hop, HopRole, Level, Proof,
};
pub use credential::{CacheUse, Credential};
pub use decision::{Basis, Decision, Effect};
pub use encode::{DecodeError, Draft, ENTRY_BYTES_MAX, EncodeError, bounded};
pub use event::{
    Answered, Asked, CallId, Chain, ClaimedClient, Direction, Environment, Event, EventId, Payload,
    Refused, SCHEMA_VERSION, Stamp, Transport,
};
pub use kind::Kind;
pub use outcome::{Outcome, OutcomeClass, Refusal, Status, TaskState};
pub use resource::{MethodClass, Resource, ResourceKind};
pub use sequence::{LeafHash, Sequence};
pub use time::Time;
