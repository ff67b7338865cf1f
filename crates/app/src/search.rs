//! `countersign search`: reads a log and puts the records of each call together.

use crate::cli::{DecisionArgument, Search};
use crate::progress::Progress;
use crate::{chain, output, table};
use anyhow::{Context as _, bail};
use audit::{FollowError, Follower, Row};
use event::{CallId, Event, Kind, Outcome, Time};
use std::collections::HashMap;
use std::collections::VecDeque;
use std::process::ExitCode;

/// Entries between two looks at the clock.
const PROGRESS_EVERY: u64 = 4_096;

/// Digits of a call id that tell it from others well enough.
const CALL_DIGITS_MIN: usize = 6;

/// What is on record of one call, or one event of the gateway itself.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Index of the first entry.
    pub(crate) index: u64,
    /// `call.asked`, `call.refused`, or an event of the gateway itself.
    pub(crate) event: Event,
    /// The entry that tells its end, and its index.
    pub(crate) end: Option<(u64, Event)>,
}

impl Record {
    /// What came out: the status, `refused`, `in-doubt`, or nothing yet.
    pub(crate) fn outcome_word(&self) -> &'static str {
        match (&self.event.kind, &self.end) {
            (Kind::CallRefused, _) => "refused",
            (_, Some((_, end))) if end.kind == Kind::CallInDoubt => "in-doubt",
            (_, Some((_, end))) => end.outcome.as_ref().map_or("", |o| o.status.as_str()),
            (Kind::CallAsked, None) => "open",
            _ => "",
        }
    }

    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.end.as_ref().and_then(|(_, end)| end.outcome.as_ref())
    }

    pub(crate) fn is_call(&self) -> bool {
        self.event.call.is_some()
    }
}

