//! Configuration, keys and logs of the gateways that are measured.

use crate::children::{Child, free_address};
use anyhow::{Context as _, ensure};
use identity::dev::TokenIssuer;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_countersign");

/// Where the logs are: beside the build, so on a real disk.
const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");

/// What `aud` says in the token.
const AUDIENCE: &str = "https://gateway.example/mcp";
const ISSUER: &str = "https://issuer.example";

/// A directory with what all gateways share.
pub(crate) struct Site {
    directory: TempDir,
    pub(crate) key: String,
    pub(crate) token: String,
    jwks: PathBuf,
    digest: String,
}

impl Site {
    /// An empty place, a development key and a trust provider with one token.
    pub(crate) fn make() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir_in(SCRATCH)?;
        let key = identity::ApiKey::generate()?;
        let issuer = TokenIssuer::generate(ISSUER, "k1")?;
        let jwks = directory.path().join("jwks.json");
        std::fs::write(&jwks, issuer.jwks())?;
        let now = audit::Clock::start().now();
        let token = issuer.token("bench-client", AUDIENCE, now, 3_600)?;
        let digest = key.digest();
        Ok(Self { directory, key: key.plain_text().to_owned(), token, jwks, digest })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A gateway with a directory and a log of its own, as `countersign init` makes them, that accepts
    /// the key and the token and permits everything to both by one policy.
    pub(crate) fn gateway(
        &self,
        answers: &str,
        upstream: &str,
        under: &[String],
    ) -> anyhow::Result<Child> {
        let directory = self.path().join(answers);
        let url = format!("http://{upstream}/mcp");
        let made =
            Command::new(PROGRAM).arg("init").arg(&directory).args(["--url", &url]).output()?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let address = free_address()?;
        let file = directory.join("countersign.toml");
        let text = std::fs::read_to_string(&file)?;
        let (text, _) = text.split_once("[identity]").context("no identity in the file")?;
        let answers = format!("\"{address}\"\nanswers = \"{answers}\"");
        let text = text.replace("\"127.0.0.1:8700\"", &answers);
        let identity = format!(
            "[identity]\naudience = \"{AUDIENCE}\"\n\
             [[identity.api_key]]\nname = \"bench\"\nsha256 = \"{}\"\n\
             [[identity.provider]]\nname = \"bench-issuer\"\nissuer = \"{ISSUER}\"\njwks_file = {:?}\n",
            self.digest, self.jwks
        );
        std::fs::write(&file, text + &identity)?;
        let policy = "@id(\"bench\")\npermit (principal, action, resource);\n";
        std::fs::write(directory.join("policy").join("bench.cedar"), policy)?;
        let mut words = under.iter().map(String::as_str).chain([PROGRAM]);
        let mut command = Command::new(words.next().unwrap_or(PROGRAM));
        command.args(words).args(["serve", "--config"]).arg(&file).env("COUNTERSIGN_LOG", "warn");
        Child::other(command, address).context("gateway")
    }

    /// The logs that were written must verify, or what was measured was no audit log.
    pub(crate) fn verify(&self) -> anyhow::Result<()> {
        for answers in ["next-commit", "before-release"] {
            let directory = self.path().join(answers);
            let mut verify = Command::new(PROGRAM);
            verify.arg("verify").arg(directory.join("log"));
            let verified = verify.arg("--key").arg(directory.join("keys/log.key.pub")).output()?;
            ensure!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
        }
        Ok(())
    }
}
