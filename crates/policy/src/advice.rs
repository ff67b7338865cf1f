//! Puts what Cedar finds into words for whoever writes policies: without repetition, and with a hint
//! wherever there is one. It judges nothing itself.

use crate::problem::Problem;
use crate::vocabulary::Vocabulary;
use cedar_policy::{EntityUid, ParseError, ValidationError, ValidationWarning};
use miette::Diagnostic;

/// A syntax error. What Cedar would have expected is in its label.
pub(crate) fn of_syntax(error: &ParseError) -> Problem {
    let label = error.labels().and_then(|mut labels| labels.next());
    let label = label.and_then(|label| label.label().map(str::to_owned));
    let help = error.help().map(|help| help.to_string()).or(label);
    Problem { help, ..Problem::error(error.to_string()) }
}

/// An error in what a policy says; `known_as` is how Cedar names the policy.
pub(crate) fn of_error(words: &Vocabulary, error: &ValidationError, known_as: &str) -> Problem {
    let message = for_all_actions(&without_policy(&error.to_string(), known_as));
    let help = error.help().map(|help| without_policy(&help.to_string(), known_as));
    let help = match error {
        ValidationError::UnrecognizedActionId(_) => Some(other_action(words, &message)),
        ValidationError::UnsafeAttributeAccess(_) if message.contains(ON_ENTITY) => {
            let cedar = help.map(|help| format!("{help} ")).unwrap_or_default();
            Some(format!("{cedar}{SCOPE_HELP}"))
        }
        _ => help,
    };
    Problem { help, ..Problem::error(message) }
}

/// A warning about what a policy says.
pub(crate) fn of_warning(warning: &ValidationWarning, known_as: &str) -> Problem {
    let help = warning.help().map(|help| without_policy(&help.to_string(), known_as));
    Problem { help, ..Problem::warning(without_policy(&warning.to_string(), known_as)) }
}

/// Byte offset of the first place that a finding points at.
pub(crate) fn offset(diagnostic: &dyn Diagnostic) -> Option<usize> {
    diagnostic.labels()?.next().map(|label| label.offset())
}

/// Problems name the policy in a field of their own.
fn without_policy(message: &str, known_as: &str) -> String {
    match message.strip_prefix(&format!("for policy `{known_as}`")) {
        Some(rest) => rest.trim_start_matches([',', ':', ' ']).to_owned(),
        None => message.to_owned(),
    }
}

/// The context is the same for every action, so what is wrong with it is told once, not for each.
fn for_all_actions(message: &str) -> String {
    let action = message.split_once(IN_CONTEXT).and_then(|(before, rest)| {
        let (_name, after) = rest.split_once('"')?;
        Some(format!("{before} in the context{after}"))
    });
    action.unwrap_or_else(|| message.to_owned())
}

/// Cedar's own suggestion compares a bare name with quoted ones, and so prefers short ones.
fn other_action(words: &Vocabulary, message: &str) -> String {
    let written = message.split('`').nth(1).and_then(|uid| uid.parse::<EntityUid>().ok());
    let written = written.as_ref().map(|uid| uid.id().unescaped()).unwrap_or_default();
    let nearest = words.action_names().map(|name| (distance(written, name), name)).min();
    match nearest {
        Some((edits, name)) if edits * 3 <= written.chars().count() => {
            format!("did you mean `Action::\"{name}\"`?")
        }
        _ => OTHER_HELP.to_owned(),
    }
}

/// Levenshtein distance in characters.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut next = vec![i + 1];
        let mut left = i + 1;
        for ((b, above_left), above) in other.iter().zip(&row).zip(row.iter().skip(1)) {
            let substituted = above_left + usize::from(a != *b);
            left = substituted.min(left + 1).min(above + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

const IN_CONTEXT: &str = " in context for Action::\"";
const ON_ENTITY: &str = " on entity type ";
const OTHER_HELP: &str = "actions are named after methods, as in `Action::\"tools/call\"`; all others \
     come under `Action::\"other\"`, where `context.method` tells them apart";
const SCOPE_HELP: &str = "If the policy is about other things only, say so in its scope, as in \
     `principal is Actor` or `resource is Tool`";

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distance_counts_edits() {
        for (one, other, expected) in [
            ("", "", 0),
            ("abc", "", 3),
            ("", "äb", 2),
            ("tool/call", "tools/call", 1),
            ("kitten", "sitting", 3),
            ("pnig", "ping", 2),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
            assert_eq!(distance(other, one), expected, "{other} {one}");
        }
    }
}
