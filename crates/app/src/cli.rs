//! The command line, which teaches while it is read. Arguments are checked for form here and for
//! meaning where they are used.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// The audit gateway for MCP: every call is identified, decided, recorded before it runs, and
/// provable afterwards.
///
/// See it work first:  countersign demo
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Start here:
  countersign demo                                   a complete run on this machine, nothing needed
  countersign wrap -- npx -y SERVER ARGS...          record what a client does with one local server
  countersign init DIR --url http://HOST:PORT/mcp    make configuration, keys, policy and log
  countersign serve --config DIR/countersign.toml    put the gateway in front of that server
  countersign search DIR/log                         read the trail
  countersign verify DIR/log                         prove that nothing was altered

Log lines go to standard error; COUNTERSIGN_LOG chooses them (error, warn, info, debug).";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve MCP over HTTP in front of one or several servers, as the configuration says.
    Serve(Serve),
    /// Stand between a client on standard input and output and one server, local or on HTTP.
    ///
    /// Put it before the server's command in the client's configuration. Nothing else is needed: key,
    /// log and a policy that permits everything to the local user are made on first use.
    #[command(after_help = WRAP_HELP)]
    Wrap(Wrap),
    /// Make a directory with configuration, keys, starter policy and an empty log.
    #[command(
        after_help = "Example:\n  countersign init gw --name gw-1 --url http://127.0.0.1:3001/mcp\n  countersign init gw --name gw-1 -- npx -y @modelcontextprotocol/server-filesystem /srv/docs"
    )]
    Init(Init),
    /// Take the servers of a client's configuration into one of ours.
    #[command(after_help = crate::import::HELP)]
    Import(crate::import::Import),
    /// Make a client start its servers through `countersign wrap`, or take that back.
    #[command(after_help = crate::install::HELP)]
    Install(crate::install::Install),
    /// Find calls in a log: who called what, whether it was allowed, what came out.
    #[command(after_help = SEARCH_HELP)]
    Search(Search),
    /// Check a log, or receipts of it, offline: every byte, every hash, every signature.
    ///
    /// The same as the program `countersign-verify`. Beside directories and addresses it reads copies in
    /// object storage: `s3:FILE`, where FILE is the configuration with the table `[log.s3]`.
    Verify(Box<verify::command::Arguments>),
    /// Work with policies.
    Policy(Policy),
    /// See what servers declare, how it changed, and approve it.
    #[command(after_help = crate::tools::HELP)]
    Tools(Tools),
    /// Make keys, and say what a log's keys are.
    Keys(Keys),
    /// Look after a log: retention, holds, a new log after a loss.
    Log(LogArguments),
    /// Prove that one entry is in a log: a receipt to keep and to give away.
    #[command(after_help = crate::receipt::HELP)]
    Receipt(crate::receipt::Receipt),
    /// Be a witness of other people's logs (C2SP tlog-witness).
    #[command(after_help = crate::witness::HELP)]
    Witness(crate::witness::Witness),
    /// Look at everything the gateway depends on: what is wrong, why it matters, what to do.
    #[command(after_help = crate::doctor::HELP)]
    Doctor(crate::doctor::Doctor),
    /// Play a short scenario with real MCP messages on this machine and show its trail.
    #[command(
        after_help = "Needs no network and nothing installed. Without --data everything is made in a temporary\ndirectory and removed at the end."
    )]
    Demo(Demo),
    /// The sample server of the demo, on standard input and output.
    #[command(hide = true)]
    SampleServer,
    /// Write a completion script for a shell to standard output.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The configuration file; `countersign init` makes one.
    #[arg(long, short, value_name = "FILE", default_value = "countersign.toml")]
    pub(crate) config: PathBuf,
}

const WRAP_HELP: &str = "\
Claude Desktop, Cursor and others start local servers from a JSON file. Change
  \"command\": \"npx\",         \"args\": [\"-y\", \"SERVER\"]
