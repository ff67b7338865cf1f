//! The built-in schema, parsed once: which actions there are and what they apply to. It knows no
//! policies and no requests.

use crate::digest;
use crate::problem::Problem;
use cedar_policy::{
    Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression, Schema, Validator,
};
use event::{Direction, ResourceKind};
use std::collections::{BTreeSet, HashMap};

/// The schema and what the hot path needs of it.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    /// Holds the schema.
    pub(crate) validator: Validator,
    /// Digest of the schema text.
    pub(crate) digest: String,
    types: Types,
    to_client: Methods,
    to_server: Methods,
}

/// One action of the schema.
#[derive(Debug)]
pub(crate) struct Action {
    /// With its groups as ancestors.
    pub(crate) entity: Entity,
    pub(crate) uid: EntityUid,
    applies_to: Vec<ResourceKind>,
}

/// Entity types of the schema.
#[derive(Debug)]
struct Types {
    actor: EntityTypeName,
    client: EntityTypeName,
    prompt: EntityTypeName,
    provider: EntityTypeName,
    resource: EntityTypeName,
    server: EntityTypeName,
    task: EntityTypeName,
    tool: EntityTypeName,
}

/// The actions of one direction, by method.
#[derive(Debug)]
struct Methods {
    known: HashMap<String, Action>,
    other: Action,
}

/// The things that requests name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Name {
    Actor,
    Provider,
    Thing(ResourceKind),
}

impl Vocabulary {
    /// Reads the schema that is part of the program; it fails only if that text is broken.
    pub(crate) fn built_in() -> Result<Self, Problem> {
        let (schema, _warnings) = Schema::from_cedarschema_str(SCHEMA).map_err(broken)?;
        let types = Types::new().map_err(broken)?;
        let mut to_client = HashMap::new();
        let mut to_server = HashMap::new();
        let groups: BTreeSet<EntityUid> = schema.action_groups().cloned().collect();
        for entity in schema.action_entities().map_err(broken)? {
            let uid = entity.uid();
            if groups.contains(&uid) {
                continue;
            }
            let applies_to = types.kinds(schema.resources_for_action(&uid).into_iter().flatten());
            let name = uid.id().unescaped().to_owned();
            let action = Action { entity, uid, applies_to };
            match name.strip_prefix(TO_CLIENT) {
                Some(method) => to_client.insert(method.to_owned(), action),
                None => to_server.insert(name, action),
            };
        }
        Ok(Self {
            validator: Validator::new(schema),
            digest: digest::of_files(&[("schema.cedarschema", SCHEMA)]),
            types,
            to_client: Methods::new(to_client)?,
            to_server: Methods::new(to_server)?,
        })
    }

    pub(crate) fn action(&self, direction: Direction, method: &str) -> &Action {
        let methods = match direction {
            Direction::ToClient => &self.to_client,
            Direction::ToServer => &self.to_server,
        };
        methods.known.get(method).unwrap_or(&methods.other)
    }

    /// Names of all actions, groups included.
    pub(crate) fn action_names(&self) -> impl Iterator<Item = &str> {
        self.validator.schema().actions().map(|uid| uid.id().unescaped())
    }

    /// Names are taken as they are: no character in them has a meaning.
    pub(crate) fn uid(&self, name: Name, id: &str) -> EntityUid {
        let of_type = match name {
            Name::Actor => &self.types.actor,
            Name::Provider => &self.types.provider,
            Name::Thing(kind) => self.types.of(kind),
        };
        EntityUid::from_type_name_and_id(of_type.clone(), EntityId::new(id))
    }

    #[cfg(test)]
    pub(crate) fn methods(&self, direction: Direction) -> Vec<&str> {
        let methods = match direction {
            Direction::ToClient => &self.to_client,
            Direction::ToServer => &self.to_server,
        };
        let mut known: Vec<_> = methods.known.keys().map(String::as_str).collect();
        known.sort_unstable();
        known
    }
}

impl Action {
    pub(crate) fn applies_to(&self, kind: ResourceKind) -> bool {
        self.applies_to.contains(&kind)
    }
}

impl Methods {
    /// The action for unknown methods stands apart; a method that happens to have its name is one.
    fn new(mut known: HashMap<String, Action>) -> Result<Self, Problem> {
        match known.remove(OTHER) {
            Some(other) => Ok(Self { known, other }),
            None => Err(broken("no action for unknown methods")),
        }
    }
}

impl Types {
    fn new() -> Result<Self, Box<cedar_policy::ParseErrors>> {
        let named = |name: &str| name.parse::<EntityTypeName>().map_err(Box::new);
        Ok(Self {
            actor: named("Actor")?,
            client: named("Client")?,
            prompt: named("Prompt")?,
            provider: named("Provider")?,
            resource: named("Resource")?,
            server: named("Server")?,
            task: named("Task")?,
            tool: named("Tool")?,
        })
    }

    fn of(&self, kind: ResourceKind) -> &EntityTypeName {
        match kind {
            ResourceKind::Client => &self.client,
            ResourceKind::Prompt => &self.prompt,
            ResourceKind::Resource => &self.resource,
            ResourceKind::Server => &self.server,
            ResourceKind::Task => &self.task,
            ResourceKind::Tool => &self.tool,
        }
    }

    fn kinds<'a>(&self, names: impl Iterator<Item = &'a EntityTypeName>) -> Vec<ResourceKind> {
        let names: BTreeSet<_> = names.collect();
        KINDS.into_iter().filter(|kind| names.contains(self.of(*kind))).collect()
    }
}

/// A string value of an attribute.
pub(crate) fn text(value: impl Into<String>) -> RestrictedExpression {
    RestrictedExpression::new_string(value.into())
}

fn broken(error: impl std::fmt::Display) -> Problem {
    Problem::error(format!("the built-in schema is broken: {error}"))
        .with_help("this is a defect of the program, not of the policies")
}

/// Every sort of thing that an action can apply to.
pub(crate) const KINDS: [ResourceKind; 6] = [
    ResourceKind::Client,
    ResourceKind::Prompt,
    ResourceKind::Resource,
    ResourceKind::Server,
    ResourceKind::Task,
    ResourceKind::Tool,
];
const OTHER: &str = "other";
/// The schema that policies are checked against, in Cedar's own syntax, commented.
pub const SCHEMA: &str = include_str!("schema.cedarschema");
const TO_CLIENT: &str = "to-client/";
