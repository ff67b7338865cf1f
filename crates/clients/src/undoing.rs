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
    let entries = reading::read(text)?;
    let kept = backup.and_then(|text| Some((text, reading::read(text).ok()?)));
    if let Some((before, kept)) = &kept
        && installed(before, &way_of(kept, &entries, way))?.text == text
    {
        let before = (*before).to_owned();
        return Ok(Outcome { text: before, notes: Vec::new(), headers: Vec::new() });
    }
    let mut changes = Vec::new();
    let note = "the file was changed since: entries are taken back one by one";
    let mut notes = vec![note.to_owned()];
    for (place, entry) in entries.iter().enumerate() {
        let before = kept.as_ref().and_then(|(text, kept)| {
            Some((*text, namesake(kept, &entry.name, entries.get(..place)?)?))
        });
        match &entry.server {
            Server::Local(local) => match ours(local) {
                Some(Ours::Command(command)) => unwrapped(text, local, command, &mut changes),
                Some(Ours::Url(url, headers)) => {
                    let before = before.and_then(|(text, entry)| match &entry.server {
                        Server::Remote(remote) if remote.url == url => Some((text, remote)),
                        _ => None,
                    });
                    match address(before, url, &headers, read) {
                        Some(member) => readdressed(local, member, before, &mut changes),
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

/// How these entries came from those, by the first of each that shows it: this program may have moved.
fn way_of<'a>(before: &[Entry], now: &'a [Entry], way: &Way<'a>) -> Way<'a> {
    let both = || before.iter().zip(now);
    let locals = || {
        both().filter_map(|(before, now)| match (&before.server, &now.server) {
            (Server::Local(before), _) if ours(before).is_some() => None,
            (_, Server::Local(local)) => Some((local, ours(local)?)),
            _ => None,
        })
    };
    let gateway = both().find_map(|(before, now)| match (&before.server, &now.server) {
        (Server::Remote(before), Server::Remote(remote)) if before.url != remote.url => {
            remote.url.strip_suffix(&path_behind(&now.name, remote.transport))
        }
        _ => None,
    });
    let headers = locals().find_map(|(_, ours)| match ours {
        Ours::Url(_, headers) => Path::new(headers.first()?.1).parent()?.to_str(),
        Ours::Command(_) => None,
    });
    Way {
        program: locals().next().map_or(way.program, |(local, _)| &local.command),
        gateway: gateway.or(way.gateway),
        headers: headers.unwrap_or(way.headers),
    }
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
fn unwrapped(text: &str, local: &Local, command: &str, changes: &mut Vec<Change>) {
    let Some((list, words)) = &local.arguments_at else { return };
    let Some([first, .., last]) = words.get(..OWN_WORDS) else { return };
    let close = list.end.saturating_sub(1);
    let end = match words.get(OWN_WORDS) {
        Some(next) => next.start,
        // A comma cannot stay when nothing is before it.
        None if text.get(last.end..close).is_some_and(|rest| rest.contains(',')) => close,
        None => last.end,
    };
    changes.push(Change { at: local.command_at.clone(), with: quoted(command) });
    changes.push(Change { at: first.start..end, with: String::new() });
}

/// Puts an address in the place of our program; other members stay.
fn readdressed(local: &Local, member: String, before: Kept<'_>, changes: &mut Vec<Change>) {
    changes.push(Change { at: local.member_at.clone(), with: member });
    if let Some(at) = &local.arguments_member_at {
        changes.push(Change { at: at.clone(), with: String::new() });
    }
    if let Some(at) = &local.kind_at {
        let kind = before.and_then(|(text, remote)| text.get(remote.kind_at.clone()?));
        let with = kind.map_or_else(|| quoted("http"), str::to_owned);
        changes.push(Change { at: at.clone(), with });
    }
}

/// An address as a member of an entry and its headers as another, as they were or from what our arguments
/// say; none when a value is nowhere any more.
fn address(
    before: Kept<'_>,
    url: &str,
    headers: &[(&str, &str)],
    read: ReadHeader<'_>,
) -> Option<String> {
    let kept = before.and_then(|(text, remote)| text.get(remote.address_at.clone()));
    let member = kept.map_or_else(|| format!("\"url\": {}", quoted(url)), str::to_owned);
    let kept = |name: &str| {
        let (text, remote) = before?;
        let (_, at) = remote.headers.iter().find(|(header, _)| header == name)?;
        text.get(at.clone()).map(str::to_owned)
    };
    let value = |name: &str, file| {
        let read = || read(Path::new(file)).map(|value| quoted(&value));
        Some(format!("{}: {}", quoted(name), kept(name).or_else(read)?))
    };
    let values = headers.iter().map(|(name, file)| value(name, file));
    let values = values.collect::<Option<Vec<_>>>()?.join(", ");
    Some(match values.is_empty() {
        true => member,
        false => format!("{member}, \"headers\": {{{values}}}"),
    })
}

/// The text before, and the same server in it.
type Kept<'a> = Option<(&'a str, &'a Remote)>;

/// `wrap --name NAME -- COMMAND`.
const OWN_WORDS: usize = 5;
