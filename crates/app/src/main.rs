//! The command `countersign`: reads configuration, wires the parts, starts and stops them. Knows no
//! protocol, no policy language and no log format; those are in the crates it uses.

mod cli;
mod config;
mod demo;
mod environment;
mod keys;
mod logging;
mod output;
mod policy_check;
mod progress;
mod running;
mod search;
mod serve;
mod setup;
mod table;
mod verify;
mod wrap;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let ended = match command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Wrap(arguments) => wrap::run(arguments),
        Command::Init(arguments) => setup::run(&arguments),
        Command::Search(arguments) => search::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Policy(arguments) => policy_check::run(&arguments),
        Command::Keys(arguments) => keys::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::SampleServer => demo::sample::run(),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "countersign",
                &mut std::io::stdout(),
            );
            Ok(ExitCode::SUCCESS)
        }
    };
    ended.unwrap_or_else(|error| output::error(&error))
}
