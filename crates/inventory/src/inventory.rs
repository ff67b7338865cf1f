//! What is known of every item that servers declare, and what a page of a listing changes in it. It
//! refuses to write anything down: what changes is worked out first ([`Inventory::examine`]), so that
//! it can be on record before it is taken to be so ([`Inventory::apply`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use event::Time;
use mcp::{ListKind, Listing};
use thiserror::Error;

use crate::definition::{Definition, Part, raw_digest};
use crate::views::{Names, Page, Views};

/// How an inventory judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether what the first listing of a server holds counts as approved. Default true.
    pub trust_on_first_use: bool,
}

/// What is known of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Every definition that was shown is approved.
    Approved,
    /// It was shown in one form only, and nobody approved it.
    Unreviewed,
    /// It was shown in a form that differs from what was approved, or in several of which none is.
    Changed,
    /// It was never listed.
    Unknown,
}

/// A page of a list, and who is shown it.
#[derive(Debug, Clone, Copy)]
pub struct Sighting<'a> {
    /// Name of the server.
    pub server: &'a str,
    /// Who is shown it: `<provider>/<id>`.
    pub actor: &'a str,
    /// The cursor by which the page was asked for; absent for the first page.
    pub cursor: Option<&'a str>,
    /// When.
    pub now: Time,
}

/// What happened to an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// It is declared for the first time, or again.
    Added,
    /// It is declared in a form that was not seen before.
    Differs,
    /// A complete listing does not hold it, of an actor whose last one did.
    Removed,
}

/// A change of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The item: its name, URI or URI template.
    pub name: String,
    /// What happened to it.
    pub changed: Changed,
    /// In which parts it differs; empty unless it does.
    pub parts: Vec<Part>,
    /// What it was declared to be before: the last approved definition, or else the first one shown.
    pub before: Option<Definition>,
    /// What it is declared to be now; absent if it was removed.
    pub after: Option<Definition>,
    /// Its state with this change.
    pub state: State,
}

/// What a page of a listing changes; of no effect until it is applied.
#[derive(Debug)]
pub struct Examined {
    /// The changes, in the order of the page.
    pub changes: Vec<Change>,
    /// Items beyond the most that are kept of one list: they stay unknown.
    pub left_out: usize,
    server: String,
    kind: ListKind,
    actor: String,
    cursor: Option<String>,
    next: Option<String>,
    names: Names,
    completed: Option<Names>,
    /// Digests of bytes that stand for a definition that is known already.
    spellings: Vec<(Arc<str>, String, [u8; 32])>,
    trusted: bool,
}

/// That somebody approves a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Name of the server.
    pub server: String,
    /// Kind of the item.
    pub kind: ListKind,
    /// The item: its name, URI or URI template.
    pub name: String,
    /// Digest of the definition that is approved.
    pub digest: String,
    /// Digests of the other definitions that were shown and that whoever approves knows of: they do not
    /// count any more.
    pub settled: Vec<String>,
    /// Whether what was approved before stays so, for servers that declare differently to different
    /// callers.
    pub beside: bool,
}

/// A definition that is to be approved was never shown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no such definition was shown")]
pub struct NotDeclared;

/// What is known of one item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Approved definitions, the latest last.
    pub accepted: Vec<Definition>,
    /// Definitions that were shown and are not approved, the latest last.
    pub shown: Vec<Definition>,
    /// Whether the last complete listing of somebody who had seen it lacked it.
    pub gone: bool,
}

/// One list of one server.
#[derive(Debug, Clone, Default)]
pub(crate) struct List {
    pub(crate) items: BTreeMap<Arc<str>, Entry>,
    /// Whether its first listing is over: what comes later is not trusted on first use.
    pub(crate) known: bool,
    pub(crate) views: Views,
}

/// What is known of all servers.
#[derive(Debug, Clone)]
pub struct Inventory {
    pub(crate) lists: BTreeMap<(String, ListKind), List>,
    settings: Settings,
}

