//! Which servers a client's configuration names. Reads JSON as the clients do, with comments and trailing
//! commas. Refuses to hold the values of variables and headers, which may be secrets: only their names
//! leave this file.

use jsonc_parser::ast::{Array, Object, Value};
use jsonc_parser::common::Ranged as _;
use jsonc_parser::errors::ParseError;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use std::ops::Range;

/// A server as a client's configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What is at that name.
    pub server: Server,
    /// Where its value stands.
    pub at: Range<usize>,
}

/// What an entry starts or connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// A program.
    Local(Local),
    /// An address.
    Remote(Remote),
    /// It can be neither started nor reached from what is written; why.
    Unusable(String),
}

/// A program on standard input and output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// The program.
    pub command: String,
    /// What it is given.
    pub arguments: Vec<String>,
    /// Names of the variables that it gets.
    pub variables: Vec<String>,
    /// Where the value of `command` stands.
    pub command_at: Range<usize>,
    /// Where the array of arguments stands, when there is one, and where each of them does.
    pub arguments_at: Option<(Range<usize>, Vec<Range<usize>>)>,
    /// Where the value of `type` stands, when there is one.
    pub kind_at: Option<Range<usize>>,
}

/// A server at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The address, as it is written.
    pub url: String,
    /// Names of the headers that the client sends, and where their values stand.
    pub headers: Vec<(String, Range<usize>)>,
    /// What is spoken there.
    pub transport: Transport,
    /// Where the value of the address stands.
    pub url_at: Range<usize>,
    /// Where its name and its value do.
    pub address_at: Range<usize>,
    /// Where the value of `type` stands, when there is one.
    pub kind_at: Option<Range<usize>>,
    /// The headers as a member of the entry, with what parts them from their neighbours.
    pub headers_at: Option<Range<usize>>,
}

/// What is spoken at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Streamable HTTP.
    Http,
    /// HTTP+SSE of 2024-11-05, because the entry says so.
    Sse,
    /// The same, because the entry says nothing and the address ends in `/sse`.
    SseByAddress,
}

/// Why a text is no configuration with servers.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is not JSON with comments.
    #[error("not JSON with comments: {0}")]
    Syntax(ParseError),
    /// It is no object.
    #[error("no JSON object")]
    NoObject,
    /// It names no servers where the known clients do.
    #[error("no servers: neither `mcpServers` nor `servers` is there")]
    NoServers,
}

/// Reads the servers of a configuration, in their order.
///
/// # Errors
/// When the text is not JSON with comments, or names no servers where the known clients do.
pub fn read(text: &str) -> Result<Vec<Entry>, Unreadable> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options());
    let parsed = parsed.map_err(Unreadable::Syntax)?;
    let Some(Value::Object(file)) = parsed.value else { return Err(Unreadable::NoObject) };
    let lists = ["mcpServers", "servers"].into_iter().filter_map(|key| file.get_object(key));
    // Older versions of VS Code kept servers in the settings, under `mcp`.
    let settings = file.get_object("mcp").and_then(|mcp| mcp.get_object("servers"));
    // Claude Code keeps servers of one project beside those of all.
    let projects = file.get_object("projects");
    let projects = projects.iter().flat_map(|projects| &projects.properties);
    let projects = projects.filter_map(|project| project.value.as_object());
    let of_projects = projects.filter_map(|project| project.get_object("mcpServers"));
    let lists: Vec<&Object<'_>> = lists.chain(settings).chain(of_projects).collect();
    if lists.is_empty() {
        return Err(Unreadable::NoServers);
    }
    Ok(lists.into_iter().flat_map(entries).collect())
}

/// The servers of one list.
fn entries(list: &Object<'_>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for property in &list.properties {
        let name = property.name.as_str().to_owned();
        let server = match &property.value {
            _ if entries.iter().any(|entry| entry.name == name) => {
                unusable("the name is there twice")
            }
            Value::Object(object) => server(object),
            _ => unusable("it is no object"),
        };
        entries.push(Entry { name, server, at: range(&property.value) });
    }
    entries
}

