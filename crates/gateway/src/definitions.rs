//! What servers declare, watched as it passes: every change is on record before the list that shows it
//! is released, and each call knows what became of the definition it rests on. It refuses to judge
//! changes; policies do.

use crate::session::handle_digest;
use audit::{Recorder, Unavailable};
use event::{Actor, CallId, Event, Kind, ResourceKind, bounded};
use inventory::{
    Change, Changed, Definition, Inventory, Settings, Sighting, State, Store, StoreError, Waiting,
    differences, hidden_characters, kind_word,
};
use mcp::{ListKind, Listing};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::{Mutex, RwLock as AllServers};

/// What is known of the definitions of all servers behind the gateway.
#[derive(Debug)]
pub struct Definitions {
    /// Changed only by who has the turn, after the change is on record.
    known: RwLock<Inventory>,
    /// One page of a server after the other, so that none is released before the change that it shows is
    /// on record, whoever else saw it at the same time. By server, so that none waits for another.
    turns: StdMutex<HashMap<String, Arc<Mutex<()>>>>,
    /// Held alone by who takes up approvals, which concern all servers.
    all: AllServers<()>,
    /// One who writes the state down after the other.
    saving: Mutex<()>,
    store: Option<Store>,
    /// Set while the store lacks something that is known.
    unsaved: AtomicBool,
    hide_forbidden: bool,
}

/// A listing on its way to somebody.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Showing<'a> {
    pub(crate) call: CallId,
    pub(crate) server: &'a str,
    pub(crate) actor: &'a Actor,
    pub(crate) cursor: Option<&'a str>,
}

impl Definitions {
    /// Definitions that are kept in a directory, and whether items that a policy forbids are hidden.
    ///
    /// # Errors
    /// When the directory cannot be made, or what it holds cannot be read.
    pub fn open(
        store: Store,
        settings: Settings,
        hide_forbidden: bool,
    ) -> Result<Self, StoreError> {
        store.create()?;
        let known = store.load(settings)?;
        Ok(Self { store: Some(store), ..Self::in_memory(known, hide_forbidden) })
    }

    /// Definitions that are forgotten with the process.
    #[must_use]
    pub fn in_memory(known: Inventory, hide_forbidden: bool) -> Self {
        Self {
            known: RwLock::new(known),
            turns: StdMutex::default(),
            all: AllServers::new(()),
            saving: Mutex::new(()),
            store: None,
            unsaved: AtomicBool::new(false),
            hide_forbidden,
        }
    }

