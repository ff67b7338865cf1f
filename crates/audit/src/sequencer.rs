//! One order for everything that goes into the log: numbers events and hands them over in that order.
//! When the log refuses what it had taken in, the numbers are taken back too. It knows no clock and makes
//! no events.

use crate::ledger::{Ledger, Undo};
use crate::recorder::Unavailable;
use event::{Draft, Event, Kind, LeafHash};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use tlog::{Committed, Entry, Error, Log, Pending, Urgency};
use uuid::Uuid;

/// The state of the one writer of a log. Held under one lock.
#[derive(Debug, Default)]
pub(crate) struct Sequencer {
    ledger: Option<Ledger>,
    /// Index that the next entry gets.
    next: u64,
    /// What the log has taken in and may still refuse, in order: no longer than what waits there.
    outstanding: VecDeque<Outstanding>,
    /// Sessions that are over and whose end is not on record yet.
    due: VecDeque<Arc<str>>,
    pub(crate) phase: Phase,
    /// Why calls must wait.
    pub(crate) suspended: Option<String>,
    /// What is in the log does not follow from what was handed over; nothing more is.
    out_of_step: bool,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Everything may be recorded.
    #[default]
    Open,
    /// Only what an earlier run left is recorded.
    Recovering,
    /// The last event is recorded.
    Ended,
}

#[derive(Debug)]
struct Outstanding {
    index: u64,
    answer: Arc<Answer>,
    undo: Undo,
}

/// The answer of the log to one entry, when it is there.
#[derive(Debug)]
pub(crate) struct Ticket {
    index: u64,
    answer: Arc<Answer>,
}

/// Shared by who waits and the sequencer, which must know it even if nobody waits any more.
#[derive(Debug)]
struct Answer(Mutex<State>);

#[derive(Debug)]
enum State {
    /// The log has not answered; `waiting` is to be woken when it does.
    Awaited { pending: Pending, waiting: Option<Waker> },
    /// It has; the answer itself is for who waits.
    Known(Outcome, Option<Result<Committed, Error>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// At this index.
    Committed(u64),
    Refused,
}

impl Sequencer {
    /// A new run of this name, on what the log has now.
    pub(crate) fn begin(&mut self, run: Uuid, log: &Log) -> Result<(), Unavailable> {
        self.settle(log)?;
        if self.ledger.as_ref().is_some_and(|ledger| ledger.recorded() > 0) {
            return Err(Unavailable::Misplaced("this run has begun already"));
        }
        self.next = log.tip().size;
        self.ledger = Some(Ledger::new(run));
        Ok(())
    }

    /// What the run has on record.
    pub(crate) fn ledger(&self) -> Result<&Ledger, Unavailable> {
        self.ledger.as_ref().ok_or(NOT_BEGUN)
    }

    /// Numbers an event and hands it to the log. Nothing has changed when that fails.
    ///
    /// Encoding and hashing are done here, under the lock, because they must be: an event holds the
    /// hash of the one before it in its sequence, so that one must be encoded, with its own number and
    /// link, before this one can be; and the log must get both in that order. What does not depend on
    /// the order, nearly all of the encoding, is in the draft.
    pub(crate) fn enter(
        &mut self,
        log: &Log,
        event: &Event,
        draft: Draft,
    ) -> Result<Ticket, Unavailable> {
        self.enter_as(log, event, draft, Urgency::Now)
    }

    /// As [`Sequencer::enter`]; says whether the log may take a little time with it.
    pub(crate) fn enter_as(
        &mut self,
        log: &Log,
        event: &Event,
        draft: Draft,
        urgency: Urgency,
    ) -> Result<Ticket, Unavailable> {
        self.settle(log)?;
        self.append(log, event, draft, urgency)
    }

    /// As [`Sequencer::enter`], for an event that tells how far the run is.
    pub(crate) fn enter_telling(
        &mut self,
        log: &Log,
        tell: impl FnOnce(&Ledger) -> Event,
    ) -> Result<Ticket, Unavailable> {
        self.settle(log)?;
        let event = tell(self.ledger()?);
        self.append(log, &event, event.draft()?, Urgency::Now)
    }

    fn append(
        &mut self,
        log: &Log,
        event: &Event,
        draft: Draft,
        urgency: Urgency,
    ) -> Result<Ticket, Unavailable> {
        let ledger = self.ledger.as_mut().ok_or(NOT_BEGUN)?;
        fits(ledger, event)?;
        let place = ledger.place(event);
        let entry = Entry::from(draft.at(&place.sequence)?);
        let leaf = LeafHash(*entry.leaf_hash().as_bytes());
        let pending = log.submit_as(entry, urgency)?;
        let index = self.next;
        self.next += 1;
        let undo = ledger.take(place, event, (index, leaf));
        if let Some(session) = undo.session().filter(|session| ledger.is_due(session)) {
            self.due.push_back(Arc::clone(session));
        }
        let answer = Arc::new(Answer(Mutex::new(State::Awaited { pending, waiting: None })));
        self.outstanding.push_back(Outstanding { index, answer: Arc::clone(&answer), undo });
        Ok(Ticket { index, answer })
    }

    /// Notes that a session is over.
    pub(crate) fn end_session(&mut self, session: &str) {
        let Some(ledger) = &mut self.ledger else { return };
        ledger.end_session(session);
        if ledger.is_due(session) {
            self.due.push_back(Arc::from(session));
        }
    }

