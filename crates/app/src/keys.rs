//! `countersign keys`.

use crate::cli::{Keys, KeysCommand};
use crate::{output, setup};
use std::process::ExitCode;

pub(crate) fn run(arguments: &Keys) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        KeysCommand::Generate { origin, out } => {
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
