//! What a call through the gateway costs, beside the same call made directly, through proxies that only
//! pass on, through one that keeps durable records and does nothing else, and through rivals: throughput,
//! latency, processor time and memory, in rounds that take turns, on one machine.
//!
//! ```text
//! cargo bench -p app --bench callpath                        everything, four to five minutes
//! cargo bench -p app --bench callpath -- --rounds 3 --round-ms 500
//! cargo bench -p app --bench callpath -- --only JWT --concurrency 64
//! cargo bench -p app --bench callpath -- --rivals FOLDER     with what `callpath/rivals FOLDER` installed
//! cargo bench -p app --bench callpath -- --under "perf record -g -o FILE"
//! ```
//!
//! The upstream server, each proxy and each gateway are processes of their own; the load comes from one
//! thread of this one. It judges nothing: the figures go to `docs/performance.md`.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

mod audited;
mod cast;
mod children;
mod disk;
mod load;
mod machine;
mod nginx;
mod pass_through;
mod proc;
mod report;
mod rivals;
mod settings;
mod site;
mod upstream;

use cast::{Cast, Target};
use load::Round;
use report::{Cell, Row};
use settings::Settings;
use std::time::Duration;

/// Calls to each target before anything is measured: connections, caches, first segments.
const WARM_UP: Duration = Duration::from_millis(300);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["upstream"] => upstream::run(),
        ["pass-through", to] => pass_through::run(to),
        ["audited", "both", to, file] => audited::run(to, file, audited::Second::Awaited),
        ["audited", "first", to, file] => audited::run(to, file, audited::Second::NextCommit),
        // Anything else that builds all targets starts this one without the word.
        _ if words.contains(&"--bench") => measure(&Settings::of(&arguments)?),
        _ => {
            println!("not measured: run it with `cargo bench -p app --bench callpath`");
            Ok(())
        }
    }
}

fn measure(settings: &Settings) -> anyhow::Result<()> {
    let cast = Cast::assemble(settings)?;
    let targets = cast.targets(settings);
    print!("{}", machine::describe()?);
    println!(
        "- settings: {} rounds of {} ms per cell, in turns; medians over rounds; one connection per call \
         in flight; bodies of {} and {} bytes; log and configuration as `countersign init` makes them, \
         publishing every second",
        settings.rounds,
        settings.round.as_millis(),
        load::Form::Of2025.body_bytes(),
        load::Form::Of2026.body_bytes(),
    );
    for (name, setting) in cast.settings() {
        println!("- {name}: {setting}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut rows = Vec::new();
    let mut syncs = Vec::new();
    for &concurrency in &settings.concurrency {
        let mut cells: Vec<Cell> = targets.iter().map(|_| Cell::default()).collect();
        for (target, cell) in targets.iter().zip(&mut cells) {
            cell.note(
                runtime.block_on(load::round(&target.request, concurrency, WARM_UP)).map(drop),
            );
        }
        for _ in 0..settings.rounds {
            for (target, cell) in targets.iter().zip(&mut cells) {
                if cell.failure.is_none() {
                    let load = load::round(&target.request, concurrency, settings.round);
                    cell.take(measured(target, || runtime.block_on(load)));
                }
            }
            syncs.push(disk::sync_us(&cast.directory())?);
        }
        rows.extend(
            targets.iter().zip(cells).map(|(t, cell)| Row::new(t.name(), concurrency, cell)),
        );
    }
    println!("- load average after: {}", machine::load_average()?);
    println!(
        "- one append of 1 KiB and its `fdatasync`, between the rounds: {}\n",
        disk::told(&mut syncs)
    );
    print!("{}", report::table(&rows));
    print!("{}", report::goals(&rows, disk::median(&mut syncs)));
    drop(targets);
    cast.end()
}

/// A round, with the processor time that its target took for it.
fn measured(
    target: &Target<'_>,
    round: impl FnOnce() -> anyhow::Result<Round>,
) -> anyhow::Result<Round> {
    let before = target.child.cpu()?;
    let mut round = round()?;
    round.cpu = target.child.cpu()?.saturating_sub(before);
    round.resident_mib = target.child.resident_mib()?;
    Ok(round)
}