/// The text with the values of variables and headers out of sight, to be shown. Lines stay lines.
pub fn masked(text: &str) -> String {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options());
    let Ok(Some(Value::Object(file))) = parsed.map(|parsed| parsed.value) else {
        return String::new();
    };
    let mut secret = Vec::new();
    secrets(&file, &mut secret);
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for at in secret {
        out.push_str(text.get(done..at.start).unwrap_or_default());
        out.push_str("\"***\"");
        done = at.end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

/// Where values of variables and headers stand, at any depth, in their order.
fn secrets(object: &Object<'_>, found: &mut Vec<Range<usize>>) {
    for property in &object.properties {
        match (property.name.as_str(), &property.value) {
            ("env" | "headers", Value::Object(values)) => {
                found.extend(values.properties.iter().map(|value| range(&value.value)));
            }
            (_, Value::Object(inner)) => secrets(inner, found),
            _ => {}
        }
    }
}

fn server(object: &Object<'_>) -> Server {
    let text = |key| object.get_string(key).map(|text| text.value.to_string());
    let address = ADDRESS.into_iter().find_map(|key| {
        let property = object.get(key)?;
        Some((property, property.value.as_string_lit()?))
    });
    if object.get_boolean("disabled").is_some_and(|disabled| disabled.value) {
        return unusable("it is disabled");
    }
    let found = match (text("command"), address) {
        (Some(_), Some(_)) => return unusable("it has both a command and an address"),
        (None, None) => return unusable("it has neither a command nor an address"),
        (None, Some(_)) if object.get("args").is_some() => {
            return unusable("it has both an address and arguments");
        }
        (Some(command), None) => local(object, command),
        (None, Some((property, url))) => Ok(Server::Remote(Remote {
            transport: transport(text("type").as_deref(), &url.value),
            url: url.value.to_string(),
            headers: values(object.get_object("headers")),
            url_at: range(url),
            address_at: range(property),
            kind_at: object.get_string("type").map(range),
            headers_at: whole(object, "headers"),
        })),
    };
    found.unwrap_or_else(Server::Unusable)
}

fn transport(kind: Option<&str>, url: &str) -> Transport {
    match kind {
        Some("sse") => Transport::Sse,
        None if url.trim_end_matches('/').ends_with("/sse") => Transport::SseByAddress,
        _ => Transport::Http,
    }
}

/// Where a member of an object stands, with what parts it from the next one, or else from the one before.
fn whole(object: &Object<'_>, key: &str) -> Option<Range<usize>> {
    let place = object.properties.iter().position(|property| property.name.as_str() == key)?;
    let own = range(object.properties.get(place)?);
    let before = place.checked_sub(1).and_then(|place| object.properties.get(place));
    Some(match (object.properties.get(place + 1), before) {
        (Some(next), _) => own.start..range(next).start,
        (None, Some(before)) => range(before).end..own.end,
        (None, None) => own,
    })
}

fn local(object: &Object<'_>, command: String) -> Result<Server, String> {
    let list = object.get_array("args");
    let arguments = list.map_or(Ok(Vec::new()), words)?;
    let at = |list: &Array<'_>| {
        let each = list.elements.iter().map(|element| element.range().start..element.range().end);
        (list.range().start..list.range().end, each.collect())
    };
    let command_at = object.get_string("command").map(range).unwrap_or_default();
    let variables = values(object.get_object("env")).into_iter().map(|(name, _)| name).collect();
    let arguments_at = list.map(at);
    let kind_at = object.get_string("type").map(range);
    Ok(Server::Local(Local { command, arguments, variables, command_at, arguments_at, kind_at }))
}

fn words(list: &Array<'_>) -> Result<Vec<String>, String> {
    let word = |value: &Value<'_>| value.as_string_lit().map(|text| text.value.to_string());
    let words: Option<Vec<String>> = list.elements.iter().map(word).collect();
    words.ok_or_else(|| "an argument is no text".to_owned())
}

/// The names of an object's members, and where their values stand.
fn values(object: Option<&Object<'_>>) -> Vec<(String, Range<usize>)> {
    let properties = object.iter().flat_map(|object| &object.properties);
    properties.map(|member| (member.name.as_str().to_owned(), range(&member.value))).collect()
}

