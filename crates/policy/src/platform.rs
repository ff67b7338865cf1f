//! What policies can say about actors beyond what all have: the records of their platforms, as the schema
//! declares them. It knows no tokens; values come from `event::Actor::attributes`.

use cedar_policy::RestrictedExpression;
use std::collections::BTreeMap;

/// Names of all attributes of platforms that policies can speak about, as in events:
/// `github.repository_id`.
#[must_use]
pub fn platform_attributes() -> Vec<String> {
    let of = |platform: &Platform| {
        let name = platform.name;
        platform
            .attributes
            .iter()
            .map(move |own| format!("{name}.{}", own.name))
            .collect::<Vec<_>>()
    };
    PLATFORMS.iter().flat_map(of).collect()
}

/// One optional record of the entity type `Actor`.
#[derive(Debug)]
pub(crate) struct Platform {
    /// Its name, and what the names of its attributes in events begin with.
    pub(crate) name: &'static str,
    pub(crate) attributes: &'static [Attribute],
}

#[derive(Debug)]
pub(crate) struct Attribute {
    pub(crate) name: &'static str,
    form: Form,
    /// Whether every actor of the platform has it: without it there is no record at all.
    required: bool,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Flag,
    Text,
}

/// Which of the attributes matter: one bit for each platform, then one for each of its attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wanted(u128);

impl Wanted {
    pub(crate) const ALL: Self = Self(u128::MAX);
    pub(crate) const NONE: Self = Self(0);

    /// With a platform as such: whether an actor is of it.
    pub(crate) fn platform(&mut self, name: &str) {
        self.mark(|platform, attribute| attribute.is_none() && platform.name == name);
    }

    /// With the attributes of this name, of whatever platform.
    pub(crate) fn attribute(&mut self, name: &str) {
        self.mark(|_, attribute| attribute.is_some_and(|own| own.name == name));
    }

    /// With everything about a platform.
    pub(crate) fn whole(&mut self, name: &str) {
        self.mark(|platform, _| platform.name == name);
    }

    fn mark(&mut self, matches: impl Fn(&Platform, Option<&Attribute>) -> bool) {
        for (bit, (platform, attribute)) in slots().enumerate() {
            if matches(platform, attribute) {
                self.0 |= 1 << bit;
            }
        }
    }

    fn has(self, bit: usize) -> bool {
        self.0 >> bit & 1 == 1
    }

    /// What matters of an actor's attributes; nothing when it does not matter of which platform it is.
    pub(crate) fn of(self, attributes: &BTreeMap<String, String>) -> Option<Known<'_>> {
        let (first, _) = attributes.first_key_value()?;
        let (prefix, _) = first.split_once('.')?;
        let slot = |(_, (platform, own)): &(usize, Slot)| own.is_none() && platform.name == prefix;
        let (bit, (platform, _)) =
            slots().enumerate().find(slot).filter(|(bit, _)| self.has(*bit))?;
        let mut known = Known { platform: platform.name, values: Vec::new() };
        let mut required = platform.attributes.iter().filter(|own| own.required).count();
        for (key, value) in attributes {
            let Some(name) = key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'))
            else {
                continue;
            };
            let declared = (bit + 1..).zip(platform.attributes).find(|(_, own)| own.name == name);
            let Some((bit, attribute)) = declared else { continue };
            required -= usize::from(attribute.required);
            if self.has(bit) {
                known.values.push((attribute, value));
            }
        }
        (required == 0).then_some(known)
    }
}

/// What is known of an actor by one platform.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    pub(crate) platform: &'static str,
    pub(crate) values: Vec<(&'static Attribute, &'a str)>,
}

impl Known<'_> {
    /// The record for Cedar; `None` when a name stood there twice, which the table rules out.
    pub(crate) fn record(&self) -> Option<RestrictedExpression> {
        let values = self.values.iter().map(|(attribute, value)| {
            let value = match attribute.form {
                Form::Flag => RestrictedExpression::new_bool(*value == "true"),
                Form::Text => RestrictedExpression::new_string((*value).to_owned()),
            };
            (attribute.name.to_owned(), value)
        });
        RestrictedExpression::new_record(values).ok()
    }
}

/// Each platform, then its attributes: what the bits of [`Wanted`] stand for.
fn slots() -> impl Iterator<Item = Slot> {
    PLATFORMS.iter().flat_map(|platform| {
        let own = platform.attributes.iter().map(move |attribute| (platform, Some(attribute)));
        std::iter::once((platform, None)).chain(own)
    })
}

type Slot = (&'static Platform, Option<&'static Attribute>);

const fn text(name: &'static str) -> Attribute {
    Attribute { name, form: Form::Text, required: false }
}

const fn always(name: &'static str) -> Attribute {
    Attribute { name, form: Form::Text, required: true }
}

const fn flag(name: &'static str) -> Attribute {
    Attribute { name, form: Form::Flag, required: false }
}

/// As in the schema; no more than 128 with their attributes.
pub(crate) const PLATFORMS: &[Platform] = &[
    Platform {
        name: "github",
        attributes: &[
            text("base_ref"),
            text("check_run_id"),
            text("enterprise"),
            text("enterprise_id"),
            text("environment"),
            always("event_name"),
            text("head_ref"),
            text("job_workflow_ref"),
            text("job_workflow_sha"),
            text("ref"),
            flag("ref_protected"),
            text("ref_type"),
            always("repository"),
            always("repository_id"),
            text("repository_owner"),
            always("repository_owner_id"),
            text("repository_visibility"),
            always("run_attempt"),
            always("run_id"),
            text("run_number"),
            text("runner_environment"),
            text("sha"),
            text("workflow"),
            text("workflow_ref"),
            text("workflow_sha"),
        ],
    },
    Platform {
        name: "kubernetes",
        attributes: &[
            always("namespace"),
            text("node_name"),
            text("node_uid"),
            text("pod_name"),
            text("pod_uid"),
            always("service_account_name"),
            always("service_account_uid"),
        ],
    },
];

#[cfg(test)]
mod tests;
