//! Which servers a client's configuration names. Reads JSON as the clients do, with comments and trailing
//! commas. Refuses to hold the values of variables and headers, which may be secrets: only their names
//! leave this file.

use jsonc_parser::ast::{Array, Object, ObjectProp, StringLit, Value};
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
    /// Where its name and its value do.
    pub member_at: Range<usize>,
    /// Where the array of arguments stands, when there is one, and where each of them does.
    pub arguments_at: Option<(Range<usize>, Vec<Range<usize>>)>,
    /// The arguments as a member of the entry, with what parts them from their neighbours.
    pub arguments_member_at: Option<Range<usize>>,
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
    /// One of its lists is there twice, and clients may read either.
    #[error("`{0}` is there twice, and a client may read either")]
    Twice(&'static str),
    /// It names no servers where the known clients do.
    #[error("no servers: neither `mcpServers` nor `servers` is there")]
    NoServers,
}

/// Reads the servers of a configuration, in their order.
///
/// # Errors
/// When the text is not JSON with comments, names no servers where the known clients do, or names them in
/// two places of one name.
pub fn read(text: &str) -> Result<Vec<Entry>, Unreadable> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options());
    let parsed = parsed.map_err(Unreadable::Syntax)?;
    let Some(Value::Object(file)) = parsed.value else { return Err(Unreadable::NoObject) };
    let mut lists = vec![once(&file, "mcpServers")?, once(&file, "servers")?];
    // Older versions of VS Code kept servers in the settings, under `mcp`.
    if let Some(settings) = once(&file, "mcp")? {
        lists.push(once(settings, "servers")?);
    }
    // Claude Code keeps servers of one project beside those of all.
    let projects = once(&file, "projects")?;
    for project in projects.iter().flat_map(|projects| &projects.properties) {
        if let Value::Object(project) = &project.value {
            lists.push(once(project, "mcpServers")?);
        }
    }
    if lists.iter().all(Option::is_none) {
        return Err(Unreadable::NoServers);
    }
    Ok(lists.into_iter().flatten().flat_map(entries).collect())
}

