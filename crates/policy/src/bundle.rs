//! A policy set that was read completely: parsed, named, validated against the schema. It reads no files
//! (see `load`) and decides nothing.

use crate::advice;
use crate::digest;
use crate::needs::Needs;
use crate::problem::{Problem, Severity};
use crate::statement::{Statement, deeper_than, more_signs_than, statements};
use crate::vocabulary::Vocabulary;
use cedar_policy::{
    ActionConstraint, Effect, Policy, PolicyId, PolicySet, PrincipalConstraint, ResourceConstraint,
    ValidationMode, ValidationWarning,
};
use miette::Diagnostic;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most bytes of all policy files together: 16 MiB.
pub const BUNDLE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Most policy files.
pub const BUNDLE_FILES_MAX: usize = 1_000;
/// Most bytes of one policy file: 1 MiB.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Most bytes of a policy identifier. Identifiers are written into the log with every decision.
pub const ID_BYTES_MAX: usize = 128;
/// Most policies; a decision takes one to two microseconds for each.
pub const POLICIES_MAX: usize = 10_000;

/// One policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// File name inside the bundle directory.
    pub name: String,
    /// Content.
    pub text: String,
}

/// A valid policy set.
#[derive(Debug)]
pub struct Bundle {
    digest: String,
    needs: Needs,
    policies: PolicySet,
    texts: BTreeMap<String, String>,
    warnings: Vec<Problem>,
    words: Arc<Vocabulary>,
}

/// What reading a set of files came to, usable or not.
#[derive(Debug)]
pub(crate) struct Reading {
    /// A usable set, unless a problem is an error.
    pub(crate) bundle: Option<Bundle>,
    /// Digest of the files.
    pub(crate) digest: String,
    /// How many policies were found.
    pub(crate) policies: usize,
    /// Sorted.
    pub(crate) problems: Vec<Problem>,
}

impl Bundle {
    /// Reads policy files that are already in memory.
    ///
    /// # Errors
    /// Everything that is wrong with them, warnings included.
    pub fn parse(sources: Vec<Source>) -> Result<Self, Vec<Problem>> {
        let words = Vocabulary::built_in().map_err(|problem| vec![problem])?;
        Self::read(Arc::new(words), sources, Vec::new()).into_bundle()
    }

    /// Digest of the files: SHA-256 over their names and contents, each with its length, in the order of
    /// the names; `sha256:` and lowercase hex.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Digest of the schema that the policies were validated against.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.words.digest
    }

    /// Identifiers of the policies, sorted.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = &str> {
        self.texts.keys().map(String::as_str)
    }

    /// What may be wrong with the set, although it can be used.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// What requests must bring along.
    pub(crate) fn needs(&self) -> Needs {
        self.needs
    }

    pub(crate) fn policies(&self) -> &PolicySet {
        &self.policies
    }

    /// Texts of the policies by identifier.
    pub(crate) fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }

    pub(crate) fn words(&self) -> Arc<Vocabulary> {
        Arc::clone(&self.words)
    }

    /// Reads files, to go with the problems that were met in getting hold of them.
    pub(crate) fn read(
        words: Arc<Vocabulary>,
        sources: Vec<Source>,
        problems: Vec<Problem>,
    ) -> Reading {
        let read = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
            let thread = thread.spawn_scoped(scope, || Self::read_here(words, sources, problems));
            thread.ok().and_then(|thread| thread.join().ok())
        });
        read.unwrap_or_else(|| Reading {
            bundle: None,
            digest: digest::of_files(&[]),
            policies: 0,
            problems: vec![Problem::error("the thread that reads the policies failed")],
        })
    }

    fn read_here(
        words: Arc<Vocabulary>,
        mut sources: Vec<Source>,
        problems: Vec<Problem>,
    ) -> Reading {
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        let files: Vec<_> =
            sources.iter().map(|source| (source.name.as_str(), source.text.as_str())).collect();
        let digest = digest::of_files(&files);
        let mut reader = Reader { problems, ..Reader::default() };
        for source in &sources {
            reader.file(source);
        }
        if reader.is_within_limits(&sources) {
            reader.validate(&words);
        }
        reader.whole();
        let Reader { found, mut problems, policies, .. } = reader;
        problems.sort();
        problems.dedup();
        let count = found.len();
        let bundle = if problems.iter().any(|problem| problem.severity == Severity::Error) {
            None
        } else {
            let texts = found.into_iter().map(|(id, found)| (id, found.text.to_owned())).collect();
            let (digest, warnings) = (digest.clone(), problems.clone());
            let needs = Needs::of(&policies);
            Some(Self { digest, needs, policies, texts, warnings, words })
        };
        Reading { bundle, digest, policies: count, problems }
    }
}

