//! The way into the log. A receipt means durable; nothing here waits for anything but the log.

use crate::clock::Clock;
use crate::ledger::Ledger;
use crate::recovery;
use crate::sequencer::{Phase, Sequencer, Ticket};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use event::{CallId, EncodeError, Environment, Event, EventId, Kind, Stamp, Transport};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tlog::{Committed, Error, Log, Recovered, Urgency};
use uuid::Uuid;

/// Where events say they come from.
#[derive(Debug, Clone)]
pub struct Place {
    /// Name of the gateway.
    pub gateway: String,
    /// Region, when one is configured.
    pub region: Option<String>,
}

/// Proof that an event is durable. Cannot be made outside this crate and cannot be copied.
#[derive(Debug)]
pub struct Receipt {
    call: Option<CallId>,
    committed: Committed,
}

impl Receipt {
    /// The call that the event belongs to.
    #[must_use]
    pub fn call(&self) -> Option<CallId> {
        self.call
    }

    /// Index of the entry in the log.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.committed.index
    }

    /// What the log said when the entry was durable, for those who want to prove it to others.
    #[must_use]
    pub fn committed(&self) -> &Committed {
        &self.committed
    }

    /// The batch receipt in JSON (docs/log-format.md, "Receipts"): all that an outsider with the log's
    /// verifier key needs to check what the log promised.
    #[must_use]
    pub fn to_json(&self) -> String {
        let (committed, batch) = (&self.committed, &self.committed.batch);
        let certified = committed.epoch.lines().next().unwrap_or_default();
        let proof: Vec<String> = committed.proof().iter().map(tlog::Hash::to_base64).collect();
        serde_json::json!({
            "count": batch.count,
            "epoch": &*committed.epoch,
            "first": batch.first,
            "index": committed.index,
            "leaf_hash": committed.leaf_hash.to_base64(),
            "origin": certified.strip_suffix("/epoch/v1").unwrap_or(certified),
            "previous": batch.previous.to_base64(),
            "proof": proof,
            "root": batch.root.to_base64(),
            "signature": STANDARD.encode(batch.signature),
            "size": batch.size,
            "time_ms": batch.time_ms,
        })
        .to_string()
    }
}

/// The log did not take an event: what depends on it must not happen.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// The log refused or failed.
    #[error("audit log: {0}")]
    Log(#[from] Error),
    /// The event cannot be an entry.
    #[error("audit log: {0}")]
    Event(#[from] EncodeError),
    /// Calls have to wait until somebody else says that they may go on.
    #[error("calls are suspended: {reason}")]
    Suspended {
        /// Why.
        reason: String,
    },
    /// The event has no place where it would stand.
    #[error("audit log: {0}")]
    Misplaced(&'static str),
    /// The log refused events that it had taken in, and has yet to answer for some.
    #[error("audit log: entries were refused a moment ago: try again later")]
    Refused,
    /// The log took an event after it had refused the one before it.
    #[error(
        "audit log: the log is out of step with the sequences of events: start the gateway again"
    )]
    OutOfStep,
}

/// Takes events for one log and numbers them, which makes it the only writer. Clones share everything.
///
/// A run begins with [`Recorder::begin`], then [`Recorder::recover`], and ends with [`Recorder::end`].
#[derive(Debug, Clone)]
pub struct Recorder {
    log: Log,
    place: Arc<Place>,
    clock: Clock,
    /// One lock over all sequences. Held while an event is numbered and handed to the log, which takes
    /// some microseconds and waits for nothing.
    sequencer: Arc<Mutex<Sequencer>>,
}

impl Recorder {
    /// A recorder for an open log. It is the only one of that log until it is closed.
    #[must_use]
    pub fn new(log: Log, place: Place, clock: Clock) -> Self {
        Self { log, place: Arc::new(place), clock, sequencer: Arc::default() }
    }

    /// What every event of this recorder says of its origin.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The clock by which events are stamped.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// A new call identifier.
    #[must_use]
    pub fn call_id(&self) -> CallId {
        CallId(Uuid::now_v7())
    }

    /// Identifier and circumstances of a new event, as of now.
    #[must_use]
    pub fn stamp(&self, peer: Option<&str>, transport: Option<Transport>) -> Stamp {
        Stamp {
            id: EventId(Uuid::now_v7()),
            environment: Environment {
                gateway: self.place.gateway.clone(),
                monotonic_us: self.clock.monotonic_us(),
                peer: peer.map(str::to_owned),
                region: self.place.region.clone(),
                time: self.clock.now(),
                transport,
            },
        }
    }

    /// Begins a run: records `gateway.started`, the first event of it. Nothing can be recorded before.
    ///
    /// # Errors
    /// As [`Recorder::record`]; [`Unavailable::Misplaced`] when the run has begun already.
    pub async fn begin(&self, details: BTreeMap<String, String>) -> Result<Receipt, Unavailable> {
        let event = Event::notice(self.stamp(None, None), Kind::GatewayStarted, details);
        let ticket = {
            let mut sequencer = self.lock();
            sequencer.begin(event.id.0, &self.log)?;
            sequencer.enter(&self.log, &event, event.draft()?)?
        };
        self.durable(ticket, None).await
    }

