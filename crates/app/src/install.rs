//! `countersign install`: rewrites a client's configuration so that its servers are recorded, and takes
//! that back. Changes the text where it must and nowhere else: comments, order and unknown fields stay.

use crate::clients::{self, Entry, Local, Server};
use crate::import::replace;
use crate::{environment, output};
use anyhow::{Context as _, bail};
use clap::Args;
use std::io::{BufRead as _, IsTerminal as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A change of the text.
#[derive(Debug)]
struct Change {
    at: Range<usize>,
    with: String,
}

/// What shall be, and what is left alone and why.
#[derive(Debug)]
struct Outcome {
    text: String,
    notes: Vec<String>,
}

/// How servers are reached afterwards.
#[derive(Debug)]
struct Way<'a> {
    /// This program, by a path that does not depend on `PATH`: clients with windows have none.
    program: &'a str,
    /// Address of a gateway, for servers at addresses.
    gateway: Option<&'a str>,
}

/// Arguments of `install`.
#[derive(Debug, Args)]
pub(crate) struct Install {
    /// The client's configuration, or one of: claude-desktop, claude-code, cursor, vscode, windsurf.
    #[arg(value_name = "CLIENT|FILE")]
    pub(crate) client: String,
    /// Lead servers at addresses to this gateway, which has each as `/s/NAME/mcp`.
    #[arg(long, value_name = "URL")]
    pub(crate) gateway: Option<url::Url>,
    /// Take it back.
    #[arg(long)]
    pub(crate) undo: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// Shown below the options.
pub(crate) const HELP: &str = "\
Shows what would change and asks; without a terminal it needs --yes. The text before is kept beside the
file as FILE.before-countersign. Doing it twice changes nothing more; --undo gives back the same bytes.

Examples:
  countersign install claude-desktop
  countersign install ~/.cursor/mcp.json --gateway http://127.0.0.1:8700
  countersign install claude-desktop --undo";

pub(crate) fn run(arguments: &Install) -> anyhow::Result<ExitCode> {
    let path = clients::file_of(&arguments.client)?;
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{shown}`"))?;
    let program = environment::own_program().context("cannot find this program's own file")?;
    let program = program.to_str().context("the path of this program is not UTF-8")?;
    let gateway = arguments.gateway.as_ref().map(|url| url.as_str().trim_end_matches('/'));
    let way = Way { program, gateway };
    let backup = backup_of(&path);
    let outcome = match arguments.undo {
        true => undone(&text, std::fs::read_to_string(&backup).ok().as_deref(), &way),
        false => installed(&text, &way),
    };
    let outcome = outcome.with_context(|| format!("`{shown}`"))?;
    outcome.notes.iter().for_each(output::note);
    if outcome.text == text {
        output::note(format_args!("{shown}: nothing to change"));
        return Ok(ExitCode::SUCCESS);
    }
    output::line(format_args!(
        "--- {shown}\n+++ {shown}\n{}",
        shown_difference(&text, &outcome.text)
    ))?;
    if !arguments.yes && !agreed()? {
        output::note("nothing was changed");
        return Ok(ExitCode::FAILURE);
    }
    if !arguments.undo {
        keep(&backup, &path, text.as_bytes())?;
    }
    replace(&path, outcome.text.as_bytes())?;
    output::note(match arguments.undo {
        true => format!("changed {shown}; restart the client"),
        false => format!("changed {shown}, before: {}; restart the client", backup.display()),
    });
    Ok(ExitCode::SUCCESS)
}

/// Asks on the terminal; without one nobody can agree.
fn agreed() -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("there is no terminal to ask on: look at the changes above and add --yes");
    }
    output::note("change it? [y/N]");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn backup_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".before-countersign");
    PathBuf::from(name)
}

/// Keeps the text as it was, with the permissions that it had: it may hold secrets.
fn keep(backup: &Path, path: &Path, text: &[u8]) -> anyhow::Result<()> {
    let cannot = || format!("cannot write `{}`", backup.display());
    let permissions = std::fs::metadata(path).with_context(cannot)?.permissions();
    let directory = backup.parent().filter(|d| !d.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(directory.unwrap_or_else(|| Path::new(".")))
        .with_context(cannot)?;
    std::io::Write::write_all(&mut file, text).with_context(cannot)?;
    file.as_file().set_permissions(permissions).with_context(cannot)?;
    file.as_file().sync_all().with_context(cannot)?;
    file.persist(backup).with_context(cannot)?;
    Ok(())
}

fn installed(text: &str, way: &Way<'_>) -> anyhow::Result<Outcome> {
    let mut changes = Vec::new();
    let mut notes = Vec::new();
    for entry in clients::read(text)? {
        match &entry.server {
            Server::Local(local) if is_ours(local) => {}
            Server::Local(local) => wrap(&entry, local, text, way, &mut changes),
            Server::Remote(remote) => match way.gateway {
                Some(gateway) if remote.url.starts_with(gateway) => {}
                Some(gateway) => {
                    let url = format!("{gateway}/s/{}/mcp", entry.name);
                    changes.push(Change { at: remote.url_at.clone(), with: quoted(&url) });
                    notes.push(format!(
                        "{}: the gateway must have a server of this name, and the client a credential for it",
                        entry.name
                    ));
                }
                None => notes.push(format!(
                    "{}: left alone: it is at an address; name a gateway with --gateway URL",
                    entry.name
                )),
            },
            Server::Unusable(reason) => {
                notes.push(format!("{}: left alone, since {reason}", entry.name));
            }
        }
    }
    Ok(Outcome { text: applied(text, changes), notes })
}

/// The text before. When it still is what installing made of the backup, that is the backup, byte for
/// byte; else each entry is taken back by itself, and addresses stay, since nothing says what they were.
fn undone(text: &str, backup: Option<&str>, way: &Way<'_>) -> anyhow::Result<Outcome> {
    if let Some(before) = backup
        && let Ok(made) = installed_by_any(before, text, way)
        && made == text
    {
        return Ok(Outcome { text: before.to_owned(), notes: Vec::new() });
    }
    let mut changes = Vec::new();
    for entry in clients::read(text)? {
        if let Server::Local(local) = &entry.server
            && is_ours(local)
            && let Some((list, words)) = &local.arguments_at
            && let (Some(program), Some(own)) =
                (local.arguments.get(OWN_WORDS - 1), words.get(..OWN_WORDS))
        {
            let first = own.first().map_or(list.start, |word| word.start);
            let rest = words.get(OWN_WORDS).map(|next| next.start);
            let end = own.last().map_or(first, |word| word.end);
            changes.push(Change { at: local.command_at.clone(), with: quoted(program) });
            changes.push(Change { at: first..rest.unwrap_or(end), with: String::new() });
        }
    }
    let note = "the file was changed since: entries are taken back one by one, addresses stay";
    Ok(Outcome { text: applied(text, changes), notes: vec![note.to_owned()] })
}

/// What installing made of a text, by the program that the other text names: this one may have moved.
fn installed_by_any(before: &str, now: &str, way: &Way<'_>) -> anyhow::Result<String> {
    let entries = clients::read(now)?;
    let ours = entries.iter().find_map(|entry| match &entry.server {
        Server::Local(local) if is_ours(local) => Some(local.command.clone()),
        _ => None,
    });
    let gateway = entries.iter().find_map(|entry| match &entry.server {
        Server::Remote(remote) => remote.url.strip_suffix(&format!("/s/{}/mcp", entry.name)),
        _ => None,
    });
    let program = ours.unwrap_or_else(|| way.program.to_owned());
    let way = Way { program: &program, gateway: way.gateway.or(gateway) };
    Ok(installed(before, &way)?.text)
}

/// Puts our program before the server's own; what stands in the list of arguments stays as it is.
fn wrap(entry: &Entry, local: &Local, text: &str, way: &Way<'_>, changes: &mut Vec<Change>) {
    let words =
        ["wrap", "--name", &log_name(&entry.name), "--", &local.command].map(quoted).join(", ");
    changes.push(Change { at: local.command_at.clone(), with: quoted(way.program) });
    match &local.arguments_at {
        Some((list, each)) => {
            let comma = if each.is_empty() { "" } else { ", " };
            let at = each.first().map_or(list.start + 1, |first| first.start);
            changes.push(Change { at: at..at, with: format!("{words}{comma}") });
        }
        None => {
            let at = local.command_at.end;
            let line = indentation(text, local.command_at.start);
            changes.push(Change { at: at..at, with: format!(",{line}\"args\": [{words}]") });
        }
    }
}

/// Whether an entry starts this program already.
fn is_ours(local: &Local) -> bool {
    let program = local.command.rsplit(['/', '\\']).next().unwrap_or_default();
    let words: Vec<&str> = local.arguments.iter().map(String::as_str).collect();
    matches!(program, "countersign" | "countersign.exe")
        && matches!(words.as_slice(), ["wrap", "--name", _, "--", _, ..])
}

/// The name of an entry as `wrap` takes it: it names a directory, too.
fn log_name(name: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    let fitted: String = name.chars().map(fit).take(64).collect();
    if fitted.is_empty() { "server".to_owned() } else { fitted }
}

/// A line break and the blanks before the member at this place, or one blank when it does not begin
/// its line.
fn indentation(text: &str, value: usize) -> String {
    let before = text.get(..value).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    let blanks: String = line.chars().take_while(|c| matches!(c, ' ' | '\t')).collect();
    let begins = line.trim_start().starts_with("\"command\"") && before.contains('\n');
    if begins { format!("\n{blanks}") } else { " ".to_owned() }
}

fn applied(text: &str, mut changes: Vec<Change>) -> String {
    changes.sort_by_key(|change| (change.at.start, change.at.end));
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for change in &changes {
        out.push_str(text.get(done..change.at.start).unwrap_or_default());
        out.push_str(&change.with);
        done = change.at.end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What changes, with the values of variables and headers out of sight.
fn shown_difference(old: &str, new: &str) -> String {
    difference(&clients::masked(old), &clients::masked(new))
}

/// The lines that go and the lines that come; those that stay are left out.
fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let mut out = String::new();
    let (mut at, mut to) = (0, 0);
    while at < old.len() || to < new.len() {
        match (old.get(at), new.get(to)) {
            (Some(a), Some(b)) if a == b => (at, to) = (at + 1, to + 1),
            _ => {
                let (gone, come) = next_common(old.get(at..), new.get(to..));
                for line in old.get(at..at + gone).unwrap_or_default() {
                    out.push_str(&format!("-{line}\n"));
                }
                for line in new.get(to..to + come).unwrap_or_default() {
                    out.push_str(&format!("+{line}\n"));
                }
                (at, to) = (at + gone, to + come);
            }
        }
    }
    out
}

/// How many lines of each text come before the next line that both have.
fn next_common(old: Option<&[&str]>, new: Option<&[&str]>) -> (usize, usize) {
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    for (gone, line) in old.iter().enumerate() {
        if let Some(come) = new.iter().position(|other| other == line && !line.trim().is_empty()) {
            return (gone, come);
        }
    }
    (old.len(), new.len())
}

/// `wrap --name NAME -- COMMAND`.
const OWN_WORDS: usize = 5;

#[cfg(test)]
mod tests {
    use super::{Way, difference, installed, shown_difference, undone};

    const WAY: Way<'_> = Way { program: "/opt/countersign", gateway: None };

    /// As Claude Desktop, VS Code and Cursor have them.
    const SAMPLES: [&str; 4] = [
        "{\n  \"mcpServers\": {\n    \"my files\": {\n      \"command\": \"npx\",\n      \"args\": [\"-y\", \"fs\"],\n      \"env\": {\"T\": \"s\"}\n    }\n  },\n  \"x\": 1.00\n}\n",
        "{ // mine\n\t\"inputs\": [],\n\t\"servers\": {\n\t\t\"a\": {\n\t\t\t\"type\": \"stdio\",\n\t\t\t\"command\": \"a\", // no arguments\n\t\t},\n\t\t\"w\": {\"type\": \"http\", \"url\": \"https://w/mcp\"},\n\t}\n}",
        "{\"mcpServers\":{\"a\":{\"command\":\"C:\\\\a.exe\",\"args\":[]},\"b\":{\"args\":[ \"x\" ,\"y\"],\"command\":\"b\"}}}",
        "{\r\n  \"mcpServers\": {\r\n    \"a\": {\r\n      \"command\": \"a\"\r\n    }\r\n  }\r\n}\r\n",
    ];

    #[test]
    fn what_is_installed_stays_and_comes_off_again_to_the_byte() {
        for before in SAMPLES {
            let after = installed(before, &WAY).unwrap().text;
            assert!(after.contains("/opt/countersign"), "{after}");
            assert_eq!(installed(&after, &WAY).unwrap().text, after, "twice is once");
            let moved = Way { program: "/elsewhere/countersign", gateway: None };
            assert_eq!(undone(&after, Some(before), &moved).unwrap().text, before);
        }
    }

    #[test]
    fn a_file_that_was_changed_since_is_taken_back_entry_by_entry() {
        let after = installed(SAMPLES[0], &WAY).unwrap().text;
        let changed = after.replace("1.00", "2.00");
        let back = undone(&changed, Some(SAMPLES[0]), &WAY).unwrap();
        assert_eq!(back.text, SAMPLES[0].replace("1.00", "2.00"));
        assert_eq!(back.notes.len(), 1);
        assert_eq!(undone(&changed, None, &WAY).unwrap().text, back.text);
    }

    #[test]
    fn servers_start_through_wrap_with_their_own_words() {
        let after = installed(SAMPLES[0], &WAY).unwrap().text;
        let value: serde_json::Value = serde_json::from_str(&after).unwrap();
        let entry = &value["mcpServers"]["my files"];
        assert_eq!(entry["command"], "/opt/countersign");
        let words = ["wrap", "--name", "my-files", "--", "npx", "-y", "fs"];
        assert_eq!(entry["args"], serde_json::json!(words));
        assert_eq!(entry["env"]["T"], "s");
    }

    #[test]
    fn addresses_lead_to_the_gateway_when_there_is_one() {
        let notes = installed(SAMPLES[1], &WAY).unwrap().notes;
        assert!(notes[0].starts_with("w: left alone"), "{notes:?}");
        let gateway = Way { gateway: Some("http://127.0.0.1:8700"), ..WAY };
        let after = installed(SAMPLES[1], &gateway).unwrap().text;
        assert!(after.contains("\"http://127.0.0.1:8700/s/w/mcp\""), "{after}");
        assert_eq!(installed(&after, &gateway).unwrap().text, after);
        assert_eq!(undone(&after, Some(SAMPLES[1]), &WAY).unwrap().text, SAMPLES[1]);
    }

    #[test]
    fn only_changed_lines_are_shown() {
        assert_eq!(difference("a\nsecret\nb\nc\n", "a\nsecret\nB\nC\nc\n"), "-b\n+B\n+C\n");
        assert_eq!(difference("a\n", "a\nb\n"), "+b\n");
        assert_eq!(difference("a\n", "a\n"), "");
        let old = r#"{"mcpServers":{"a":{"command":"a","env":{"T":"canary"}}}}"#;
        let shown = shown_difference(old, &installed(old, &WAY).unwrap().text);
        assert!(shown.contains("wrap") && !shown.contains("canary"), "{shown}");
    }
}