impl Inventory {
    /// Nothing known yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { lists: BTreeMap::new(), settings }
    }

    /// Works out what a page changes. The page must be applied before another one is examined.
    #[must_use]
    pub fn examine(&self, sighting: &Sighting<'_>, listing: &Listing<'_>) -> Examined {
        let empty = List::default();
        let kind = listing.kind;
        let list = self.lists.get(&(sighting.server.to_owned(), kind)).unwrap_or(&empty);
        let names: Names = listing.items.iter().map(|item| Arc::from(&*item.key)).collect();
        let next = listing.next_cursor.as_deref();
        let page = Page { actor: sighting.actor, cursor: sighting.cursor, next };
        let begins_again = sighting.cursor.is_none() && !list.items.is_empty();
        let mut examined = Examined {
            changes: Vec::new(),
            left_out: 0,
            server: sighting.server.to_owned(),
            kind,
            actor: sighting.actor.to_owned(),
            cursor: sighting.cursor.map(str::to_owned),
            next: next.map(str::to_owned),
            completed: list.views.completed(page, &names),
            names,
            spellings: Vec::new(),
            trusted: self.settings.trust_on_first_use && !list.known && !begins_again,
        };
        examined.look_at_items(list, sighting, listing);
        examined.look_for_missing(list, sighting.actor);
        examined
    }

    /// Takes what was examined to be so.
    pub fn apply(&mut self, examined: Examined) {
        let Examined { kind, trusted, names, completed, .. } = examined;
        let list = self.lists.entry((examined.server, kind)).or_default();
        let mut room = TEXT_BYTES_MAX.saturating_sub(list.text_bytes());
        for change in examined.changes {
            list.apply(change, trusted, &mut room);
        }
        for (name, digest, raw) in examined.spellings {
            if let Some(known) = list.items.get_mut(&name).and_then(|entry| entry.find_mut(&digest))
            {
                known.raw = Some(raw);
            }
        }
        list.known |= !trusted || examined.next.is_none();
        let page = Page {
            actor: &examined.actor,
            cursor: examined.cursor.as_deref(),
            next: examined.next.as_deref(),
        };
        list.views.keep(page, names, completed);
    }

    /// What is known of an item.
    #[must_use]
    pub fn state(&self, server: &str, kind: ListKind, name: &str) -> State {
        let list = self.lists.get(&(server.to_owned(), kind));
        list.and_then(|list| list.items.get(name)).map_or(State::Unknown, Entry::state)
    }

    /// Approves a definition that was shown. Definitions that were shown and are not settled with it
    /// keep the item changed. Returns what was approved before.
    ///
    /// # Errors
    /// [`NotDeclared`] when it was never shown, or so long ago that it is forgotten.
    pub fn approve(&mut self, approval: &Approval) -> Result<Option<Definition>, NotDeclared> {
        let list = self.lists.get_mut(&(approval.server.clone(), approval.kind));
        let entry = list.and_then(|list| list.items.get_mut(approval.name.as_str()));
        let entry = entry.ok_or(NotDeclared)?;
        let definition = entry.find_mut(&approval.digest).cloned().ok_or(NotDeclared)?;
        let before = entry.accepted.last().cloned();
        if approval.beside {
            entry.accepted.retain(|known| known.digest != definition.digest);
        } else {
            entry.accepted.clear();
        }
        entry.accepted.push(definition);
        keep_last(&mut entry.accepted, ACCEPTED_MAX);
        entry.shown.retain(|shown| {
            shown.digest != approval.digest && !approval.settled.contains(&shown.digest)
        });
        Ok(before)
    }

    /// Everything that is known, by server, kind and name.
    pub fn entries(&self) -> impl Iterator<Item = (&str, ListKind, &str, &Entry)> {
        self.lists.iter().flat_map(|((server, kind), list)| {
            list.items.iter().map(|(name, entry)| (server.as_str(), *kind, &**name, entry))
        })
    }
}

impl State {
    /// The word in policies, events and on screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Unreviewed => "unreviewed",
            Self::Changed => "changed",
            Self::Unknown => "unknown",
        }
    }
}

impl Changed {
    /// The word in events and on screen.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Differs => "changed",
            Self::Removed => "removed",
        }
    }
}

impl Entry {
    /// What is known of the item.
    #[must_use]
    pub fn state(&self) -> State {
        match (self.accepted.is_empty(), self.shown.len()) {
            (false, 0) => State::Approved,
            (true, 0) => State::Unknown,
            (true, 1) => State::Unreviewed,
            _ => State::Changed,
        }
    }

    /// The definition that others are compared with: the last approved one, or else the first that was
    /// shown.
    #[must_use]
    pub fn reference(&self) -> Option<&Definition> {
        self.accepted.last().or(self.shown.first())
    }

    /// The definition that was new last.
    #[must_use]
    pub fn latest(&self) -> Option<&Definition> {
        self.shown.last().or(self.accepted.last())
    }

    fn all(&self) -> impl Iterator<Item = &Definition> {
        self.accepted.iter().chain(&self.shown)
    }

