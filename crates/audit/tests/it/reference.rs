//! The rule of sequences once more, as `docs/event-format.md` has it, as plainly as it can be written and
//! as slowly: every event looks at all before it.

use event::{Event, Kind, LeafHash, Sequence};
use uuid::Uuid;

/// A sequence: its run, and for one of a session the place of its first event.
type Name = (Uuid, Option<usize>);

/// The events with the sequences and references that they must have in this order. Runs stay as the
/// events say.
pub(crate) fn relinked(events: &[Event]) -> Vec<Event> {
    let mut names: Vec<Name> = Vec::new();
    let mut new: Vec<Event> = Vec::new();
    for (at, event) in events.iter().enumerate() {
        let run = event.sequence.unwrap().run;
        let name = (run, first_of(&new, &names, at, event));
        let mut before = (0..at).filter(|earlier| names[*earlier] == name);
        let sequence = Sequence {
            n: u64::try_from(before.clone().count()).unwrap(),
            previous: before.next_back().map(|last| leaf(&new[last])),
            run,
        };
        let asked = event.asked.map(|_| {
            let asked = new.iter().position(|e| e.kind == Kind::CallAsked && e.call == event.call);
            u64::try_from(asked.unwrap()).unwrap()
        });
        let mut event = Event { sequence: Some(sequence), asked, ..event.clone() };
        if event.kind != Kind::LogRecovered
            && let Some(oldest) = event.details.get_mut("oldest_open")
        {
            let open = (0..at).find(|k| names[*k].0 == run && is_open(&new, *k));
            *oldest = open.unwrap().to_string();
        }
        new.push(event);
        names.push(name);
    }
    new
}

/// Whether this is a question without an answer.
fn is_open(events: &[Event], at: usize) -> bool {
    let call = events[at].call;
    events[at].kind == Kind::CallAsked && events[at + 1..].iter().all(|event| event.call != call)
}

/// The leaf hash of an event's entry.
pub(crate) fn leaf(event: &Event) -> LeafHash {
    LeafHash(*tlog::leaf_hash(&event.encode().unwrap()).as_bytes())
}

fn first_of(new: &[Event], names: &[Name], at: usize, event: &Event) -> Option<usize> {
    let run = event.sequence.unwrap().run;
    let is_over = |first: usize| {
        (0..at).any(|k| names[k] == (run, Some(first)) && new[k].kind == Kind::SessionEnded)
    };
    // The sequence of this session that has begun in this run and has not ended.
    let begun = || {
        let firsts = (0..at).filter(|k| names[*k] == (run, Some(*k)));
        firsts.filter(|k| new[*k].session == event.session).find(|k| !is_over(*k))
    };
    match event.kind {
        Kind::CallAnswered | Kind::CallInDoubt => {
            let question = (0..at).find(|k| {
                names[*k].0 == run && new[*k].kind == Kind::CallAsked && new[*k].call == event.call
            })?;
            names[question].1.filter(|first| !is_over(*first))
        }
        Kind::CallRefused => event.session.as_ref().and_then(|_| begun()),
        _ => event.session.as_ref().map(|_| begun().unwrap_or(at)),
    }
}
