//! The way into the log. A receipt means durable; nothing here waits for anything but the log.

use crate::clock::Clock;
use crate::pairing::Pairing;
use event::{CallId, EncodeError, Environment, Event, EventId, Kind, Stamp, Transport};
use std::collections::{BTreeMap, VecDeque};
use tlog::{Error, Log, Pending, Recovered};
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
    index: u64,
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
        self.index
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
}

/// Takes events for one log. Clones share it.
#[derive(Debug, Clone)]
pub struct Recorder {
    log: Log,
    place: Place,
    clock: Clock,
}

impl Recorder {
    /// A recorder for an open log.
    #[must_use]
    pub fn new(log: Log, place: Place, clock: Clock) -> Self {
        Self { log, place, clock }
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

    /// Records an event and returns when it is durable.
    ///
    /// # Errors
    /// When it is not, or nobody can say that it is.
    pub async fn record(&self, event: &Event) -> Result<Receipt, Unavailable> {
        let committed = self.log.submit(event.encode()?)?.await?;
        Ok(Receipt { call: event.call, index: committed.index })
    }

    /// Hands an event to the log, to be durable with the next group commit. When that commit fails, the
    /// log takes nothing more: the next [`Recorder::record`] fails.
    ///
    /// # Errors
    /// When the log does not take it.
    pub fn submit(&self, event: &Event) -> Result<(), Unavailable> {
        drop(self.log.submit(event.encode()?)?);
        Ok(())
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

    /// Whether the log takes events.
    ///
    /// # Errors
    /// Why it does not.
    pub fn health(&self) -> Result<(), Unavailable> {
        Ok(self.log.health()?)
    }

    /// Records what a run before this one left open: that the log was recovered, and each call that was
    /// passed on and of whose end nothing is known. Returns their number.
    ///
    /// # Errors
    /// When the log cannot be read or does not take the records.
    pub async fn recover(&self, recovered: &Recovered) -> Result<usize, Unavailable> {
        if recovered.entries == 0 || self.ended_in_order(recovered.entries)? {
            return Ok(0);
        }
        let mut entries = self.log.reader().entries(0)?;
        let mut pairing = Pairing::default();
        while let Some((index, bytes)) = entries.next_entry()? {
            if let Ok(event) = Event::decode(bytes) {
                // A log that pairs badly is still served; `verify` tells of it.
                pairing.take(index, &event).ok();
            }
        }
        let open = pairing.into_open();
        let details = BTreeMap::from([
            ("bytes_dropped".to_owned(), recovered.bytes_dropped.to_string()),
            ("calls_in_doubt".to_owned(), open.len().to_string()),
            ("entries".to_owned(), recovered.entries.to_string()),
        ]);
        self.notice(Kind::LogRecovered, details).await?;
        let mut waiting = VecDeque::new();
        for (call, asked) in &open {
            let entry = Event::in_doubt(self.stamp(None, None), *call, *asked).encode()?;
            self.submit_when_room(&entry, &mut waiting).await?;
        }
        for pending in waiting {
            pending.await?;
        }
        Ok(open.len())
    }

    /// The last entry of an orderly run says so, and then no call is open.
    fn ended_in_order(&self, entries: u64) -> Result<bool, Unavailable> {
        let last = self.log.reader().entry(entries - 1)?;
        Ok(Event::decode(&last).is_ok_and(|event| event.kind == Kind::GatewayStopped))
    }

    /// Submits an entry; while there is no room, waits for those submitted before.
    async fn submit_when_room(
        &self,
        entry: &[u8],
        waiting: &mut VecDeque<Pending>,
    ) -> Result<(), Unavailable> {
        loop {
            let full = match self.log.submit(entry.to_vec()) {
                Err(full @ Error::QueueFull { .. }) => full,
                submitted => {
                    waiting.push_back(submitted?);
                    return Ok(());
                }
            };
            match waiting.pop_front() {
                Some(oldest) => oldest.await?,
                None => return Err(full.into()),
            };
        }
    }
}
