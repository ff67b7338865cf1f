//! The servers of a client's configuration as tables of ours. Copies no value of a variable or header: what
//! a server needs is named, and the operator sets it.

use crate::reading::{Entry, Local, Remote, Server, Transport};
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// What becomes of the entries.
#[derive(Debug, Default)]
pub struct Plan {
    /// The tables to add.
    pub tables: String,
    /// What was taken over, and what was not and why.
    pub notes: Vec<String>,
    /// Names of all servers that there are then.
    pub names: Vec<String>,
    /// Their prefixes, in the same order.
    pub prefixes: Vec<String>,
}

/// Names and prefixes of the servers that a configuration has.
///
/// # Errors
/// When the text is not TOML.
pub fn named_servers(own: &str) -> Result<Vec<(String, String)>, toml::de::Error> {
    let table: toml::Table = own.parse()?;
    let list = match table.get("server") {
        None => Vec::new(),
        Some(toml::Value::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
    };
    let text = |server: &toml::Value, key| Some(server.get(key)?.as_str()?.to_owned());
    let named = list.iter().filter_map(|server| {
        let name = text(server, "name")?;
        let prefix = text(server, "prefix").unwrap_or_else(|| name.to_ascii_lowercase());
        Some((name, prefix))
    });
    Ok(named.collect())
}

/// The configuration with the tables at its end. One table for the only server becomes the first of the
/// list: the two forms mean the same, and only one of them can go on.
#[must_use]
pub fn added(own: &str, tables: &str) -> String {
    let mut text = own.to_owned();
    if let Some(name) = only_server(own) {
        text.insert(name.end, ']');
        text.insert(name.start, '[');
    }
    let gap = if own.ends_with('\n') { "\n" } else { "\n\n" };
    text + gap + tables
}

/// Where the name of the table stands, when there is one for the only server.
fn only_server(own: &str) -> Option<Range<usize>> {
    let table = DeTable::parse(own).ok()?;
    let (name, server) = table.get_ref().iter().find(|(name, _)| name.get_ref() == "server")?;
    let name = name.span();
    let line = own.get(..name.start)?.rsplit('\n').next()?;
    let is_alone = line.trim_start() == "[" && own.get(name.end..)?.starts_with(']');
    (is_alone && matches!(server.get_ref(), DeValue::Table(_))).then_some(name)
}

/// The servers of a client as tables, beside servers with these names and prefixes.
pub fn tables(entries: &[Entry], there: &[(String, String)]) -> Plan {
    let mut plan = Plan {
        names: there.iter().map(|(name, _)| name.clone()).collect(),
        prefixes: there.iter().map(|(_, prefix)| prefix.clone()).collect(),
        ..Plan::default()
    };
    entries.iter().for_each(|entry| plan.add(entry));
    plan
}

impl Plan {
    fn add(&mut self, entry: &Entry) {
        let name = plain(&entry.name);
        let shown = &entry.name;
        if let Server::Unusable(reason) = &entry.server {
            return self.notes.push(format!("{shown}: left out, since {reason}"));
        }
        if name.is_empty() || self.names.contains(&name) {
            let problem = "left out, since there is a server of this name";
            return self.notes.push(format!("{shown}: {problem} (`{name}`)"));
        }
        let table = match &entry.server {
            Server::Local(local) => self.local(shown, local),
            Server::Remote(remote) => self.remote(shown, remote),
            Server::Unusable(_) => None,
        };
        let Some(table) = table else { return };
        let prefix = self.prefix(&name);
        self.tables.push_str(&format!("[[server]]\nname = {}\n", quoted(&name)));
        if prefix != name.to_ascii_lowercase() {
            self.tables.push_str(&format!("prefix = {}\n", quoted(&prefix)));
        }
        self.tables.push_str(&table);
        self.tables.push('\n');
        let otherwise = if name == *shown { String::new() } else { format!(" as `{name}`") };
        self.notes.push(format!("{shown}: taken over{otherwise}"));
        self.names.push(name);
        self.prefixes.push(prefix);
    }

    fn local(&mut self, shown: &str, local: &Local) -> Option<String> {
        let words: Vec<&String> = std::iter::once(&local.command).chain(&local.arguments).collect();
        if words.iter().any(|word| word.contains("${")) {
            let reason = "its command has a placeholder that only the client can fill in";
            self.notes.push(format!("{shown}: left out, since {reason}"));
            return None;
        }
        // Names stand in a comment, too, which must not end within one.
        let fit = |name: &String| !name.is_empty() && !name.contains(|c: char| c.is_control());
        if !local.variables.iter().all(fit) {
            let reason = "a variable that it gets has no name that one can have";
            self.notes.push(format!("{shown}: left out, since {reason}"));
            return None;
        }
        let words: Vec<String> = words.into_iter().map(|word| quoted(word)).collect();
        let mut table = format!("command = [{}]\n", words.join(", "));
        if !local.variables.is_empty() {
            let inherited = INHERITED.iter().map(|name| (*name).to_owned());
            let all: Vec<String> = inherited
                .chain(local.variables.iter().cloned())
                .map(|name| quoted(&name))
                .collect();
            let names = local.variables.join(", ");
            table.push_str(&format!(
                "# Values are not copied: set {names} in the environment of `countersign serve`.\n\
                 inherit_environment = [{}]\n",
                all.join(", ")
            ));
            self.notes.push(format!("{shown}: needs the variables {names}; values are not copied"));
        }
        Some(table)
    }

    fn remote(&mut self, shown: &str, remote: &Remote) -> Option<String> {
        let parsed = remote.url.parse::<url::Url>();
        let usable = |url: &url::Url| {
            matches!(url.scheme(), "http" | "https")
                && url.username().is_empty()
                && url.password().is_none()
        };
        if !parsed.is_ok_and(|url| usable(&url)) || remote.url.contains("${") {
            let reason = "its address is no plain `http` or `https` URL";
            self.notes.push(format!("{shown}: left out, since {reason}"));
            return None;
        }
        let transport = match remote.transport {
            Transport::Http => "",
            Transport::Sse => "transport = \"sse\"\n",
            Transport::SseByAddress => {
                let reason = "its address ends in `/sse`; take `transport` out if it is not";
                self.notes.push(format!("{shown}: taken for a server of HTTP+SSE, since {reason}"));
                "transport = \"sse\"\n"
            }
        };
        if !remote.headers.is_empty() {
            let names: Vec<&str> = remote.headers.iter().map(|(name, _)| name.as_str()).collect();
            let names = names.join(", ");
            self.notes.push(format!(
                "{shown}: the client sends the headers {names}; the gateway sends no credentials of its own"
            ));
        }
        Some(format!("url = {}\n{transport}", quoted(&remote.url)))
    }

    /// The name as a prefix, or what is nearest to it and still free.
    fn prefix(&self, name: &str) -> String {
        let fit = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let mut base: String = name.chars().map(fit).take(28).collect();
        if !base.starts_with(|c: char| c.is_ascii_lowercase()) {
            base.insert_str(0, "s-");
        }
        let numbered = (2_u32..).map(|number| format!("{base}-{number}"));
        let mut candidates = std::iter::once(base.clone()).chain(numbered);
        candidates.find(|prefix| !self.prefixes.contains(prefix)).unwrap_or(base)
    }
}

/// A name as the configuration wants it: letters, digits, `-`, `_` and `.`.
pub(crate) fn plain(name: &str) -> String {
    let fit = |c: char| match c {
        c if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') => c,
        _ => '-',
    };
    name.trim().chars().map(fit).take(64).collect()
}

/// A text in TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// What local servers inherit when nothing is said.
const INHERITED: [&str; 5] = ["PATH", "HOME", "LANG", "TMPDIR", "USER"];

#[cfg(test)]
mod tests {
    use super::{added, named_servers, tables};
    use crate::read;
    use crate::tests::alterations;

    const CLIENT: &str = r#"{"mcpServers": {
        "My Files": {"command": "npx", "args": ["-y", "fs", "/a b"], "env": {"TOKEN": "canary"}},
        "crm": {"url": "https://crm.example/mcp", "headers": {"Authorization": "canary"}},
        "old": {"type": "sse", "url": "https://old.example/events"},
        "older": {"url": "http://127.0.0.1:8000/sse"},
        "ask": {"command": "x", "args": ["${input:token}"]},
        "_": {"command": "y"},
        "odd": {"args": []}
    }}"#;

    #[test]
    fn only_the_head_of_a_table_becomes_that_of_a_list() {
        let text = "[gateway]\nname = \"gw\"\n[server]  # one\nname = \"a\"\ncommand = [\"\"\"\n[server]\n\"\"\"]\n";
        let expected = text.replacen("[server]", "[[server]]", 1);
        assert_eq!(added(text, "x = 1\n"), format!("{expected}\nx = 1\n"));
        assert_eq!(added(&expected, "x = 1\n"), format!("{expected}\nx = 1\n"));
        assert_eq!(added("server.name = \"a\"", ""), "server.name = \"a\"\n\n");
    }

    #[test]
    fn the_name_of_a_variable_begins_no_line() {
        let client = r#"{"mcpServers": {"a": {"command": "a", "env": {"x\n[gateway]\nname = \"z\"\n#": ""}}}}"#;
        let plan = tables(&read(client).unwrap(), &[]);
        assert_eq!((plan.tables.as_str(), plan.names.len()), ("", 0));
        assert!(plan.notes[0].starts_with("a: left out"), "{:?}", plan.notes);
    }

    /// Whatever byte of a client's file is another, no value of a variable or header is copied, and what is
    /// copied is TOML with one table for each server that is named.
    #[test]
    fn one_byte_more_or_less_copies_no_secret() {
        for text in alterations(CLIENT) {
            let Ok(entries) = read(&text) else { continue };
            let plan = tables(&entries, &[]);
            let notes = format!("{:?}", plan.notes);
            assert!(!plan.tables.contains("canary") && !notes.contains("canary"), "{text}");
            let named =
                named_servers(&plan.tables).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert!(named.iter().map(|(name, _)| name).eq(&plan.names), "{text}");
            assert!(named.iter().map(|(_, prefix)| prefix).eq(&plan.prefixes), "{text}");
        }
    }
}
