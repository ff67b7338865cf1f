//! What the claims of a provider's tokens must say beyond being genuine. Comparisons are exact: no pattern,
//! no case folding, no part of a text.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

use crate::profile::{Facts, Profile};
use crate::rejection::{Reason, Rejection};
use crate::strict_json::Object;

/// The texts of which a claim must be one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
pub enum OneOf {
    /// This one.
    Text(String),
    /// Any of these.
    Texts(Vec<String>),
}

impl OneOf {
    /// The texts.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        match self {
            Self::Text(text) => std::slice::from_ref(text),
            Self::Texts(texts) => texts,
        }
    }
}

/// The `match` table of one provider.
#[derive(Debug)]
pub(crate) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    name: String,
    texts: Vec<String>,
    place: Place,
}

/// Where the value of a rule is from.
#[derive(Debug)]
enum Place {
    /// A claim that the profile knows.
    Known {
        /// Its value is not recorded.
        personal: bool,
    },
    /// Any claim, of a profile that knows none: the members that lead to it.
    Any(Vec<String>),
}

impl Rules {
    /// Names and values were checked with the configuration.
    pub(crate) fn new(profile: &'static Profile, table: &BTreeMap<String, OneOf>) -> Self {
        let rule = |(name, wanted): (&String, &OneOf)| {
            let known = profile.claim(name).map(|claim| Place::Known { personal: claim.personal });
            let place = known.unwrap_or_else(|| Place::Any(path(name).unwrap_or_default()));
            Rule { name: name.clone(), texts: wanted.texts().to_vec(), place }
        };
        Self(table.iter().map(rule).collect())
    }

    /// Refuses a token for which one of the rules does not hold.
    pub(crate) fn check(&self, facts: &Facts<'_>, claims: &Object) -> Result<(), Rejection> {
        self.0.iter().try_for_each(|rule| rule.check(facts, claims))
    }
}

impl Rule {
    fn check(&self, facts: &Facts<'_>, claims: &Object) -> Result<(), Rejection> {
        let failed = |actual: Option<&str>| {
            let failed = Rejection::at(Reason::MatchRuleFailed, self.name.clone());
            failed.expected(&self.texts.join(" ")).actual(actual.unwrap_or(ABSENT))
        };
        let is_wanted = |text: &str| self.texts.iter().any(|wanted| wanted == text);
        match &self.place {
            Place::Known { personal } => match facts.get(&self.name) {
                Some(actual) if is_wanted(actual) => Ok(()),
                Some(_) if *personal => Err(failed(Some(ANOTHER))),
                actual => Err(failed(actual)),
            },
            Place::Any(path) => {
                let mut path = path.iter();
                let first = path.next().and_then(|name| claims.get(name));
                let found =
                    path.fold(first, |value, name| value.and_then(|value| member(value, name)));
                match found {
                    None | Some(Value::Null) => Err(failed(None)),
                    Some(value) if says(value, &is_wanted) => Ok(()),
                    // Nothing is known of the claim, so it may be private.
                    Some(_) => Err(failed(Some(ANOTHER))),
                }
            }
        }
    }
}

/// Whether a value is, or a list of values holds, a text that is wanted. Numbers and truth values are
/// compared by how JSON writes them.
fn says(value: &Value, is_wanted: &impl Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => is_wanted(text),
        Value::Bool(flag) => is_wanted(&flag.to_string()),
        Value::Number(number) if !number.is_f64() => is_wanted(&number.to_string()),
        Value::Array(values) => {
            values.iter().any(|value| !value.is_array() && says(value, is_wanted))
        }
        Value::Null | Value::Number(_) | Value::Object(_) => false,
    }
}

/// One step of a JSON Pointer (RFC 6901 section 4).
fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(members) => members.get(name),
        Value::Array(values) => {
            let digits = name.bytes().all(|byte| byte.is_ascii_digit());
            let index = name.parse::<usize>().ok()?;
            (digits && (name == "0" || !name.starts_with('0'))).then(|| values.get(index))?
        }
        _ => None,
    }
}

/// The members that a rule's name leads through: itself, or those of a JSON Pointer (RFC 6901 section 3).
pub(crate) fn path(name: &str) -> Option<Vec<String>> {
    let Some(pointer) = name.strip_prefix('/') else {
        return (!name.is_empty()).then(|| vec![name.to_owned()]);
    };
    let escaped = |part: &str| part.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    let unescape = |part: &str| part.replace("~1", "/").replace("~0", "~");
    let parts = pointer.split('/');
    parts.map(|part| escaped(part).then(|| unescape(part))).collect()
}

const ABSENT: &str = "absent";
const ANOTHER: &str = "another value";
