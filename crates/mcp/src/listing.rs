//! What a server says it offers: the results of `tools/list`, `prompts/list`, `resources/list` and
//! `resources/templates/list`, read strictly. It refuses to know what an item means: each is a slice of
//! the bytes, found by its key.

use std::borrow::Cow;

use crate::edit::Step;
use crate::json::{Kind, Read, Reader, checked_text};
use crate::limits::Limits;
use crate::malformed::{Fault, Malformed};
use crate::message::Notes;
use crate::method::Method;

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListKind {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    ResourceTemplates,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<'a> {
    /// Which list it is a page of.
    pub kind: ListKind,
    /// The items, in order.
    pub items: Vec<Item<'a>>,
    /// `nextCursor`: there is a further page, which is had with this.
    pub next_cursor: Option<Cow<'a, str>>,
    /// `cacheScope` (2026-07-28, caching): `public` or `private`.
    pub cache_scope: Option<Cow<'a, str>>,
}

/// One item of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<'a> {
    /// By what it is called or read: its name, URI or URI template, decoded.
    pub key: Cow<'a, str>,
    /// The item as it was sent.
    pub raw: &'a str,
    /// Where it stands in the list, counted from 0.
    pub index: usize,
}

/// The members of one result, as they are found.
#[derive(Default)]
struct Parts<'a> {
    items: Option<Vec<Item<'a>>>,
    next_cursor: Option<Cow<'a, str>>,
    cache_scope: Option<Cow<'a, str>>,
}

impl<'a> Listing<'a> {
    /// Reads a JSON-RPC response that answers a request of this list; `None` if it has no result (it is
    /// an error) or its result has no list.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are not one JSON object within `limits`; if a key on the way, of the
    /// result or of an item, stands twice or differs only in case from one that is read here; if an
    /// item is no object or has no key that is a non-empty text. A client might read such a list
    /// otherwise than we do.
    pub fn read(
        message: &'a [u8],
        kind: ListKind,
        limits: &Limits,
    ) -> Result<Option<Self>, Malformed> {
        let mut reader = Reader::new(checked_text(message)?, limits);
        let mut parts = Parts::default();
        if reader.kind()? != Kind::Object {
            return Err(reader.fault(Fault::NotAnObject));
        }
        reader.object(|reader, key, at| match (key, reader.kind()?) {
            ("result", Kind::Object) => parts.read(reader, kind, limits),
            _ => skip_member(reader, key, at, &["result"]),
        })?;
        reader.end()?;
        let Parts { items, next_cursor, cache_scope } = parts;
        Ok(items.map(|items| Self { kind, items, next_cursor, cache_scope }))
    }

    /// Whether there is no further page.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.next_cursor.is_none()
    }
}

impl Item<'_> {
    /// Whether every reader of the item reads the same: no key stands twice in any object of it, and it
    /// is not nested deeper than 100 levels.
    #[must_use]
    pub fn is_unambiguous(&self) -> bool {
        let mut reader = Reader::new(self.raw, &Limits::default());
        reader.skip().and_then(|()| reader.end()).is_ok()
    }
}

impl ListKind {
    /// Every kind.
    pub const ALL: [Self; 4] =
        [Self::Tools, Self::Prompts, Self::Resources, Self::ResourceTemplates];

    /// The list that a method asks for.
    #[must_use]
    pub fn of(method: &Method<'_>) -> Option<Self> {
        match method {
            Method::ToolsList => Some(Self::Tools),
            Method::PromptsList => Some(Self::Prompts),
            Method::ResourcesList => Some(Self::Resources),
            Method::ResourcesTemplatesList => Some(Self::ResourceTemplates),
            _ => None,
        }
    }

    /// The member of the result that holds the items.
    #[must_use]
    pub fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::ResourceTemplates => "resourceTemplates",
        }
    }

    /// The member of an item by which it is called or read.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::ResourceTemplates => "uriTemplate",
        }
    }

    /// Where the items stand in a response, for [`crate::edit`].
    #[must_use]
    pub fn path(self) -> [Step<'static>; 2] {
        [Step::Key("result"), Step::Key(self.member())]
    }
}

impl<'a> Parts<'a> {
    fn read(&mut self, reader: &mut Reader<'a>, list: ListKind, limits: &Limits) -> Read<()> {
        let wanted = [list.member(), "nextCursor", "cacheScope"];
        reader.object(|reader, key, at| match (key, reader.kind()?) {
            ("nextCursor", Kind::String) => {
                self.next_cursor = reader.string_or_skip()?;
                Ok(())
            }
            ("cacheScope", Kind::String) => {
                self.cache_scope = reader.string_or_skip()?;
                Ok(())
            }
            // Some servers write out what they do not have.
            ("nextCursor" | "cacheScope", Kind::Null) => reader.skip(),
            ("nextCursor" | "cacheScope", _) => {
                let field = if key == "nextCursor" { CURSOR } else { SCOPE };
                Err(reader.fault(Fault::WrongType { field, expected: "a string" }))
            }
            (key, Kind::Array) if key == list.member() => {
                self.items = Some(read_items(reader, list, limits)?);
                Ok(())
            }
            (key, _) if key == list.member() => {
                let field = list.member();
                Err(reader.fault(Fault::WrongType { field, expected: "an array" }))
            }
            _ => skip_member(reader, key, at, &wanted),
        })
    }
}

fn read_items<'a>(reader: &mut Reader<'a>, list: ListKind, limits: &Limits) -> Read<Vec<Item<'a>>> {
    let mut items = Vec::new();
    reader.array(|reader| {
        let start = reader.place();
        if items.len() == limits.items_max {
            let fault = Fault::TooMany { field: list.member(), max: limits.items_max };
            return Err(reader.fault(fault));
        }
        if reader.kind()? != Kind::Object {
            let fault = Fault::WrongType { field: list.member(), expected: "a list of objects" };
            return Err(reader.fault(fault));
        }
        let mut found = None;
        reader.object(|reader, key, at| {
            if key == list.key() && reader.kind()? == Kind::String {
                found = reader.string_or_skip()?;
                return Ok(());
            }
            skip_member(reader, key, at, &[list.key()])
        })?;
        let key = found.filter(|key| !key.is_empty());
        let missing = Malformed::new(Fault::Missing { field: list.key() }, start);
        let index = items.len();
        items.push(Item { key: key.ok_or(missing)?, raw: reader.since(start)?, index });
        Ok(())
    })?;
    Ok(items)
}

/// Leaves a member behind that is not read; one that a parser blind to case takes for one of `read`
/// is refused.
fn skip_member(reader: &mut Reader<'_>, key: &str, at: usize, read: &[&str]) -> Read<()> {
    if !read.contains(&key) {
        let mut notes = Notes::default();
        notes.unknown_key(key, read, at);
        notes.into_result()?;
    }
    reader.skip()
}

const CURSOR: &str = "result.nextCursor";
const SCOPE: &str = "result.cacheScope";
