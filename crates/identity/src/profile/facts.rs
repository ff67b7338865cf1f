//! The claims that a profile knows, read in their forms. What it does not know is not looked at.

use serde_json::Value;
use std::collections::BTreeMap;

use crate::claims::is_identifier;
use crate::profile::{Claim, Form, Identity, Profile};
use crate::rejection::{Reason, Rejection};
use crate::strict_json::Object;

/// The known claims of a verified token, by their names in `match`.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    profile: &'static Profile,
    /// `sub`.
    pub(crate) subject: &'a str,
    known: BTreeMap<&'static str, String>,
}

impl<'a> Facts<'a> {
    /// Refuses tokens without a required claim, or with a known one of another form.
    pub(crate) fn read(
        profile: &'static Profile,
        claims: &Object,
        subject: &'a str,
    ) -> Result<Self, Rejection> {
        let mut known = BTreeMap::new();
        for claim in profile.claims {
            match read(claim, claims)? {
                Some(value) => drop(known.insert(claim.name, value)),
                None if claim.required => {
                    return Err(Rejection::at(Reason::MissingClaim, claim.name));
                }
                None => {}
            }
        }
        Ok(Self { profile, subject, known })
    }

    /// The value of a claim.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.known.get(name).map(String::as_str)
    }

    /// The value of a claim that a token cannot do without.
    pub(crate) fn need(&self, name: &'static str) -> Result<&str, Rejection> {
        self.get(name).ok_or_else(|| Rejection::at(Reason::MissingClaim, name))
    }

    /// An identity with everything that may be told, and nothing before it.
    pub(crate) fn identity(&self, id: String) -> Identity {
        let told = self.profile.claims.iter().filter(|claim| !claim.personal);
        let told = told.filter_map(|claim| {
            Some((self.profile.attribute(claim.name), self.get(claim.name)?.to_owned()))
        });
        Identity { hop: id.clone(), id, before: Vec::new(), attributes: told.collect() }
    }
}

/// `null` and the empty text are what platforms write where there is nothing to say.
fn read(claim: &Claim, claims: &Object) -> Result<Option<String>, Rejection> {
    let mut path = claim.path.iter();
    let first = path.next().and_then(|name| claims.get(*name));
    let value = path.fold(first, |value, name| value.and_then(|value| value.get(*name)));
    let value = match (claim.form, value) {
        (_, None | Some(Value::Null)) => return Ok(None),
        (_, Some(Value::String(text))) if text.is_empty() => return Ok(None),
        (Form::Text, Some(Value::String(text))) => Some(text.clone()),
        (Form::Text, Some(_)) => None,
        (Form::Number, Some(Value::String(text))) => Some(text.clone()).filter(|t| is_number(t)),
        (Form::Number, Some(value)) => value.as_u64().map(|number| number.to_string()),
        (Form::Flag, Some(Value::Bool(flag))) => Some(flag.to_string()),
        (Form::Flag, Some(value)) => value.as_str().filter(|text| is_flag(text)).map(str::to_owned),
    };
    let value = value.filter(|text| text.len() <= VALUE_BYTES_MAX && is_identifier(text));
    let malformed =
        || Rejection::at(Reason::MalformedClaim, claim.name).expected(claim.form.rule());
    value.map(Some).ok_or_else(malformed)
}

impl Form {
    /// What a value of this form must be.
    pub(crate) fn rule(self) -> &'static str {
        match self {
            Self::Flag => "`true` or `false`",
            Self::Number => "a whole number without leading zeros",
            Self::Text => "a text of at most 512 bytes without control characters",
        }
    }

    /// Whether a text can be what a value of this form is compared with.
    pub(crate) fn admits(self, text: &str) -> bool {
        let fits = match self {
            Self::Flag => is_flag(text),
            Self::Number => is_number(text),
            Self::Text => true,
        };
        fits && text.len() <= VALUE_BYTES_MAX && is_identifier(text)
    }
}

fn is_flag(text: &str) -> bool {
    matches!(text, "true" | "false")
}

fn is_number(text: &str) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits && (1..=20).contains(&text.len()) && (text == "0" || !text.starts_with('0'))
}

/// Longest value of a known claim, in bytes: thirty of them leave an event room for all else.
const VALUE_BYTES_MAX: usize = 512;
