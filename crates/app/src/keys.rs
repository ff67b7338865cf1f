//! `countersign keys`.

use crate::cli::{Keys, KeysCommand};
use crate::{key_statements, output, setup};
use anyhow::Context as _;
use std::process::ExitCode;

pub(crate) fn run(arguments: &Keys) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        KeysCommand::Statement(statement) => return key_statements::run(statement),
        KeysCommand::Generate { origin, pkcs11: Some(uri), .. } => {
            let verifier = keys::generate_in_token(&keys::Uri::parse(uri)?, origin)?;
            output::line(verifier.to_text())?;
            output::note(
                "the private key is in the token; name it in the configuration by this URI",
            );
        }
        KeysCommand::Generate { origin, out, pkcs11: None } => {
            let out = out.as_deref().context("name a file: --out FILE")?;
            let signer = setup::make_key(origin, out)?;
            output::line(signer.verifier().to_text())?;
            output::note(format_args!(
                "wrote {0} (private: keep it secret) and {0}.pub (verifier key: give it away)",
                out.display()
            ));
        }
        KeysCommand::ApiKey { name } => {
            let key = identity::ApiKey::generate()?;
            output::line(format_args!(
                "{}\n\n# In the configuration (development only):\n[[identity.api_key]]\n\
                 name = {}\nsha256 = \"{}\"",
                key.plain_text(),
                setup::quoted(name),
                key.digest()
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
