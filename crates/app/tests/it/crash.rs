//! A gateway killed in the middle of a load of thousands of calls, again and again, on one log: every
//! call that the server saw is on record, and what is on record stays. Uses only what an operator has:
//! the program, its configuration, its log.
//!
//! Kill points are random; the seed of a run is printed, and `COUNTERSIGN_CRASH_SEED` repeats it.

mod call;
mod gateway;
mod http;
mod load;
mod random;
mod trail;
mod upstream;

use self::gateway::Site;
use self::load::Load;
use self::random::Random;
use self::trail::Trail;
use self::upstream::Upstream;
use anyhow::Context as _;
use rustix::process::{Resource, Rlimit};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Crashes of one run.
const ROUNDS: usize = 20;

/// Clients, each with one call in flight.
const CLIENTS: usize = 2_200;

/// Calls in flight at the moment of the kill, at least.
const IN_FLIGHT_MIN: usize = 2_000;

/// Calls that have reached the server at the moment of the kill, at most.
const ARRIVED_MAX: usize = 2_600;

/// Open files: two connections for each client at this end, as many at the gateway's.
const FILES_MIN: u64 = 6_000;

/// Long enough for any machine; a gateway that hangs fails the test rather than stopping it.
const ROUND_TIME_MAX: Duration = Duration::from_secs(120);

#[test]
fn every_call_that_the_server_saw_is_on_record_after_a_kill() {
    let seed = random::seed().unwrap();
    println!("COUNTERSIGN_CRASH_SEED={seed}");
    allow_open_files().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(crash_again_and_again(seed)).unwrap();
}

async fn crash_again_and_again(seed: u64) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let mut random = Random::new(seed);
    let upstream = Upstream::start(IN_FLIGHT_MIN, Random::new(random.next())).await?;
    let url = format!("http://{}/mcp", upstream.address);
    let mut rounds = Rounds {
        site: Site::make(&directory.path().join("site"), &url)?,
        upstream,
        numbers: Arc::new(AtomicU32::new(0)),
        random,
        known: Known::default(),
    };
    let began = audit::Clock::start().now();
    for round in 0..ROUNDS {
        let done = tokio::time::timeout(ROUND_TIME_MAX, rounds.crash(round)).await;
        done.context("took too long").flatten().with_context(|| format!("round {round}"))?;
    }
    rounds.known.check(&Trail::read(&rounds.site.search(began)?)?)
}

struct Rounds {
    site: Site,
    upstream: Upstream,
    numbers: Arc<AtomicU32>,
    random: Random,
    known: Known,
}

impl Rounds {
    /// One load, one kill, one recovery, and everything that must be true afterwards.
    async fn crash(&mut self, round: usize) -> anyhow::Result<()> {
        let t0 = std::time::Instant::now();
        let durable_answers = round % 2 == 1;
        self.site.configure(if durable_answers { "before-release" } else { "next-commit" })?;
        let began = audit::Clock::start().now();
        let first = self.numbers.load(Ordering::Relaxed);
        let (seen, released) = self.load_and_kill().await?;
        let sent = first..self.numbers.load(Ordering::Relaxed);

        eprintln!("{round} kill {:?} seen {}", t0.elapsed(), seen.len());
        let kept = self.known.checkpoint.clone();
        let (status, found) = self.site.verify(kept.as_deref())?;
        anyhow::ensure!(matches!(status, Some(0 | 13)), "verify before recovery: {found}");

        eprintln!("{round} verify {:?} {}", t0.elapsed(), found);
        self.recover().await?;
        eprintln!("{round} recover {:?}", t0.elapsed());
        let (status, found) = self.site.verify(kept.as_deref())?;
        anyhow::ensure!(status == Some(0), "verify after recovery: {found}");
        eprintln!("{round} verify {:?} {}", t0.elapsed(), found);
        let trail = Trail::read(&self.site.search(began)?)?;
        eprintln!("{round} search {:?}", t0.elapsed());
        self.known.checkpoint = Some(self.site.keep_checkpoint()?);

        subset("on record", &trail.asked, "sent", &sent.collect())?;
        if durable_answers {
            subset("answers released", &released, "answers on record", &trail.answered)?;
        }
        self.known.add(&seen, &trail);
        // A call that the server read only now, from a connection it accepted late, is of a round before.
        subset("seen by the server", &seen, "on record", &self.known.asked)?;
        self.known.check_counts(&found)
    }

