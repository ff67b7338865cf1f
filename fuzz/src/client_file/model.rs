//! What a naive parser reads of a client's file, to compare with: comments and trailing commas become
//! blanks, what is left is JSON. It refuses whatever only a lenient parser takes.

use crate::json::Json;
use clients::{Entry, Server};

/// The entries are those of the model, as long as there is one.
pub(super) fn check(text: &str, entries: &[Entry]) {
    let Some(model) = parse(text) else { return };
    let lists = ["mcpServers", "servers", "mcp", "projects"];
    assert!(lists.iter().all(|list| model.count(list) < 2), "which of two lists is meant?");
    assert!(model.get("mcp").is_none_or(|mcp| mcp.count("servers") < 2));
    let settings = model.get("mcp").and_then(|mcp| mcp.get("servers"));
    let projects = model.get("projects").map(Json::members).unwrap_or_default();
    let of_projects = projects.iter().map(|(_, project)| project.get("mcpServers"));
    let found: Vec<_> = [model.get("mcpServers"), model.get("servers"), settings]
        .into_iter()
        .chain(of_projects)
        .flat_map(|list| list.map(Json::members).unwrap_or_default().iter().enumerate())
        .collect();
    assert_eq!(found.len(), entries.len(), "entries were lost or made up");
    for (place, ((nth, (name, value)), entry)) in found.into_iter().zip(entries).enumerate() {
        assert!(Json::Text(name.clone()).is_text(&entry.name));
        let is_namesake = entries[place - nth..place].iter().any(|other| other.name == entry.name);
        assert!(!is_namesake || matches!(entry.server, Server::Unusable(_)));
        if !is_namesake {
            check_entry(value, &entry.server);
        }
    }
}

fn check_entry(value: &Json, server: &Server) {
    match server {
        Server::Local(local) => {
            check_clear(value);
            assert!(value.get("command").is_some_and(|command| command.is_text(&local.command)));
            assert!(value.get("args").is_none_or(|list| matches!(list, Json::List(_))));
            assert_eq!(texts(value, "args").as_ref(), Some(&local.arguments));
            assert_eq!(names(value, "env"), local.variables);
            assert!(addresses(value).is_empty(), "a program at an address");
        }
        Server::Remote(remote) => {
            check_clear(value);
            let own = addresses(value);
            assert!(own.len() == 1 && own[0].is_text(&remote.url));
            assert!(names(value, "headers").iter().eq(remote.headers.iter().map(|(name, _)| name)));
            assert!(value.get("command").is_none() && value.get("args").is_none());
        }
        Server::Unusable(_) => {
            let texts = [value.get("command"), addresses(value).first().copied()];
            let has_text = texts.into_iter().flatten().any(|member| member.text().is_some());
            assert!(!has_text || 1 < value.members().len(), "left alone: {value:?}");
        }
    }
}

/// What every client reads in the same way.
fn check_clear(value: &Json) {
    assert!(!value.has_twin_keys(), "which of two members is meant?");
    assert_ne!(value.get("disabled"), Some(&Json::Bool(true)));
}

fn texts(value: &Json, name: &str) -> Option<Vec<String>> {
    let items = value.get(name).map(Json::items).unwrap_or_default();
    items.iter().map(Json::text).collect()
}

fn names(value: &Json, name: &str) -> Vec<String> {
    let members = value.get(name).map(Json::members).unwrap_or_default();
    members.iter().map(|(key, _)| String::from_utf16_lossy(key)).collect()
}

fn addresses(value: &Json) -> Vec<&Json> {
    ["url", "serverUrl", "httpUrl"].iter().filter_map(|key| value.get(key)).collect()
}

/// The values of variables and headers that hold the canary and stand in the file once, as they are.
pub(super) fn secrets(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(model) = parse(text) {
        collect(&model, false, &mut found);
    }
    found.retain(|secret| secret.contains(super::CANARY) && text.matches(secret).count() == 1);
    found
}

fn collect(value: &Json, is_secret: bool, found: &mut Vec<String>) {
    found.extend(value.text().filter(|_| is_secret));
    value.items().iter().for_each(|item| collect(item, is_secret, found));
    for (key, value) in value.members() {
        let key = Json::Text(key.clone());
        collect(value, is_secret || key.is_text("env") || key.is_text("headers"), found);
    }
}

fn parse(text: &str) -> Option<Json> {
    let mut plain = without_comments(text);
    let mut is_text = false;
    let mut comma = None;
    for at in 0..plain.len() {
        match plain[at] {
            b'\\' if is_text && at + 1 < plain.len() => {}
            b'"' => is_text = !is_text || is_escaped(&plain[..at]),
            _ if is_text => {}
            b',' => comma = Some(at),
            b']' | b'}' => {
                if let Some(comma) = comma.take() {
                    plain[comma] = b' ';
                }
            }
            b' ' | b'\t' | b'\n' | b'\r' => {}
            _ => comma = None,
        }
        if is_text {
            comma = None;
        }
    }
    Json::parse(str::from_utf8(&plain).ok()?, DEPTH_MAX)
}

/// The text with a blank for every byte of a comment.
fn without_comments(text: &str) -> Vec<u8> {
    let mut plain = text.as_bytes().to_vec();
    let mut at = 0;
    let mut is_text = false;
    while at < plain.len() {
        let end = match plain[at..] {
            [b'"', ..] => {
                is_text = !is_text || is_escaped(&plain[..at]);
                at
            }
            _ if is_text => at,
            [b'/', b'/', ..] => {
                let line = plain[at..].iter().position(|byte| matches!(byte, b'\n' | b'\r'));
                line.map_or(plain.len(), |line| at + line)
            }
            [b'/', b'*', ..] => {
                let close = plain[at + 2..].windows(2).position(|pair| pair == b"*/");
                close.map_or(plain.len(), |close| at + close + 4)
            }
            _ => at,
        };
        plain[at..end].fill(b' ');
        at = end.max(at + 1);
    }
    plain
}

/// Whether an odd number of backslashes stands at the end.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// As deep as the real one goes, or less.
const DEPTH_MAX: usize = 100;