pub(crate) fn run(arguments: &Search) -> anyhow::Result<ExitCode> {
    let filter = Filter::new(arguments, audit::Clock::start().now())?;
    let mut follower = Follower::open(&arguments.log, 0)?;
    let records = match &arguments.chain {
        Some(call) => {
            let all = read(&mut follower, |event| event.call.is_some())?;
            let chain = chain::of(all, |record| is_call(&record.event, call));
            chain.into_iter().filter(|record| filter.may_match(&record.event)).collect()
        }
        None => read(&mut follower, |event| filter.may_match(event))?,
    };
    let mut found: VecDeque<Record> = VecDeque::new();
    for record in records.into_iter().filter(|record| filter.matches(record)) {
        found.push_back(record);
        if arguments.limit.is_some_and(|limit| found.len() > limit) {
            found.pop_front();
        }
    }
    if arguments.json {
        for record in &found {
            output::line(as_json(record)?)?;
        }
    } else if found.is_empty() {
        output::line("nothing found")?;
    } else {
        output::line(table::calls(found.make_contiguous()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads everything that is there, and joins answers to their questions.
pub(crate) fn read(
    follower: &mut Follower,
    wanted: impl Fn(&Event) -> bool,
) -> anyhow::Result<Vec<Record>> {
    let mut records: Vec<Record> = Vec::new();
    let mut by_call: HashMap<CallId, usize> = HashMap::new();
    let mut progress = Progress::new("reading");
    loop {
        if follower.cursor().is_multiple_of(PROGRESS_EVERY) {
            progress.show(follower.cursor(), None);
        }
        let Row { index, event } = match follower.next_row() {
            Ok(Some(row)) => row,
            Ok(None) => {
                progress.end();
                return Ok(records);
            }
            Err(FollowError::Entry { index, reason }) => {
                output::note(format_args!("entry {index} is left out: {reason}"));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        match (event.kind, event.call) {
            (Kind::CallAnswered | Kind::CallInDoubt, Some(call)) => {
                let record = by_call.remove(&call).and_then(|at| records.get_mut(at));
                if let Some(record) = record {
                    record.end = Some((index, event));
                }
            }
            (_, call) if wanted(&event) => {
                if let (Kind::CallAsked, Some(call)) = (event.kind, call) {
                    by_call.insert(call, records.len());
                }
                records.push(Record { index, event, end: None });
            }
            _ => {}
        }
    }
}

/// The filters of one search.
struct Filter<'a> {
    arguments: &'a Search,
    since: Option<Time>,
    until: Option<Time>,
}

impl<'a> Filter<'a> {
    fn new(arguments: &'a Search, now: Time) -> anyhow::Result<Self> {
        let time = |text: &Option<String>, name: &str| {
            let time = text.as_deref().map(|t| moment(t, now).with_context(|| name.to_owned()));
            time.transpose()
        };
        let hex = |c: char| c.is_ascii_hexdigit() || c == '-';
        if let Some(call) = arguments.call.as_ref().or(arguments.chain.as_ref())
            && (call.len() < CALL_DIGITS_MIN || !call.chars().all(hex))
        {
            bail!(
                "--call, --chain: `{call}` is neither a call id nor the last {CALL_DIGITS_MIN} digits of one"
            );
        }
        if let Some(outcome) = arguments.outcome.as_deref().filter(|o| !is_outcome(o)) {
            bail!("--outcome: `{outcome}` is none of {}", outcome_words().join(", "));
        }
        Ok(Self {
            arguments,
            since: time(&arguments.since, "--since")?,
            until: time(&arguments.until, "--until")?,
        })
    }

    /// What can be told before the end of the call is known.
    fn may_match(&self, event: &Event) -> bool {
        let Search { actor, server, method, tool, all, call, .. } = self.arguments;
        let time = event.environment.time;
        let resource = event.resource.as_ref();
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        (event.call.is_some() || *all)
            && self.since.is_none_or(|since| since <= time)
            && self.until.is_none_or(|until| time < until)
            && call.as_ref().is_none_or(|wanted| is_call(event, wanted))
            && is(actor, event.actor.as_ref().map(|a| a.id.as_str()))
            && is(server, resource.map(|r| r.server.as_str()))
            && is(method, resource.map(|r| r.method.as_str()))
            && tool.as_ref().is_none_or(|t| resource.is_some_and(|r| r.names.contains(t)))
            && self.arguments.decision.is_none_or(|wanted| decided(event) == Some(wanted))
    }

    fn matches(&self, record: &Record) -> bool {
        let Some(wanted) = self.arguments.outcome.as_deref() else { return true };
        let class = record.outcome().map(|o| class_word(o.class));
        record.outcome_word() == wanted || class == Some(wanted)
    }
}

/// Whether an event belongs to the call whose id is, or ends in, `wanted`.
fn is_call(event: &Event, wanted: &str) -> bool {
    event.call.is_some_and(|call| call.to_string().ends_with(&wanted.to_ascii_lowercase()))
}

fn decided(event: &Event) -> Option<DecisionArgument> {
    match event.kind {
        Kind::CallAsked => Some(DecisionArgument::Permit),
        Kind::CallRefused => Some(DecisionArgument::Forbid),
        _ => None,
    }
}

fn class_word(class: event::OutcomeClass) -> &'static str {
    match class {
        event::OutcomeClass::Anomaly => "anomaly",
        event::OutcomeClass::Failure => "failure",
        event::OutcomeClass::Success => "success",
    }
}

fn outcome_words() -> Vec<&'static str> {
    let mut words = vec!["success", "failure", "anomaly", "refused", "in-doubt", "open"];
    words.extend(event::Status::ALL.iter().map(|status| status.as_str()));
    words
}

fn is_outcome(word: &str) -> bool {
    outcome_words().contains(&word)
}

/// A time as RFC 3339, or an age: a number and `s`, `m`, `h` or `d`.
fn moment(text: &str, now: Time) -> anyhow::Result<Time> {
    if let Some(time) = Time::parse(text) {
        return Ok(time);
    }
    let Some(age_us) = age_us(text) else {
        bail!("`{text}` is neither RFC 3339 nor an age such as 15m, 2h or 7d");
    };
    Ok(Time::from_unix_us(now.unix_us().saturating_sub(age_us)))
}

/// Microseconds of an age: digits and one unit, no sign.
fn age_us(text: &str) -> Option<i64> {
    let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    let (digits, seconds) =
        units.into_iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))?;
    let count: i64 = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
    Some(count.saturating_mul(seconds).saturating_mul(1_000_000))
}

fn as_json(record: &Record) -> anyhow::Result<serde_json::Value> {
    let mut value = serde_json::to_value(&record.event)?;
    let (Some(object), end) = (value.as_object_mut(), &record.end) else {
        bail!("an event is not an object");
    };
    object.insert("entry".to_owned(), record.index.into());
    if let Some((index, end)) = end {
        object.insert("end_entry".to_owned(), (*index).into());
        object.insert("end_kind".to_owned(), end.kind.as_str().into());
        object.insert("outcome".to_owned(), serde_json::to_value(&end.outcome)?);
        object.insert("end_payload".to_owned(), serde_json::to_value(end.payload)?);
        object.insert("end_time".to_owned(), serde_json::to_value(end.environment.time)?);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::moment;
    use event::Time;

    #[test]
    fn times_are_rfc_3339_or_ages() {
        let now = Time::from_unix_us(10_000_000_000);
        assert_eq!(moment("1h", now).unwrap(), Time::from_unix_us(6_400_000_000));
        assert_eq!(moment("1970-01-01T00:00:01Z", now).unwrap(), Time::from_unix_us(1_000_000));
        for bad in ["", "h", "1", "yesterday", "1w", "1.5h", "5mm", "-5m", "+5m"] {
            assert!(moment(bad, now).unwrap_err().to_string().contains("neither"), "{bad}");
        }
    }

    /// Of all texts of up to four characters, those that are digits and a unit are ages.
    #[test]
    fn every_short_text_is_an_age_or_none() {
        let now = Time::from_unix_us(10_000_000_000);
        let mut texts = vec![String::new()];
        let mut from = 0;
        for _ in 0..4 {
            let until = texts.len();
            for place in from..until {
                let longer = "09smhdSZ-+. \u{e9}".chars().map(|c| format!("{}{c}", texts[place]));
                let longer: Vec<String> = longer.collect();
                texts.extend(longer);
            }
            from = until;
        }
        for text in texts {
            let mut digits: Vec<char> = text.chars().collect();
            let seconds = match digits.pop() {
                Some('s') => 1,
                Some('m') => 60,
                Some('h') => 3_600,
                Some('d') => 86_400,
                _ => 0,
            };
            let is_age = 0 < seconds
                && !digits.is_empty()
                && digits.iter().all(|digit| matches!(digit, '0' | '9'));
            let count = digits.iter().fold(0, |sum, c| sum * 10 + if *c == '9' { 9 } else { 0 });
            let wanted = is_age.then(|| Time::from_unix_us((10_000 - count * seconds) * 1_000_000));
            assert_eq!(moment(&text, now).ok(), wanted, "{text}");
        }
    }
}
