//! `countersign import`: the servers of a client's configuration as tables of ours. Copies no value of a
//! variable or header: what a server needs is named, and the operator sets it.

use crate::clients::{self, Entry, Local, Remote, Server, Transport};
use crate::config::Config;
use crate::output;
use crate::setup::quoted;
use anyhow::{Context as _, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What becomes of the entries.
#[derive(Debug, Default)]
struct Plan {
    tables: String,
    /// What was taken over, and what was not and why.
    notes: Vec<String>,
    names: Vec<String>,
    prefixes: Vec<String>,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The client's configuration, or one of: claude-desktop, claude-code, cursor, vscode, windsurf.
    #[arg(value_name = "CLIENT|FILE")]
    pub(crate) file: String,
    /// Add the tables to this configuration instead of showing them.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Shown below the options.
pub(crate) const HELP: &str = "\
Reads `mcpServers` (Claude, Cursor, Windsurf) and `servers` (VS Code), with comments. Values of
variables and headers may be secrets and are never copied: their names are, and what to do.

Examples:
  countersign import claude-desktop                        show the tables
  countersign import .vscode/mcp.json --config gw/countersign.toml";

pub(crate) fn run(arguments: &Import) -> anyhow::Result<ExitCode> {
    let path = clients::file_of(&arguments.file)?;
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read `{}`", path.display()))?;
    let entries = clients::read(&text).with_context(|| format!("`{}`", path.display()))?;
    let Some(config) = &arguments.config else {
        let plan = plan(&entries, &[]);
        plan.notes.iter().for_each(output::note);
        output::line(plan.tables.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    };
    let own = std::fs::read_to_string(config)
        .with_context(|| format!("cannot read configuration `{}`", config.display()))?;
    let plan = plan(&entries, &servers(&own)?);
    plan.notes.iter().for_each(output::note);
    if plan.tables.is_empty() {
        output::note("nothing to add");
        return Ok(ExitCode::SUCCESS);
    }
    let added = added(&own, &plan.tables);
    let directory = config.parent().unwrap_or_else(|| Path::new(""));
    if let Err(mistakes) = Config::parse(&added, directory) {
        let mistakes: Vec<String> = mistakes.iter().map(|m| format!("\n  {m}")).collect();
        bail!(
            "`{}` would not be valid, so it stays as it is:{}",
            config.display(),
            mistakes.concat()
        );
    }
    replace(config, added.as_bytes())?;
    output::note(format_args!("added to {}", config.display()));
    Ok(ExitCode::SUCCESS)
}

/// Writes a file anew, whole or not at all, with the permissions that it had.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let cannot = || format!("cannot write `{}`", path.display());
    // A file that is reached by a link is replaced where it is.
    let path = path.canonicalize().with_context(cannot)?;
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory).with_context(cannot)?;
    std::io::Write::write_all(&mut file, bytes).with_context(cannot)?;
    let permissions = std::fs::metadata(&path).with_context(cannot)?.permissions();
    file.as_file().set_permissions(permissions).with_context(cannot)?;
    file.as_file().sync_all().with_context(cannot)?;
    file.persist(&path).with_context(cannot)?;
    Ok(())
}

/// Names and prefixes of the servers that a configuration has.
fn servers(own: &str) -> anyhow::Result<Vec<(String, String)>> {
    let table: toml::Table = own.parse().context("the configuration is not TOML")?;
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
fn added(own: &str, tables: &str) -> String {
    let line = |line: &str| match line.trim_end() {
        "[server]" => line.replacen("[server]", "[[server]]", 1),
        _ => line.to_owned(),
    };
    let own: String = own.split_inclusive('\n').map(line).collect();
    let gap = if own.ends_with('\n') { "\n" } else { "\n\n" };
    format!("{own}{gap}{tables}")
}

fn plan(entries: &[Entry], there: &[(String, String)]) -> Plan {
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

/// What local servers inherit when nothing is said.
const INHERITED: [&str; 5] = ["PATH", "HOME", "LANG", "TMPDIR", "USER"];

#[cfg(test)]
mod tests {
    use super::{added, plan, servers};
    use crate::altered::alterations;
    use crate::clients;
    use crate::config::Config;
    use gateway::config::Server;
    use std::path::Path;

    const CLIENT: &str = r#"{"mcpServers": {
        "My Files": {"command": "npx", "args": ["-y", "fs", "/a b"], "env": {"TOKEN": "canary"}},
        "crm": {"url": "https://crm.example/mcp", "headers": {"Authorization": "canary"}},
        "old": {"type": "sse", "url": "https://old.example/events"},
        "older": {"url": "http://127.0.0.1:8000/sse"},
        "ask": {"command": "x", "args": ["${input:token}"]},
        "_": {"command": "y"},
        "odd": {"args": []}
    }}"#;

    const OWN: &str = "[gateway]\nname = \"gw\"\n\n[server]\nname = \"crm\"\nurl = \"http://127.0.0.1:1/mcp\"\n\n[identity]\nallow_anonymous = true\n";

    #[test]
    fn tables_are_valid_and_hold_no_secret() {
        let entries = clients::read(CLIENT).unwrap();
        let plan = plan(&entries, &servers(OWN).unwrap());
        assert!(!plan.tables.contains("canary") && !format!("{:?}", plan.notes).contains("canary"));
        assert_eq!(plan.names, ["crm", "My-Files", "old", "older", "_"]);
        assert_eq!(plan.prefixes, ["crm", "my-files", "old", "older", "s--"]);
        let text = added(OWN, &plan.tables);
        let config = Config::parse(&text, Path::new("/etc/cs")).unwrap();
        let names: Vec<_> = config.servers.iter().map(|server| server.name.as_str()).collect();
        assert_eq!(names, ["crm", "My-Files", "old", "older", "_"]);
        let streams: Vec<_> = config
            .servers
            .iter()
            .filter(|server| matches!(server.server, Server::Sse { .. }))
            .map(|server| server.name.as_str())
            .collect();
        assert_eq!(streams, ["old", "older"]);
        assert!(
            plan.notes.iter().any(|note| note.starts_with("older: taken for")),
            "{:?}",
            plan.notes
        );
        for left_out in ["crm: left out", "ask: left out", "odd: left out"] {
            assert!(plan.notes.iter().any(|note| note.starts_with(left_out)), "{:?}", plan.notes);
        }
        let variables = "My Files: needs the variables TOKEN";
        assert!(plan.notes.iter().any(|note| note.starts_with(variables)), "{:?}", plan.notes);
    }

    #[test]
    fn the_name_of_a_variable_begins_no_line() {
        let client = r#"{"mcpServers": {"a": {"command": "a", "env": {"x\n[gateway]\nname = \"z\"\n#": ""}}}}"#;
        let plan = plan(&clients::read(client).unwrap(), &[]);
        assert_eq!((plan.tables.as_str(), plan.names.len()), ("", 0));
        assert!(plan.notes[0].starts_with("a: left out"), "{:?}", plan.notes);
    }

    /// Whatever byte of a client's file is another, no value of a variable or header is copied, and what is
    /// copied is TOML with one table for each server that is named.
    #[test]
    fn one_byte_more_or_less_copies_no_secret() {
        for text in alterations(CLIENT) {
            let Ok(entries) = clients::read(&text) else { continue };
            let plan = plan(&entries, &[]);
            let notes = format!("{:?}", plan.notes);
            assert!(!plan.tables.contains("canary") && !notes.contains("canary"), "{text}");
            let named = servers(&plan.tables).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert!(named.iter().map(|(name, _)| name).eq(&plan.names), "{text}");
            assert!(named.iter().map(|(_, prefix)| prefix).eq(&plan.prefixes), "{text}");
        }
    }
}