    /// A session whose end is to be recorded now. It stays until it is.
    pub(crate) fn due(&mut self) -> Option<Arc<str>> {
        while let Some(session) = self.due.front() {
            if self.ledger.as_ref().is_some_and(|ledger| ledger.is_due(session)) {
                return Some(Arc::clone(session));
            }
            self.due.pop_front();
        }
        None
    }

    /// The newest entry for whose answer nobody waits: when it is there, the log has room.
    pub(crate) fn newest(&self) -> Option<Ticket> {
        let unwatched =
            self.outstanding.iter().rev().find(|one| Arc::strong_count(&one.answer) == 1);
        unwatched.map(|one| Ticket { index: one.index, answer: Arc::clone(&one.answer) })
    }

    /// Nothing more can be recorded: the log has another entry where this one was to be.
    pub(crate) fn fall_out_of_step(&mut self) -> Unavailable {
        self.out_of_step = true;
        Unavailable::OutOfStep
    }

    /// Whether the log and the sequences agree.
    pub(crate) fn check(&self) -> Result<(), Unavailable> {
        if self.out_of_step { Err(Unavailable::OutOfStep) } else { Ok(()) }
    }

    /// Lets go of what is committed, and takes back what the log refused after it had taken it in, as
    /// it does when the disk is full.
    fn settle(&mut self, log: &Log) -> Result<(), Unavailable> {
        self.check()?;
        while let Some(oldest) = self.outstanding.front() {
            match oldest.outcome() {
                Some(Outcome::Committed(index)) if index == oldest.index => {}
                Some(Outcome::Committed(_)) => return Err(self.fall_out_of_step()),
                Some(Outcome::Refused) => return self.take_back(log),
                None => return Ok(()),
            }
            self.outstanding.pop_front();
        }
        Ok(())
    }

    /// The oldest entry was refused. Those after it stand on it: when they were refused too, which is
    /// so unless there was room again in that very moment, it is as if none of them had been.
    fn take_back(&mut self, log: &Log) -> Result<(), Unavailable> {
        let outcomes: Vec<_> = self.outstanding.iter().map(Outstanding::outcome).collect();
        if outcomes.iter().any(|outcome| matches!(outcome, Some(Outcome::Committed(_)))) {
            return Err(self.fall_out_of_step());
        }
        if outcomes.contains(&None) {
            return Err(Unavailable::Refused);
        }
        let (Some(ledger), Some(first)) = (&mut self.ledger, self.outstanding.front()) else {
            return Ok(());
        };
        self.next = first.index;
        while let Some(Outstanding { undo, .. }) = self.outstanding.pop_back() {
            let session = undo.session().cloned();
            ledger.undo(undo);
            self.due.extend(session.filter(|session| ledger.is_due(session)));
        }
        if self.next != log.tip().size {
            return Err(self.fall_out_of_step());
        }
        Ok(())
    }
}

impl Outstanding {
    /// What became of the entry, as far as it is known.
    fn outcome(&self) -> Option<Outcome> {
        let mut state = self.answer.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Awaited { pending, waiting } = &mut *state {
            // With the waker of who waits, who would never be woken otherwise.
            let waker = waiting.as_ref().unwrap_or_else(|| Waker::noop());
            let Poll::Ready(answer) = Pin::new(pending).poll(&mut Context::from_waker(waker))
            else {
                return None;
            };
            *state = State::Known(Outcome::of(&answer), Some(answer));
        }
        match &*state {
            State::Known(outcome, _) => Some(*outcome),
            State::Awaited { .. } => None,
        }
    }
}

impl Outcome {
    fn of(answer: &Result<Committed, Error>) -> Self {
        match answer {
            Ok(committed) => Self::Committed(committed.index),
            Err(_) => Self::Refused,
        }
    }
}

impl Ticket {
    /// Index that the entry has if it is committed.
    pub(crate) fn index(&self) -> u64 {
        self.index
    }
}

impl Future for Ticket {
    type Output = Result<Committed, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.answer.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            State::Awaited { pending, waiting } => {
                let polled = Pin::new(pending).poll(context);
                match &polled {
                    Poll::Ready(answer) => *state = State::Known(Outcome::of(answer), None),
                    Poll::Pending => *waiting = Some(context.waker().clone()),
                }
                polled
            }
            State::Known(_, answer) => answer.take().map_or(Poll::Pending, Poll::Ready),
        }
    }
}

/// A call has one question and one answer, and a run begins once: anything else would be in the log for
/// ever.
fn fits(ledger: &Ledger, event: &Event) -> Result<(), Unavailable> {
    if (ledger.recorded() == 0) != (event.kind == Kind::GatewayStarted) {
        return Err(NOT_BEGUN);
    }
    let misplaced = match (event.kind, event.call) {
        (Kind::CallAsked, Some(call)) => ledger.is_open(call),
        (Kind::CallAnswered, Some(call)) => !ledger.is_open(call),
        (Kind::CallAsked | Kind::CallAnswered | Kind::CallRefused, None) => true,
        _ => false,
    };
    if misplaced {
        return Err(Unavailable::Misplaced("a call is asked once and answered once, after that"));
    }
    Ok(())
}

const NOT_BEGUN: Unavailable =
    Unavailable::Misplaced("the first event of a run, and only that, is `gateway.started`");