    fn find_mut(&mut self, digest: &str) -> Option<&mut Definition> {
        self.accepted.iter_mut().chain(&mut self.shown).find(|known| known.digest == digest)
    }
}

impl List {
    /// `room` is what is left for the texts of the list, in bytes.
    fn apply(&mut self, change: Change, trusted: bool, room: &mut usize) {
        let entry = self.items.entry(Arc::from(change.name)).or_default();
        entry.gone = change.changed == Changed::Removed;
        let Some(mut definition) = change.after else { return };
        if entry.all().any(|known| known.digest == definition.digest) {
            return;
        }
        let bytes = definition.text.as_ref().map_or(0, String::len);
        match room.checked_sub(bytes) {
            Some(left) => *room = left,
            None => definition.text = None,
        }
        if trusted && change.changed == Changed::Added && entry.all().next().is_none() {
            entry.accepted.push(definition);
        } else {
            entry.shown.push(definition);
            // The first one is what the others differ from.
            if SHOWN_MAX < entry.shown.len() {
                entry.shown.remove(1);
            }
        }
    }

    fn text_bytes(&self) -> usize {
        let texts =
            self.items.values().flat_map(Entry::all).filter_map(|known| known.text.as_ref());
        texts.map(String::len).sum()
    }
}

impl Examined {
    fn look_at_items(&mut self, list: &List, sighting: &Sighting<'_>, listing: &Listing<'_>) {
        // What items of this page hold that were not known before it: one can stand in it twice.
        let mut new: BTreeMap<&str, Entry> = BTreeMap::new();
        for item in &listing.items {
            let name = &*item.key;
            let known = new.get(name).or_else(|| list.items.get(name));
            let raw = Some(raw_digest(item));
            if known.is_some_and(|entry| !entry.gone && entry.all().any(|seen| seen.raw == raw)) {
                continue;
            }
            if known.is_none() && ITEMS_MAX <= list.items.len() + new.len() {
                self.left_out += 1;
                continue;
            }
            let definition = Definition::of(self.kind, item, sighting.now, sighting.actor);
            let before = known.and_then(Entry::reference);
            let seen = known.is_some_and(|e| e.all().any(|d| d.digest == definition.digest));
            if let (true, Some(raw)) = (seen, raw) {
                self.spellings.push((Arc::from(name), definition.digest.clone(), raw));
            }
            let is_back = known.is_some_and(|entry| entry.gone);
            let changed = match (before, seen) {
                (None, _) => Changed::Added,
                (Some(_), true) if is_back => Changed::Added,
                (Some(_), true) => continue,
                (Some(_), false) => Changed::Differs,
            };
            let parts = before.filter(|_| changed == Changed::Differs);
            let mut change = Change {
                name: name.to_owned(),
                parts: parts.map(|before| before.differing(&definition)).unwrap_or_default(),
                before: before.cloned(),
                changed,
                after: Some(definition),
                state: State::Unknown,
            };
            let mut after = List::default();
            after.items.extend(known.map(|entry| (Arc::from(name), entry.clone())));
            let mut room = TEXT_BYTES_MAX;
            after.apply(change.clone(), self.trusted, &mut room);
            if let Some(entry) = after.items.remove(name) {
                change.state = entry.state();
                new.insert(name, entry);
            }
            self.changes.push(change);
        }
    }

    fn look_for_missing(&mut self, list: &List, actor: &str) {
        let Some(completed) = &self.completed else { return };
        for name in list.views.missing(actor, completed) {
            let Some(entry) = list.items.get(&name).filter(|entry| !entry.gone) else { continue };
            self.changes.push(Change {
                name: name.to_string(),
                changed: Changed::Removed,
                parts: Vec::new(),
                before: entry.latest().cloned(),
                after: None,
                state: entry.state(),
            });
        }
    }

    /// The server that was listed.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// What was listed.
    #[must_use]
    pub fn kind(&self) -> ListKind {
        self.kind
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { trust_on_first_use: true }
    }
}

/// Drops the oldest beyond `max`.
fn keep_last(definitions: &mut Vec<Definition>, max: usize) {
    let excess = definitions.len().saturating_sub(max);
    definitions.drain(..excess);
}

/// Items that are kept of one list of one server.
const ITEMS_MAX: usize = 10_000;
/// Approved definitions that are kept of one item.
const ACCEPTED_MAX: usize = 16;
/// Definitions that were shown and are not approved, of one item; the first and the latest are kept.
const SHOWN_MAX: usize = 4;
/// Bytes of texts that are kept of one list of one server; of what comes then, digests only.
const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests;
