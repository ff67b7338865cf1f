//! What can be typed after the name of the command.

use clap::{Args, Parser, Subcommand};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Judges the audit log of a Countersign gateway, or one receipt of it, without trusting whoever wrote
/// it.
#[derive(Debug, Parser)]
#[command(
    name = "countersign-verify",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = AFTER_HELP
)]
pub struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) trust: TrustArguments,
    #[command(flatten)]
    pub(crate) log: LogArguments,
    /// Print one line of JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// The log: a directory, or the address of its published files (http:// or https://)
    #[arg(value_name = "SOURCE", required = true)]
    pub(crate) source: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Judge receipts: tlog-proof texts, the JSON that callers get, or COSE receipts
    Receipt(ReceiptArguments),
}

/// What is known from elsewhere.
#[derive(Debug, Args)]
pub(crate) struct TrustArguments {
    /// A key of the log, as a verifier key line or a file with one; may be given more than once
    #[arg(long, value_name = "VKEY|FILE")]
    pub(crate) key: Vec<String>,
    /// A witness policy (C2SP tlog-policy): which logs and witnesses are trusted, and how many it takes
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct LogArguments {
    /// A checkpoint kept from earlier, or received from others; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Vec<PathBuf>,
    /// Look at so many entries only, or at so many percent (`1000`, `5%`)
    #[arg(long, value_name = "N[%]")]
    pub(crate) sample: Option<String>,
    /// Choose the same entries again; without it they are chosen anew
    #[arg(long, value_name = "NUMBER", requires = "sample")]
    pub(crate) seed: Option<u64>,
    /// Another copy of the log, which must not contradict this one: a directory or an address
    #[arg(long, value_name = "SOURCE")]
    pub(crate) compare: Option<String>,
    /// File with the bearer token of a reader, for an address that gives entries to readers only
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Where to put the notes that prove a fork
    #[arg(long, value_name = "DIR")]
    pub(crate) evidence: Option<PathBuf>,
    /// Roots of timestamp authorities (PEM); without them timestamps are not judged
    #[arg(long, value_name = "FILE")]
    pub(crate) tsa_roots: Option<PathBuf>,
    /// Take the entries as mere bytes, not as events
    #[arg(long)]
    pub(crate) opaque: bool,
    /// How many threads read and hash
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
}

#[derive(Debug, Args)]
pub(crate) struct ReceiptArguments {
    #[command(flatten)]
    pub(crate) trust: TrustArguments,
    /// The bytes of the entry, when the receipt does not hold them
    #[arg(long, value_name = "FILE")]
    pub(crate) entry: Option<PathBuf>,
    /// The log, for keys that came later: a directory or an address
    #[arg(long, value_name = "SOURCE")]
    pub(crate) log: Option<String>,
    /// Print one line of JSON for each receipt instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// The receipts
    #[arg(value_name = "FILE", required = true)]
    pub(crate) receipts: Vec<PathBuf>,
}

const AFTER_HELP: &str = "\
Exit status:
   0  valid, against a given key or checkpoint, or witnessed as the policy demands
  10  valid, but nothing shows which log it is and that its end is there:
      give --key, --checkpoint or --policy
  11  altered           12  truncated or rolled back   13  forked: two signed histories
  14  wrong key         15  files are missing          16  events are missing
  17  too few witnesses 18  the last write was not finished
   1  cannot be read     2  wrong arguments

Examples:
  countersign-verify --key log.vkey /var/lib/countersign/log
  countersign-verify --policy auditors.policy https://logs.example/gateway
  countersign-verify --checkpoint last-month.note --sample 5% /mnt/copy
  countersign-verify receipt --key log.vkey --entry entry.json entry.tlog-proof";
