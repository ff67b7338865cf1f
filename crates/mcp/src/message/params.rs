//! The parameters a gateway needs, decoded; everything else is checked and skipped. It refuses to
//! know which method they belong to: what is irregular is noted, and judged by the envelope.

mod notes;

use std::borrow::Cow;

pub(crate) use self::notes::Notes;
use crate::id::{ProgressToken, RequestId};
use crate::json::{Kind, Read, Reader};
use crate::limits::Limits;
use crate::malformed::{Fault, Malformed};
use crate::revision::Revision;

/// The parameters of a request or a notification. Texts are decoded; a field that is absent, or
/// irregular in an unknown method, is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params<'a> {
    /// The whole object as it was sent; `None` if there are no parameters.
    pub raw: Option<&'a str>,
    /// `name` of a tool or a prompt.
    pub name: Option<Cow<'a, str>>,
    /// `uri` of a resource.
    pub uri: Option<Cow<'a, str>>,
    /// `taskId`.
    pub task_id: Option<Cow<'a, str>>,
    /// `ref`: what is completed.
    pub reference: Option<Reference<'a>>,
    /// `notifications`: what is watched.
    pub subscriptions: Option<Subscriptions<'a>>,
    /// `arguments` of a tool or a prompt as they were sent. Good JSON, but of any type, and its
    /// values (not its keys) may hold half surrogate pairs.
    pub arguments: Option<&'a str>,
    /// `_meta`.
    pub meta: Option<Meta<'a>>,
    /// `requestId` of a cancellation.
    pub request_id: Option<RequestId>,
    /// `reason` of a cancellation.
    pub reason: Option<Cow<'a, str>>,
    /// `progressToken` of a progress notification; a request has its own in [`Meta`].
    pub progress_token: Option<ProgressToken>,
    /// Whether `cursor` is there: a further page of a list.
    pub has_cursor: bool,
    /// `protocolVersion` of `initialize`.
    pub protocol_version: Option<Cow<'a, str>>,
    /// `clientInfo` of `initialize`.
    pub client: Option<Peer<'a>>,
    /// `requestState`, echoed from an earlier result. Opaque; it must never be changed.
    pub request_state: Option<Cow<'a, str>>,
    /// `inputResponses` as they were sent: answers of users and models.
    pub input_responses: Option<&'a str>,
    /// `task` of 2025-11-25 as it was sent: the caller wants a task.
    pub task: Option<&'a str>,
}

/// What is completed (`completion/complete`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference<'a> {
    /// An argument of the prompt of this name (`ref/prompt`).
    Prompt(Cow<'a, str>),
    /// A variable of the resource template with this URI (`ref/resource`).
    Resource(Cow<'a, str>),
}

/// What a client listens to (`subscriptions/listen`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscriptions<'a> {
    /// `resourceSubscriptions`: URIs of resources.
    pub uris: Vec<Cow<'a, str>>,
    /// `taskIds`: ids of tasks.
    pub tasks: Vec<Cow<'a, str>>,
}

/// `_meta` of a request or a notification.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Meta<'a> {
    /// `io.modelcontextprotocol/protocolVersion`.
    pub protocol_version: Option<Cow<'a, str>>,
    /// `io.modelcontextprotocol/clientInfo`: what the client says it is. Not to be trusted.
    pub client: Option<Peer<'a>>,
    /// `io.modelcontextprotocol/clientCapabilities` as it was sent; an object.
    pub client_capabilities: Option<&'a str>,
    /// `io.modelcontextprotocol/logLevel`.
    pub log_level: Option<Cow<'a, str>>,
    /// `io.modelcontextprotocol/subscriptionId` of a notification: the id of the listening request.
    pub subscription_id: Option<RequestId>,
    /// `progressToken`: the caller wants progress under this token.
    pub progress_token: Option<ProgressToken>,
    /// `traceparent` (W3C Trace Context), unchecked.
    pub traceparent: Option<Cow<'a, str>>,
}

/// What one side says it is: schema `Implementation`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer<'a> {
    /// `name`.
    pub name: Option<Cow<'a, str>>,
    /// `version`.
    pub version: Option<Cow<'a, str>>,
}