    /// Records what a run before this one left open: that it broke off, and each call that was passed
    /// on and of whose end nothing is known. Returns their number. Comes right after
    /// [`Recorder::begin`], since `log.recovered` is the second event of its run; nothing else can be
    /// recorded meanwhile.
    ///
    /// # Errors
    /// When the log cannot be read or does not take the records; then nothing else is recorded either.
    pub async fn recover(&self, recovered: &Recovered) -> Result<usize, Unavailable> {
        {
            let mut sequencer = self.lock();
            if sequencer.ledger()?.recorded() != 1 || sequencer.phase != Phase::Open {
                return Err(Unavailable::Misplaced("recovery comes right after the first event"));
            }
            sequencer.phase = Phase::Recovering;
        }
        let left = recovery::left_open(&self.log.reader(), recovered.entries)?;
        if !left.in_order {
            let mut details = BTreeMap::from([
                ("bytes_dropped".to_owned(), recovered.bytes_dropped.to_string()),
                ("calls_in_doubt".to_owned(), left.open.len().to_string()),
                ("entries".to_owned(), recovered.entries.to_string()),
            ]);
            if let Some((_, oldest)) = left.open.first() {
                details.insert("oldest_open".to_owned(), oldest.to_string());
            }
            let event = Event::notice(self.stamp(None, None), Kind::LogRecovered, details);
            let ticket = self.lock().enter(&self.log, &event, event.draft()?)?;
            self.durable(ticket, None).await?;
        }
        self.record_in_doubt(&left.open).await?;
        self.lock().phase = Phase::Open;
        Ok(left.open.len())
    }

    /// Records an event and returns when it is durable. Its place in its sequence is given to it here,
    /// whatever it says itself.
    ///
    /// # Errors
    /// When it is not durable, or nobody can say that it is; and what [`Recorder::submit`] refuses.
    pub async fn record(&self, event: &Event) -> Result<Receipt, Unavailable> {
        let ticket = self.enter(event, Urgency::Now)?;
        self.durable(ticket, event.call).await
    }

    /// Hands an event to the log, to be durable with the next commit that somebody waits for, and in any
    /// case soon ([`tlog::Config::linger_ms`]). When that commit fails, it is as if it had not been
    /// handed over.
    ///
    /// # Errors
    /// When the log does not take it; [`Unavailable::Suspended`] for a call that would be passed on;
    /// [`Unavailable::Misplaced`] before the run has begun, after it has ended, for an answer to no
    /// open call, and for kinds that have a method of their own here.
    pub fn submit(&self, event: &Event) -> Result<(), Unavailable> {
        self.enter(event, Urgency::Soon).map(drop)
    }

    /// Records that something happened to the gateway itself.
    ///
    /// # Errors
    /// As [`Recorder::record`].
    pub async fn notice(
        &self,
        kind: Kind,
        details: BTreeMap<String, String>,
    ) -> Result<Receipt, Unavailable> {
        self.record(&Event::notice(self.stamp(None, None), kind, details)).await
    }

    /// Records that a session is over, as the last event of its sequence: at once, or when the last
    /// open call of the sequence is closed. A session of which this run has recorded nothing, or whose
    /// end is on record, has no sequence to end: nothing happens.
    ///
    /// What cannot be recorded now, because too much waits, is recorded as soon as it can.
    pub fn end_session(&self, session: &str) {
        let mut sequencer = self.lock();
        sequencer.end_session(session);
        self.record_ended_sessions(&mut sequencer).ok();
    }

    /// Records `log.heartbeat`: how far this run is.
    ///
    /// # Errors
    /// As [`Recorder::record`].
    pub async fn heartbeat(&self) -> Result<Receipt, Unavailable> {
        let ticket = {
            let mut sequencer = self.lock();
            may_record(&sequencer)?;
            self.record_ended_sessions(&mut sequencer).ok();
            sequencer.enter_telling(&self.log, |ledger| {
                let mut details = counts(ledger);
                details.insert("sequences".to_owned(), ledger.sequences().to_string());
                Event::notice(self.stamp(None, None), Kind::LogHeartbeat, details)
            })?
        };
        self.durable(ticket, None).await
    }

    /// Ends the run: records `gateway.stopped`, the last event of it. Nothing can be recorded after.
    ///
    /// # Errors
    /// As [`Recorder::record`].
    pub async fn end(&self) -> Result<Receipt, Unavailable> {
        let ticket = self
            .when_room(|sequencer| {
                may_record(sequencer)?;
                // Sessions whose ends found no room before.
                self.record_ended_sessions(sequencer)?;
                let ticket = sequencer.enter_telling(&self.log, |ledger| {
                    Event::notice(self.stamp(None, None), Kind::GatewayStopped, counts(ledger))
                })?;
                sequencer.phase = Phase::Ended;
                Ok(ticket)
            })
            .await?;
        self.durable(ticket, None).await
    }

