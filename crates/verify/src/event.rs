//! The verifier's own reading of an event: what completeness needs of it, from
//! bytes in canonical form (`docs/event-format.md`).
//!
//! Knows nothing of other events.

use crate::canonical::{Json, NotCanonical};
use note::Hash;

/// What an event says of its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) id: u128,
    pub(crate) kind: Kind,
    pub(crate) call: Option<u128>,
    pub(crate) asked: Option<u64>,
    pub(crate) session: Option<Box<str>>,
    pub(crate) sequence: Option<Sequence>,
    /// Since the start of the run.
    pub(crate) monotonic_us: u64,
    /// Of the gateway's own events.
    pub(crate) details: Vec<(Box<str>, Box<str>)>,
}

/// Where an event stands in its sequence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) n: u64,
    pub(crate) previous: Option<Hash>,
    pub(crate) run: u128,
}

/// The kinds of which something has to be so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    CallAsked,
    CallAnswered,
    CallInDoubt,
    CallRefused,
    GatewayStarted,
    GatewayStopped,
    SessionEnded,
    Heartbeat,
    Recovered,
    /// `key.…`: it tells of a statement.
    Key,
    Timestamped,
    #[default]
    Other,
}

/// Why an entry is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FormError {
    /// Which byte of the entry.
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

impl Facts {
    /// Reads an entry.
    pub(crate) fn read(entry: &[u8]) -> Result<Self, FormError> {
        let text = str::from_utf8(entry)
            .map_err(|error| FormError { at: error.valid_up_to(), what: "it is not UTF-8" })?;
        let (mut facts, mut seen) = (Self::default(), Seen::default());
        let mut json = Json::new(text);
        json.object(&mut |key, json| facts.field(key, json, &mut seen))
            .and_then(|()| json.end())
            .map_err(|NotCanonical { at, what }| FormError { at, what })?;
        let missing = |what| Err(FormError { at: 0, what });
        match (seen.version, seen.id, seen.kind) {
            (Some(1), true, true) => Ok(facts),
            (Some(1), ..) => missing("the event has no id or no kind"),
            (Some(_), ..) => missing("the event is of a later version than this program knows"),
            (None, ..) => missing("the event has no version"),
        }
    }

    /// The value of a detail.
    pub(crate) fn detail(&self, name: &str) -> Option<&str> {
        self.details.iter().find(|(key, _)| &**key == name).map(|(_, value)| &**value)
    }

    fn field(&mut self, key: &str, json: &mut Json<'_>, seen: &mut Seen) -> Read {
        match key {
            "asked" => self.asked = Some(json.natural()?),
            "call" => self.call = Some(uuid(json)?),
            "details" => {
                return json.object(&mut |key, json| {
                    let value = json.string()?;
                    self.details.push((key.into(), value.into()));
                    Ok(())
                });
            }
            "environment" => {
                return json.object(&mut |key, json| {
                    if key == "monotonic_us" {
                        self.monotonic_us = json.natural()?;
                        Ok(())
                    } else {
                        json.skip()
                    }
                });
            }
            "id" => {
                self.id = uuid(json)?;
                seen.id = true;
            }
            "kind" => {
                self.kind = Kind::of(&json.string()?);
                seen.kind = true;
            }
            "sequence" => self.sequence = Some(sequence(json)?),
            "session" => self.session = Some(json.string()?.into()),
            "v" => seen.version = Some(json.natural()?),
            _ => return json.skip(),
        }
        Ok(())
    }
}

impl Kind {
    fn of(word: &str) -> Self {
        match word {
            "call.asked" => Self::CallAsked,
            "call.answered" => Self::CallAnswered,
            "call.in-doubt" => Self::CallInDoubt,
            "call.refused" => Self::CallRefused,
            "gateway.started" => Self::GatewayStarted,
            "gateway.stopped" => Self::GatewayStopped,
            "session.ended" => Self::SessionEnded,
            "log.heartbeat" => Self::Heartbeat,
            "log.recovered" => Self::Recovered,
            "log.timestamped" => Self::Timestamped,
            "key.rotated" | "key.retired" | "key.revoked" | "key.recovery" => Self::Key,
            _ => Self::Other,
        }
    }
}

type Read = Result<(), NotCanonical>;

/// The fields that every event has.
#[derive(Debug, Default)]
struct Seen {
    version: Option<u64>,
    id: bool,
    kind: bool,
}

