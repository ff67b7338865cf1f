//! Configuration files of MCP clients: where they are, and which servers they name. Reads JSON as the
//! clients do, with comments and trailing commas. Refuses to hold the values of variables and headers,
//! which may be secrets: only their names leave this file.

use crate::environment;
use anyhow::{Context as _, bail};
use clap::ValueEnum;
use jsonc_parser::ast::{Array, Object, Value};
use jsonc_parser::common::Ranged as _;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use std::ops::Range;
use std::path::PathBuf;

/// A client whose configuration file we can find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    ClaudeDesktop,
    ClaudeCode,
    Cursor,
    #[value(name = "vscode")]
    VsCode,
    Windsurf,
}

/// A server as a client's configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) server: Server,
}

/// What an entry starts or connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Server {
    Local(Local),
    Remote(Remote),
    /// It can be neither started nor reached from what is written; why.
    Unusable(String),
}

/// A program on standard input and output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Local {
    pub(crate) command: String,
    pub(crate) arguments: Vec<String>,
    /// Names of the variables that it gets.
    pub(crate) variables: Vec<String>,
    /// Where the value of `command` stands.
    pub(crate) command_at: Range<usize>,
    /// Where the array of arguments stands, when there is one, and where each of them does.
    pub(crate) arguments_at: Option<(Range<usize>, Vec<Range<usize>>)>,
}

/// A server at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) url: String,
    /// Names of the headers that the client sends.
    pub(crate) headers: Vec<String>,
    /// HTTP+SSE of 2024-11-05.
    pub(crate) sse: bool,
    /// Where the value of the address stands.
    pub(crate) url_at: Range<usize>,
}

/// Reads the servers of a configuration, in their order.
///
/// # Errors
/// When the text is not JSON with comments, or names no servers where the known clients do.
pub(crate) fn read(text: &str) -> anyhow::Result<Vec<Entry>> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options());
    let parsed = parsed.map_err(|error| anyhow::anyhow!("not JSON with comments: {error}"))?;
    let Some(Value::Object(file)) = parsed.value else { bail!("no JSON object") };
    let lists = ["mcpServers", "servers"].into_iter().filter_map(|key| file.get_object(key));
    // Older versions of VS Code kept servers in the settings, under `mcp`.
    let settings = file.get_object("mcp").and_then(|mcp| mcp.get_object("servers"));
    let lists: Vec<&Object<'_>> = lists.chain(settings).collect();
    if lists.is_empty() {
        bail!("no servers: neither `mcpServers` nor `servers` is there");
    }
    let mut entries: Vec<Entry> = Vec::new();
    for property in lists.iter().flat_map(|list| &list.properties) {
        let name = property.name.as_str().to_owned();
        let server = match &property.value {
            _ if entries.iter().any(|entry| entry.name == name) => {
                Server::Unusable("the name is there twice".to_owned())
            }
            Value::Object(object) => server(object),
            _ => Server::Unusable("it is no object".to_owned()),
        };
        entries.push(Entry { name, server });
    }
    Ok(entries)
}

/// The text with the values of variables and headers out of sight, to be shown. Lines stay lines.
pub(crate) fn masked(text: &str) -> String {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options());
    let Ok(Some(Value::Object(file))) = parsed.map(|parsed| parsed.value) else {
        return String::new();
    };
    let mut secret = Vec::new();
    for property in file.properties.iter().filter_map(|list| list.value.as_object()) {
        let entries = property.properties.iter().filter_map(|entry| entry.value.as_object());
        for object in
            entries.flat_map(|entry| [entry.get_object("env"), entry.get_object("headers")])
        {
            let values = object.iter().flat_map(|object| &object.properties);
            secret.extend(values.map(|value| range(&value.value)));
        }
    }
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

