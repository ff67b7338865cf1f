//! The command `countersign`: reads configuration, wires the parts, starts and stops them. Knows no
//! protocol, no policy language and no log format; those are in the crates it uses.

#[cfg(test)]
mod altered;
mod cadence;
mod certificate;
mod certificates;
mod chain;
mod changes;
mod cli;
mod client;
mod config;
mod continuation;
mod demo;
mod digest;
mod doctor;
mod environment;
mod front;
mod import;
mod install;
mod key_statements;
mod keys;
mod log_pages;
mod logging;
mod opening;
mod operator;
mod output;
mod outside;
mod policy_check;
mod progress;
mod publication;
mod receipt;
mod reloading;
mod remembered;
mod retention;
mod running;
mod search;
mod serve;
mod setup;
mod signals;
mod table;
mod tools;
mod verify;
mod witness;
mod wrap;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command, LogCommand};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let ended = match command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Wrap(arguments) => wrap::run(arguments),
        Command::Init(arguments) => setup::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Install(arguments) => install::run(&arguments),
        Command::Search(arguments) => search::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Policy(arguments) => policy_check::run(&arguments),
        Command::Tools(arguments) => tools::run(&arguments),
        Command::Keys(arguments) => keys::run(&arguments),
        Command::Log(arguments) => match &arguments.command {
            LogCommand::Prune(arguments) => retention::run_prune(arguments),
            LogCommand::Hold(arguments) => retention::run_hold(arguments),
            LogCommand::Release(arguments) => retention::run_release(arguments),
            LogCommand::Continue(arguments) => continuation::run(arguments),
        },
        Command::Receipt(arguments) => receipt::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Witness(arguments) => witness::run(&arguments),
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