fn sequence(json: &mut Json<'_>) -> Result<Sequence, NotCanonical> {
    let mut sequence = Sequence::default();
    let (mut n, mut run) = (false, false);
    json.object(&mut |key, json| {
        match key {
            "n" => {
                sequence.n = json.natural()?;
                n = true;
            }
            "previous" => {
                let text = json.string()?;
                let hash = hash(&text);
                sequence.previous = match hash {
                    None => return json.fail("a hash is not 64 lower-case hexadecimal digits"),
                    some => some,
                };
            }
            "run" => {
                sequence.run = uuid(json)?;
                run = true;
            }
            _ => return json.skip(),
        }
        Ok(())
    })?;
    if n && run { Ok(sequence) } else { json.fail("a sequence has no number or no run") }
}

/// A UUID in its text form, lower-case.
fn uuid(json: &mut Json<'_>) -> Result<u128, NotCanonical> {
    let text = json.string()?;
    match uuid_from(&text) {
        Some(number) => Ok(number),
        None => json.fail("there is no UUID in lower case"),
    }
}

fn uuid_from(text: &str) -> Option<u128> {
    let bytes = text.as_bytes();
    let mut number: u128 = 0;
    for (place, byte) in bytes.iter().enumerate() {
        if [8, 13, 18, 23].contains(&place) {
            if *byte != b'-' {
                return None;
            }
        } else {
            number = number << 4 | u128::from(nibble(*byte)?);
        }
    }
    (bytes.len() == 36).then_some(number)
}

/// Writes what [`uuid_from`] reads.
pub(crate) fn uuid_text(number: u128) -> String {
    let digits = format!("{number:032x}");
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

fn hash(text: &str) -> Option<Hash> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut bytes = [0; 32];
    if !rest.is_empty() || pairs.len() != bytes.len() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(Hash::from_bytes(bytes))
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Facts, Kind, uuid_from, uuid_text};
    use proptest::prelude::{any, proptest};

    const EVENT: &str = concat!(
        r#"{"asked":7,"call":"00000000-0000-0000-0000-0000000000aa","details":{"a":"1"},"#,
        r#""environment":{"gateway":"g","monotonic_us":42},"#,
        r#""id":"00000000-0000-0000-0000-0000000000bb","kind":"call.answered","#,
        r#""sequence":{"n":3,"previous":"#,
        r#""0101010101010101010101010101010101010101010101010101010101010101","#,
        r#""run":"00000000-0000-0000-0000-0000000000cc"},"session":"s","v":1}"#,
    );

    #[test]
    fn reads_what_it_needs() {
        let facts = Facts::read(EVENT.as_bytes()).unwrap();
        assert_eq!((facts.id, facts.kind, facts.call), (0xbb, Kind::CallAnswered, Some(0xaa)));
        assert_eq!((facts.asked, facts.monotonic_us), (Some(7), 42));
        assert_eq!((facts.session.as_deref(), facts.detail("a")), (Some("s"), Some("1")));
        let sequence = facts.sequence.unwrap();
        assert_eq!((sequence.n, sequence.run), (3, 0xcc));
        assert_eq!(sequence.previous.unwrap().as_bytes(), &[1; 32]);
    }

    #[test]
    fn refuses_what_lacks_something() {
        for (from, to) in [
            (r#","v":1"#, ""),
            (r#""v":1"#, r#""v":2"#),
            (r#""id":"00000000-0000-0000-0000-0000000000bb","#, ""),
            (r#""kind":"call.answered","#, ""),
            (r#""n":3,"#, ""),
            (r#""previous":"01"#, r#""previous":"0A"#),
            ("-0000000000cc", "-0000000000CC"),
            (r#""asked":7"#, r#""asked":-7"#),
        ] {
            let altered = EVENT.replacen(from, to, 1);
            assert_ne!(altered, EVENT);
            assert!(Facts::read(altered.as_bytes()).is_err(), "{altered}");
        }
        assert!(Facts::read(&[0xff]).is_err());
    }

    proptest! {
        #[test]
        fn uuids_round_trip(number: u128) {
            assert_eq!(uuid_from(&uuid_text(number)), Some(number));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, at in any::<usize>(), byte: u8) {
            Facts::read(&bytes).ok();
            let mut altered = EVENT.as_bytes().to_vec();
            let at = at % altered.len();
            altered[at] = byte;
            Facts::read(&altered).ok();
        }
    }
}
