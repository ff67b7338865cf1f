//! Platforms whose tokens we know claim by claim: which issuers they have, what their tokens must look like,
//! what names the caller for good, and what is told about it. It verifies no signature and reads no
//! configuration file.
//!
//! A new platform is a file of its own below `profile/`, one variant of [`ProfileName`], and a table in
//! docs/identity.md.

mod facts;
mod github_actions;
mod kubernetes;
mod oidc;
mod problems;
mod rules;

use serde::Deserialize;
use std::collections::BTreeMap;

use event::HopRole;

use crate::config::Algorithm;
use crate::rejection::Rejection;

pub(crate) use facts::Facts;
pub(crate) use problems::problems;
pub use rules::OneOf;
pub(crate) use rules::Rules;

/// Which platform issues the tokens of a provider, and so what their claims mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileName {
    /// Jobs of GitHub Actions.
    GithubActions,
    /// Service accounts of a Kubernetes cluster.
    Kubernetes,
    /// Any issuer of JSON Web Tokens: `sub` names the caller, and no other claim is known.
    #[default]
    Oidc,
}

impl ProfileName {
    /// Every profile, in the order of their names.
    pub const ALL: [Self; 3] = [Self::GithubActions, Self::Kubernetes, Self::Oidc];

    /// The name in configuration and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.profile().name
    }

    /// Names of the attributes that its actors may have, as in records: `github.repository_id`.
    #[must_use]
    pub fn attributes(self) -> Vec<String> {
        let profile = self.profile();
        let told = profile.claims.iter().filter(|claim| !claim.personal);
        told.map(|claim| profile.attribute(claim.name)).collect()
    }

    pub(crate) fn profile(self) -> &'static Profile {
        match self {
            Self::GithubActions => &github_actions::PROFILE,
            Self::Kubernetes => &kubernetes::PROFILE,
            Self::Oidc => &oidc::PROFILE,
        }
    }
}

/// What is known of a platform's tokens.
#[derive(Debug)]
pub(crate) struct Profile {
    /// As in the configuration.
    pub(crate) name: &'static str,
    /// What the names of its attributes begin with.
    pub(crate) prefix: &'static str,
    /// What it signs with.
    pub(crate) algorithms: &'static [Algorithm],
    /// What the configuration may name instead, as for the day on which the platform signs otherwise.
    pub(crate) algorithms_allowed: &'static [Algorithm],
    /// Values of `typ` that it writes; the empty text stands for none.
    pub(crate) types: &'static [&'static str],
    /// How long its tokens may live in seconds, when the configuration does not say.
    pub(crate) lifetime_s: u64,
    /// The most that the configuration may say.
    pub(crate) lifetime_max_s: u64,
    /// The claims that it writes beyond those of RFC 7519.
    pub(crate) claims: &'static [Claim],
    /// Who gets tokens of an issuer; `None` when the platform has no issuer of this name.
    pub(crate) tenants: fn(&str) -> Option<Tenants>,
    /// What its issuers look like.
    pub(crate) issuers: &'static str,
    /// Why an audience is not one of ours, given the issuer.
    pub(crate) audience: fn(issuer: &str, audience: &str) -> Option<&'static str>,
    /// Who the claims name.
    pub(crate) identify: fn(&Facts<'_>) -> Result<Identity, Rejection>,
}

/// Who gets tokens of an issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tenants {
    /// Those of one organisation, cluster or account.
    One,
    /// Anybody: one of these claims must be matched.
    Many(&'static [&'static str]),
}

/// A claim that a platform writes.
#[derive(Debug)]
pub(crate) struct Claim {
    /// Its name in `match`; with the profile's prefix, that of the attribute.
    pub(crate) name: &'static str,
    /// The members that lead to it.
    pub(crate) path: &'static [&'static str],
    pub(crate) form: Form,
    /// Whether a token without it is refused.
    pub(crate) required: bool,
    /// Whether its value is about a person, and so is neither told nor recorded.
    pub(crate) personal: bool,
}

/// What a claim's value looks like; in records and comparisons each is a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// True or false, as a truth value or as a text.
    Flag,
    /// A whole number, as a number or as a text without leading zeros.
    Number,
    /// A text.
    Text,
}

/// Who the claims of a token name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Stable, and unique at the provider.
    pub(crate) id: String,
    /// What the token stands for in the chain, when that is less than the actor: one job of a repository.
    pub(crate) hop: String,
    /// Who and what set it going, as the issuer says.
    pub(crate) before: Vec<(HopRole, String)>,
    /// What the platform says of the actor.
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Profile {
    /// The claim of this name.
    pub(crate) fn claim(&self, name: &str) -> Option<&'static Claim> {
        self.claims.iter().find(|claim| claim.name == name)
    }

    /// Whether the configuration may name an algorithm.
    pub(crate) fn may_use(&self, algorithm: Algorithm) -> bool {
        self.algorithms_allowed.contains(&algorithm)
    }

    fn attribute(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// What is written when the configuration does not say what `typ` may be.
    pub(crate) fn types(&self) -> Vec<String> {
        self.types.iter().map(|&typ| typ.to_owned()).collect()
    }
}

impl Claim {
    /// A text at the top of the claims, under its own name.
    const fn text(path: &'static [&'static str]) -> Self {
        let name = match path {
            [name] => name,
            _ => "",
        };
        Self { name, path, form: Form::Text, required: false, personal: false }
    }

    const fn number(path: &'static [&'static str]) -> Self {
        Self { form: Form::Number, ..Self::text(path) }
    }

    const fn flag(path: &'static [&'static str]) -> Self {
        Self { form: Form::Flag, ..Self::text(path) }
    }

    const fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    const fn personal(self) -> Self {
        Self { personal: true, ..self }
    }
}

#[cfg(test)]
mod tests;
