//! `countersign policy`.

use crate::cli::{Policy, PolicyCommand};
use crate::output;
use anyhow::bail;
use policy::{Problem, Severity};
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn run(arguments: &Policy) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        PolicyCommand::Check { directory, json } => check(directory, *json),
        PolicyCommand::Schema => {
            output::line(policy::SCHEMA.trim_end())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn check(directory: &Path, json: bool) -> anyhow::Result<ExitCode> {
    if !directory.is_dir() {
        bail!("`{}` is not a directory with policies", directory.display());
    }
    let report = policy::check(directory);
    let errors = report.problems.iter().filter(|p| p.severity == Severity::Error).count();
    if json {
        let problems: Vec<_> = report.problems.iter().map(problem_json).collect();
        output::line(serde_json::json!({
            "usable": errors == 0,
            "policies": report.policies,
            "digest": report.digest,
            "problems": problems,
        }))?;
    } else {
        for problem in &report.problems {
            output::line(problem)?;
        }
        let warnings = report.problems.len() - errors;
        let verdict = if errors == 0 { "can be used" } else { "cannot be used" };
        output::line(format_args!(
            "{}: {verdict}: {} policies, {errors} errors, {warnings} warnings",
            directory.display(),
            report.policies
        ))?;
        if let (0, Some(digest)) = (errors, &report.digest) {
            output::line(format_args!("policy set {digest}"))?;
        }
    }
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn problem_json(problem: &Problem) -> serde_json::Value {
    serde_json::json!({
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "severity": problem.severity.to_string(),
        "policy": problem.policy,
        "message": problem.message,
        "help": problem.help,
    })
}
