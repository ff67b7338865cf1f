//! The answer and its proof: a [`Permit`] exists only where a policy set was evaluated and permits. It
//! knows no policy language.

use event::{CallId, Decision, Effect};

/// The answer to a request.
#[derive(Debug)]
#[must_use]
pub enum Verdict {
    /// The call may proceed; the permit is the proof that later stages demand.
    Permitted(Permit),
    /// The call is refused.
    Forbidden(Forbidden),
}

impl Verdict {
    /// Why, whichever way it went.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        match self {
            Self::Permitted(permit) => permit.decision(),
            Self::Forbidden(forbidden) => forbidden.decision(),
        }
    }

    /// The only place where a permit is made.
    pub(crate) fn conclude(call: CallId, decision: Decision, reason: Option<String>) -> Self {
        match decision.effect {
            Effect::Permit => Self::Permitted(Permit { call, decision }),
            Effect::Forbid => Self::Forbidden(Forbidden { call, decision, reason }),
        }
    }
}

/// Proof that a policy set permits one call. It cannot be built outside this crate, copied or
/// deserialized, so a function that demands one cannot be reached undecided.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    call: CallId,
    decision: Decision,
}

impl Permit {
    /// What the permit rests on; its effect is always permit.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The call that it is for, and no other.
    #[must_use]
    pub fn call(&self) -> CallId {
        self.call
    }
}

/// A call that is refused, and why.
#[derive(Debug)]
#[must_use]
pub struct Forbidden {
    call: CallId,
    decision: Decision,
    reason: Option<String>,
}

impl Forbidden {
    /// What the refusal rests on; its effect is always forbid.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The decision by value, for the record.
    #[must_use]
    pub fn into_decision(self) -> Decision {
        self.decision
    }

    /// The call that is refused.
    #[must_use]
    pub fn call(&self) -> CallId {
        self.call
    }

    /// What about the request does not fit the schema, when that is the basis. For the operator; holds
    /// no payload.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}
