//! The text of a client's configuration with its servers behind this program. Changes the text where it
//! must and nowhere else. Knows no file: values that must leave the text are named by their places.

use crate::reading::{self, Entry, Local, Remote, Server, Transport, Unreadable};
use crate::tables::plain;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A change of the text.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) at: Range<usize>,
    pub(crate) with: String,
}

/// What shall be, and what is left alone and why.
#[derive(Debug)]
pub struct Outcome {
    /// The text.
    pub text: String,
    /// What was left alone and why, one line each.
    pub notes: Vec<String>,
    /// What must be in files before the text is of use.
    pub headers: Vec<HeaderFile>,
}

/// A header whose value goes from the text to a file.
#[derive(Debug, PartialEq, Eq)]
pub struct HeaderFile {
    /// Where it goes.
    pub path: PathBuf,
    /// Where the value stands in the text as it was.
    pub value_at: Range<usize>,
}

/// How servers are reached afterwards.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    /// This program, by a path that does not depend on `PATH`: clients with windows have none.
    pub program: &'a str,
    /// Address of a gateway, for servers at addresses.
    pub gateway: Option<&'a str>,
    /// The directory for files with the values of headers.
    pub headers: &'a str,
}

/// How an entry starts this program.
#[derive(Debug, PartialEq, Eq)]
pub enum Ours<'a> {
    /// `wrap --name NAME -- COMMAND`: the command.
    Command(&'a str),
    /// `wrap --name NAME --url URL`: the address, and names of headers with their files.
    Url(&'a str, Vec<(&'a str, &'a str)>),
}

/// The text with every server that can be behind this program, or a gateway, behind it.
///
/// # Errors
/// When the text cannot be read.
pub fn installed(text: &str, way: &Way<'_>) -> Result<Outcome, Unreadable> {
    let mut rewriting =
        Rewriting { text, way, changes: Vec::new(), notes: Vec::new(), headers: Vec::new() };
    let entries = reading::read(text)?;
    for (place, entry) in entries.iter().enumerate() {
        let before = entries.get(..place).unwrap_or_default();
        let name = log_name(&entry.name);
        let namesakes = before.iter().filter(|other| log_name(&other.name) == name).count();
        match &entry.server {
            Server::Local(local) if ours(local).is_some() => {}
            Server::Local(local) => rewriting.local(&name, local),
            Server::Remote(remote) => match way.gateway {
                Some(gateway) if is_behind(&remote.url, gateway) => {}
                Some(gateway) => rewriting.lead(entry, remote, gateway),
                None => rewriting.remote(entry, remote, namesakes),
            },
            Server::Unusable(reason) => {
                let note = format!("{}: left alone, since {reason}", entry.name);
                rewriting.notes.push(note);
            }
        }
    }
    let Rewriting { changes, notes, headers, .. } = rewriting;
    Ok(Outcome { text: applied(text, changes), notes, headers })
}

/// How an entry starts this program, when it does.
pub fn ours(local: &Local) -> Option<Ours<'_>> {
    let program = local.command.rsplit(['/', '\\']).next().unwrap_or_default();
    if !matches!(program, "countersign" | "countersign.exe") {
        return None;
    }
    let words: Vec<&str> = local.arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["wrap", "--name", _, "--", command, ..] => Some(Ours::Command(command)),
        ["wrap", "--name", _, "--url", url, rest @ ..] => {
            let headers = rest.chunks(2).map(|pair| match pair {
                ["--header-from-file", named] => named.split_once('='),
                _ => None,
            });
            Some(Ours::Url(url, headers.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// The text with all changes, which do not overlap.
pub(crate) fn applied(text: &str, mut changes: Vec<Change>) -> String {
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

pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text of a value at its place, which is a string.
pub fn string_at(text: &str, at: &Range<usize>) -> Option<String> {
    serde_json::from_str(text.get(at.clone())?).ok()
}

/// A rewriting in progress.
struct Rewriting<'a> {
    text: &'a str,
    way: &'a Way<'a>,
    changes: Vec<Change>,
    notes: Vec<String>,
    headers: Vec<HeaderFile>,
}

impl Rewriting<'_> {
    fn change(&mut self, at: &Range<usize>, with: String) {
        self.changes.push(Change { at: at.clone(), with });
    }

    /// Puts our program before the server's own; what stands in the list of arguments stays as it is.
    fn local(&mut self, name: &str, local: &Local) {
        let words = ["wrap", "--name", name, "--", &local.command].map(quoted).join(", ");
        self.change(&local.command_at, quoted(self.way.program));
        match &local.arguments_at {
            Some((list, each)) => {
                let comma = if each.is_empty() { "" } else { ", " };
                let at = each.first().map_or(list.start + 1, |first| first.start);
                self.change(&(at..at), format!("{words}{comma}"));
            }
            None => {
                let at = local.command_at.end;
                let line = indentation(self.text, local.command_at.start);
                self.change(&(at..at), format!(",{line}\"args\": [{words}]"));
            }
        }
    }

    /// Leads a server at an address to the same server behind a gateway.
    fn lead(&mut self, entry: &Entry, remote: &Remote, gateway: &str) {
        let url = format!("{gateway}{}", path_behind(&entry.name, remote.transport));
        self.change(&remote.url_at, quoted(&url));
        self.notes.push(format!(
            "{}: the gateway must have a server of this name, and the client a credential for it",
            entry.name
        ));
    }

    /// Puts our program in the place of an address; values of headers go to files.
    fn remote(&mut self, entry: &Entry, remote: &Remote, namesakes: usize) {
        if let Some(reason) = unfit(self.text, remote) {
            let note = format!("{}: left alone, since {reason}", entry.name);
            return self.notes.push(note);
        }
        let name = log_name(&entry.name);
        // A sign that no name of an entry or a header has: no two values go to one file.
        let stem = if namesakes == 0 { name.clone() } else { format!("{name}@{}", namesakes + 1) };
        let mut words = ["wrap", "--name", &name, "--url", &remote.url].map(quoted).to_vec();
        for (header, value_at) in &remote.headers {
            let path =
                Path::new(self.way.headers).join(format!("{stem}.{}", header.to_ascii_lowercase()));
            let named = format!("{header}={}", path.display());
            words.extend(["--header-from-file", &named].map(quoted));
            self.headers.push(HeaderFile { path, value_at: value_at.clone() });
        }
        let line = indentation(self.text, remote.address_at.start);
        let (program, words) = (quoted(self.way.program), words.join(", "));
        let with = format!("\"command\": {program},{line}\"args\": [{words}]");
        self.change(&remote.address_at, with);
        if let Some(at) = &remote.headers_at {
            self.change(at, String::new());
        }
        if let Some(at) = &remote.kind_at {
            self.change(at, quoted("stdio"));
        }
        self.notes.push(match remote.headers.is_empty() {
            true => format!(
                "{}: if its users sign in with a browser (OAuth), leave it as it is: only the client can do that",
                entry.name
            ),
            false => format!(
                "{}: the values of its headers go to files that only you can read, in {}",
                entry.name,
                self.way.headers
            ),
        });
    }
}

/// Whether an address is one of this gateway's.
fn is_behind(url: &str, gateway: &str) -> bool {
    let rest = url.strip_prefix(gateway.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Where a gateway has the server of this name, for a client that speaks this.
pub(crate) fn path_behind(name: &str, transport: Transport) -> String {
    let name = plain(name);
    match transport {
        Transport::Http => format!("/s/{name}/mcp"),
        Transport::Sse | Transport::SseByAddress => format!("/s/{name}/sse"),
    }
}

/// Why a server at an address cannot be behind `wrap --url`.
fn unfit(text: &str, remote: &Remote) -> Option<String> {
    let lead = "; `--gateway URL` leads it to a gateway";
    if remote.transport != Transport::Http {
        return Some(format!("`wrap --url` does not speak HTTP+SSE of 2024-11-05{lead}"));
    }
    if remote.url.contains("${") {
        return Some("its address has a placeholder that only the client can fill in".to_owned());
    }
    let url = remote.url.parse::<url::Url>().ok();
    let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    else {
        return Some("its address is no `http` or `https` URL".to_owned());
    };
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        let reason = "its address may hold a credential, and others can see arguments of programs";
        return Some(format!("{reason}{lead}"));
    }
    let mut names: Vec<String> =
        remote.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair.first() == pair.last()) {
        return Some("one of its headers is there twice".to_owned());
    }
    remote.headers.iter().find_map(|(name, at)| unfit_header(text, name, at))
}

fn unfit_header(text: &str, name: &str, at: &Range<usize>) -> Option<String> {
    let reason = match string_at(text, at) {
        _ if name.parse::<http::HeaderName>().is_err() => "is none by its name",
        None => "has no text as its value",
        Some(value) if value.contains("${") => "has a placeholder that only the client can fill in",
        Some(value) if value.trim().is_empty() => "has no value",
        Some(value) if http::HeaderValue::from_str(value.trim()).is_err() => {
            "has a value that no header can have"
        }
        Some(_) => return None,
    };
    Some(format!("its header `{name}` {reason}"))
}

/// The name of an entry as `wrap` takes it: it names a directory, too.
fn log_name(name: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    let fitted: String = name.chars().map(fit).take(64).collect();
    if fitted.is_empty() { "server".to_owned() } else { fitted }
}

/// A line break and the blanks before the member at this place, or one blank when it does not begin
/// its line.
fn indentation(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    let blanks: String = line.chars().take_while(|c| matches!(c, ' ' | '\t')).collect();
    let rest = line.trim_start();
    let begins = before.contains('\n') && (rest.is_empty() || rest.starts_with("\"command\""));
    if begins { format!("\n{blanks}") } else { " ".to_owned() }
}
