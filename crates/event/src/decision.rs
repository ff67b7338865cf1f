//! Why a call was permitted or forbidden. Filled in by `policy`, or by `gateway` for calls that were
//! refused before any policy was asked.

use serde::{Deserialize, Serialize};

/// The answer to "may this actor do this", with what it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What the effect rests on.
    pub basis: Basis,
    /// Identifiers (`@id`) of the policies that determined the effect: for a forbid all satisfied
    /// forbids, for a permit all satisfied permits, for a default deny none.
    pub determining: Vec<String>,
    /// Permit or forbid.
    pub effect: Effect,
    /// Policy engine and version.
    pub engine: String,
    /// Identifiers of the policies whose evaluation failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// Digest of the policy set that decided: `sha256:` and lowercase hex.
    pub policy_set: String,
    /// Digest of the schema that the policies and the request were checked against.
    pub schema: String,
}

/// Permit or forbid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// The call may proceed.
    Permit,
    /// The call is refused.
    Forbid,
}

/// What an effect rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// No policy permits it.
    DefaultDeny,
    /// A policy could not be evaluated; such a request is forbidden.
    EvaluationError,
    /// At least one policy forbids it.
    Forbid,
    /// At least one policy permits it and none forbids it.
    Permit,
    /// The request does not fit the schema; such a request is forbidden.
    SchemaError,
}
