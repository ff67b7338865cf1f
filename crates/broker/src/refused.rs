//! Why there is no credential. Every text here is made of our own words, and of codes that the standards
//! list: what a server says beside them may hold anything.

/// Why there is no credential: a word that is stable, and a sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no credential for the server: {problem}")]
pub struct Refused {
    /// The stable reason.
    pub reason: Reason,
    /// What went wrong, without any secret.
    pub problem: String,
}

/// The stable reasons for which there is no credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Whoever issues it refused, and said so by the rules.
    Denied,
    /// A file with a secret or a key cannot be used.
    File,
    /// What came back cannot be used.
    Malformed,
    /// The issue could not be put on record.
    Unrecorded,
    /// Whoever issues it cannot be reached, or does not answer in time.
    Unreachable,
}

impl Refused {
    pub(crate) fn new(reason: Reason, problem: impl Into<String>) -> Self {
        Self { reason, problem: problem.into() }
    }
}

impl Reason {
    /// The word in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "credential.denied",
            Self::File => "credential.file",
            Self::Malformed => "credential.malformed-answer",
            Self::Unrecorded => "credential.unrecorded",
            Self::Unreachable => "credential.unreachable",
        }
    }
}
