//! Decides requests against the active policy set, and swaps that set for another. It reads no clock and
//! no files of its own; a reload goes through the bundle loader.

use crate::bundle::Bundle;
use crate::memory::{Memory, Seen};
use crate::problem::Problem;
use crate::question::{Misfit, Question, Request};
use crate::verdict::Verdict;
use crate::vocabulary::Vocabulary;
use arc_swap::ArcSwap;
use cedar_policy::{AuthorizationError, Authorizer, PolicyId, PolicySet, Response};
use event::{Basis, Decision, Effect};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Answers "may this actor do this".
///
/// A decision uses one policy set from beginning to end, the one that was active when it began.
#[derive(Debug)]
pub struct Engine {
    active: ArcSwap<Active>,
    authorizer: Authorizer,
    name: String,
    /// Held during a reload, so that the set that was read last is the one that stays.
    reloading: Mutex<()>,
    words: Arc<Vocabulary>,
}

/// A policy set in use, and what it said so far: both go together.
#[derive(Debug)]
struct Active {
    bundle: Arc<Bundle>,
    said: Memory<Answer>,
}

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reload {
    /// The directory holds what is already active.
    Unchanged,
    /// Another set is active now.
    Changed(Change),
}

/// From which policy set to which; identifiers are sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Digest of the set that was active.
    pub from: String,
    /// Digest of the set that is active now.
    pub to: String,
    /// Policies that are new.
    pub added: Vec<String>,
    /// Policies that are gone.
    pub removed: Vec<String>,
    /// Policies with another text than before.
    pub changed: Vec<String>,
    /// What may be wrong with the new set.
    pub warnings: Vec<Problem>,
}

impl Engine {
    /// An engine with a first policy set.
    #[must_use]
    pub fn new(bundle: Bundle) -> Self {
        Self {
            words: bundle.words(),
            active: ArcSwap::from_pointee(Active::new(bundle)),
            authorizer: Authorizer::new(),
            name: format!("cedar {}", cedar_policy::get_sdk_version()),
            reloading: Mutex::new(()),
        }
    }

    /// Permits or forbids a call. Nothing is permitted unless a policy says so, a forbid always wins, and
    /// whatever cannot be evaluated is forbidden. A request that names several things is permitted only
    /// if it would be for each of them.
    pub fn decide(&self, request: &Request<'_>) -> Verdict {
        let (decision, reason) = self.decision(request);
        Verdict::conclude(request.call, decision, reason)
    }

    /// Whether a call like this would be permitted, without a permit for it.
    #[must_use]
    pub fn would_permit(&self, request: &Request<'_>) -> bool {
        self.decision(request).0.effect == Effect::Permit
    }

    fn decision(&self, request: &Request<'_>) -> (Decision, Option<String>) {
        let active = self.active.load();
        let (answer, reason) = match self.answer(&active, request) {
            Ok(answer) => (answer, None),
            Err(misfit) => (Arc::new(Answer::misfit()), Some(misfit.to_string())),
        };
        let decision = Decision {
            effect: answer.effect(),
            basis: answer.basis,
            determining: answer.determining.iter().cloned().collect(),
            engine: self.name.clone(),
            errors: answer.errors.iter().cloned().collect(),
            policy_set: active.bundle.digest().to_owned(),
            schema: self.words.digest.clone(),
        };
        (decision, reason)
    }

    /// Reads a bundle directory and makes it the active set. Decisions that are under way finish with
    /// the set they began with.
    ///
    /// # Errors
    /// Everything that is wrong with the new set, warnings included; the active one stays.
    pub fn reload(&self, directory: &Path) -> Result<Reload, Vec<Problem>> {
        // Nothing is kept under this lock, so a panic elsewhere leaves nothing half done.
        let _turn = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let bundle = Bundle::load_with(Arc::clone(&self.words), directory)?;
        if self.active.load().bundle.digest() == bundle.digest() {
            return Ok(Reload::Unchanged);
        }
        let new = Arc::new(Active::new(bundle));
        let old = self.active.swap(Arc::clone(&new));
        Ok(Reload::Changed(Change::between(&old.bundle, &new.bundle)))
    }

    /// The active policy set.
    #[must_use]
    pub fn active(&self) -> Arc<Bundle> {
        Arc::clone(&self.active.load().bundle)
    }

