//! Whether anything is missing: every event must stand where its sequence
//! says, every call has one question and at most one answer, and every run
//! begins, counts and ends as runs do.
//!
//! Takes events in the order of the log, and holds only what is open.

use crate::check::{Check, Checks};
use crate::event::{Facts, FormError, Kind, Sequence, uuid_text};
use crate::failure::Failure;
use crate::keys::Made;
use crate::report::Report;
use crate::sequence::{Run, Which};
use note::Hash;
use std::collections::HashMap;

/// How many events of which kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Calls that were passed on.
    pub asked: u64,
    /// Calls whose end is on record.
    pub answered: u64,
    /// Calls that a crash left without a known end.
    pub in_doubt: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Everything else.
    pub other: u64,
    /// Calls that were passed on and have no end yet.
    pub open: u64,
    /// Runs of the gateway.
    pub runs: u64,
    /// Sessions that have begun a sequence and not ended it, in the last run.
    pub open_sessions: u64,
}

/// The events of a log while it is read.
pub(crate) struct Content<'a> {
    checks: Checks,
    statements: &'a [Made],
    /// The smallest index that is kept.
    minimum: u64,
    run: Option<Run>,
    /// Calls of earlier runs that have no end, with where they were asked.
    left: HashMap<u128, u64>,
    /// The last event was the end of a run, or there was none.
    in_order: bool,
    counts: EventCounts,
    /// The statements that events told of, by bits of their ordinals.
    told: Vec<bool>,
    remarks: Vec<String>,
}

/// An event at its place in the log.
struct At<'e> {
    path: &'e str,
    index: u64,
    leaf: Hash,
    facts: &'e Facts,
}

impl At<'_> {
    fn fail(&self, check: Check, what: impl Into<String>) -> Failure {
        Failure::new(check, self.path, what).entry(self.index)
    }
}

impl<'a> Content<'a> {
    pub(crate) fn new(checks: Checks, statements: &'a [Made], minimum: u64) -> Self {
        Self {
            checks,
            statements,
            minimum,
            run: None,
            left: HashMap::new(),
            in_order: minimum == 0,
            counts: EventCounts::default(),
            told: vec![false; statements.len()],
            remarks: Vec::new(),
        }
    }

    /// Takes the next entry, read as an event.
    pub(crate) fn take(
        &mut self,
        (path, index): (&str, u64),
        leaf: Hash,
        event: &Result<Facts, FormError>,
    ) -> Result<(), Failure> {
        let facts = match event {
            Ok(facts) => facts,
            Err(FormError { at, what }) => {
                let what = format!("the entry is no event in canonical form: {what} (byte {at})");
                let failure = Failure::new(Check::EventForm, path, what).entry(index);
                return self.checks.fail(failure);
            }
        };
        let at = At { path, index, leaf, facts };
        self.count(facts);
        let Some(sequence) = &facts.sequence else {
            let what = "the event does not say where it stands in its sequence";
            return self.checks.fail(at.fail(Check::EventSequence, what));
        };
        self.begin(&at, sequence)?;
        self.check_order(&at)?;
        self.check_pairing(&at)?;
        self.check_place(&at, sequence)?;
        self.check_counts(&at)?;
        self.check_statement(&at)?;
        self.listen(&at);
        self.record(&at);
        Ok(())
    }

    /// What was found, once all events were taken.
    pub(crate) fn end(self, report: &mut Report) {
        let run_open = self.run.as_ref().map_or(0, Run::open_calls);
        let mut counts = self.counts;
        counts.open = count(run_open) + count(self.left.len());
        counts.open_sessions = self.run.as_ref().map_or(0, |run| count(run.sessions()));
        if !self.left.is_empty() {
            let oldest = self.left.values().min().copied().unwrap_or(0);
            report.remark(format!(
                "{} calls of earlier runs have no end on record, the oldest asked in entry {oldest}",
                self.left.len()
            ));
        }
        for (made, told) in self.statements.iter().zip(&self.told) {
            if !told && self.minimum == 0 {
                let ordinal = made.statement.ordinal;
                report.remark(format!("no event tells of statement {ordinal} about keys"));
            }
        }
        for remark in self.remarks {
            report.remark(remark);
        }
        report.counts = Some(counts);
    }

    fn count(&mut self, facts: &Facts) {
        let count = match facts.kind {
            Kind::CallAsked => &mut self.counts.asked,
            Kind::CallAnswered => &mut self.counts.answered,
            Kind::CallInDoubt => &mut self.counts.in_doubt,
            Kind::CallRefused => &mut self.counts.refused,
            _ => &mut self.counts.other,
        };
        *count += 1;
    }

