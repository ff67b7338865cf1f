//! `countersign keys rotate`, `retire`, `revoke`, `recovery`, `list`: what a log says of its own keys.

use crate::cli::KeyStatement;
use crate::config::Config;
use crate::operator::{self, Run};
use crate::{digest, opening, output, setup};
use anyhow::{Context as _, bail};
use event::Kind;
use keys::Source;
use note::{Action, Note, Sign, Statement, Verifier, signature_line};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use tlog::{KeyRole, KeyState};

/// A statement that an operator wants to make, and who signs it.
struct Wanted {
    kind: Kind,
    command: &'static str,
    keys: Vec<Arc<dyn Sign>>,
    signers: Vec<Arc<dyn Sign>>,
}

pub(crate) fn run(statement: &KeyStatement) -> anyhow::Result<ExitCode> {
    operator::block_on(async {
        match statement {
            KeyStatement::Rotate { config, new } => rotate(&Config::load(config)?, new).await,
            KeyStatement::Retire { config, key } => retire(&Config::load(config)?, key).await,
            KeyStatement::Revoke { config, key, size, with } => {
                revoke(&Config::load(config)?, (key, *size), with.as_deref()).await
            }
            KeyStatement::Recovery { config, out } => recovery(&Config::load(config)?, out).await,
            KeyStatement::List { log, json } => list(log, *json),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn rotate(config: &Config, new: &str) -> anyhow::Result<()> {
    let source = Source::parse(new, Path::new(""))?;
    let new = opening::key(&source, &config.log.directory)?;
    let keys = opening::keys(&config.log)?;
    let genesis = opening::genesis(&config.log.directory)?;
    if new.verifier().name() != genesis.name() {
        bail!(
            "the new key is named `{}`, the log `{}`: a key of a log has its name \
             (`countersign keys generate --origin {}`)",
            new.verifier().name(),
            genesis.name(),
            genesis.name()
        );
    }
    let old = keys.first().cloned().context("the configuration names no key")?;
    let key = new.verifier().clone();
    let wanted =
        Wanted { kind: Kind::KeyRotated, command: "keys rotate", keys, signers: vec![old, new] };
    make(config, wanted, |size, _| Ok(Action::Rotate { key, size })).await?;
    output::note(
        "From now on both keys sign. In the configuration, make the new one `key` and the old one\n\
         `also_keys`, give the new verifier key to those who verify and to the witnesses, and when all\n\
         of them have it: `countersign keys retire`.",
    );
    Ok(())
}

async fn retire(config: &Config, key: &str) -> anyhow::Result<()> {
    let keys = opening::keys(&config.log)?;
    let signer = another(&keys, key)?;
    let wanted =
        Wanted { kind: Kind::KeyRetired, command: "keys retire", keys, signers: vec![signer] };
    make(config, wanted, |size, states| Ok(Action::Retire { key: named(states, key)?, size }))
        .await?;
    output::note("Take the retired key out of the configuration.");
    Ok(())
}

async fn revoke(
    config: &Config,
    (key, size): (&str, u64),
    with: Option<&Path>,
) -> anyhow::Result<()> {
    let keys = opening::keys(&config.log)?;
    let signer = match with {
        Some(path) => Arc::new(keys::read(path)?),
        None => another(&keys, key)?,
    };
    let log = config.log.directory.clone();
    let root = tlog::Reader::open(&log)?.root(size)?;
    let wanted =
        Wanted { kind: Kind::KeyRevoked, command: "keys revoke", keys, signers: vec![signer] };
    let action =
        |_, states: &[KeyState]| Ok(Action::Revoke { key: named(states, key)?, size, root });
    make(config, wanted, action).await
}

async fn recovery(config: &Config, out: &Path) -> anyhow::Result<()> {
    let keys = opening::keys(&config.log)?;
    let genesis = opening::genesis(&config.log.directory)?;
    let signer = keys.iter().find(|key| *key.verifier() == genesis).cloned();
    let signer =
        signer.context("the first key of the log must name its recovery key; it is not here")?;
    let recovery = setup::make_key(&Statement::recovery_name(genesis.name()), out)?;
    let key = recovery.verifier().clone();
    let wanted =
        Wanted { kind: Kind::KeyRecovery, command: "keys recovery", keys, signers: vec![signer] };
    make(config, wanted, |size, _| Ok(Action::Recovery { key, size })).await?;
    output::note(format_args!(
        "Keep `{}` offline: it revokes keys and does nothing else.",
        out.display()
    ));
    Ok(())
}

/// Signs the statement, takes it into the log, and puts it on record.
async fn make(
    config: &Config,
    wanted: Wanted,
    action: impl FnOnce(u64, &[KeyState]) -> anyhow::Result<Action>,
) -> anyhow::Result<()> {
    let place = (config.gateway_name.as_str(), wanted.command);
    let run = Run::begin(&config.log, place, wanted.keys).await?;
    run.publish().await?;
    let stated = state(&run, wanted.kind, &wanted.signers, action).await;
    // The run ends in order also when the statement was refused.
    let ended = run.end().await;
    let statement = stated?;
    ended?;
    output::line(format_args!(
        "{} {} at {} entries: statement {}",
        statement.action.word(),
        statement.action.key().0.to_text(),
        statement.action.key().1,
        statement.ordinal
    ))?;
    Ok(())
}

async fn state(
    run: &Run,
    kind: Kind,
    signers: &[Arc<dyn Sign>],
    action: impl FnOnce(u64, &[KeyState]) -> anyhow::Result<Action>,
) -> anyhow::Result<Statement> {
    let size = run.log.checkpoint().size;
    let statement = Statement {
        origin: run.log.verifier().name().to_owned(),
        ordinal: run.log.next_statement(),
        action: action(size, &run.log.state_keys())?,
        time_ms: run.recorder.clock().now().unix_ms(),
    };
    let text = statement.to_text();
    let (first, others) = signers.split_first().context("nobody signs")?;
    let mut note = Note::sign(&text, first.as_ref())?;
    for other in others {
        note.push_str(&signature_line(&text, other.as_ref())?);
    }
    let (log, bytes) = (run.log.clone(), note.clone().into_bytes());
    tokio::task::spawn_blocking(move || log.add_statement(&bytes)).await??;
    let details = BTreeMap::from([
        ("key".to_owned(), statement.action.key().0.to_text()),
        ("sha256".to_owned(), digest::of(note.as_bytes())),
        ("size".to_owned(), statement.action.key().1.to_string()),
        ("statement".to_owned(), statement.ordinal.to_string()),
    ]);
    run.recorder.notice(kind, details).await?;
    Ok(statement)
}

/// A key of the configuration other than the one that is named.
fn another(keys: &[Arc<dyn Sign>], named: &str) -> anyhow::Result<Arc<dyn Sign>> {
    let other = keys.iter().find(|key| !is_named(key.verifier(), named));
    other.cloned().context("no other key of the log is in the configuration to sign this")
}

/// The key of the log with this verifier key line or id.
fn named(states: &[KeyState], named: &str) -> anyhow::Result<Verifier> {
    let mut found =
        states.iter().filter(|state| state.role == KeyRole::Log && is_named(&state.key, named));
    match (found.next(), found.next()) {
        (Some(state), None) => Ok(state.key.clone()),
        _ => bail!(
            "`{named}` is not the id or the line of a key of this log: see `countersign keys list`"
        ),
    }
}

fn is_named(key: &Verifier, named: &str) -> bool {
    key.id_hex() == named || key.to_text() == named
}

/// The keys of a log and where they count.
fn list(log: &Path, json: bool) -> anyhow::Result<()> {
    let reader = tlog::Reader::open(log)?;
    for state in reader.keys()? {
        let role = match state.role {
            KeyRole::Log => "log",
            KeyRole::Recovery => "recovery",
        };
        if json {
            output::line(serde_json::json!({
                "key": state.key.to_text(), "role": role, "from": state.from, "until": state.until,
            }))?;
        } else {
            let until = state.until.map_or_else(|| "now".to_owned(), |until| until.to_string());
            output::line(format_args!(
                "{role:<8}  {} to {until}  {}",
                state.from,
                state.key.to_text()
            ))?;
        }
    }
    Ok(())
}
