//! The text of a client's configuration as it was before `install`. What is still what installing made of
//! the backup comes back byte for byte, anything else entry by entry.

use crate::reading::{self, Entry, Local, Remote, Server, Unreadable};
use crate::rewriting::{Change, Ours, Outcome, Way, applied, installed, ours, path_behind, quoted};
use std::path::{Path, PathBuf};

/// Reads the value of a header from its file.
pub type ReadHeader<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// The text before. When it still is what installing made of the backup, that is the backup, byte for
/// byte; else each entry is taken back by itself.
///
/// # Errors
/// When the text cannot be read.
pub fn undone(
    text: &str,
    backup: Option<&str>,
    way: &Way<'_>,
    read: ReadHeader<'_>,
) -> Result<Outcome, Unreadable> {
    if let Some(before) = backup
        && let Ok(made) = installed_by_any(before, text, way)
        && made == text
    {
        return Ok(Outcome { text: before.to_owned(), notes: Vec::new(), headers: Vec::new() });
    }
    let entries = reading::read(text)?;
    let kept = backup.and_then(|text| Some((text, reading::read(text).ok()?)));
    let mut changes = Vec::new();
    let note = "the file was changed since: entries are taken back one by one";
    let mut notes = vec![note.to_owned()];
    for (place, entry) in entries.iter().enumerate() {
        let before = kept.as_ref().and_then(|(text, kept)| {
            Some((*text, namesake(kept, &entry.name, entries.get(..place)?)?))
        });
        match &entry.server {
            Server::Local(local) => match ours(local) {
                Some(Ours::Command(command)) => unwrapped(local, command, &mut changes),
                Some(Ours::Url(url, headers)) => {
                    let whole = as_it_was(before, url).or_else(|| rebuilt(url, &headers, read));
                    match whole {
                        Some(with) => changes.push(Change { at: entry.at.clone(), with }),
                        None => notes.push(format!(
                            "{}: stays, since a file with the value of a header is gone",
                            entry.name
                        )),
                    }
                }
                None => {}
            },
            Server::Remote(remote) if leads(entry, remote) => match before {
                Some((text, Entry { server: Server::Remote(before), .. })) => {
                    let with = text.get(before.url_at.clone()).unwrap_or_default().to_owned();
                    changes.push(Change { at: remote.url_at.clone(), with });
                }
                _ => notes.push(format!("{}: its address stays", entry.name)),
            },
            Server::Remote(_) | Server::Unusable(_) => {}
        }
    }
    Ok(Outcome { text: applied(text, changes), notes, headers: Vec::new() })
}

/// The files with values of headers that a text names.
pub fn header_files(text: &str) -> Vec<PathBuf> {
    let entries = reading::read(text).unwrap_or_default();
    let files = entries.iter().flat_map(|entry| match &entry.server {
        Server::Local(local) => match ours(local) {
            Some(Ours::Url(_, headers)) => {
                headers.into_iter().map(|(_, file)| PathBuf::from(file)).collect()
            }
            _ => Vec::new(),
        },
        Server::Remote(_) | Server::Unusable(_) => Vec::new(),
    });
    files.collect()
}

/// What installing made of a text, by the program that the other text names: this one may have moved.
fn installed_by_any(before: &str, now: &str, way: &Way<'_>) -> Result<String, Unreadable> {
    let entries = reading::read(now)?;
    let program = entries.iter().find_map(|entry| match &entry.server {
        Server::Local(local) if ours(local).is_some() => Some(local.command.clone()),
        _ => None,
    });
    let gateway = entries.iter().find_map(|entry| match &entry.server {
        Server::Remote(remote) => {
            remote.url.strip_suffix(&path_behind(&entry.name, remote.transport))
        }
        _ => None,
    });
    let files = header_files(now);
    let headers = files.first().and_then(|file| file.parent()?.to_str());
    let program = program.unwrap_or_else(|| way.program.to_owned());
    let way = Way {
        program: &program,
        gateway: way.gateway.or(gateway),
        headers: headers.unwrap_or(way.headers),
    };
    Ok(installed(before, &way)?.text)
}

/// The entry of this name, counted as the others of the name before it are.
fn namesake<'a>(kept: &'a [Entry], name: &str, before: &[Entry]) -> Option<&'a Entry> {
    let place = before.iter().filter(|other| other.name == name).count();
    kept.iter().filter(|entry| entry.name == name).nth(place)
}

/// Whether an address is one of a gateway, as installing writes it.
fn leads(entry: &Entry, remote: &Remote) -> bool {
    remote.url.ends_with(&path_behind(&entry.name, remote.transport))
}

/// Takes our words out of the arguments.
fn unwrapped(local: &Local, command: &str, changes: &mut Vec<Change>) {
    let Some((list, words)) = &local.arguments_at else { return };
    let Some(own) = words.get(..OWN_WORDS) else { return };
    let first = own.first().map_or(list.start, |word| word.start);
    let rest = words.get(OWN_WORDS).map(|next| next.start);
    let end = own.last().map_or(first, |word| word.end);
    changes.push(Change { at: local.command_at.clone(), with: quoted(command) });
    changes.push(Change { at: first..rest.unwrap_or(end), with: String::new() });
}

/// The members of an entry as they were, when it led to the same address.
fn as_it_was(before: Option<(&str, &Entry)>, url: &str) -> Option<String> {
    let (text, entry) = before?;
    let same = matches!(&entry.server, Server::Remote(remote) if remote.url == url);
    same.then(|| text.get(entry.at.clone()).map(str::to_owned))?
}

/// An entry for an address, from what our arguments say.
fn rebuilt(url: &str, headers: &[(&str, &str)], read: ReadHeader<'_>) -> Option<String> {
    let values = headers
        .iter()
        .map(|(name, file)| Some(format!("{}: {}", quoted(name), quoted(&read(Path::new(file))?))));
    let values = values.collect::<Option<Vec<_>>>()?.join(", ");
    let headers =
        if values.is_empty() { String::new() } else { format!(", \"headers\": {{{values}}}") };
    Some(format!("{{\"type\": \"http\", \"url\": {}{headers}}}", quoted(url)))
}

/// `wrap --name NAME -- COMMAND`.
const OWN_WORDS: usize = 5;
