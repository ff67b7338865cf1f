//! Proxies of others, which whoever runs this has installed. A file `rivals.list` says what they are, one
//! line for each, with tabs between: name, path of its MCP endpoint, how it is set, its command with `{port}`
//! and `{upstream}` in it, and, where they are needed, a bearer token and the name that the tool has there. A
//! path of `-` means that it could not be installed, and the next field says why.

use crate::children::{Child, free_address};
use anyhow::Context as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// One line of the list.
pub(crate) struct Rival {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) setting: String,
    command: String,
    /// What it wants to be shown, if anything.
    pub(crate) token: Option<String>,
    /// What it calls the tool, if not as the upstream server does.
    pub(crate) tool: Option<String>,
}

/// What is installed, and what could not be.
pub(crate) fn list(folder: &Path) -> anyhow::Result<Vec<Rival>> {
    let file = folder.join("rivals.list");
    let text = std::fs::read_to_string(&file).with_context(|| format!("`{}`", file.display()))?;
    let rivals = text.lines().map(|line| {
        let mut fields = line.split('\t').map(str::to_owned);
        let mut next = || fields.next().unwrap_or_default();
        let (name, path, setting, command) = (next(), next(), next(), next());
        let mut given = || Some(next()).filter(|field| !field.is_empty());
        Rival { name, path, setting, command, token: given(), tool: given() }
    });
    Ok(rivals.collect())
}

impl Rival {
    pub(crate) fn is_installed(&self) -> bool {
        self.path != "-"
    }

    /// Starts it in front of an address. Its output goes to a file: what it logs is part of its work.
    pub(crate) fn start(&self, scratch: &Path, to: &str) -> anyhow::Result<Child> {
        let address = free_address()?;
        let (_, port) = address.rsplit_once(':').context("no port")?;
        let url = format!("http://{to}/mcp");
        let log = std::fs::File::create(scratch.join(format!("{}.log", self.name)))?;
        let script = self.command.replace("{port}", port).replace("{upstream}", &url);
        let mut command = Command::new("sh");
        // Its standard error is what it logs to; `exec` so that it is the process that is ended.
        command.arg("-c").arg(format!("exec {script} >&2")).current_dir(scratch);
        command.stderr(Stdio::from(log));
        Child::other(command, address)
    }
}