/// The object at a key that must not be there twice.
fn once<'a, 't>(
    object: &'a Object<'t>,
    key: &'static str,
) -> Result<Option<&'a Object<'t>>, Unreadable> {
    let mut found = object.properties.iter().filter(|property| property.name.as_str() == key);
    match (found.next(), found.next()) {
        (_, Some(_)) => Err(Unreadable::Twice(key)),
        (first, None) => Ok(first.and_then(|property| property.value.as_object())),
    }
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
    secrets(&Value::Object(file), &mut secret);
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
fn secrets(value: &Value<'_>, found: &mut Vec<Range<usize>>) {
    let object = match value {
        Value::Object(object) => object,
        Value::Array(list) => return list.elements.iter().for_each(|each| secrets(each, found)),
        _ => return,
    };
    for property in &object.properties {
        match (property.name.as_str(), &property.value) {
            ("env" | "headers", Value::Object(values)) => {
                found.extend(values.properties.iter().map(|value| range(&value.value)));
            }
            // Whatever that is, it is no list of names.
            ("env" | "headers", value) => found.push(range(value)),
            (_, value) => secrets(value, found),
        }
    }
}

fn server(object: &Object<'_>) -> Server {
    if object.get_boolean("disabled").is_some_and(|disabled| disabled.value) {
        return unusable("it is disabled");
    }
    if let Some(reason) = unclear(object) {
        return unusable(reason);
    }
    let address = ADDRESS.into_iter().find_map(|key| object.get(key));
    let found = match (object.get_string("command"), address) {
        (Some(_), Some(_)) => return unusable("it has both a command and an address"),
        (None, None) => return unusable("it has neither a command nor an address"),
        (None, Some(_)) if object.get("args").is_some() => {
            return unusable("it has both an address and arguments");
        }
        (Some(command), None) => local(object, command),
        (None, Some(address)) => remote(object, address),
    };
    found.unwrap_or_else(Server::Unusable)
}

/// What clients might read in one way or another.
fn unclear(object: &Object<'_>) -> Option<&'static str> {
    let is = |key, fits: fn(&Value<'_>) -> bool| object.get(key).is_none_or(|at| fits(&at.value));
    let is_map = |value: &Value<'_>| matches!(value, Value::Object(_) | Value::NullKeyword(_));
    let mut names: Vec<&str> = object.properties.iter().map(|at| at.name.as_str()).collect();
    names.sort_unstable();
    Some(match () {
        () if names.windows(2).any(|pair| pair.first() == pair.last()) => {
            "one of its members is there twice"
        }
        () if !is("command", |value| value.as_string_lit().is_some()) => "its command is no text",
        () if !is("args", |value| value.as_array().is_some()) => "its arguments are no list",
        () if !is("env", is_map) => "its variables have no names",
        () if !is("headers", is_map) => "its headers have no names",
        () if 1 < ADDRESS.iter().filter(|key| object.get(key).is_some()).count() => {
            "it has two addresses"
        }
        () => return None,
    })
}

fn remote(object: &Object<'_>, address: &ObjectProp<'_>) -> Result<Server, String> {
    let url = address.value.as_string_lit().ok_or_else(|| "its address is no text".to_owned())?;
    let kind = object.get_string("type");
    let headers = object.get_object("headers");
    Ok(Server::Remote(Remote {
        transport: transport(kind.map(|kind| &*kind.value), &url.value),
        url: url.value.to_string(),
        headers: values(headers),
        url_at: range(url),
        address_at: range(address),
        kind_at: kind.map(range),
        headers_at: headers.and_then(|_| whole(object, "headers")),
    }))
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

fn local(object: &Object<'_>, command: &StringLit<'_>) -> Result<Server, String> {
    let list = object.get_array("args");
    let each = |list: &Array<'_>| list.elements.iter().map(range).collect();
    let variables = values(object.get_object("env")).into_iter().map(|(name, _)| name).collect();
    Ok(Server::Local(Local {
        command: command.value.to_string(),
        arguments: list.map_or(Ok(Vec::new()), words)?,
        variables,
        command_at: range(command),
        member_at: object.get("command").map(range).unwrap_or_default(),
        arguments_at: list.map(|list| (range(list), each(list))),
        arguments_member_at: whole(object, "args"),
        kind_at: object.get_string("type").map(range),
    }))
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
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
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
        for (entry, reason) in [
            ("1", "no object"),
            ("{}", "neither a command nor"),
            (r#"{"command": "x", "url": "y"}"#, "both a command and an address"),
            (r#"{"url": "y", "args": []}"#, "both an address and arguments"),
            (r#"{"command": "x", "disabled": true}"#, "disabled"),
            (r#"{"command": "x", "args": [1]}"#, "an argument is no text"),
            (r#"{"command": "x", "args": null}"#, "arguments are no list"),
            (r#"{"command": "x", "env": ["A=b"]}"#, "variables have no names"),
            (r#"{"command": "x", "command": "y"}"#, "there twice"),
            (r#"{"command": "x", "\u0063ommand": "y"}"#, "there twice"),
            (r#"{"command": null, "url": "y"}"#, "command is no text"),
            (r#"{"url": 1}"#, "address is no text"),
            (r#"{"url": "y", "serverUrl": "z"}"#, "two addresses"),
            (r#"{"url": "y", "headers": ["A: b"]}"#, "headers have no names"),
        ] {
            let text = format!("{{\"mcpServers\": {{\"a\": {entry}}}}}");
            let entries = read(&text).unwrap();
            let Server::Unusable(found) = &entries[0].server else { panic!("{entries:?}") };
            assert!(found.contains(reason), "{entry}: {found}");
        }
        let twice = r#"{"mcpServers": {"a": {"command": "x"}, "a": {"command": "y"}}}"#;
        assert!(matches!(read(twice).unwrap()[1].server, Server::Unusable(_)));
        for text in ["", "[]", "{", "{}", "{\"mcpServers\": 1}"] {
            read(text).unwrap_err();
        }
    }

    #[test]
    fn a_list_that_is_there_twice_is_refused() {
        let one = r#""mcpServers": {"a": {"command": "a"}}"#;
        for text in [
            format!("{{{one}, {one}}}"),
            r#"{"servers": {}, "servers": 1}"#.to_owned(),
            r#"{"mcp": {"servers": {}, "servers": {}}}"#.to_owned(),
            format!("{{\"projects\": {{\"/p\": {{{one}, {one}}}}}}}"),
        ] {
            let refused = read(&text).unwrap_err();
            assert!(matches!(refused, super::Unreadable::Twice(_)), "{text}: {refused}");
        }
    }

    #[test]
    fn what_only_json5_allows_is_refused() {
        for value in [".5", "5.", "Infinity", "-NaN", r#""\x41""#, "\"a\\\nb\"", "'a'", "+1", "0x1"]
        {
            let text = format!("{{\"mcpServers\": {{}}, \"more\": {value}}}");
            assert!(matches!(read(&text), Err(super::Unreadable::Syntax(_))), "{value}");
        }
    }

    #[test]
    fn whatever_stands_for_variables_or_headers_is_masked() {
        for secret in [r#"["K=canary"]"#, r#""canary""#, r#"{"K": {"L": "canary"}}"#] {
            let text = format!("{{\"more\": [{{\"env\": {secret}, \"x\": 1}}]}}");
            let shown = super::masked(&text);
            assert!(!shown.contains("canary") && shown.ends_with(", \"x\": 1}]}"), "{shown}");
        }
    }
}
