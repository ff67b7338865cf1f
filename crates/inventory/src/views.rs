//! Who was shown which items in a complete listing, so that one that is missing later shows. It refuses
//! to outlive the process: what somebody saw before is not held against a server after a restart.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// The names of items.
pub(crate) type Names = BTreeSet<Arc<str>>;

/// Of one list of one server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Views {
    /// The last complete listing of each actor, the latest at the back.
    complete: VecDeque<(String, Names)>,
    /// Listings that go on: who reads them, with which cursor, and what they held so far.
    open: VecDeque<(String, String, Names)>,
}

/// A page of a listing, as far as its place in the listing goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page<'a> {
    pub(crate) actor: &'a str,
    /// With which it was asked for; `None` for the first page.
    pub(crate) cursor: Option<&'a str>,
    /// With which the next one is had; `None` for the last page.
    pub(crate) next: Option<&'a str>,
}

impl Views {
    /// What a page and the pages before it hold, if it completes a listing that was seen from its
    /// beginning.
    pub(crate) fn completed(&self, page: Page<'_>, names: &Names) -> Option<Names> {
        match (page.next, page.cursor) {
            (Some(_), _) => None,
            (None, None) => Some(names.clone()),
            (None, Some(cursor)) => self.opened(page.actor, cursor).map(|before| before | names),
        }
    }

    /// The names that the actor saw in its last complete listing and that are not in this one.
    pub(crate) fn missing(&self, actor: &str, listed: &Names) -> Vec<Arc<str>> {
        let last = self.complete.iter().find(|(who, _)| who == actor);
        last.map(|(_, names)| names.difference(listed).cloned().collect()).unwrap_or_default()
    }

    /// Keeps what a page showed.
    pub(crate) fn keep(&mut self, page: Page<'_>, names: Names, completed: Option<Names>) {
        let before = page.cursor.and_then(|cursor| self.take_opened(page.actor, cursor));
        if let Some(completed) = completed {
            self.complete.retain(|(who, _)| who != page.actor);
            self.complete.push_back((page.actor.to_owned(), completed));
        } else if let Some(next) = page.next
            && (page.cursor.is_none() || before.is_some())
        {
            let names = before.unwrap_or_default().into_iter().chain(names).collect();
            self.open
                .retain(|(who, cursor, _)| (who.as_str(), cursor.as_str()) != (page.actor, next));
            self.open.push_back((page.actor.to_owned(), next.to_owned(), names));
        }
        while ACTORS_MAX < self.complete.len()
            || NAMES_MAX < count(self.complete.iter().map(|v| &v.1))
        {
            self.complete.pop_front();
        }
        while OPEN_MAX < self.open.len() || NAMES_MAX < count(self.open.iter().map(|v| &v.2)) {
            self.open.pop_front();
        }
    }

    fn opened(&self, actor: &str, cursor: &str) -> Option<&Names> {
        let open = self.open.iter().find(|(who, at, _)| who == actor && at == cursor);
        open.map(|(_, _, names)| names)
    }

    fn take_opened(&mut self, actor: &str, cursor: &str) -> Option<Names> {
        let at = self.open.iter().position(|(who, at, _)| who == actor && at == cursor)?;
        self.open.remove(at).map(|(_, _, names)| names)
    }
}

fn count<'a>(names: impl Iterator<Item = &'a Names>) -> usize {
    names.map(BTreeSet::len).sum()
}

/// Actors whose last complete listing is kept; beyond that, the oldest goes.
const ACTORS_MAX: usize = 256;
/// Listings in progress that are kept.
const OPEN_MAX: usize = 256;
/// Names in all views of one list together.
const NAMES_MAX: usize = 100_000;