    /// Takes up the approvals that wait in the directory, each on record first, and saves what could
    /// not be saved before. To be called every few seconds.
    ///
    /// # Errors
    /// When the log does not take the record; the approvals wait then.
    pub async fn take_up(&self, recorder: &Recorder) -> Result<(), Unavailable> {
        let Some(store) = self.store.clone() else { return Ok(()) };
        let waiting = match blocking(move || store.waiting()).await {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::error!(%error, "approvals cannot be looked for");
                return Ok(());
            }
        };
        let _alone = self.all.write().await;
        for file in waiting {
            self.take_up_file(recorder, file).await?;
        }
        if self.unsaved.load(Ordering::Relaxed) {
            self.save().await;
        }
        Ok(())
    }

    /// Whether items that a policy forbids are hidden from lists.
    pub(crate) fn hides_forbidden(&self) -> bool {
        self.hide_forbidden
    }

    /// What became of the definitions that a call rests on, in the words of policies: the worst of all
    /// that it names; `none` when it names nothing that servers declare.
    pub(crate) fn word(&self, server: &str, kind: ResourceKind, names: &[String]) -> &'static str {
        let known = self.read();
        let state = |name: &String| match kind {
            ResourceKind::Tool => Some(known.state(server, ListKind::Tools, name)),
            ResourceKind::Prompt => Some(known.state(server, ListKind::Prompts, name)),
            ResourceKind::Resource => Some(match known.state(server, ListKind::Resources, name) {
                State::Unknown => known.state(server, ListKind::ResourceTemplates, name),
                known => known,
            }),
            ResourceKind::Client | ResourceKind::Server | ResourceKind::Task => None,
        };
        let worst = names.iter().filter_map(state).max_by_key(|state| match state {
            State::Approved => 0,
            State::Unreviewed => 1,
            State::Unknown => 2,
            State::Changed => 3,
        });
        worst.map_or("none", State::as_str)
    }

    /// Compares a page with what is known. When it returns, every change is durably on record.
    ///
    /// # Errors
    /// When a change cannot be put on record; the page must not be released then.
    pub(crate) async fn observe(
        &self,
        recorder: &Recorder,
        showing: Showing<'_>,
        listing: &Listing<'_>,
    ) -> Result<(), Unavailable> {
        let _all = self.all.read().await;
        let turn = self.turn_of(showing.server);
        let _turn = turn.lock().await;
        let actor = actor_name(showing.actor);
        let examined = self.read().examine(
            &Sighting {
                server: showing.server,
                actor: &actor,
                cursor: showing.cursor,
                now: recorder.clock().now(),
            },
            listing,
        );
        if examined.left_out != 0 {
            let (server, left_out) = (showing.server, examined.left_out);
            tracing::warn!(server, left_out, "a list is too long: some of it is not watched");
        }
        let changes = examined.changes.len();
        put_on_record(recorder, showing, listing.kind, &examined.changes).await?;
        self.known.write().unwrap_or_else(PoisonError::into_inner).apply(examined);
        if changes != 0 {
            self.save().await;
        }
        Ok(())
    }

    /// Whoever has the turn calls this.
    async fn take_up_file(&self, recorder: &Recorder, file: Waiting) -> Result<(), Unavailable> {
        let Some(store) = self.store.clone() else { return Ok(()) };
        let approvals = match file.approvals {
            Ok(approvals) => approvals,
            Err(error) => {
                tracing::error!(%error, "approvals cannot be used: they are set aside");
                settle(blocking(move || store.set_aside(&file.path)).await);
                return Ok(());
            }
        };
        let mut next = self.read().clone();
        for approval in &approvals.approvals {
            let (server, kind) = (approval.server.as_str(), kind_word(approval.kind));
            let Ok(before) = next.approve(approval) else {
                tracing::warn!(server, kind, "an approval is for a definition that was not shown");
                continue;
            };
            let mut details = BTreeMap::from([
                ("after".to_owned(), approval.digest.clone()),
                ("approved_at".to_owned(), approvals.at.to_string()),
                ("by".to_owned(), bounded(&approvals.by, NAME_BYTES_MAX)),
                ("kind".to_owned(), kind.to_owned()),
                ("name".to_owned(), bounded(&approval.name, NAME_BYTES_MAX)),
                ("server".to_owned(), approval.server.clone()),
            ]);
            details.extend(before.map(|before| ("before".to_owned(), before.digest)));
            if approval.beside {
                details.insert("beside".to_owned(), "true".to_owned());
            }
            recorder.notice(Kind::InventoryApproved, details).await?;
            tracing::info!(server, kind, "a definition was approved");
        }
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = next;
        if self.save().await {
            let path: PathBuf = file.path;
            settle(blocking(move || store.take_away(&path)).await);
        }
        Ok(())
    }

    /// Writes the state down. What cannot be written is tried again later: it holds in memory, and the
    /// changes are on record.
    async fn save(&self) -> bool {
        let Some(store) = self.store.clone() else { return true };
        let _saving = self.saving.lock().await;
        let state = self.read().to_json();
        let saved = blocking(move || store.save(&state)).await;
        self.unsaved.store(saved.is_err(), Ordering::Relaxed);
        settle(saved)
    }

    /// There are as many as servers, which the configuration names.
    fn turn_of(&self, server: &str) -> Arc<Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(server) {
            return Arc::clone(turn);
        }
        Arc::clone(turns.entry(server.to_owned()).or_default())
    }

    fn read(&self) -> RwLockReadGuard<'_, Inventory> {
        // Nothing is left half done by a panic: an inventory is changed by whole steps.
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An actor as the inventory names it.
fn actor_name(actor: &Actor) -> String {
    if actor.provider.is_empty() {
        return bounded(&actor.id, NAME_BYTES_MAX);
    }
    bounded(&format!("{}/{}", actor.provider, actor.id), NAME_BYTES_MAX)
}