    /// Goes over to the run of this event, when it is another.
    fn begin(&mut self, at: &At<'_>, sequence: &Sequence) -> Result<(), Failure> {
        let id = sequence.run;
        if self.run.as_ref().is_some_and(|run| run.id == id) {
            return Ok(());
        }
        let starts = at.facts.kind == Kind::GatewayStarted && at.facts.id == id;
        if self.run.is_none() && self.minimum != 0 && !starts {
            self.run = Some(Run::pruned(id));
            return Ok(());
        }
        self.checks.require(Check::RunBegin, starts, || {
            let what = format!("run {} does not begin with its `gateway.started`", uuid_text(id));
            at.fail(Check::RunBegin, what)
        })?;
        // How the run before ended is pruned when there is none.
        let known = self.run.is_some() || self.minimum == 0;
        let recovers = known.then_some(!self.in_order);
        if let Some(run) = self.run.take() {
            self.left.extend(run.open());
        }
        self.counts.runs += 1;
        let mut run = Run::new(id, recovers);
        run.heartbeat_s = at.facts.detail("heartbeat_s").and_then(|text| text.parse().ok());
        run.beat = Some((at.facts.monotonic_us, at.index));
        self.run = Some(run);
        Ok(())
    }

    /// What may follow what in a run.
    fn check_order(&self, at: &At<'_>) -> Result<(), Failure> {
        let Some(run) = &self.run else { return Ok(()) };
        let (kind, name) = (at.facts.kind, uuid_text(run.id));
        self.checks.require(Check::RunEnd, !run.ended, || {
            at.fail(Check::RunEnd, format!("run {name} goes on after its `gateway.stopped`"))
        })?;
        let twice = kind == Kind::GatewayStarted && run.recorded != Some(0);
        self.checks.require(Check::RunBegin, !twice, || {
            at.fail(Check::RunBegin, format!("run {name} begins twice"))
        })?;
        let second = run.recorded == Some(1);
        let recovered = kind == Kind::Recovered;
        let missing = second && !recovered && run.recovers == Some(true);
        let stray = recovered && !run.pruned && (!second || run.recovers == Some(false));
        let wrong = missing || stray;
        self.checks.require(Check::RunRecovered, !wrong, || {
            let what = if recovered && second {
                format!("`log.recovered` stands in run {name}, and the run before ended in order")
            } else if recovered {
                format!("`log.recovered` is not the second event of run {name}")
            } else {
                format!("the run before {name} broke off, and `log.recovered` does not follow")
            };
            at.fail(Check::RunRecovered, what)
        })
    }

