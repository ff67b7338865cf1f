//! What is wrong with a policy set, and where. It knows no Cedar.

use std::fmt;

/// One thing wrong with a policy set.
///
/// Its text form is `file:line:column: error: message`, with the hint on a line of its own. Problems
/// order by file, line and column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Name of the file inside the bundle directory; empty when the set as a whole is meant.
    pub file: String,
    /// Line, from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// Column in characters, from 1; 0 when the file as a whole is meant.
    pub column: usize,
    /// Whether the set can be used all the same.
    pub severity: Severity,
    /// What is wrong; lower case, no full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Identifier of the policy, when it has one.
    pub policy: Option<String>,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The set is refused.
    Error,
    /// The set can be used, but probably does not say what its author means.
    Warning,
}

impl Problem {
    /// An error about the set as a whole.
    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self {
            file: String::new(),
            line: 0,
            column: 0,
            severity: Severity::Error,
            message: one_line(message.into()),
            help: None,
            policy: None,
        }
    }

    /// A warning about the set as a whole.
    pub(crate) fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    pub(crate) fn in_file(self, file: &str) -> Self {
        Self { file: file.to_owned(), ..self }
    }

    /// At a byte offset of the text of `file`.
    pub(crate) fn at(self, file: &str, text: &str, offset: usize) -> Self {
        let (line, column) = line_and_column(text, offset);
        Self { line, column, ..self.in_file(file) }
    }

    pub(crate) fn of_policy(self, id: Option<&str>) -> Self {
        Self { policy: id.map(str::to_owned), ..self }
    }

    pub(crate) fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
            if 0 < self.line {
                write!(f, "{}:{}:", self.line, self.column)?;
            }
            f.write_str(" ")?;
        }
        write!(f, "{}: ", self.severity)?;
        if let Some(id) = &self.policy {
            write!(f, "policy `{id}`: ")?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// A message on one line: it may repeat what stands in a file, and be a line of a log.
fn one_line(message: String) -> String {
    if !message.contains(char::is_control) {
        return message;
    }
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    message.chars().map(shown).collect()
}

/// Line and column, both from 1, the column in characters. An offset past the end means the end.
pub(crate) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let mut line = 1;
    let mut column = 1;
    for (_, character) in text.char_indices().take_while(|(at, _)| *at < offset) {
        if character == '\n' {
            line += 1;
            column = 1;
        } else {
            column += 1;
        }
    }
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::{Problem, line_and_column};

    #[test]
    fn columns_count_characters_not_bytes() {
        let text = "äb\n\u{1f511}x\n";
        for (offset, expected) in [
            (0, (1, 1)),
            (2, (1, 2)),
            (3, (1, 3)),
            (4, (2, 1)),
            (8, (2, 2)),
            (10, (3, 1)),
            (99, (3, 1)),
        ] {
            assert_eq!(line_and_column(text, offset), expected, "offset {offset}");
        }
    }

    #[test]
    fn text_names_place_severity_policy_and_help() {
        let problem = Problem::error("no such thing");
        assert_eq!(problem.to_string(), "error: no such thing");
        let problem = problem.at("a.cedar", "x\nyz", 3).of_policy(Some("p")).with_help("try `q`");
        assert_eq!(
            problem.to_string(),
            "a.cedar:2:2: error: policy `p`: no such thing\n  help: try `q`"
        );
        assert_eq!(
            Problem::warning("is empty").in_file("b.cedar").to_string(),
            "b.cedar: warning: is empty"
        );
    }
}
