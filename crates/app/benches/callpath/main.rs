//! What a call through the gateway costs, beside the same call made directly and through a bare proxy:
//! throughput, latency, CPU time and memory, in rounds that take turns, on one machine.
//!
//! ```text
//! cargo bench -p app --bench end_to_end                      everything, two to three minutes
//! cargo bench -p app --bench end_to_end -- --rounds 3 --round-ms 500
//! ```
//!
//! The upstream server, the bare proxy and each gateway are processes of their own; the load comes from
//! one thread of this one. It judges nothing: the figures go to `docs/performance.md`.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

mod children;
mod load;
mod machine;
mod pass_through;
mod report;
mod upstream;

use anyhow::Context as _;
use children::{Child, Site};
use load::{Request, Round};
use report::Row;
use std::time::Duration;

/// Calls in flight, each on a connection of its own.
const CONCURRENCY: [usize; 4] = [1, 16, 64, 256];

/// Calls to each target before anything is measured: connections, caches, first segments.
const WARM_UP: Duration = Duration::from_millis(300);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let word = |i: usize| arguments.get(i).map(String::as_str);
    match (word(0), word(1)) {
        (Some("upstream"), None) => upstream::run(),
        (Some("pass-through"), Some(to)) => pass_through::run(to),
        // Anything else that builds all targets starts this one without the word.
        _ if arguments.iter().any(|word| word == "--bench") => measure(&Settings::of(&arguments)?),
        _ => {
            println!("not measured: run it with `cargo bench -p app --bench end_to_end`");
            Ok(())
        }
    }
}

struct Settings {
    rounds: usize,
    round: Duration,
}

impl Settings {
    fn of(arguments: &[String]) -> anyhow::Result<Self> {
        let number = |name: &str, default: u64| {
            let mut rest = arguments.iter().skip_while(|word| *word != name).skip(1);
            rest.next().map_or(Ok(default), |text| text.parse().context(name.to_owned()))
        };
        Ok(Self {
            rounds: usize::try_from(number("--rounds", 5)?)?,
            round: Duration::from_millis(number("--round-ms", 1_000)?),
        })
    }
}

/// One thing that is called, in one way.
struct Target<'c> {
    name: &'static str,
    child: &'c Child,
    request: Request,
}

fn measure(settings: &Settings) -> anyhow::Result<()> {
    let site = Site::make()?;
    let upstream = Child::upstream()?;
    let floor = Child::pass_through(&upstream.address)?;
    let gateway = site.gateway("next-commit", &upstream.address)?;
    let strict = site.gateway("before-release", &upstream.address)?;
    let plain = |child: &Child| Request::of_2025(&child.address, None);
    let key = |child: &Child| Request::of_2025(&child.address, Some(&site.key));
    let targets = [
        Target { name: "direct", child: &upstream, request: plain(&upstream) },
        Target { name: "bare proxy (floor)", child: &floor, request: plain(&floor) },
        Target { name: "gateway, API key", child: &gateway, request: key(&gateway) },
        Target {
            name: "gateway, API key, 2026-07-28",
            child: &gateway,
            request: Request::of_2026(&gateway.address, &site.key),
        },
        Target {
            name: "gateway, JWT",
            child: &gateway,
            request: Request::of_2025(&gateway.address, Some(&site.token)),
        },
        Target { name: "gateway, answers before release", child: &strict, request: key(&strict) },
    ];
    print!("{}", machine::describe()?);
    println!(
        "- settings: {} rounds of {} ms per cell, in turns; medians over rounds; bodies of {} and {} \
         bytes; log and configuration as `countersign init` makes them, publishing every second",
        settings.rounds,
        settings.round.as_millis(),
        key(&gateway).body_bytes,
        Request::of_2026(&gateway.address, &site.key).body_bytes,
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut rows = Vec::new();
    for concurrency in CONCURRENCY {
        let mut cells: Vec<Vec<Round>> = targets.iter().map(|_| Vec::new()).collect();
        for target in &targets {
            runtime.block_on(load::round(&target.request, concurrency, WARM_UP))?;
        }
        for _ in 0..settings.rounds {
            for (target, cell) in targets.iter().zip(&mut cells) {
                let before = target.child.cpu()?;
                let load = load::round(&target.request, concurrency, settings.round);
                let mut round = runtime.block_on(load).with_context(|| target.name.to_owned())?;
                round.cpu = target.child.cpu()?.saturating_sub(before);
                cell.push(round);
            }
        }
        rows.extend(
            targets.iter().zip(&cells).map(|(t, cell)| Row::new(t.name, concurrency, cell)),
        );
    }
    println!("- load average after: {}\n", machine::load_average()?);
    print!("{}", report::table(&rows));
    println!(
        "\nResident memory of the gateway: {} MiB now, {} MiB at most; of the bare proxy: {} MiB at most.",
        gateway.memory_mib("VmRSS")?,
        gateway.memory_mib("VmHWM")?,
        floor.memory_mib("VmHWM")?
    );
    for child in [gateway, strict, floor, upstream] {
        child.end()?;
    }
    site.verify()
}
