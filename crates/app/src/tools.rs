//! `countersign tools`: what servers declare, how it differs from what was approved, and approvals.
//! Reads the state that a gateway keeps; approvals wait in its directory until a gateway takes them up.

use crate::cli::{Tools, ToolsCommand, ToolsWhich};
use crate::config::Config;
use crate::output;
use anyhow::{Context as _, bail};
use audit::Clock;
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use identity::local;
use inventory::{
    Approval, Approvals, Definition, Entry, Inventory, Settings, State, Store, differences,
    hidden_characters, kind_word, visible,
};
use mcp::ListKind;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::process::ExitCode;

pub(crate) const HELP: &str = "\
A server that changes what it says of a tool can make models do what nobody approved (\"rug pull\").
The gateway compares every list that passes with what it knows. An item is
  approved     every form in which the server declared it is approved
  unreviewed   the server declared it in one form only, and nobody approved it
  changed      the server declared it in another form than the approved one
Policies see this as `context.definition`, which is also `unknown` for what was never listed.

Examples:
  countersign tools list
  countersign tools diff tracker/create_issue
  countersign tools approve tracker/create_issue";

/// One item, as it is kept.
struct Item<'i> {
    server: &'i str,
    kind: ListKind,
    name: &'i str,
    entry: &'i Entry,
}

pub(crate) fn run(arguments: &Tools) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        ToolsCommand::List { which } => list(which),
        ToolsCommand::Diff { which } => diff(which),
        ToolsCommand::Approve { which, all, beside } => approve(which, *all, *beside),
    }
}

fn list(which: &ToolsWhich) -> anyhow::Result<ExitCode> {
    let store = store(which)?;
    let known = store.load(Settings::default())?;
    let waiting = waiting(&store)?;
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["server", "kind", "name", "state", "first seen (UTC)", "note"]);
    for item in chosen(&known, which)? {
        let mut notes = Vec::new();
        let latest = item.entry.latest();
        if item.entry.gone {
            notes.push("no longer listed".to_owned());
        }
        if latest.is_some_and(|latest| waiting.contains(&item.key(latest))) {
            notes.push("approved, to be taken up by the gateway".to_owned());
        }
        let hidden = latest.map_or(0, hidden_characters);
        if hidden != 0 {
            notes.push(format!("{hidden} hidden characters"));
        }
        let seen = latest.map(|latest| latest.first_seen.to_string()).unwrap_or_default();
        table.add_row([
            item.server.to_owned(),
            kind_word(item.kind).to_owned(),
            visible(item.name).replace('\n', "\\n"),
            item.entry.state().as_str().to_owned(),
            seen.get(..19).unwrap_or_default().replace('T', " "),
            notes.join("; "),
        ]);
    }
    output::line(table)?;
    Ok(ExitCode::SUCCESS)
}