    /// Policy engine and version, as decisions name it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Digest of the schema, as decisions name it.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.words.digest
    }

    /// What the set says: what it said when it was last asked the same, or what it says now.
    fn answer(&self, active: &Active, request: &Request<'_>) -> Result<Arc<Answer>, Misfit> {
        let seen = Seen::of(request, active.bundle.needs());
        if let Some(said) = seen.as_ref().and_then(|seen| active.said.recall(seen)) {
            return Ok(said);
        }
        let question = Question::new(&self.words, active.bundle.needs(), request)?;
        let answer = Arc::new(self.evaluate(question, active.bundle.policies())?.answer());
        if let Some(seen) = seen {
            active.said.keep(seen, Arc::clone(&answer));
        }
        Ok(answer)
    }

    fn evaluate(&self, question: Question, policies: &PolicySet) -> Result<Tally, Misfit> {
        let Question { principal, action, resources, context, entities } = question;
        let mut tally = Tally::default();
        for resource in resources {
            // The question fits the schema by construction, which a test proves for every action;
            // validating it here again would cost more than evaluating it.
            let request = cedar_policy::Request::new(
                principal.clone(),
                action.clone(),
                resource,
                context.clone(),
                None,
            )
            .map_err(Misfit::value)?;
            tally.add(&self.authorizer.is_authorized(&request, policies, &entities));
        }
        Ok(tally)
    }
}

impl Active {
    fn new(bundle: Bundle) -> Self {
        Self { bundle: Arc::new(bundle), said: Memory::default() }
    }
}

impl Change {
    fn between(old: &Bundle, new: &Bundle) -> Self {
        let (before, after) = (old.texts(), new.texts());
        let only_in = |one: &BTreeMap<String, String>, other: &BTreeMap<String, String>| {
            one.keys().filter(|id| !other.contains_key(*id)).cloned().collect()
        };
        Self {
            from: old.digest().to_owned(),
            to: new.digest().to_owned(),
            added: only_in(after, before),
            removed: only_in(before, after),
            changed: after
                .iter()
                .filter(|(id, text)| before.get(*id).is_some_and(|was| was != *text))
                .map(|(id, _)| id.clone())
                .collect(),
            warnings: new.warnings().to_vec(),
        }
    }
}

/// What the policies say, over everything that a request names.
#[derive(Debug, Default)]
struct Tally {
    /// Whether something was asked about and not allowed.
    denied: bool,
    /// Policies that could not be evaluated.
    errors: BTreeSet<String>,
    /// Satisfied forbids.
    forbids: BTreeSet<String>,
    /// Satisfied permits of what was allowed.
    permits: BTreeSet<String>,
}

/// What follows from it.
#[derive(Debug)]
struct Answer {
    basis: Basis,
    determining: BTreeSet<String>,
    errors: BTreeSet<String>,
}

impl Tally {
    fn add(&mut self, response: &Response) {
        let diagnostics = response.diagnostics();
        self.errors.extend(diagnostics.errors().map(|error| match error {
            AuthorizationError::PolicyEvaluationError(error) => own(error.policy_id()),
        }));
        let satisfied = diagnostics.reason().map(own);
        match response.decision() {
            cedar_policy::Decision::Allow => self.permits.extend(satisfied),
            cedar_policy::Decision::Deny => {
                self.denied = true;
                self.forbids.extend(satisfied);
            }
        }
    }

    /// Cedar skips a policy that it cannot evaluate, even a forbid; here such a policy forbids.
    fn answer(self) -> Answer {
        let Self { denied, errors, forbids, permits } = self;
        let (basis, determining) = if !errors.is_empty() {
            (Basis::EvaluationError, forbids)
        } else if !forbids.is_empty() {
            (Basis::Forbid, forbids)
        } else if denied || permits.is_empty() {
            (Basis::DefaultDeny, BTreeSet::new())
        } else {
            (Basis::Permit, permits)
        };
        Answer { basis, determining, errors }
    }
}

impl Answer {
    fn misfit() -> Self {
        Self { basis: Basis::SchemaError, determining: BTreeSet::new(), errors: BTreeSet::new() }
    }

    fn effect(&self) -> Effect {
        match self.basis {
            Basis::Permit => Effect::Permit,
            Basis::DefaultDeny | Basis::EvaluationError | Basis::Forbid | Basis::SchemaError => {
                Effect::Forbid
            }
        }
    }
}

/// The identifier as its author wrote it; Cedar shows it with quotes escaped.
fn own(id: &PolicyId) -> String {
    let id: &str = id.as_ref();
    id.to_owned()
}

#[cfg(test)]
mod tests;