    /// The numbers of the calls that the server saw, and of those whose answers the clients have.
    async fn load_and_kill(&mut self) -> anyhow::Result<(BTreeSet<u32>, BTreeSet<u32>)> {
        let kill_at = 1 + self.random.below(ARRIVED_MAX);
        let gateway = self.site.serve()?;
        let t0 = std::time::Instant::now();
        let load = Load::start(CLIENTS, &self.site.target, &self.numbers).await?;
        let (mut sent, mut arrived) = (load.sent(), self.upstream.arrived());
        eprintln!("connect {:?} {kill_at}", t0.elapsed());
        sent.wait_for(|sent| *sent >= IN_FLIGHT_MIN).await?;
        eprintln!("sent {:?}", t0.elapsed());
        arrived.wait_for(|arrived| *arrived >= kill_at).await?;
        let sent = *sent.borrow();
        eprintln!("arrived {:?}", t0.elapsed());
        gateway.kill()?;
        let released = load.end().await?;
        let seen = self.upstream.end_round().await?;
        // Counting answers that were read after the kill as well: no fewer were in flight.
        let in_flight = sent - released.len();
        anyhow::ensure!(in_flight >= IN_FLIGHT_MIN, "only {in_flight} calls were in flight");
        Ok((seen, released))
    }

    /// Starts the gateway again after a crash, and ends it in order.
    async fn recover(&self) -> anyhow::Result<()> {
        let gateway = self.site.serve()?;
        load::connect(&self.site.target.host).await?;
        let (status, said) = gateway.terminate()?;
        anyhow::ensure!(status.success(), "the gateway ended with {status}: {said}");
        Ok(())
    }
}

/// What is known of all rounds so far, and must stay true.
#[derive(Default)]
struct Known {
    seen: BTreeSet<u32>,
    asked: BTreeSet<u32>,
    answered: BTreeSet<u32>,
    in_doubt: BTreeSet<u32>,
    checkpoint: Option<PathBuf>,
}

impl Known {
    fn add(&mut self, seen: &BTreeSet<u32>, trail: &Trail) {
        self.seen.extend(seen);
        self.asked.extend(&trail.asked);
        self.answered.extend(&trail.answered);
        self.in_doubt.extend(&trail.in_doubt);
    }

    /// What `verify` counted is what the rounds add up to: every call has exactly one end.
    fn check_counts(&self, found: &Value) -> anyhow::Result<()> {
        let count = |of: &str| found.pointer(&format!("/calls/{of}")).and_then(Value::as_u64);
        let is = |of: &str, calls: usize| {
            let expected = u64::try_from(calls)?;
            anyhow::ensure!(count(of) == Some(expected), "{calls} calls should be {of}: {found}");
            Ok(())
        };
        is("asked", self.asked.len())?;
        is("answered", self.answered.len())?;
        is("in_doubt", self.in_doubt.len())?;
        is("refused", 0)?;
        is("open", 0)
    }

    /// The whole trail, read at the end, is that of the rounds.
    fn check(&self, trail: &Trail) -> anyhow::Result<()> {
        subset("seen by the server", &self.seen, "on record", &trail.asked)?;
        anyhow::ensure!(trail.asked == self.asked, "calls on record have changed");
        anyhow::ensure!(trail.answered == self.answered, "answers on record have changed");
        anyhow::ensure!(trail.in_doubt == self.in_doubt, "calls in doubt have changed");
        println!(
            "{ROUNDS} kills: {} calls on record, {} seen by the server, {} answered, {} in doubt",
            trail.asked.len(),
            self.seen.len(),
            trail.answered.len(),
            trail.in_doubt.len()
        );
        Ok(())
    }
}

fn subset(
    what: &str,
    calls: &BTreeSet<u32>,
    of: &str,
    others: &BTreeSet<u32>,
) -> anyhow::Result<()> {
    let missing: Vec<&u32> = calls.difference(others).collect();
    anyhow::ensure!(
        missing.is_empty(),
        "{} of {} calls that are `{what}` are not `{of}`: {missing:?}",
        missing.len(),
        calls.len()
    );
    Ok(())
}

/// Raises the soft limit on open files to the hard one; the gateway inherits it.
fn allow_open_files() -> anyhow::Result<()> {
    let Rlimit { maximum, .. } = rustix::process::getrlimit(Resource::Nofile);
    anyhow::ensure!(
        maximum.is_none_or(|maximum| maximum >= FILES_MIN),
        "this test needs {FILES_MIN} open files and may have {maximum:?} (`ulimit -Hn`)"
    );
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(())
}
