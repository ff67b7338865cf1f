//! What the log holds: read back as events, verified, and put together call by call.

use audit::{Follower, Row};
use event::{Event, Kind, Outcome, Status};
use std::path::Path;
use verify::{Directory, EventCounts, Options};

/// The events of a log.
#[derive(Debug)]
pub(crate) struct Trail {
    pub(crate) rows: Vec<Row>,
}

/// What is on record of one call.
#[derive(Debug)]
pub(crate) struct Call<'t> {
    pub(crate) asked: &'t Event,
    pub(crate) end: Option<&'t Event>,
}

impl Trail {
    /// Everything that is there.
    pub(crate) fn read(directory: &Path) -> Self {
        let mut follower = Follower::open(directory, 0).unwrap();
        let mut rows = Vec::new();
        while let Some(row) = follower.next_row().unwrap() {
            rows.push(row);
        }
        Self { rows }
    }

    /// The calls of this method that were passed on, in their order.
    pub(crate) fn calls(&self, method: &str) -> Vec<Call<'_>> {
        let asked = self.of(Kind::CallAsked);
        asked
            .filter(|event| event.resource.as_ref().unwrap().method == method)
            .map(|asked| Call {
                asked,
                end: self.of(Kind::CallAnswered).find(|e| e.call == asked.call),
            })
            .collect()
    }

    /// The one call of this method that was passed on.
    pub(crate) fn call(&self, method: &str) -> Call<'_> {
        let mut calls = self.calls(method);
        assert_eq!(calls.len(), 1, "{method}: {:#?}", self.rows);
        calls.remove(0)
    }

    /// The refusals, in their order.
    pub(crate) fn refusals(&self) -> Vec<&Event> {
        self.of(Kind::CallRefused).collect()
    }

    /// The one refusal.
    pub(crate) fn refusal(&self) -> &Event {
        let refusals = self.refusals();
        assert_eq!(refusals.len(), 1, "{:#?}", self.rows);
        refusals[0]
    }

    /// Whether every call that was passed on has its end on record.
    pub(crate) fn is_settled(&self) -> bool {
        self.of(Kind::CallAsked).count() == self.of(Kind::CallAnswered).count()
    }

    /// Whether nothing happened in a session after its end, and every session has one.
    pub(crate) fn sessions_ended(&self) -> bool {
        self.of(Kind::CallAsked).filter_map(|asked| asked.session.as_ref()).all(|session| {
            let last = |kind| {
                let of_session = |row: &&Row| row.event.session.as_ref() == Some(session);
                let mut rows = self.rows.iter().rev().filter(of_session);
                rows.find(|row| row.event.kind == kind).map(|row| row.index)
            };
            last(Kind::CallAsked) < last(Kind::SessionEnded)
        })
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Event> {
        self.rows.iter().map(|row| &row.event).filter(move |event| event.kind == kind)
    }
}

impl Call<'_> {
    pub(crate) fn outcome(&self) -> &Outcome {
        let end = self.end.unwrap_or_else(|| panic!("no end on record: {:#?}", self.asked));
        end.outcome.as_ref().unwrap()
    }

    pub(crate) fn status(&self) -> Status {
        self.outcome().status
    }
}

/// Why a call was refused, as recorded.
pub(crate) fn reason(refused: &Event) -> &str {
    &refused.refusal.as_ref().unwrap().reason
}

/// The log verifies whole.
pub(crate) fn verify(directory: &Path) -> EventCounts {
    let verified = verify::verify(&Directory::new(directory), &Options::default(), &mut ());
    verified.unwrap().counts.unwrap()
}

/// Whether any file of the log holds this text.
pub(crate) fn mentions(directory: &Path, text: &str) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return mentions(&path, text);
        }
        let bytes = std::fs::read(&path).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}