    /// One question and one answer for each call.
    fn check_pairing(&mut self, at: &At<'_>) -> Result<(), Failure> {
        let is_call = matches!(
            at.facts.kind,
            Kind::CallAsked | Kind::CallAnswered | Kind::CallInDoubt | Kind::CallRefused
        );
        let (Some(run), true) = (&self.run, is_call) else { return Ok(()) };
        let fail = |what: String| self.checks.fail(at.fail(Check::Pairing, what));
        let Some(call) = at.facts.call else {
            return fail("the record of a call names no call".to_owned());
        };
        let (name, open) = (uuid_text(call), run.asked(call));
        let left = self.left.get(&call).copied();
        match at.facts.kind {
            Kind::CallAsked => match open.or(left) {
                Some(earlier) => fail(format!("call {name} was asked already, in entry {earlier}")),
                None => Ok(()),
            },
            Kind::CallAnswered | Kind::CallInDoubt => {
                let asked = if at.facts.kind == Kind::CallInDoubt { open.or(left) } else { open };
                let told = at.facts.asked;
                // The question may be pruned.
                let pruned = asked.is_none() && told.is_some_and(|told| told < self.minimum);
                match asked {
                    _ if pruned => Ok(()),
                    None => fail(format!("call {name} is answered, but not open in this run")),
                    Some(asked) if told != Some(asked) => {
                        fail(format!("call {name} was asked in entry {asked}, not where it says"))
                    }
                    Some(_) => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// The number of an event in its sequence, and the one before it.
    fn check_place(&self, at: &At<'_>, sequence: &Sequence) -> Result<(), Failure> {
        let Some(run) = &self.run else { return Ok(()) };
        let which = run.which(at.facts);
        let first = sequence.n == 0;
        let expected = match run.next(&which) {
            Some(expected) => expected,
            // Its beginning is pruned: it is taken at its word once.
            None => (sequence.n, if first { None } else { sequence.previous }),
        };
        let of = || match &which {
            Which::Session(session) | Which::NewSession(session) => {
                format!("the sequence of session `{session}`")
            }
            Which::Run | Which::Unknown => "the sequence of the run".to_owned(),
        };
        let (n, previous) = expected;
        self.checks.require(Check::SequenceNumber, sequence.n == n, || {
            let found = sequence.n;
            let what = match (&which, n < found) {
                (Which::NewSession(_), _) => {
                    format!("{} is not open and begins with number {found}", of())
                }
                (_, true) => format!("numbers {n} to {} are missing in {}", found - 1, of()),
                _ => format!("number {n} is expected in {}, and {found} is there", of()),
            };
            at.fail(Check::SequenceNumber, what)
        })?;
        self.checks.require(Check::SequenceLink, sequence.previous == previous, || {
            let what = format!("it does not name the event before it in {}", of());
            at.fail(Check::SequenceLink, what)
        })
    }

    /// What heartbeats and the end of a run say of the run.
    fn check_counts(&mut self, at: &At<'_>) -> Result<(), Failure> {
        let heartbeat = at.facts.kind == Kind::Heartbeat;
        if !heartbeat && at.facts.kind != Kind::GatewayStopped {
            return Ok(());
        }
        let Some(run) = &mut self.run else { return Ok(()) };
        let told = |name: &str| at.facts.detail(name);
        let Some(recorded) = run.recorded else {
            // From the first word on it, the count goes on.
            run.recorded = told("recorded").and_then(|text| text.parse().ok());
            return Ok(());
        };
        let wrong = |name: &str, expected: Option<u64>| {
            let expected = expected.map(|number| number.to_string());
            let found = told(name);
            (expected.as_deref() != found).then(|| {
                let shown = |text: Option<&str>| text.unwrap_or("nothing").to_owned();
                let (expected, found) = (shown(expected.as_deref()), shown(found));
                format!("`{name}` says {found}, and {expected} is so")
            })
        };
        if let Some(what) = wrong("recorded", Some(recorded)) {
            self.checks.fail(at.fail(Check::Recorded, what))?;
        }
        if run.pruned {
            return Ok(());
        }
        let open = wrong("open_calls", Some(count(run.open_calls())))
            .or_else(|| wrong("oldest_open", run.oldest_open()))
            .or_else(|| {
                heartbeat.then(|| wrong("sequences", Some(count(run.sessions())))).flatten()
            });
        open.map_or(Ok(()), |what| self.checks.fail(at.fail(Check::OpenCounts, what)))
    }

    /// An event about a statement must be about one that is there.
    fn check_statement(&mut self, at: &At<'_>) -> Result<(), Failure> {
        if at.facts.kind != Kind::Key {
            return Ok(());
        }
        let ordinal = at.facts.detail("statement").and_then(|text| text.parse::<u64>().ok());
        let place =
            self.statements.iter().position(|made| Some(made.statement.ordinal) == ordinal).filter(
                |place| {
                    let made = self.statements.get(*place);
                    let hash = made.map(|made| Hash::of(&made.bytes).to_string());
                    hash.as_deref() == at.facts.detail("sha256")
                },
            );
        self.checks.require(Check::KeyEvents, place.is_some(), || {
            let what = "the statement about keys that the event tells of is not there as it was";
            at.fail(Check::KeyEvents, what)
        })?;
        if let Some(told) = place.and_then(|place| self.told.get_mut(place)) {
            *told = true;
        }
        Ok(())
    }

    /// Notes when a gateway was silent for long.
    fn listen(&mut self, at: &At<'_>) {
        let Some(run) = &mut self.run else { return };
        if !matches!(at.facts.kind, Kind::Heartbeat | Kind::GatewayStopped) {
            return;
        }
        let now = at.facts.monotonic_us;
        if let (Some(seconds), Some((before, index))) = (run.heartbeat_s, run.beat) {
            let silent = now.saturating_sub(before) / 1_000_000;
            if seconds.saturating_mul(SILENCE_BEATS) < silent && self.remarks.len() < REMARKS_MAX {
                self.remarks.push(format!(
                    "the gateway was silent for {silent} s between entries {index} and {}, with a \
                     heartbeat due every {seconds} s",
                    at.index
                ));
            }
        }
        run.beat = Some((now, at.index));
    }

    fn record(&mut self, at: &At<'_>) {
        if let (Kind::CallInDoubt, Some(call)) = (at.facts.kind, at.facts.call) {
            self.left.remove(&call);
        }
        let stopped = at.facts.kind == Kind::GatewayStopped;
        self.in_order = stopped;
        if let Some(run) = &mut self.run {
            let which = run.which(at.facts);
            run.take(which, at.facts, (at.index, at.leaf));
            run.ended = stopped;
        }
    }
}

fn count(number: usize) -> u64 {
    crate::segment::u64_from(number)
}

/// How many heartbeats may be left out before it is told.
const SILENCE_BEATS: u64 = 3;
/// How many silences are told.
const REMARKS_MAX: usize = 20;