impl<'a> Params<'a> {
    /// The revision named in `_meta`, or else the one that `initialize` asks for.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        let named = self.meta.as_ref().and_then(|meta| meta.protocol_version.as_deref());
        named.or(self.protocol_version.as_deref()).map(Revision::from_name)
    }

    /// Reads the object under `params`, with notes on what is irregular in it.
    pub(crate) fn read(reader: &mut Reader<'a>, limits: &Limits) -> Read<(Self, Notes)> {
        let start = reader.place();
        if reader.kind()? != Kind::Object {
            let fault = Fault::WrongType { field: "params", expected: "an object" };
            return Err(Malformed::new(fault, start));
        }
        let mut params = Self::default();
        let mut notes = Notes::default();
        reader.object(|reader, key, at| {
            if !params.read_target(reader, limits, &mut notes, key)?
                && !params.read_other(reader, limits, &mut notes, key)?
            {
                notes.unknown_key(key, PARAMS_KEYS, at);
                reader.skip()?;
            }
            Ok(())
        })?;
        params.raw = Some(reader.since(start)?);
        Ok((params, notes))
    }

    /// Reads the value of `key` if it names what the message touches.
    fn read_target(
        &mut self,
        reader: &mut Reader<'a>,
        limits: &Limits,
        notes: &mut Notes,
        key: &str,
    ) -> Read<bool> {
        match key {
            "name" => self.name = notes.text(reader, "params.name", limits.name_bytes_max)?,
            "uri" => self.uri = notes.text(reader, "params.uri", limits.uri_bytes_max)?,
            "taskId" => self.task_id = notes.text(reader, "params.taskId", limits.uri_bytes_max)?,
            "ref" => self.reference = read_reference(reader, limits, notes)?,
            "notifications" => self.subscriptions = read_subscriptions(reader, limits, notes)?,
            "requestId" => {
                self.request_id = notes.id(reader, "params.requestId", limits.id_bytes_max)?;
            }
            "arguments" => self.arguments = Some(reader.raw()?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Reads the value of `key` if it is another one we know.
    fn read_other(
        &mut self,
        reader: &mut Reader<'a>,
        limits: &Limits,
        notes: &mut Notes,
        key: &str,
    ) -> Read<bool> {
        match key {
            "_meta" => self.meta = read_meta(reader, limits, notes)?,
            "progressToken" => {
                let token = notes.id(reader, "params.progressToken", limits.id_bytes_max)?;
                self.progress_token = token;
            }
            "reason" => self.reason = reader.string_or_skip()?,
            "cursor" => {
                self.has_cursor = reader.kind()? != Kind::Null;
                reader.skip()?;
            }
            "protocolVersion" => {
                let field = "params.protocolVersion";
                self.protocol_version = notes.text(reader, field, limits.name_bytes_max)?;
            }
            "clientInfo" => {
                self.client = read_peer(reader, limits, notes, "params.clientInfo")?;
            }
            "requestState" => self.request_state = notes.string(reader, "params.requestState")?,
            "inputResponses" => self.input_responses = Some(reader.raw()?),
            "task" => self.task = Some(reader.raw()?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Reads an `Implementation`, under `field`.
pub(crate) fn read_peer<'a>(
    reader: &mut Reader<'a>,
    limits: &Limits,
    notes: &mut Notes,
    field: &'static str,
) -> Read<Option<Peer<'a>>> {
    if !notes.is_object(reader, field)? {
        return Ok(None);
    }
    let mut peer = Peer::default();
    reader.object(|reader, key, at| {
        let place = match key {
            "name" => &mut peer.name,
            "version" => &mut peer.version,
            unknown => {
                notes.unknown_key(unknown, &["name", "version"], at);
                return reader.skip();
            }
        };
        *place = reader.string_or_skip()?;
        if place.as_ref().is_some_and(|text| limits.name_bytes_max < text.len()) {
            *place = None;
            notes.note(Fault::TooLong { field, max: limits.name_bytes_max }, at);
        }
        Ok(())
    })?;
    Ok(Some(peer))
}

fn read_reference<'a>(
    reader: &mut Reader<'a>,
    limits: &Limits,
    notes: &mut Notes,
) -> Read<Option<Reference<'a>>> {
    let start = reader.place();
    if !notes.is_object(reader, "params.ref")? {
        return Ok(None);
    }
    let (mut kind, mut name, mut uri) = (None, None, None);
    reader.object(|reader, key, at| {
        match key {
            "type" => kind = notes.text(reader, "params.ref.type", limits.name_bytes_max)?,
            "name" => name = notes.text(reader, "params.ref.name", limits.name_bytes_max)?,
            "uri" => uri = notes.text(reader, "params.ref.uri", limits.uri_bytes_max)?,
            unknown => {
                notes.unknown_key(unknown, &["type", "name", "uri"], at);
                reader.skip()?;
            }
        }
        Ok(())
    })?;
    let (reference, fault) = match kind.as_deref() {
        Some("ref/prompt") => {
            (name.map(Reference::Prompt), Fault::Missing { field: "params.ref.name" })
        }
        Some("ref/resource") => {
            (uri.map(Reference::Resource), Fault::Missing { field: "params.ref.uri" })
        }
        _ => {
            let expected = "`ref/prompt` or `ref/resource`";
            (None, Fault::WrongType { field: "params.ref.type", expected })
        }
    };
    if reference.is_none() {
        notes.note(fault, start);
    }
    Ok(reference)
}

fn read_subscriptions<'a>(
    reader: &mut Reader<'a>,
    limits: &Limits,
    notes: &mut Notes,
) -> Read<Option<Subscriptions<'a>>> {
    if !notes.is_object(reader, "params.notifications")? {
        return Ok(None);
    }
    let mut watched = Subscriptions::default();
    reader.object(|reader, key, at| {
        match key {
            "resourceSubscriptions" => watched.uris = notes.texts(reader, URIS, limits)?,
            "taskIds" => watched.tasks = notes.texts(reader, TASKS, limits)?,
            unknown => {
                notes.unknown_key(unknown, &["resourceSubscriptions", "taskIds"], at);
                reader.skip()?;
            }
        }
        Ok(())
    })?;
    Ok(Some(watched))
}

