//! Whether anything is missing: every event must stand where its sequence says, and every run must begin,
//! count and end as runs do. Takes events in the order of the log, and holds only what is open.

use crate::ledger::{Ledger, Place};
use event::{Event, Kind, LeafHash, Sequence};

/// The runs of a log while it is read from its beginning.
#[derive(Debug, Default)]
pub(crate) struct Completeness {
    run: Option<Run>,
    /// The last event, before there were sequences or since.
    last: Option<Kind>,
}

#[derive(Debug)]
struct Run {
    ledger: Ledger,
    /// The run before broke off, and this one must say so.
    recovers: bool,
}

impl Completeness {
    /// Takes the next event, with the leaf hash of its entry. `Err` says what is expected, and what is
    /// there.
    pub(crate) fn take(&mut self, index: u64, event: &Event, leaf: LeafHash) -> Result<(), String> {
        match (&event.sequence, &self.run) {
            // Written before there were sequences.
            (None, None) => {}
            (None, Some(run)) => {
                return Err(format!("expected an event of run {}, found no sequence", run.id()));
            }
            (Some(found), _) => self.take_sequenced(index, event, (found, leaf))?,
        }
        self.last = Some(event.kind);
        Ok(())
    }

    fn take_sequenced(
        &mut self,
        index: u64,
        event: &Event,
        (found, leaf): (&Sequence, LeafHash),
    ) -> Result<(), String> {
        if self.run.as_ref().is_none_or(|run| run.ledger.run() != found.run) {
            self.run = Some(Run::begin(event, found, self.last)?);
        } else if self.last == Some(Kind::GatewayStopped) {
            let run = found.run;
            return Err(format!(
                "run {run} ended with `gateway.stopped`, found one more event of it"
            ));
        }
        let Some(run) = &mut self.run else { return Ok(()) };
        run.check_order(event)?;
        let place = run.ledger.place(event);
        check_place(&place, found)?;
        if matches!(event.kind, Kind::GatewayStopped | Kind::LogHeartbeat) {
            run.check_counts(event)?;
        }
        run.ledger.take(place, event, (index, leaf));
        Ok(())
    }
}

impl Run {
    /// A run whose first event this must be.
    fn begin(event: &Event, found: &Sequence, last: Option<Kind>) -> Result<Self, String> {
        let run = found.run;
        if event.kind != Kind::GatewayStarted || event.id.0 != run {
            let kind = event.kind.as_str();
            return Err(format!(
                "run {run} does not begin with its `gateway.started` but `{kind}`"
            ));
        }
        let recovers = last.is_some_and(|last| last != Kind::GatewayStopped);
        Ok(Self { ledger: Ledger::new(run), recovers })
    }

    fn id(&self) -> String {
        self.ledger.run().to_string()
    }

    fn check_order(&self, event: &Event) -> Result<(), String> {
        let (run, recorded) = (self.id(), self.ledger.recorded());
        match event.kind {
            Kind::GatewayStarted if recorded > 0 => {
                Err(format!("run {run} begins twice, with its event number {recorded}"))
            }
            Kind::LogRecovered if recorded != 1 || !self.recovers => Err(format!(
                "`log.recovered` is expected as event number 1 of a run after one that broke off, \
                 found as number {recorded} of run {run}"
            )),
            kind if self.recovers && recorded == 1 && kind != Kind::LogRecovered => Err(format!(
                "the run before {run} broke off: expected `log.recovered`, found `{}`",
                kind.as_str()
            )),
            Kind::CallAnswered if event.call.is_some_and(|call| !self.ledger.is_open(call)) => {
                Err(format!("a call that was not asked in run {run} is answered in it"))
            }
            _ => Ok(()),
        }
    }

    /// What heartbeats and the end of a run say must be so.
    fn check_counts(&self, event: &Event) -> Result<(), String> {
        let ledger = &self.ledger;
        let expected = [
            ("open_calls", Some(ledger.open_calls())),
            ("oldest_open", ledger.oldest_open()),
            ("recorded", Some(ledger.recorded())),
            ("sequences", (event.kind == Kind::LogHeartbeat).then(|| ledger.sequences())),
        ];
        for (key, expected) in expected {
            let expected = shown(expected.map(|count| count.to_string()).as_ref());
            let found = shown(event.details.get(key));
            if expected != found {
                let (kind, run) = (event.kind.as_str(), self.id());
                return Err(format!(
                    "`{kind}` of run {run}: expected `{key}` {expected}, found {found}"
                ));
            }
        }
        Ok(())
    }
}

fn check_place(place: &Place, found: &Sequence) -> Result<(), String> {
    let expected = &place.sequence;
    if expected == found {
        return Ok(());
    }
    let which = match place.session() {
        Some(session) => format!("sequence of session `{session}` in run {}", expected.run),
        None => format!("sequence of run {}", expected.run),
    };
    let shown = |sequence: &Sequence| {
        let after = sequence.previous.map_or("nothing".to_owned(), |hash| hash.to_string());
        format!("number {} after {after}", sequence.n)
    };
    Err(format!("{which}: expected {}, found {}", shown(expected), shown(found)))
}

fn shown(value: Option<&String>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| format!("`{value}`"))
}