to
  \"command\": \"countersign\", \"args\": [\"wrap\", \"--name\", \"SERVER-NAME\", \"--\", \"npx\", \"-y\", \"SERVER\"]

For a server on HTTP the client's side stays the same:
  \"command\": \"countersign\", \"args\": [\"wrap\", \"--name\", \"SERVER-NAME\", \"--url\", \"https://HOST/mcp\"]
A credential comes from a file: --header-from-file Authorization=FILE, with `Bearer TOKEN` in it.

Each --name has its own log, since a log has one writer. When several run at once, the second has key and
log in `2/` of the directory, and so on; all share the policy. Exit status: that of the local server.";

/// Arguments of `wrap`.
#[derive(Debug, Args)]
pub(crate) struct Wrap {
    /// Name of the server in the trail and in policies. With --config, that of the file counts.
    #[arg(long, value_name = "NAME", default_value = "local")]
    pub(crate) name: String,
    /// Directory for key, log and policy; made on first use. Default: `countersign/NAME` in the
    /// user's data directory.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub(crate) data: Option<PathBuf>,
    /// Take log, policy, inventory, limits, `gateway.answers` and the name of the server from a
    /// configuration file instead.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Stand in front of a Streamable HTTP server instead of a local one.
    #[arg(long, value_name = "URL", conflicts_with = "command")]
    pub(crate) url: Option<url::Url>,
    /// A header of every request to that server, whose value is the first line of a file; any number.
    #[arg(long, value_name = "NAME=FILE", requires = "url")]
    pub(crate) header_from_file: Vec<String>,
    /// The server's command, after `--`.
    #[arg(last = true, required_unless_present = "url", value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The directory to make.
    pub(crate) directory: PathBuf,
    /// Name of the gateway; part of the origin of its log.
    #[arg(long, value_name = "NAME", default_value = "gateway-1")]
    pub(crate) name: String,
    /// Name of the server in the trail and in policies.
    #[arg(long, value_name = "NAME", default_value = "server-1")]
    pub(crate) server: String,
    /// Address of a Streamable HTTP server to stand in front of.
    #[arg(long, value_name = "URL", conflicts_with = "command")]
    pub(crate) url: Option<url::Url>,
    /// Command of a local server to stand in front of, after `--`.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

const SEARCH_HELP: &str = "\
Filters are all applied together; times are RFC 3339 or an age such as 15m, 2h, 7d. Every search reads
the log from its beginning, whatever it looks for: a large one takes its time.

Examples:
  countersign search log --since 1h --decision forbid
  countersign search log --actor ci-agent --tool query --json | jq .outcome
  countersign search log --call 9d9e2f6a7f3b --json";

/// Arguments of `search`.
#[derive(Debug, Args)]
pub(crate) struct Search {
    /// Directory of the log.
    #[arg(value_name = "LOG_DIR")]
    pub(crate) log: PathBuf,
    /// Only calls from this time on.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only calls before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Only calls of this actor (its identifier, exactly).
    #[arg(long)]
    pub(crate) actor: Option<String>,
    /// Only calls of this server.
    #[arg(long)]
    pub(crate) server: Option<String>,
    /// Only calls of this method, such as `tools/call`.
    #[arg(long)]
    pub(crate) method: Option<String>,
    /// Only calls that name this tool, prompt or resource.
    #[arg(long, value_name = "NAME")]
    pub(crate) tool: Option<String>,
    /// Only calls that were permitted or forbidden; calls refused before a decision count as
    /// forbidden.
    #[arg(long)]
    pub(crate) decision: Option<DecisionArgument>,
    /// Only calls with this outcome, such as `ok`, `tool-error`, `in-doubt` or `refused`, or of this
    /// class: `success`, `failure`, `anomaly`.
    #[arg(long)]
    pub(crate) outcome: Option<String>,
    /// Only this call: its id, or the end of it as the table shows.
    #[arg(long, value_name = "CALL_ID")]
    pub(crate) call: Option<String>,
    /// Only this call and those that it goes on with or that go on with it: rounds of one call, questions
    /// about its task, parts of one request. Named as with `--call`.
    #[arg(long, value_name = "CALL_ID", conflicts_with = "call")]
    pub(crate) chain: Option<String>,
    /// At most so many calls, the latest ones.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Show events of the gateway itself (start, stop, policy changes) as well.
    #[arg(long)]
    pub(crate) all: bool,
    /// One JSON object a line, with everything that is on record.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DecisionArgument {
    /// The call was passed on.
    Permit,
    /// The call was refused.
    Forbid,
}

/// Arguments of `policy`.
#[derive(Debug, Args)]
pub(crate) struct Policy {
    #[command(subcommand)]
    pub(crate) command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Check the policies of a directory and say what is wrong, where and why.
    ///
    /// Exit status: 0 when they can be used, 1 when not; warnings do not count.
    Check {
        /// The directory with `*.cedar` files.
        directory: PathBuf,
        /// The result as one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print the schema that policies are checked against.
    Schema,
}

/// Arguments of `tools`.
#[derive(Debug, Args)]
pub(crate) struct Tools {
    #[command(subcommand)]
    pub(crate) command: ToolsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ToolsCommand {
    /// Show every tool, prompt and resource that was listed, and its state.
    List {
        #[command(flatten)]
        which: ToolsWhich,
    },
    /// Show how what is declared differs from what was approved.
    Diff {
        #[command(flatten)]
        which: ToolsWhich,
    },
    /// Approve what is declared now, in the form that `diff` shows.
    Approve {
        #[command(flatten)]
        which: ToolsWhich,
        /// Everything that is not approved.
        #[arg(long, conflicts_with = "item")]
        all: bool,
        /// Let what was approved before stand beside it, for servers that declare differently to
        /// different callers.
        #[arg(long)]
        beside: bool,
    },
}

/// Which inventory, and which items of it.
#[derive(Debug, Args)]
pub(crate) struct ToolsWhich {
    /// Only this server, or this one item of it.
    #[arg(value_name = "SERVER[/NAME]")]
    pub(crate) item: Option<String>,
    /// Only this kind.
    #[arg(long, value_parser = ["tool", "prompt", "resource", "resource-template"])]
    pub(crate) kind: Option<String>,
    /// The configuration of the gateway.
    #[arg(long, short, value_name = "FILE", default_value = "countersign.toml")]
    pub(crate) config: PathBuf,
    /// The directory of the inventory itself, such as that of a `wrap`; no configuration is read.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub(crate) inventory: Option<PathBuf>,
}

/// Arguments of `keys`.
#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make the key pair of a log (Ed25519).
    ///
    /// The private key goes to FILE, readable by its owner only; the verifier key, which you give to
    /// whoever shall verify the log, to FILE.pub and to standard output.
    Generate {
        /// Origin of the log, such as `audit.example.com/gateway-1`: unique, without spaces or `+`.
        #[arg(long, value_name = "ORIGIN")]
        origin: String,
        /// File for the private key; must not exist.
        #[arg(long, value_name = "FILE", required_unless_present = "pkcs11")]
        out: Option<PathBuf>,
        /// Make it in a PKCS#11 token instead, which it never leaves:
        /// `pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE`.
        #[arg(long, value_name = "URI", conflicts_with = "out")]
        pkcs11: Option<String>,
    },
    #[command(flatten)]
    Statement(KeyStatement),
    /// Make a static API key for development.
    ///
    /// Prints the key, which is shown only here, and the lines for the configuration.
    ApiKey {
        /// Name of the caller that will present it.
        #[arg(long)]
        name: String,
    },
}

/// What a log says of its own keys. The gateway must not be running: a log has one writer.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyStatement {
    /// Let another key sign the log beside the present one.
    Rotate {
        /// The configuration of the gateway.
        #[arg(long, short, value_name = "FILE", default_value = "countersign.toml")]
        config: PathBuf,
        /// The new private key: a file, or a `pkcs11:` URI.
        #[arg(long, value_name = "KEY")]
        new: String,
    },
    /// Say that a key signs no more. Another key of the configuration signs this.
    Retire {
        /// The configuration of the gateway.
        #[arg(long, short, value_name = "FILE", default_value = "countersign.toml")]
        config: PathBuf,
        /// The key: its eight-digit id or its verifier key line.
        #[arg(long, value_name = "KEY")]
        key: String,
    },
    /// Say that a key is not to be trusted beyond a size of the log.
    Revoke {
        /// The configuration of the gateway.
        #[arg(long, short, value_name = "FILE", default_value = "countersign.toml")]
        config: PathBuf,
        /// The key: its eight-digit id or its verifier key line.
        #[arg(long, value_name = "KEY")]
        key: String,
        /// The last size at which its signature counts: that of a checkpoint you trust.
        #[arg(long, value_name = "ENTRIES")]
        size: u64,
        /// The recovery key that signs this; without it another key of the configuration does.
        #[arg(long, value_name = "FILE")]
        with: Option<PathBuf>,
    },
    /// Make a recovery key, which revokes others and stays offline. Before any other statement.
    Recovery {
        /// The configuration of the gateway.
        #[arg(long, short, value_name = "FILE", default_value = "countersign.toml")]
        config: PathBuf,
        /// File for its private key; must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Show the keys of a log, and for which sizes each counts.
    List {
        /// Directory of the log.
        #[arg(value_name = "LOG_DIR")]
        log: PathBuf,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

/// Arguments of `log`.
#[derive(Debug, Args)]
pub(crate) struct LogArguments {
    #[command(subcommand)]
    pub(crate) command: LogCommand,
}

/// What an operator does to a log. The gateway must not be running: a log has one writer.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Remove entries that the table `[log.retention]` keeps no longer. Proofs stay.
    Prune(Prune),
    /// Keep entries whatever their age, as for a legal hold.
    Hold(Hold),
    /// Lift a hold.
    Release(Release),
    /// Begin a new log that continues one that was lost or went back.
    Continue(Continue),
}

/// Arguments of `log prune`.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// The configuration of the gateway.
    #[arg(long, short, value_name = "FILE", default_value = "countersign.toml")]
    pub(crate) config: PathBuf,
    /// Only say what would go, and which holds stand.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Arguments of `log hold`.
#[derive(Debug, Args)]
pub(crate) struct Hold {
    /// The configuration of the gateway.
    #[arg(long, short, value_name = "FILE", default_value = "countersign.toml")]
    pub(crate) config: PathBuf,
    /// Name of the hold, such as the reference of a case.
    #[arg(long)]
    pub(crate) name: String,
    /// The first entry to keep.
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    pub(crate) from: u64,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
}

/// Arguments of `log release`.
#[derive(Debug, Args)]
pub(crate) struct Release {
    /// The configuration of the gateway.
    #[arg(long, short, value_name = "FILE", default_value = "countersign.toml")]
    pub(crate) config: PathBuf,
    /// Name of the hold.
    #[arg(long)]
    pub(crate) name: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
}

/// Arguments of `log continue`.
#[derive(Debug, Args)]
pub(crate) struct Continue {
    /// Directory for the new log; must not exist.
    #[arg(value_name = "NEW_LOG_DIR")]
    pub(crate) directory: PathBuf,
    /// The last checkpoint that is known of the old log: from the high-water file, a witness, or a
    /// receipt.
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: PathBuf,
    /// The verifier key of the old log.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// File for the private key of the new log; must not exist.
    #[arg(long, value_name = "FILE")]
    pub(crate) new_key: PathBuf,
    /// Name of the gateway.
    #[arg(long, value_name = "NAME", default_value = "operator")]
    pub(crate) name: String,
    /// What happened to the old log.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Keep configuration, keys, policy and log in this new directory: a complete example to start
    /// from.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Leave everything running afterwards and say how to connect a client; end with Ctrl-C.
    #[arg(long)]
    pub(crate) keep: bool,
}
