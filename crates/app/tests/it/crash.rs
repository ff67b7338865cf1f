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
const CLIENTS: usize = 2_100;

/// Calls in flight at the moment of the kill, at least.
const IN_FLIGHT_MIN: usize = 2_000;

/// Calls that have reached the server at the moment of the kill, at most.
const ARRIVED_MAX: usize = 2_400;

/// Open files: two connections for each client at this end, as many at the gateway's.
const FILES_MIN: u64 = 6_000;

/// Long enough for any machine; a gateway that hangs fails the test rather than stopping it.
const LOAD_TIME_MAX: Duration = Duration::from_secs(120);

#[test]
fn every_call_that_the_server_saw_is_on_record_after_a_kill() {
    let seed = random::seed().unwrap();
    println!("COUNTERSIGN_CRASH_SEED={seed}");
    allow_open_files().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("{}", runtime.block_on(crash_again_and_again(seed)).unwrap());
}

/// The whole run; returns what it did in one line.
async fn crash_again_and_again(seed: u64) -> anyhow::Result<String> {
    let directory = tempfile::tempdir()?;
    let mut random = Random::new(seed);
    let upstream = Upstream::start(IN_FLIGHT_MIN, Random::new(random.next())).await?;
    let url = format!("http://{}/mcp", upstream.address);
    let mut crashes = Crashes {
        site: Site::make(&directory.path().join("site"), &url)?,
        upstream,
        numbers: Arc::new(AtomicU32::new(0)),
        random,
        checkpoint: None,
        known: Known::default(),
    };
    for round in 0..ROUNDS {
        crashes.crash(round).await.with_context(|| format!("round {round}"))?;
    }
    let trail = Trail::read(&crashes.site.search()?)?;
    crashes.known.check(&trail, crashes.numbers.load(Ordering::Relaxed))?;
    Ok(format!(
        "{ROUNDS} kills: {} calls seen by the server; on record: {} asked, {} answered, {} in doubt",
        crashes.known.seen.len(),
        trail.asked.len(),
        trail.answered.len(),
        trail.in_doubt.len()
    ))
}

struct Crashes {
    site: Site,
    upstream: Upstream,
    numbers: Arc<AtomicU32>,
    random: Random,
    /// The checkpoint of the round before, as an auditor would have kept it.
    checkpoint: Option<PathBuf>,
    known: Known,
}

impl Crashes {
    /// One load, one kill, one recovery, and what `verify` must say before and afterwards.
    async fn crash(&mut self, round: usize) -> anyhow::Result<()> {
        let durable_answers = round % 2 == 1;
        self.site.configure(if durable_answers { "before-release" } else { "next-commit" })?;
        let (seen, released) = self.load_and_kill().await?;
        self.known.seen.extend(seen);
        if durable_answers {
            self.known.released_durably.extend(released);
        }

        let (status, found) = self.site.verify(self.checkpoint.as_deref())?;
        anyhow::ensure!(matches!(status, Some(0 | 18)), "verify before recovery: {found}");
        self.recover().await?;
        let (status, found) = self.site.verify(self.checkpoint.as_deref())?;
        anyhow::ensure!(status == Some(0), "verify after recovery: {found}");
        self.checkpoint = Some(self.site.keep_checkpoint()?);
        self.known.count(&found)
    }

    /// The numbers of the calls that the server saw, and of those whose answers the clients have.
    async fn load_and_kill(&mut self) -> anyhow::Result<(BTreeSet<u32>, BTreeSet<u32>)> {
        let kill_at = 1 + self.random.below(ARRIVED_MAX);
        let gateway = self.site.serve()?;
        let loaded = tokio::time::timeout(LOAD_TIME_MAX, self.load(kill_at)).await;
        gateway.kill()?;
        let (load, sent) = loaded.context("the load does not get through").flatten()?;
        let released = load.end().await?;
        let seen = self.upstream.end_round().await?;
        // Counting answers that were read after the kill as well: no fewer were in flight.
        let in_flight = sent - released.len();
        anyhow::ensure!(in_flight >= IN_FLIGHT_MIN, "only {in_flight} calls were in flight");
        Ok((seen, released))
    }

    /// Loads the gateway until so many calls have reached the server, and no fewer than must be in
    /// flight were sent; returns how many that were.
    async fn load(&self, arrived_min: usize) -> anyhow::Result<(Load, usize)> {
        let load = Load::start(CLIENTS, &self.site.target, &self.numbers).await?;
        let (mut sent, mut arrived) = (load.sent(), self.upstream.arrived());
        sent.wait_for(|sent| *sent >= IN_FLIGHT_MIN).await?;
        arrived.wait_for(|arrived| *arrived >= arrived_min).await?;
        let sent = *sent.borrow();
        Ok((load, sent))
    }

    /// Starts the gateway again after a crash, and ends it in order.
    async fn recover(&self) -> anyhow::Result<()> {
        let gateway = self.site.serve()?;
        let healthy = load::connect(&self.site.target.host).await;
        let (status, said) = gateway.terminate()?;
        healthy?;
        anyhow::ensure!(status.success(), "the gateway ended with {status}: {said}");
        Ok(())
    }
}

/// What is known of all rounds so far.
#[derive(Default)]
struct Known {
    seen: BTreeSet<u32>,
    /// Calls whose answers were released when their records had to be durable before.
    released_durably: BTreeSet<u32>,
    /// Calls on record, by the last verification.
    asked: u64,
    answered: u64,
    in_doubt: u64,
}

impl Known {
    /// Takes what `verify` counted: every call on record has one end, and none is gone.
    fn count(&mut self, found: &Value) -> anyhow::Result<()> {
        let count = |of: &str| {
            let calls = found.pointer(&format!("/events/{of}")).and_then(Value::as_u64);
            calls.with_context(|| format!("no number of calls {of}: {found}"))
        };
        let (asked, answered, in_doubt) = (count("asked")?, count("answered")?, count("in_doubt")?);
        anyhow::ensure!(asked == answered + in_doubt, "calls without one end: {found}");
        anyhow::ensure!(count("open")? == 0, "calls are open after recovery: {found}");
        anyhow::ensure!(count("refused")? == 0, "calls were refused: {found}");
        let fewer = asked < self.asked || answered < self.answered || in_doubt < self.in_doubt;
        anyhow::ensure!(!fewer, "fewer calls than in the round before: {found}");
        (self.asked, self.answered, self.in_doubt) = (asked, answered, in_doubt);
        Ok(())
    }

    /// The whole trail against what server and clients know of it; `sent` calls were numbered.
    fn check(&self, trail: &Trail, sent: u32) -> anyhow::Result<()> {
        subset("seen by the server", &self.seen, "on record", &trail.asked)?;
        subset("on record", &trail.asked, "sent", &(0..sent).collect())?;
        subset("released", &self.released_durably, "on record as answered", &trail.answered)?;
        for (of, calls, counted) in [
            ("asked", &trail.asked, self.asked),
            ("answered", &trail.answered, self.answered),
            ("in doubt", &trail.in_doubt, self.in_doubt),
        ] {
            let calls = u64::try_from(calls.len())?;
            anyhow::ensure!(calls == counted, "search finds {calls} {of}, verify {counted}");
        }
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
