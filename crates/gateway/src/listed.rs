//! Answers that list what a server offers, on their way to a client: watched, and where the operator
//! wants it, without the items that policies forbid. It refuses to change anything else in them.

use crate::asked::{Asked, Ending};
use crate::call::{Call, class};
use crate::definitions::Showing;
use crate::pipeline::Pipeline;
use audit::Unavailable;
use bytes::Bytes;
use event::{Actor, Direction, Resource, ResourceKind, Status};
use mcp::edit::{Edit, Problem, Step, find};
use mcp::{ListKind, Listing, Method, Revision};

/// A request for a list, until its answer.
#[derive(Debug)]
pub(crate) struct ListAsked {
    kind: ListKind,
    /// With which a further page is asked for.
    cursor: Option<String>,
    actor: Actor,
    revision: Option<Revision>,
    in_session: bool,
}

/// What is released of an answer.
#[derive(Debug)]
pub(crate) struct Shown {
    /// How the call ended; `MalformedReply` when nothing of the answer may be released.
    pub(crate) ending: Ending,
    /// The answer in another form than it came.
    pub(crate) changed: Option<Bytes>,
}

impl ListAsked {
    /// `None` for a call that asks for no list.
    pub(crate) fn of(
        call: &Call,
        raw: &[u8],
        actor: &Actor,
        in_session: bool,
    ) -> Option<Box<Self>> {
        let kind = ListKind::of(&call.method)?;
        let cursor = find(raw, &[Step::Key("params"), Step::Key("cursor")]).ok();
        let cursor = cursor.and_then(|found| serde_json::from_str(found.first()?.raw).ok());
        Some(Box::new(Self {
            kind,
            cursor,
            actor: actor.clone(),
            revision: call.revision.clone(),
            in_session,
        }))
    }
}

impl Pipeline {
    /// What became of the definitions that a call of a client rests on.
    pub(crate) fn definition(&self, call: &Call, direction: Direction) -> &'static str {
        match direction {
            Direction::ToServer => {
                self.definitions.word(&self.server, call.resource.kind, &call.resource.names)
            }
            Direction::ToClient => "none",
        }
    }

    /// Everything that must be done before the answer to a call is released. Changes of what a server
    /// declares are durable when it returns.
    pub(crate) async fn show(
        &self,
        asked: &Asked,
        ending: Ending,
        raw: &Bytes,
    ) -> Result<Shown, Unavailable> {
        match asked.list.as_deref() {
            Some(list) if ending.status != Status::MalformedReply => {
                // In a box, as few calls ask for lists and every exchange is as large as its largest step.
                Box::pin(self.show_list(asked, list, ending, raw)).await
            }
            _ => Ok(Shown { ending, changed: None }),
        }
    }

    /// Puts the end of a call on record and returns what is released of its answer, if anything is.
    pub(crate) async fn settle(
        &self,
        asked: &Asked,
        ending: Ending,
        raw: &Bytes,
    ) -> Result<Option<Bytes>, Unavailable> {
        let Shown { ending, changed } = self.show(asked, ending, raw).await?;
        self.answered(asked, &ending, self.answers).await?;
        let withheld = ending.status == Status::MalformedReply;
        Ok((!withheld).then(|| changed.unwrap_or_else(|| raw.clone())))
    }

    async fn show_list(
        &self,
        asked: &Asked,
        list: &ListAsked,
        ending: Ending,
        raw: &Bytes,
    ) -> Result<Shown, Unavailable> {
        let listing = match Listing::read(raw, list.kind, &mcp::Limits::for_replies()) {
            Ok(Some(listing)) => listing,
            Ok(None) => return Ok(Shown { ending, changed: None }),
            Err(error) => return Ok(self.withhold(asked, ending, &error.to_string())),
        };
        let showing = Showing {
            call: asked.call,
            server: &self.server,
            actor: &list.actor,
            cursor: list.cursor.as_deref(),
        };
        self.definitions.observe(&self.recorder, showing, &listing).await?;
        if !self.definitions.hides_forbidden() {
            return Ok(Shown { ending, changed: None });
        }
        Ok(match self.filter(asked, list, &listing, raw) {
            Ok((changed, hidden)) => {
                let status = if hidden == 0 { ending.status } else { Status::ListFiltered };
                let ending = Ending { status, filtered: Some(hidden), ..ending };
                Shown { ending, changed: Some(changed) }
            }
            Err(problem) => self.withhold(asked, ending, &problem.to_string()),
        })
    }

    /// A list that clients may read otherwise than we do is not released: what it shows could not be
    /// watched.
    fn withhold(&self, asked: &Asked, ending: Ending, why: &str) -> Shown {
        tracing::warn!(call = %asked.call, server = %self.server, "list withheld: {why}");
        Shown { ending: Ending { status: Status::MalformedReply, ..ending }, changed: None }
    }

    /// The list without what its reader may not use, and how many items that were. What differs from
    /// reader to reader must not be shared between them (2026-07-28, caching).
    fn filter(
        &self,
        asked: &Asked,
        list: &ListAsked,
        listing: &Listing<'_>,
        raw: &Bytes,
    ) -> Result<(Bytes, u64), Problem> {
        let mut permitted = Vec::with_capacity(listing.items.len());
        for item in &listing.items {
            permitted.push(self.may_use(asked, list, &item.key));
        }
        let mut edit = Edit::new(raw)?;
        let keep = |place: usize| permitted.get(place).copied().unwrap_or(false);
        let hidden = edit.retain(&list.kind.path(), |place, _| keep(place))?;
        if listing.cache_scope.is_some() {
            edit.replace(&[Step::Key("result"), Step::Key("cacheScope")], PRIVATE)?;
        } else if list.revision.as_ref().is_some_and(Revision::is_modern) {
            edit.insert(&[Step::Key("result")], "cacheScope", PRIVATE)?;
        }
        Ok((Bytes::from(edit.finish()?), u64::try_from(hidden).unwrap_or(u64::MAX)))
    }

    /// Whether the policies in force would permit the reader of a list to use one of its items, under
    /// the circumstances in which it asked for the list.
    fn may_use(&self, asked: &Asked, list: &ListAsked, name: &str) -> bool {
        let (kind, method) = match list.kind {
            ListKind::Tools => (ResourceKind::Tool, Method::ToolsCall),
            ListKind::Prompts => (ResourceKind::Prompt, Method::PromptsGet),
            ListKind::Resources => (ResourceKind::Resource, Method::ResourcesRead),
            // Nobody calls a template: what is made of it is decided when it is read.
            ListKind::ResourceTemplates => return true,
        };
        let resource = Resource {
            class: class(&method),
            kind,
            method: method.name().to_owned(),
            names: vec![name.to_owned()],
            server: self.server.clone(),
        };
        self.policy.would_permit(&policy::Request {
            call: asked.call,
            actor: &list.actor,
            resource: &resource,
            direction: Direction::ToServer,
            context: policy::Context {
                handle: None,
                transport: asked.origin.transport,
                protocol: list.revision.as_ref().map(Revision::name),
                peer: asked.origin.address,
                region: self.recorder.place().region.as_deref(),
                gateway: &self.recorder.place().gateway,
                time: self.recorder.clock().now(),
                request_bytes: asked.request_bytes,
                session: list.in_session,
                definition: self.definitions.word(&self.server, kind, &resource.names),
            },
        })
    }
}

const PRIVATE: &str = "\"private\"";
