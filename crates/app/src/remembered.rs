//! The handles (`requestState`, task ids) that earlier runs gave out, read back from the newest part of the
//! log, so that a restart, or a server that comes back, does not part calls from those they go on with.
//! Reads only; decides nothing.

use anyhow::Context as _;
use audit::{Follower, Row};
use event::{CallId, Event, Kind, Status, Time};
use gateway::{Gateway, Remembered};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

/// Newest entries of the log that are read.
const ENTRIES_MAX: u64 = 100_000;

/// What was given out, by the name of the server, the oldest first.
pub(crate) type Handles = BTreeMap<String, Vec<Remembered>>;

/// Reads them. Without them the gateway works, and handles of before are unknown to it.
pub(crate) async fn read(log: &Path, size: u64, now: Time, age: Duration) -> Handles {
    let log = log.to_owned();
    let read = tokio::task::spawn_blocking(move || read_from(&log, size, now, age)).await;
    read.context("the reader ended early").flatten().unwrap_or_else(|error| {
        tracing::warn!("handles of earlier runs are not known: {error:#}");
        Handles::new()
    })
}

/// Hands each of these servers its own.
pub(crate) fn restore(gateway: &Gateway, handles: Handles, to: impl Fn(&str) -> bool) {
    for (server, handles) in handles {
        if to(&server) {
            gateway.remember(&server, handles);
        }
    }
}

/// By server, the oldest first.
fn read_from(log: &Path, size: u64, now: Time, age_max: Duration) -> anyhow::Result<Handles> {
    let mut follower = Follower::open(log, size.saturating_sub(ENTRIES_MAX))?;
    let mut asked: HashMap<CallId, Event> = HashMap::new();
    let mut found = Handles::new();
    while let Some(Row { event, .. }) = follower.next_row()? {
        let Some(call) = event.call else { continue };
        let us = now.unix_us().saturating_sub(event.environment.time.unix_us());
        let age = Duration::from_micros(u64::try_from(us).unwrap_or_default());
        match event.kind {
            Kind::CallAsked if age < age_max => {
                asked.insert(call, event);
            }
            Kind::CallAnswered => {
                let Some(question) = asked.remove(&call) else { continue };
                let Some((server, handles)) = remembered(&question, &event, age) else { continue };
                found.entry(server).or_default().extend(handles);
            }
            _ => {}
        }
    }
    Ok(found)
}

/// What one call gave out.
fn remembered(asked: &Event, answered: &Event, age: Duration) -> Option<(String, Vec<Remembered>)> {
    let (actor, resource) = (asked.actor.as_ref()?, asked.resource.as_ref()?);
    let outcome = answered.outcome.as_ref()?;
    let call = asked.call?;
    let is_task = outcome.task.is_some() || outcome.status == Status::Task;
    let handle = |digest: &String, is_task: bool| Remembered {
        digest: digest.clone(),
        owner: (actor.provider.clone(), actor.id.clone()),
        bound_to: actor.bound_to().map(str::to_owned),
        root: asked.root.unwrap_or(call),
        last: call,
        used_with: (!is_task).then(|| (resource.method.clone(), resource.names.clone())),
        age,
    };
    let handles = match &answered.handles[..] {
        [state, task] => vec![handle(state, false), handle(task, true)],
        [task] if is_task => vec![handle(task, true)],
        [state] if outcome.status == Status::InputRequired => vec![handle(state, false)],
        // Written by a version that knows more.
        _ => return None,
    };
    Some((resource.server.clone(), handles))
}