impl Client {
    /// Where the client keeps its configuration on this system.
    ///
    /// # Errors
    /// When the home directory is not known.
    pub(crate) fn path(self) -> anyhow::Result<PathBuf> {
        let home = environment::home().context("the home directory is not known: name the file")?;
        let settings = environment::settings_directory(&home);
        Ok(match self {
            Self::ClaudeDesktop => settings.join("Claude").join("claude_desktop_config.json"),
            Self::ClaudeCode => home.join(".claude.json"),
            Self::Cursor => home.join(".cursor").join("mcp.json"),
            Self::VsCode => settings.join("Code").join("User").join("mcp.json"),
            Self::Windsurf => home.join(".codeium").join("windsurf").join("mcp_config.json"),
        })
    }
}

/// A client by its name, or else a file.
///
/// # Errors
/// As [`Client::path`].
pub(crate) fn file_of(named: &str) -> anyhow::Result<PathBuf> {
    match Client::from_str(named, true) {
        Ok(client) => client.path(),
        Err(_) => Ok(PathBuf::from(named)),
    }
}

fn server(object: &Object<'_>) -> Server {
    let text = |key| object.get_string(key).map(|text| text.value.to_string());
    let address =
        ["url", "serverUrl", "httpUrl"].into_iter().find_map(|key| object.get_string(key));
    if object.get_boolean("disabled").is_some_and(|disabled| disabled.value) {
        return Server::Unusable("it is disabled".to_owned());
    }
    let found = match (text("command"), address) {
        (Some(_), Some(_)) => return unusable("it has both a command and an address"),
        (None, None) => return unusable("it has neither a command nor an address"),
        (Some(command), None) => local(object, command),
        (None, Some(url)) => Ok(Server::Remote(Remote {
            url: url.value.to_string(),
            headers: keys(object.get_object("headers")),
            sse: text("type").is_some_and(|kind| kind == "sse"),
            url_at: range(url),
        })),
    };
    found.unwrap_or_else(Server::Unusable)
}

fn local(object: &Object<'_>, command: String) -> Result<Server, String> {
    let list = object.get_array("args");
    let arguments = list.map_or(Ok(Vec::new()), words)?;
    let at = |list: &Array<'_>| {
        let each = list.elements.iter().map(|element| element.range().start..element.range().end);
        (list.range().start..list.range().end, each.collect())
    };
    let command_at = object.get_string("command").map(range).unwrap_or_default();
    let variables = keys(object.get_object("env"));
    let arguments_at = list.map(at);
    Ok(Server::Local(Local { command, arguments, variables, command_at, arguments_at }))
}

fn words(list: &Array<'_>) -> Result<Vec<String>, String> {
    let word = |value: &Value<'_>| value.as_string_lit().map(|text| text.value.to_string());
    let words: Option<Vec<String>> = list.elements.iter().map(word).collect();
    words.ok_or_else(|| "an argument is no text".to_owned())
}

fn keys(object: Option<&Object<'_>>) -> Vec<String> {
    let properties = object.iter().flat_map(|object| &object.properties);
    properties.map(|property| property.name.as_str().to_owned()).collect()
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

#[cfg(test)]
mod tests {
    use super::{Server, read};

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
        assert!(remote.sse && remote.headers == ["Authorization"]);
        assert_eq!(code.get(remote.url_at.clone()), Some("\"http://x/sse\""));
        assert_eq!(entries[1].name, "a");
        let windsurf = r#"{"mcpServers":{"w":{"serverUrl":"https://w/mcp"}}}"#;
        assert!(matches!(&read(windsurf).unwrap()[0].server, Server::Remote(_)));
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let text = r#"{"mcpServers": {"a": {}, "b": 1, "c": {"command": "x", "args": [1]},
            "d": {"command": "x", "url": "y"}, "e": {"command": "x", "disabled": true},
            "a": {"command": "x"}}}"#;
        for entry in read(text).unwrap() {
            assert!(matches!(entry.server, Server::Unusable(_)), "{entry:?}");
        }
        for text in ["", "[]", "{", "{}", "{\"mcpServers\": 1}"] {
            read(text).unwrap_err();
        }
    }
}
