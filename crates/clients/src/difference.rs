//! What changes between two texts, line by line, to be shown. Knows nothing of what they say.

/// The lines that go and the lines that come; those that stay are left out.
pub fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let mut out = String::new();
    let (mut at, mut to) = (0, 0);
    while at < old.len() || to < new.len() {
        match (old.get(at), new.get(to)) {
            (Some(a), Some(b)) if a == b => (at, to) = (at + 1, to + 1),
            _ => {
                let (gone, come) = next_common(old.get(at..), new.get(to..));
                for line in old.get(at..at + gone).unwrap_or_default() {
                    out.push_str(&format!("-{line}\n"));
                }
                for line in new.get(to..to + come).unwrap_or_default() {
                    out.push_str(&format!("+{line}\n"));
                }
                (at, to) = (at + gone, to + come);
            }
        }
    }
    out
}

/// How many lines of each text come before the next line that both have.
fn next_common(old: Option<&[&str]>, new: Option<&[&str]>) -> (usize, usize) {
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    for (gone, line) in old.iter().enumerate() {
        if let Some(come) = new.iter().position(|other| other == line && !line.trim().is_empty()) {
            return (gone, come);
        }
    }
    (old.len(), new.len())
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn only_changed_lines_are_shown() {
        assert_eq!(difference("a\nsecret\nb\nc\n", "a\nsecret\nB\nC\nc\n"), "-b\n+B\n+C\n");
        assert_eq!(difference("a\n", "a\nb\n"), "+b\n");
        assert_eq!(difference("a\n", "a\n"), "");
    }
}
