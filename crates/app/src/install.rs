//! `countersign install`: rewrites a client's configuration so that its servers are recorded, and takes
//! that back. Changes the text where it must and nowhere else: comments, order and unknown fields stay.

use crate::client::file_of;
use crate::import::replace;
use crate::{digest, environment, output};
use anyhow::{Context as _, bail};
use clap::Args;
use clients::{HeaderFile, Way, difference, header_files, installed, string_at, undone};
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `install`.
#[derive(Debug, Args)]
pub(crate) struct Install {
    /// The client's configuration, or one of: claude-desktop, claude-code, cursor, vscode, windsurf.
    #[arg(value_name = "CLIENT|FILE")]
    pub(crate) client: String,
    /// Lead servers at addresses to this gateway, which has each as `/s/NAME/mcp`, instead of reaching
    /// them through `countersign wrap --url`.
    #[arg(long, value_name = "URL")]
    pub(crate) gateway: Option<url::Url>,
    /// Take it back.
    #[arg(long)]
    pub(crate) undo: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// Shown below the options.
pub(crate) const HELP: &str = "\
Shows what would change and asks; without a terminal it needs --yes. The text before is kept beside the
file as FILE.before-countersign. Doing it twice changes nothing more; --undo gives back the same bytes.

Servers at addresses are reached through `countersign wrap --url`. Values of their headers, which may be
credentials, go from the configuration to files that only you can read, below the user's data directory.
Left alone, and said so: servers of HTTP+SSE, addresses that may hold a credential, and what only the
client can fill in (`${...}`).

Examples:
  countersign install claude-desktop
  countersign install ~/.cursor/mcp.json --gateway http://127.0.0.1:8700
  countersign install claude-desktop --undo";

pub(crate) fn run(arguments: &Install) -> anyhow::Result<ExitCode> {
    let path = file_of(&arguments.client)?;
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{shown}`"))?;
    let program = environment::own_program().context("cannot find this program's own file")?;
    let program = program.to_str().context("the path of this program is not UTF-8")?;
    let gateway = arguments.gateway.as_ref().map(|url| url.as_str().trim_end_matches('/'));
    let headers = headers_of(&path)?;
    let named = headers.to_str().context("the path of the data directory is not UTF-8")?;
    let way = Way { program, gateway, headers: named };
    let backup = backup_of(&path);
    let before = std::fs::read_to_string(&backup).ok();
    let taken_back = || undone(&text, before.as_deref(), &way, &read_header);
    let outcome = if arguments.undo { taken_back() } else { installed(&text, &way) };
    let outcome = outcome.with_context(|| format!("`{shown}`"))?;
    outcome.notes.iter().for_each(output::note);
    if outcome.text == text {
        output::note(format_args!("{shown}: nothing to change"));
        return Ok(ExitCode::SUCCESS);
    }
    output::line(format_args!(
        "--- {shown}\n+++ {shown}\n{}",
        difference(&clients::masked(&text), &clients::masked(&outcome.text))
    ))?;
    if !arguments.yes && !agreed()? {
        output::note("nothing was changed");
        return Ok(ExitCode::FAILURE);
    }
    if arguments.undo {
        replace(&path, outcome.text.as_bytes())?;
        forget(&header_files(&text), &header_files(&outcome.text), &headers)?;
        output::note(format_args!("changed {shown}; restart the client"));
        return Ok(ExitCode::SUCCESS);
    }
    // What some of was installed before is kept as it was before all of it.
    let before = if before.is_some() { taken_back()?.text } else { text.clone() };
    write_headers(&outcome.headers, &text, &headers)?;
    keep(&backup, &path, before.as_bytes())?;
    replace(&path, outcome.text.as_bytes())?;
    let backup = backup.display();
    output::note(format_args!("changed {shown}, before: {backup}; restart the client"));
    Ok(ExitCode::SUCCESS)
}

/// Asks on the terminal; without one nobody can agree.
fn agreed() -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("there is no terminal to ask on: look at the changes above and add --yes");
    }
    output::note("change it? [y/N]");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn backup_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".before-countersign");
    PathBuf::from(name)
}

/// Where values of headers go that a configuration held: by its own path, since two clients may have
/// servers of the same name. No log of a wrap has such a name.
fn headers_of(path: &Path) -> anyhow::Result<PathBuf> {
    let data = environment::data_directory().context("there is no data directory for this user")?;
    let path = path.canonicalize().with_context(|| format!("cannot find `{}`", path.display()))?;
    let digest = digest::of(path.as_os_str().as_encoded_bytes());
    Ok(data.join(".headers").join(digest.get(..8).unwrap_or_default()))
}

fn write_headers(headers: &[HeaderFile], text: &str, directory: &Path) -> anyhow::Result<()> {
    if headers.is_empty() {
        return Ok(());
    }
    let cannot = || format!("cannot write to `{}`", directory.display());
    std::fs::create_dir_all(directory).with_context(cannot)?;
    for header in headers {
        let value = string_at(text, &header.value_at).context("a header has no text")?;
        // Such files are made for their owner only.
        let mut file = tempfile::NamedTempFile::new_in(directory).with_context(cannot)?;
        writeln!(file, "{}", value.trim()).with_context(cannot)?;
        file.as_file().sync_all().with_context(cannot)?;
        file.persist(&header.path).with_context(cannot)?;
    }
    Ok(())
}

fn read_header(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().next().map(|line| line.trim().to_owned())
}

/// Removes the files that nothing names any more, and no others than our own.
fn forget(before: &[PathBuf], after: &[PathBuf], directory: &Path) -> anyhow::Result<()> {
    let own = before.iter().filter(|file| file.parent() == Some(directory));
    for file in own.filter(|file| !after.contains(file)) {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let what = format!("cannot remove `{}`, which holds a header", file.display());
                return Err(error).context(what);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Keeps the text as it was, with the permissions that it had: it may hold secrets.
fn keep(backup: &Path, path: &Path, text: &[u8]) -> anyhow::Result<()> {
    let cannot = || format!("cannot write `{}`", backup.display());
    let permissions = std::fs::metadata(path).with_context(cannot)?.permissions();
    let directory = backup.parent().filter(|d| !d.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(directory.unwrap_or_else(|| Path::new(".")))
        .with_context(cannot)?;
    file.write_all(text).with_context(cannot)?;
    file.as_file().set_permissions(permissions).with_context(cannot)?;
    file.as_file().sync_all().with_context(cannot)?;
    file.persist(backup).with_context(cannot)?;
    Ok(())
}