fn unusable(reason: &str) -> Server {
    Server::Unusable(reason.to_owned())
}

fn range(value: &impl jsonc_parser::common::Ranged) -> Range<usize> {
    value.range().start..value.range().end
}

fn options() -> ParseOptions {
    ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        ..ParseOptions::default()
    }
}

/// How clients call an address: most, Windsurf, Gemini CLI.
const ADDRESS: [&str; 3] = ["url", "serverUrl", "httpUrl"];

#[cfg(test)]
mod tests {
    use super::{Server, Transport, read};

    #[test]
    fn servers_of_every_client_are_read() {
        let claude = r#"{"mcpServers": {"files": {"command": "npx", "args": ["-y", "x"], "env": {"TOKEN": "canary"}}}}"#;
        let entries = read(claude).unwrap();
        assert!(!format!("{entries:?}").contains("canary"));
        assert_eq!(super::masked(claude), claude.replace("canary", "***"));
        let Server::Local(local) = &entries[0].server else { panic!("{entries:?}") };
        assert_eq!((local.command.as_str(), local.arguments.len()), ("npx", 2));
        assert_eq!(local.variables, ["TOKEN"]);
        let code = r#"{ // mine
            "inputs": [{"id": "t", "type": "promptString"}],
            "servers": {"web": {"type": "sse", "url": "http://x/sse", "headers": {"Authorization": "Bearer ${input:t}"}},
              "a": {"type": "stdio", "command": "a"},},
        }"#;
        let entries = read(code).unwrap();
        let Server::Remote(remote) = &entries[0].server else { panic!("{entries:?}") };
        assert_eq!(remote.transport, Transport::Sse);
        assert_eq!(remote.headers[0].0, "Authorization");
        assert_eq!(code.get(remote.url_at.clone()), Some("\"http://x/sse\""));
        assert_eq!(entries[1].name, "a");
        let windsurf = r#"{"mcpServers":{"w":{"serverUrl":"https://w/mcp"}}}"#;
        assert!(matches!(&read(windsurf).unwrap()[0].server, Server::Remote(_)));
    }

    #[test]
    fn servers_of_projects_are_read_and_their_values_masked() {
        let text = r#"{"mcpServers": {"a": {"command": "a"}}, "projects": {
            "/home/u/one": {"mcpServers": {"a": {"command": "b", "env": {"T": "canary"}}}},
            "/home/u/two": {"mcpServers": {}, "allowedTools": []}}}"#;
        let names: Vec<String> = read(text).unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["a", "a"]);
        assert_eq!(super::masked(text), text.replace("canary", "***"));
        let settings = r#"{"mcp": {"servers": {"a": {"url": "u", "headers": {"K": "canary"}}}}}"#;
        assert_eq!(super::masked(settings), settings.replace("canary", "***"));
    }

    #[test]
    fn an_address_says_what_is_spoken_there_when_nothing_else_does() {
        for (entry, transport) in [
            (r#"{"url": "http://x/sse"}"#, Transport::SseByAddress),
            (r#"{"url": "http://x/sse/"}"#, Transport::SseByAddress),
            (r#"{"type": "http", "url": "http://x/sse"}"#, Transport::Http),
            (r#"{"type": "sse", "url": "http://x/mcp"}"#, Transport::Sse),
            (r#"{"url": "http://x/mcp"}"#, Transport::Http),
        ] {
            let text = format!("{{\"mcpServers\": {{\"a\": {entry}}}}}");
            let entries = read(&text).unwrap();
            let Server::Remote(remote) = &entries[0].server else { panic!("{entries:?}") };
            assert_eq!(remote.transport, transport, "{entry}");
        }
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let text = r#"{"mcpServers": {"a": {}, "b": 1, "c": {"command": "x", "args": [1]},
            "d": {"command": "x", "url": "y"}, "f": {"args": [], "url": "y"}, "e": {"command": "x", "disabled": true},
            "a": {"command": "x"}}}"#;
        for entry in read(text).unwrap() {
            assert!(matches!(entry.server, Server::Unusable(_)), "{entry:?}");
        }
        for text in ["", "[]", "{", "{}", "{\"mcpServers\": 1}"] {
            read(text).unwrap_err();
        }
    }
}
