//! One finding: what was looked at, what is there, why it matters and what to do.

use std::fmt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// It works, but not as well as it should, or not for ever.
    Warning,
    /// The gateway does not start, or calls are refused.
    Error,
}

impl Level {
    /// The exit status of the program when nothing is worse.
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Error => 2,
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Finding {
    /// What was looked at: a stable word.
    pub(super) check: &'static str,
    pub(super) level: Level,
    /// What is there.
    pub(super) what: String,
    /// Why it matters.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) why: &'static str,
    /// What to do.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) fix: &'static str,
}

impl Finding {
    pub(super) fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, what: what.into(), why: "", fix: "" }
    }

    pub(super) fn warning(check: &'static str, what: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::ok(check, what) }
    }

    pub(super) fn error(check: &'static str, what: impl Into<String>) -> Self {
        Self { level: Level::Error, ..Self::ok(check, what) }
    }

    /// The same, for what is bad in itself and has something good beside it.
    pub(super) fn at_most_warning(self) -> Self {
        Self { level: self.level.min(Level::Warning), ..self }
    }

    pub(super) fn because(self, why: &'static str) -> Self {
        Self { why, ..self }
    }

    pub(super) fn so(self, fix: &'static str) -> Self {
        Self { fix, ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        write!(f, "{level:<8} {:<14} {}", self.check, self.what.replace('\n', "\n  "))?;
        if !self.why.is_empty() {
            write!(f, "\n{:24}why: {}", "", self.why)?;
        }
        if !self.fix.is_empty() {
            write!(f, "\n{:24}fix: {}", "", self.fix)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Finding, Level};

    #[test]
    fn a_finding_says_what_why_and_how() {
        let finding = Finding::warning("disk", "it is full").because("calls stop").so("make room");
        assert_eq!(
            finding.to_string(),
            "warning  disk           it is full\n                        why: calls stop\n\
             \u{20}                       fix: make room"
        );
        assert_eq!(Finding::ok("disk", "x").to_string(), "ok       disk           x");
        assert!(Level::Ok < Level::Warning && Level::Warning < Level::Error);
        assert_eq!(Level::Error.exit_code(), 2);
    }
}
