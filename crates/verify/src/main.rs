//! `countersign-verify`: the offline verifier alone.

use clap::Parser as _;
use std::io::Write as _;
use std::process::ExitCode;
use verify::command::{self, Arguments};

fn main() -> ExitCode {
    let judged = command::run(&Arguments::parse(), &|_| None);
    judged.map(ExitCode::from).unwrap_or_else(|problem| {
        // Nothing can be done when standard error is gone as well.
        writeln!(std::io::stderr(), "countersign-verify: {problem}").ok();
        ExitCode::FAILURE
    })
}