    /// Refuses calls from now on, for this reason. What the gateway itself does and the ends of calls
    /// that were passed on are still recorded, and so are refusals.
    pub fn suspend(&self, reason: &str) {
        self.lock().suspended = Some(reason.to_owned());
    }

    /// Takes calls again.
    pub fn resume(&self) {
        self.lock().suspended = None;
    }

    /// Whether calls can be recorded.
    ///
    /// # Errors
    /// Why not.
    pub fn health(&self) -> Result<(), Unavailable> {
        {
            let sequencer = self.lock();
            sequencer.check()?;
            check_suspended(&sequencer)?;
        }
        Ok(self.log.health()?)
    }

    fn enter(&self, event: &Event, urgency: Urgency) -> Result<Ticket, Unavailable> {
        if OWN.contains(&event.kind) {
            return Err(Unavailable::Misplaced("events of this kind are recorded by other means"));
        }
        let draft = event.draft()?;
        let mut sequencer = self.lock();
        may_record(&sequencer)?;
        if event.kind == Kind::CallAsked {
            check_suspended(&sequencer)?;
        }
        let ticket = sequencer.enter_as(&self.log, event, draft, urgency)?;
        self.record_ended_sessions(&mut sequencer).ok();
        Ok(ticket)
    }

    /// Waits until an entry is durable, at the place where it was meant to be.
    async fn durable(&self, ticket: Ticket, call: Option<CallId>) -> Result<Receipt, Unavailable> {
        let index = ticket.index();
        let committed = ticket.await?;
        if committed.index != index {
            return Err(self.lock().fall_out_of_step());
        }
        Ok(Receipt { call, committed })
    }

    /// Records the ends of sessions that are due, as far as there is room; `Err` says why not all.
    fn record_ended_sessions(&self, sequencer: &mut Sequencer) -> Result<(), Unavailable> {
        while let Some(session) = sequencer.due() {
            let event = Event::session_ended(self.stamp(None, None), session.to_string());
            drop(sequencer.enter(&self.log, &event, event.draft()?)?);
        }
        Ok(())
    }

    async fn record_in_doubt(&self, open: &[(CallId, u64)]) -> Result<(), Unavailable> {
        let Some(((last, last_asked), others)) = open.split_last() else { return Ok(()) };
        let in_doubt = |sequencer: &mut Sequencer, call: CallId, asked: u64| {
            let event = Event::in_doubt(self.stamp(None, None), call, asked);
            sequencer.enter(&self.log, &event, event.draft()?)
        };
        for (call, asked) in others {
            drop(self.when_room(|sequencer| in_doubt(sequencer, *call, *asked)).await?);
        }
        // Those before it are durable when it is, in its place.
        let last = self.when_room(|sequencer| in_doubt(sequencer, *last, *last_asked)).await?;
        self.durable(last, None).await.map(drop)
    }

    /// Tries until the log has room, after it has written what it has.
    async fn when_room<T>(
        &self,
        attempt: impl Fn(&mut Sequencer) -> Result<T, Unavailable>,
    ) -> Result<T, Unavailable> {
        loop {
            let newest = {
                let mut sequencer = self.lock();
                match attempt(&mut sequencer) {
                    Err(full @ Unavailable::Log(Error::QueueFull { .. })) => {
                        sequencer.newest().ok_or(full)?
                    }
                    done => return done,
                }
            };
            newest.await?;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sequencer> {
        self.sequencer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn may_record(sequencer: &Sequencer) -> Result<(), Unavailable> {
    match sequencer.phase {
        Phase::Open => Ok(()),
        Phase::Recovering => Err(Unavailable::Misplaced("the log is being recovered")),
        Phase::Ended => Err(Unavailable::Misplaced("this run has ended")),
    }
}

fn check_suspended(sequencer: &Sequencer) -> Result<(), Unavailable> {
    match &sequencer.suspended {
        Some(reason) => Err(Unavailable::Suspended { reason: reason.clone() }),
        None => Ok(()),
    }
}

/// How far a run is, for its heartbeats and its end.
fn counts(ledger: &Ledger) -> BTreeMap<String, String> {
    let mut details = BTreeMap::from([
        ("open_calls".to_owned(), ledger.open_calls().to_string()),
        ("recorded".to_owned(), ledger.recorded().to_string()),
    ]);
    if let Some(oldest) = ledger.oldest_open() {
        details.insert("oldest_open".to_owned(), oldest.to_string());
    }
    details
}

/// Kinds that tell what the recorder itself knows.
const OWN: [Kind; 6] = [
    Kind::CallInDoubt,
    Kind::GatewayStarted,
    Kind::GatewayStopped,
    Kind::LogHeartbeat,
    Kind::LogRecovered,
    Kind::SessionEnded,
];
