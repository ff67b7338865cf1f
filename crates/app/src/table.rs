//! The trail as a table for people: one line a call, what matters most first.

use crate::search::Record;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use event::{Actor, ActorKind, CallId, Decision, Event, Kind, Level};
use std::io::IsTerminal;

/// The records, in the order given. Fitted to a terminal; elsewhere every record keeps its line.
pub(crate) fn calls(records: &[Record]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(["time (UTC)", "who", "what", "decision", "why", "outcome", "call"]);
    for record in records {
        let event = &record.event;
        let time = event.environment.time.to_string();
        let time = time.get(11..23).map_or_else(|| time.clone(), str::to_owned);
        if record.is_call() {
            table.add_row([
                time,
                event.actor.as_ref().map_or_else(String::new, actor),
                resource(record),
                decision(record).to_owned(),
                why(record),
                outcome(record),
                call(event),
            ]);
        } else {
            let details: Vec<String> = event
                .details
                .iter()
                .map(|(k, v)| format!("{k}={}", event::bounded(v, 24)))
                .collect();
            let gateway = event.environment.gateway.clone();
            table.add_row([
                time,
                gateway,
                event.kind.as_str().to_owned(),
                String::new(),
                details.join(" "),
                String::new(),
                String::new(),
            ]);
        }
    }
    table
}

/// The call; marked when it goes on with another one (`--chain` shows them all).
fn call(event: &Event) -> String {
    let mark = if event.root.or(event.follows).is_some() { "↳ " } else { "" };
    event.call.map(|call| format!("{mark}{}", short(call))).unwrap_or_default()
}

/// The last group of the call id: enough to find it again with `--call`.
fn short(call: CallId) -> String {
    call.to_string().rsplit('-').next().unwrap_or_default().to_owned()
}

fn actor(actor: &Actor) -> String {
    let level = match (actor.kind, actor.level) {
        (ActorKind::Anonymous, _) => return "anonymous (unknown)".to_owned(),
        (ActorKind::Server, _) => "server",
        (_, Level::VerifiedPop) => "verified, key shown",
        (_, Level::VerifiedBearer) if actor.development => "development key",
        (_, Level::VerifiedBearer) => "verified",
        (_, Level::IssuerAsserted) => "issuer says",
        (_, Level::PeerAsserted | Level::None) => "unverified",
        (_, Level::Observed) => "observed",
    };
    format!("{} ({level})", event::bounded(&actor.id, 80))
}

fn resource(record: &Record) -> String {
    let Some(resource) = &record.event.resource else { return "-".to_owned() };
    let mut names = resource.names.iter().map(|name| event::bounded(name, 80));
    match (names.next(), names.len()) {
        (None, _) => resource.method.clone(),
        (Some(name), 0) => format!("{} {name}", resource.method),
        (Some(name), more) => format!("{} {name} (+{more})", resource.method),
    }
}

fn decision(record: &Record) -> &'static str {
    match record.event.kind {
        Kind::CallAsked => "permit",
        Kind::CallRefused => "forbid",
        _ => "",
    }
}

fn why(record: &Record) -> String {
    let refusal = record.event.refusal.as_ref().map(|r| r.reason.as_str());
    match (&record.event.decision, refusal) {
        (Some(Decision { determining, .. }), _) if !determining.is_empty() => {
            determining.join(", ")
        }
        (Some(decision), _) => match decision.basis {
            event::Basis::DefaultDeny => "no policy permits it".to_owned(),
            event::Basis::EvaluationError => "a policy could not be evaluated".to_owned(),
            event::Basis::SchemaError => "request does not fit the schema".to_owned(),
            event::Basis::Forbid | event::Basis::Permit => String::new(),
        },
        (None, Some(reason)) => reason.to_owned(),
        (None, None) => String::new(),
    }
}

fn outcome(record: &Record) -> String {
    let word = record.outcome_word().to_owned();
    match record.outcome() {
        Some(outcome) if outcome.latency_us > 0 => {
            let tenths = outcome.latency_us / 100;
            let code = outcome.code.map(|code| format!(" {code}")).unwrap_or_default();
            format!("{word}{code}, {}.{} ms", tenths / 10, tenths % 10)
        }
        _ => word,
    }
}
