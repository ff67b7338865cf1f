//! Makes a directory that `serve` can run from: configuration, keys, policy, an empty log. Nothing that
//! is there is ever overwritten.

use crate::cli::Init;
use crate::output;
use anyhow::{Context as _, bail};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tlog::{Log, Signer};

/// What the configuration shall say.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) gateway: &'a str,
    pub(crate) server: &'a str,
    pub(crate) listen: &'a str,
    /// The lines of `[server]` that say where it is.
    pub(crate) upstream: String,
    /// The lines of `[identity]` and below.
    pub(crate) identity: String,
    pub(crate) policy: &'a str,
    pub(crate) segment_bytes: u64,
}

/// `countersign init`.
pub(crate) fn run(arguments: &Init) -> anyhow::Result<ExitCode> {
    let upstream = match (&arguments.url, arguments.command.as_slice()) {
        (Some(url), _) => format!("url = {}\n", quoted(url.as_str())),
        (None, []) => bail!("name the server: --url URL, or its command after `--`"),
        (None, command) => {
            let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
            format!("command = [{}]\n", words.join(", "))
        }
    };
    let key = identity::ApiKey::generate()?;
    let identity = format!(
        "[identity]\n# What tokens must be issued for: the URL by which clients know this gateway.\n\
         audience = \"http://127.0.0.1:8700/mcp\"\n\n\
         # A key for first trials, made by `countersign init`. Replace it by a trust provider:\n\
         # [[identity.provider]]\n# name = \"ci\"\n# issuer = \"https://issuer.example\"\n\
         # jwks_url = \"https://issuer.example/jwks.json\"\n\
         [[identity.api_key]]\nname = \"first-trial\"\nsha256 = \"{}\"\n",
        key.digest()
    );
    let policy = format!("{}\n{FIRST_TRIAL}", policy::STARTER_POLICY);
    let directory = &arguments.directory;
    make(
        directory,
        &Plan {
            gateway: &arguments.name,
            server: &arguments.server,
            listen: "127.0.0.1:8700",
            upstream,
            identity,
            policy: &policy,
            segment_bytes: 64 << 20,
        },
    )?;
    let shown = directory.display();
    output::line(format_args!(
        "made {shown}\n\n  {shown}/countersign.toml  configuration, commented\n  \
         {shown}/policy/           who may do what: permits `first-trial` everything; edit it\n  \
         {shown}/keys/log.key      signs the log: keep it secret\n  \
         {shown}/keys/log.key.pub  verifies the log: give it to your auditor\n\n\
         start:    countersign serve --config {shown}/countersign.toml\n\
         connect:  http://127.0.0.1:8700/mcp with the header\n          \
         Authorization: Bearer {}\n          (development key, shown only here)",
        key.plain_text()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the directory.
///
/// # Errors
/// When something is already there or cannot be written; what was made until then stays.
pub(crate) fn make(directory: &Path, plan: &Plan<'_>) -> anyhow::Result<()> {
    let made = std::fs::create_dir_all(directory);
    made.with_context(|| format!("cannot make directory `{}`", directory.display()))?;
    if std::fs::read_dir(directory)?.next().is_some() {
        bail!("`{}` is not empty: name a new directory", directory.display());
    }
    for name in ["keys", "policy"] {
        std::fs::create_dir(directory.join(name))?;
    }
    write_new(&directory.join("policy").join("main.cedar"), plan.policy.as_bytes(), 0o644)?;
    write_new(&directory.join("countersign.toml"), configuration(plan)?.as_bytes(), 0o644)?;
    let key = directory.join("keys").join("log.key");
    let signer = make_key(&format!("countersign.local/{}", plan.gateway), &key)?;
    create_log(&directory.join("log"), signer, plan.segment_bytes)
}

/// Makes a key pair: the private key in `path`, the verifier key in `path.pub`.
pub(crate) fn make_key(origin: &str, path: &Path) -> anyhow::Result<Signer> {
    let (signer, text) = Signer::generate(origin)?;
    write_new(path, format!("{}\n", text.as_str()).as_bytes(), 0o600)?;
    let public = PathBuf::from(format!("{}.pub", path.display()));
    write_new(&public, format!("{}\n", signer.verifier().to_text()).as_bytes(), 0o644)?;
    Ok(signer)
}

/// Makes an empty log.
pub(crate) fn create_log(
    directory: &Path,
    signer: Signer,
    segment_bytes: u64,
) -> anyhow::Result<()> {
    let clock = audit::Clock::start();
    let mut config = tlog::Config::new(Arc::new(move || clock.now().unix_ms()));
    config.segment_bytes = segment_bytes;
    let log = Log::create(directory, signer, config)
        .with_context(|| format!("cannot make a log in `{}`", directory.display()))?;
    log.close().with_context(|| format!("cannot make a log in `{}`", directory.display()))
}

fn configuration(plan: &Plan<'_>) -> anyhow::Result<String> {
    let mut text = String::from(
        "# Configuration of countersign; docs/config.md explains every field.\n\
         # Relative paths are relative to this file.\n\n",
    );
    write!(
        text,
        "[gateway]\nname = {}\n# region = \"eu-central-1\"\nlisten = {}\n\
         # What clients may write in `Host`; needed when they connect by another name.\n\
         # allowed_hosts = [\"gateway.example.com\"]\n\n\
         [server]\nname = {}\n{}\n\
         [log]\ndirectory = \"log\"\nkey = \"keys/log.key\"\nsegment_bytes = {}\n\n\
         [policy]\ndirectory = \"policy\"\n\n{}",
        quoted(plan.gateway),
        quoted(plan.listen),
        quoted(plan.server),
        plan.upstream,
        plan.segment_bytes,
        plan.identity,
    )?;
    Ok(text)
}

/// A TOML string.
pub(crate) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Writes a file that must not exist yet.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _unused = mode;
    let opened = options.open(path);
    let mut file = opened.with_context(|| format!("cannot make `{}`", path.display()))?;
    file.write_all(bytes).with_context(|| format!("cannot write `{}`", path.display()))?;
    file.sync_all().with_context(|| format!("cannot write `{}`", path.display()))
}

const FIRST_TRIAL: &str = "\
// For first trials: the development key made by `countersign init` may do everything.
// Remove this policy, and the key in countersign.toml, before anything real goes through.
@id(\"first-trial-may-do-everything\")
permit (
  principal == Actor::\"api-key/first-trial\",
  action,
  resource
);
";
