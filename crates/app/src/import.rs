//! `countersign import`: the servers of a client's configuration as tables of ours. Copies no value of a
//! variable or header: what a server needs is named, and the operator sets it.

use crate::client::file_of;
use crate::config::Config;
use crate::output;
use anyhow::{Context as _, bail};
use clap::Args;
use clients::{added, named_servers, tables};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

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
    let path = file_of(&arguments.file)?;
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read `{}`", path.display()))?;
    let entries = clients::read(&text).with_context(|| format!("`{}`", path.display()))?;
    let Some(config) = &arguments.config else {
        let plan = tables(&entries, &[]);
        plan.notes.iter().for_each(output::note);
        output::line(plan.tables.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    };
    let own = std::fs::read_to_string(config)
        .with_context(|| format!("cannot read configuration `{}`", config.display()))?;
    let there = named_servers(&own).context("the configuration is not TOML")?;
    let plan = tables(&entries, &there);
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

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use clients::{added, named_servers, tables};
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
        let plan = tables(&entries, &named_servers(OWN).unwrap());
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
}