impl Reading {
    pub(crate) fn into_bundle(self) -> Result<Bundle, Vec<Problem>> {
        self.bundle.ok_or(self.problems)
    }
}

/// Collects policies and problems, file by file.
#[derive(Debug, Default)]
struct Reader<'a> {
    /// By the identifier that Cedar knows the policy by: its `@id`, or a stand-in that no `@id` can be.
    found: BTreeMap<String, Found<'a>>,
    policies: PolicySet,
    problems: Vec<Problem>,
}

/// Where a policy stands.
#[derive(Debug)]
struct Found<'a> {
    /// Its `@id`, when it has a good one.
    id: Option<String>,
    offset: usize,
    source: &'a Source,
    text: &'a str,
}

impl<'a> Reader<'a> {
    fn file(&mut self, source: &'a Source) {
        if self.is_too_deep(source) {
            return;
        }
        let parsed = match source.text.parse::<PolicySet>() {
            Ok(parsed) => parsed,
            Err(errors) => {
                self.problems.extend(errors.iter().map(|error| {
                    let offset = advice::offset(error).unwrap_or_default();
                    advice::of_syntax(error).at(&source.name, &source.text, offset)
                }));
                return;
            }
        };
        // Cedar names the statements of a file `policy0`, `policy1` ... in their order.
        let statements = statements(&source.text);
        if statements.len() != parsed.policies().count() + parsed.templates().count() {
            let message = "the policies of the file cannot be told apart";
            self.problems.push(Problem::error(message).in_file(&source.name));
        }
        for (index, statement) in statements.into_iter().enumerate() {
            let id = PolicyId::new(format!("policy{index}"));
            if parsed.template(&id).is_some() {
                self.problems.push(
                    Problem::error("templates are not supported")
                        .with_help("write a policy for each principal or resource instead of `?principal` and `?resource`")
                        .at(&source.name, &source.text, statement.offset),
                );
            }
            if let Some(policy) = parsed.policy(&id) {
                self.policy(source, statement, policy);
            }
        }
    }

    /// Cedar goes down into conditions by recursion, and the whole program ends when a stack does.
    fn is_too_deep(&mut self, source: &Source) -> bool {
        let nested = deeper_than(&source.text, NESTING_MAX)
            .map(|at| (at, format!("brackets are nested more than {NESTING_MAX} deep")));
        let found = nested.or_else(|| {
            let at = more_signs_than(&source.text, SIGNS_MAX)?;
            Some((at, format!("the policy has more than {SIGNS_MAX} signs of operators")))
        });
        let Some((at, message)) = found else { return false };
        let problem = Problem::error(message)
            .with_help("take the condition apart: several policies, or a set of names");
        self.problems.push(problem.at(&source.name, &source.text, at));
        true
    }

    fn policy(&mut self, source: &'a Source, statement: Statement<'a>, policy: &Policy) {
        let at = |problem: Problem| problem.at(&source.name, &source.text, statement.offset);
        let id = match self.identifier(policy) {
            Ok(id) => Some(id),
            Err(problem) => {
                self.problems.push(at(problem));
                None
            }
        };
        if permits_everything(policy) {
            self.problems.push(at(Problem::warning("permits everything to everybody")
                .with_help(
                    "limit the principal, the action or the resource, or add a `when` clause",
                )
                .of_policy(id.as_deref())));
        }
        // Policies without a good identifier are validated with the others, to tell all that is wrong.
        let known_as = id.clone().unwrap_or_else(|| format!("\0{}", self.found.len()));
        if let Err(error) = self.policies.add(policy.new_id(PolicyId::new(&known_as))) {
            self.problems.push(at(Problem::error(error.to_string())));
        }
        let Statement { offset, text } = statement;
        self.found.insert(known_as, Found { id, offset, source, text });
    }