fn diff(which: &ToolsWhich) -> anyhow::Result<ExitCode> {
    let known = store(which)?.load(Settings::default())?;
    let colours = std::io::stdout().is_terminal();
    let mut shown = 0;
    for item in chosen(&known, which)? {
        if item.entry.state() == State::Approved && which.item.as_deref() != Some(&item.path()) {
            continue;
        }
        output::line(described(&item, colours))?;
        shown += 1;
    }
    if shown == 0 {
        output::line("Everything that was declared is approved.")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every form of an item that is not approved, against the one that is, or against the first.
fn described(item: &Item<'_>, colours: bool) -> String {
    let mut text = format!(
        "{} {}: {}\n",
        kind_word(item.kind),
        visible(&item.path()),
        item.entry.state().as_str()
    );
    let approved = item.entry.accepted.last();
    // Writing to a string cannot fail.
    if let Some(approved) = approved {
        writeln!(text, "  approved  {}", origin(approved)).ok();
    }
    let mut reference = approved;
    for shown in &item.entry.shown {
        writeln!(text, "  declared  {}", origin(shown)).ok();
        let hidden = hidden_characters(shown);
        if hidden != 0 {
            writeln!(text, "  it holds {hidden} characters that a screen does not show").ok();
        }
        for line in differences(reference, shown, usize::MAX).lines() {
            let colour = match line.chars().next() {
                Some('+') if colours => "\x1b[32m",
                Some('-') if colours => "\x1b[31m",
                _ => "",
            };
            let end = if colour.is_empty() { "" } else { "\x1b[0m" };
            writeln!(text, "{colour}{line}{end}").ok();
        }
        reference = reference.or(Some(shown));
    }
    text
}

fn origin(definition: &Definition) -> String {
    let seen = definition.first_seen.to_string();
    let seen = seen.get(..19).unwrap_or_default().replace('T', " ");
    format!("{}, first shown to {} at {seen}", definition.digest, visible(&definition.seen_by))
}

fn approve(which: &ToolsWhich, all: bool, beside: bool) -> anyhow::Result<ExitCode> {
    if which.item.is_none() && !all {
        bail!("name what to approve, as SERVER or SERVER/NAME, or everything with --all");
    }
    let store = store(which)?;
    let known = store.load(Settings::default())?;
    let mut approvals = Vec::new();
    for item in chosen(&known, which)? {
        let Some(latest) = item.entry.shown.last() else { continue };
        output::line(format_args!(
            "approved {} {} {}",
            kind_word(item.kind),
            visible(&item.path()),
            latest.digest
        ))?;
        approvals.push(Approval {
            server: item.server.to_owned(),
            kind: item.kind,
            name: item.name.to_owned(),
            digest: latest.digest.clone(),
            settled: item.entry.shown.iter().map(|shown| shown.digest.clone()).collect(),
            beside,
        });
    }
    if approvals.is_empty() {
        output::line("There is nothing to approve: every definition is approved.")?;
        return Ok(ExitCode::SUCCESS);
    }
    let at = Clock::start().now();
    let actor = local::actor(&local::observe());
    let by = format!("{}/{}", actor.provider, actor.id);
    let id = format!("{}-{}", at.unix_us(), std::process::id());
    store.approve(&id, &Approvals { by, at, approvals })?;
    output::note("A running gateway takes this up within seconds; one that starts, at its start.");
    Ok(ExitCode::SUCCESS)
}

/// The inventory of a configuration, or the one in the directory that is named.
fn store(which: &ToolsWhich) -> anyhow::Result<Store> {
    let directory = match &which.inventory {
        Some(directory) => directory.clone(),
        None => Config::load(&which.config)?.inventory.directory,
    };
    if !directory.is_dir() {
        bail!(
            "there is no inventory in `{}`: a gateway makes it when it starts",
            directory.display()
        );
    }
    Ok(Store::new(directory))
}

/// What the arguments name; an error when that is nothing.
fn chosen<'i>(known: &'i Inventory, which: &ToolsWhich) -> anyhow::Result<Vec<Item<'i>>> {
    let (server, name) = match which.item.as_deref() {
        None => (None, None),
        Some(item) => match item.split_once('/') {
            Some((server, name)) => (Some(server), Some(name)),
            None => (Some(item), None),
        },
    };
    let items: Vec<Item<'i>> = known
        .entries()
        .map(|(server, kind, name, entry)| Item { server, kind, name, entry })
        .filter(|item| server.is_none_or(|server| server == item.server))
        .filter(|item| name.is_none_or(|name| name == item.name))
        .filter(|item| which.kind.as_deref().is_none_or(|kind| kind == kind_word(item.kind)))
        .collect();
    if let (true, Some(item)) = (items.is_empty(), &which.item) {
        bail!("nothing named `{item}` was ever listed: `countersign tools list` shows what was");
    }
    Ok(items)
}

/// What waits to be taken up: server, kind, name and digest of each.
fn waiting(store: &Store) -> anyhow::Result<BTreeSet<Key>> {
    let mut waiting = BTreeSet::new();
    for file in store.waiting()? {
        let approvals = file.approvals.context("an approval cannot be read")?.approvals;
        waiting
            .extend(approvals.into_iter().map(|one| (one.server, one.kind, one.name, one.digest)));
    }
    Ok(waiting)
}

type Key = (String, ListKind, String, String);

impl Item<'_> {
    fn path(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    fn key(&self, definition: &Definition) -> Key {
        let digest = definition.digest.clone();
        (self.server.to_owned(), self.kind, self.name.to_owned(), digest)
    }
}