/// Records the changes of one page, durably when it returns: the first ones each by itself, the others in one
/// event, so that a server cannot fill the log by declaring everything anew.
async fn put_on_record(
    recorder: &Recorder,
    showing: Showing<'_>,
    kind: ListKind,
    changes: &[Change],
) -> Result<(), Unavailable> {
    let (single, others) = changes.split_at(changes.len().min(SINGLE_MAX));
    let mut events: Vec<Event> =
        single.iter().map(|change| changed_event(recorder, showing, kind, change)).collect();
    if !others.is_empty() {
        events.push(summary_event(recorder, showing, kind, others));
    }
    let Some(last) = events.pop() else { return Ok(()) };
    for event in events {
        recorder.submit(&event)?;
    }
    // Those before it are durable when it is.
    recorder.record(&last).await?;
    let (server, kind) = (showing.server, kind_word(kind));
    for change in single {
        let (change, state) = (change.changed.as_str(), change.state.as_str());
        tracing::info!(server, kind, change, state, "inventory changed");
    }
    if !others.is_empty() {
        tracing::warn!(server, kind, more = others.len(), "inventory changed in very many items");
    }
    Ok(())
}

/// Changes beyond those that have an event each: how many of each sort, and a digest of all of them.
fn summary_event(
    recorder: &Recorder,
    showing: Showing<'_>,
    kind: ListKind,
    changes: &[Change],
) -> Event {
    let count = |sort: &Changed| changes.iter().filter(|change| change.changed == *sort).count();
    let lines: String = changes
        .iter()
        .map(|change| {
            let after = change.after.as_ref().map_or("-", |after| after.digest.as_str());
            format!("{} {after} {:?}\n", change.changed.as_str(), change.name)
        })
        .collect();
    let mut details = BTreeMap::from([
        ("call".to_owned(), showing.call.to_string()),
        ("change".to_owned(), "several".to_owned()),
        ("digest".to_owned(), handle_digest(lines.as_bytes())),
        ("kind".to_owned(), kind_word(kind).to_owned()),
        ("server".to_owned(), showing.server.to_owned()),
    ]);
    for sort in [Changed::Added, Changed::Differs, Changed::Removed] {
        details.insert(sort.as_str().to_owned(), count(&sort).to_string());
    }
    let notice = Event::notice(recorder.stamp(None, None), Kind::InventoryChanged, details);
    Event { actor: Some(showing.actor.clone()), ..notice }
}

fn changed_event(
    recorder: &Recorder,
    showing: Showing<'_>,
    kind: ListKind,
    change: &Change,
) -> Event {
    let mut details = BTreeMap::from([
        ("call".to_owned(), showing.call.to_string()),
        ("change".to_owned(), change.changed.as_str().to_owned()),
        ("kind".to_owned(), kind_word(kind).to_owned()),
        ("name".to_owned(), bounded(&change.name, NAME_BYTES_MAX)),
        ("server".to_owned(), showing.server.to_owned()),
        ("state".to_owned(), change.state.as_str().to_owned()),
    ]);
    let digest = |definition: &Definition| definition.digest.clone();
    details.extend(change.before.as_ref().map(|before| ("before".to_owned(), digest(before))));
    if let Some(after) = &change.after {
        details.insert("after".to_owned(), digest(after));
        let hidden = hidden_characters(after);
        if hidden != 0 {
            details.insert("hidden_characters".to_owned(), hidden.to_string());
        }
        if change.changed == Changed::Differs {
            let parts: Vec<&str> = change.parts.iter().map(|part| part.as_str()).collect();
            details.insert("parts".to_owned(), parts.join(" "));
            let diff = differences(change.before.as_ref(), after, DIFF_BYTES_MAX);
            details.insert("diff".to_owned(), diff);
        }
    }
    let notice = Event::notice(recorder.stamp(None, None), Kind::InventoryChanged, details);
    Event { actor: Some(showing.actor.clone()), ..notice }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(StoreError::Content { path: "the inventory".to_owned(), why: error.to_string() })
    })
}

/// Tells the operator of what went wrong; says whether it went well.
fn settle(done: Result<(), StoreError>) -> bool {
    done.inspect_err(|error| tracing::error!(%error, "the inventory could not be kept")).is_ok()
}

/// Bytes of a difference in an event.
const DIFF_BYTES_MAX: usize = 4_096;
/// Bytes of a name in an event.
const NAME_BYTES_MAX: usize = 1_000;
/// Changes of one page that have an event each; fewer than the queue of the log has room for.
const SINGLE_MAX: usize = 256;
