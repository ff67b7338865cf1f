//! MCP clients by name, and where each keeps its configuration on this system. Knows nothing of what
//! stands in it.

use crate::environment;
use anyhow::Context as _;
use clap::ValueEnum;
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