fn read_meta<'a>(
    reader: &mut Reader<'a>,
    limits: &Limits,
    notes: &mut Notes,
) -> Read<Option<Meta<'a>>> {
    if !notes.is_object(reader, "params._meta")? {
        return Ok(None);
    }
    let mut meta = Meta::default();
    reader.object(|reader, key, at| {
        match key {
            "progressToken" => {
                let field = "params._meta.progressToken";
                meta.progress_token = notes.id(reader, field, limits.id_bytes_max)?;
            }
            "traceparent" => meta.traceparent = reader.string_or_skip()?,
            PROTOCOL_VERSION => {
                let field = "params._meta.io.modelcontextprotocol/protocolVersion";
                meta.protocol_version = notes.text(reader, field, limits.name_bytes_max)?;
            }
            CLIENT => {
                let field = "params._meta.io.modelcontextprotocol/clientInfo";
                meta.client = read_peer(reader, limits, notes, field)?;
            }
            CLIENT_CAPABILITIES => {
                let field = "params._meta.io.modelcontextprotocol/clientCapabilities";
                if notes.is_object(reader, field)? {
                    meta.client_capabilities = Some(reader.raw()?);
                }
            }
            LOG_LEVEL => meta.log_level = reader.string_or_skip()?,
            SUBSCRIPTION_ID => {
                let field = "params._meta.io.modelcontextprotocol/subscriptionId";
                meta.subscription_id = notes.id(reader, field, limits.id_bytes_max)?;
            }
            unknown => {
                notes.unknown_key(unknown, META_KEYS, at);
                reader.skip()?;
            }
        }
        Ok(())
    })?;
    Ok(Some(meta))
}

const URIS: &str = "params.notifications.resourceSubscriptions";
const TASKS: &str = "params.notifications.taskIds";
const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CLIENT: &str = "io.modelcontextprotocol/clientInfo";
const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

const META_KEYS: &[&str] =
    &["progressToken", PROTOCOL_VERSION, CLIENT, CLIENT_CAPABILITIES, LOG_LEVEL, SUBSCRIPTION_ID];

/// Every key of `params` that some server acts upon and that policy or audit reads.
const PARAMS_KEYS: &[&str] = &[
    "name",
    "uri",
    "taskId",
    "ref",
    "notifications",
    "requestId",
    "arguments",
    "_meta",
    "progressToken",
    "reason",
    "cursor",
    "protocolVersion",
    "clientInfo",
    "requestState",
    "inputResponses",
    "task",
];
