//! `countersign receipt`: the proof that one entry is in a log, to keep and to give away.

use crate::{opening, operator, output};
use anyhow::{Context as _, bail};
use archive::client::Client;
use archive::receipt::{Depth, Entry, Format, Of, Receipts, Wanted};
use archive::remote::{self, Asked};
use clap::{Args, ValueEnum};
use keys::Source;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use url::Url;

pub(crate) const HELP: &str = "\
A receipt proves, without this log, that an entry is in it: verify it with the log's verifier key and the
entry. It speaks of the published checkpoint, with the signatures of its witnesses.

Formats:
  tlog-proof   text, c2sp.org/tlog-proof@v1
  cose         COSE receipt, RFC 9942; signed, therefore needs the log's key or a gateway that holds it
  json         the same facts as one JSON object

Examples:
  countersign receipt 019a7f3c-8d21-7c3e-9f00-0123456789ab --log gw/log --out call.tlog-proof
  countersign receipt 4711 --log gw/log --with-entry
  countersign receipt 4711 --log gw/log --format cose --key gw/keys/log.key --out entry.receipt
  countersign receipt 019a7f3c-8d21-7c3e-9f00-0123456789ab --url https://gw.example --format cose \\
      --out entry.receipt";

/// Arguments of `receipt`.
#[derive(Debug, Args)]
pub(crate) struct Receipt {
    /// The call, by its id, or an entry, by its index.
    #[arg(value_name = "CALL_ID|INDEX", value_parser = wanted)]
    pub(crate) entry: Wanted,
    /// Directory of the log.
    #[arg(long, value_name = "DIR", default_value = "log", conflicts_with = "url")]
    pub(crate) log: PathBuf,
    /// Ask the gateway at this address instead.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<Url>,
    /// Which entry of a call.
    #[arg(long, value_enum, default_value = "asked")]
    pub(crate) of: OfArgument,
    /// The form of the receipt.
    #[arg(long, value_enum, default_value = "tlog-proof")]
    pub(crate) format: FormatArgument,
    /// Put the entry itself into the receipt; from a gateway this needs --token-file.
    #[arg(long)]
    pub(crate) with_entry: bool,
    /// File with the token of a configured reader of the log.
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(crate) token_file: Option<PathBuf>,
    /// Private key of the log, for COSE receipts: a file, or a key in a token (`pkcs11:` URI).
    #[arg(long, value_name = "KEY", conflicts_with = "url")]
    pub(crate) key: Option<String>,
    /// Write to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Which entry of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OfArgument {
    /// That the call was asked, or refused.
    Asked,
    /// That it was answered, or is in doubt.
    Answered,
}

/// The form of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArgument {
    /// Text.
    TlogProof,
    /// COSE, RFC 9942.
    Cose,
    /// JSON.
    Json,
}

pub(crate) fn run(arguments: &Receipt) -> anyhow::Result<ExitCode> {
    let asked = asked(arguments);
    if asked.format == Format::Cose && asked.entry == Entry::With {
        bail!(
            "a COSE receipt has no room for the entry: leave --with-entry out, or take another --format"
        );
    }
    if asked.format == Format::Cose && arguments.out.is_none() && std::io::stdout().is_terminal() {
        bail!("a COSE receipt is no text: give --out FILE, or redirect standard output");
    }
    let receipt = match &arguments.url {
        Some(url) => from_gateway(url, asked, arguments.token_file.as_deref())?,
        None => from_log(&arguments.log, asked, arguments.key.as_deref())?,
    };
    match &arguments.out {
        Some(path) => std::fs::write(path, receipt)
            .with_context(|| format!("cannot write `{}`", path.display()))?,
        None => std::io::stdout().lock().write_all(&receipt)?,
    }
    if let Some(path) = &arguments.out {
        output::note(format_args!("receipt written to `{}`", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn asked(arguments: &Receipt) -> Asked {
    Asked {
        wanted: arguments.entry,
        of: match arguments.of {
            OfArgument::Asked => Of::Asked,
            OfArgument::Answered => Of::Answered,
        },
        entry: if arguments.with_entry { Entry::With } else { Entry::Without },
        format: match arguments.format {
            FormatArgument::TlogProof => Format::TlogProof,
            FormatArgument::Cose => Format::Cose,
            FormatArgument::Json => Format::Json,
        },
    }
}

fn from_log(directory: &Path, asked: Asked, key: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let receipts = Receipts::new(directory);
    let key = match (asked.format, key) {
        (Format::Cose, None) => bail!(
            "a COSE receipt is signed: give the log's private key with --key, or ask the gateway that \
             holds it with --url"
        ),
        (Format::Cose, Some(key)) => {
            let source = Source::parse(key, Path::new(""))?;
            Some(opening::key(&source, directory)?)
        }
        _ => None,
    };
    let index = receipts.find(asked.wanted, asked.of, Depth::Whole)?;
    Ok(match (asked.format, key) {
        (Format::Cose, Some(key)) => receipts.cose(index, key.as_ref())?,
        (Format::Json, _) => receipts.json(index, asked.entry)?.into_bytes(),
        _ => receipts.tlog_proof(index, asked.entry)?.into_bytes(),
    })
}

fn from_gateway(url: &Url, asked: Asked, token: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let token = match token {
        Some(path) => Some(
            std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the token file `{}`", path.display()))?,
        ),
        None if asked.entry == Entry::With => {
            bail!("a gateway gives entries to configured readers only: give --token-file FILE")
        }
        None => None,
    };
    operator::block_on(async {
        let client = Client::new(REQUEST_TIMEOUT)?;
        let token = token.as_deref().map(str::trim);
        Ok(remote::receipt(&client, url, asked, token).await?.to_vec())
    })
}

fn wanted(text: &str) -> Result<Wanted, String> {
    Wanted::parse(text).ok_or_else(|| {
        "it is neither the index of an entry nor the whole id of a call, as `countersign search --json` \
         shows it"
            .to_owned()
    })
}

/// Time for a gateway to answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