    fn identifier(&self, policy: &Policy) -> Result<String, Problem> {
        let Some(id) = policy.annotation("id") else {
            return Err(Problem::error("the policy has no `@id`")
                .with_help("put `@id(\"...\")` before it: the log names policies by it"));
        };
        if id.is_empty() || ID_BYTES_MAX < id.len() || id.chars().any(char::is_control) {
            return Err(Problem::error(format!(
                "an `@id` has 1 to {ID_BYTES_MAX} bytes and no control characters"
            )));
        }
        match self.found.get(id) {
            Some(first) => {
                let place =
                    Problem::error("").at(&first.source.name, &first.source.text, first.offset);
                Err(Problem::error(format!("the `@id` `{id}` is used twice")).with_help(format!(
                    "the first is at {}:{}:{}",
                    place.file, place.line, place.column
                )))
            }
            None => Ok(id.to_owned()),
        }
    }

    /// Tells what there is too much of; validation takes time for each policy.
    fn is_within_limits(&mut self, sources: &[Source]) -> bool {
        let bytes: usize = sources.iter().map(|source| source.text.len()).sum();
        let bytes_max = usize::try_from(BUNDLE_BYTES_MAX).unwrap_or(usize::MAX);
        let mut within = true;
        for (what, found, limit) in [
            ("bytes", bytes, bytes_max),
            ("files", sources.len(), BUNDLE_FILES_MAX),
            ("policies", self.found.len(), POLICIES_MAX),
        ] {
            if limit < found {
                let message = format!("there are {found} {what}; at most {limit} are allowed");
                self.problems.push(Problem::error(message));
                within = false;
            }
        }
        within
    }

    fn validate(&mut self, words: &Vocabulary) {
        // Only the principal, the action and the resource itself come with attributes; a policy that
        // looks further would fail when it is evaluated, and so does not pass.
        let result = words.validator.validate_with_level(
            &self.policies,
            ValidationMode::Strict,
            ATTRIBUTE_LEVELS,
        );
        let mut findings = Vec::new();
        // Of several findings about one policy only the most telling is kept: that it is impossible
        // follows from there being no action for it, and both from a misspelt name.
        let mut explained = BTreeSet::new();
        for error in result.validation_errors() {
            let id = error.policy_id();
            findings.push(self.place(advice::of_error(words, error, id.as_ref()), id, error));
            explained.insert(id.clone());
        }
        let by_weight = |warning: &&ValidationWarning| {
            matches!(warning, ValidationWarning::ImpossiblePolicy(_))
        };
        let (impossible, others): (Vec<_>, Vec<_>) =
            result.validation_warnings().partition(by_weight);
        for warning in others.into_iter().chain(impossible) {
            let id = warning.policy_id();
            let never = matches!(
                warning,
                ValidationWarning::ImpossiblePolicy(_)
                    | ValidationWarning::InvalidActionApplication(_)
            );
            if never && !explained.insert(id.clone()) {
                continue;
            }
            findings.push(self.place(advice::of_warning(warning, id.as_ref()), id, warning));
        }
        self.problems.extend(findings);
    }

    fn place(&self, problem: Problem, id: &PolicyId, diagnostic: &dyn Diagnostic) -> Problem {
        let known_as: &str = id.as_ref();
        match self.found.get(known_as) {
            Some(Found { id, offset, source, .. }) => problem
                .at(&source.name, &source.text, advice::offset(diagnostic).unwrap_or(*offset))
                .of_policy(id.as_deref()),
            None => problem,
        }
    }

    /// What can be said only of the set as a whole.
    fn whole(&mut self) {
        let broken = self.problems.iter().any(|problem| problem.severity == Severity::Error);
        let permits = self.policies.policies().any(|policy| policy.effect() == Effect::Permit);
        if !broken && !permits {
            self.problems.push(
                Problem::warning("no policy permits anything, so every call is refused")
                    .with_help("add a `permit` policy to a `.cedar` file"),
            );
        }
    }
}

fn permits_everything(policy: &Policy) -> bool {
    policy.effect() == Effect::Permit
        && policy.principal_constraint() == PrincipalConstraint::Any
        && policy.action_constraint() == ActionConstraint::Any
        && policy.resource_constraint() == ResourceConstraint::Any
        && !policy.has_non_scope_constraint()
}

/// How deep brackets are nested at the most.
const NESTING_MAX: usize = 24;
/// Signs of operators in one policy; `&&` has two.
const SIGNS_MAX: usize = 2_000;
/// Stack for going down into what the two bounds above let pass; a term of a condition takes several
/// thousand bytes where nothing is optimised.
const STACK_BYTES: usize = 64 << 20;
/// How many steps from the principal, the action or the resource a policy may look.
const ATTRIBUTE_LEVELS: u32 = 1;

#[cfg(test)]
mod tests;
