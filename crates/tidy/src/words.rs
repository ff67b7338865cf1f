//! Words that must not stand in any file of the repository.
//!
//! Unlike the rules on code, these look into comments and strings as well; the words stand here in
//! two pieces so that this file passes its own test.

use crate::tree::{File, Finding};

/// Both rules over one file.
#[must_use]
pub fn check(file: &File) -> Vec<Finding> {
    let mut findings = unfinished(file);
    findings.extend(elsewhere(file));
    findings
}

/// What is not finished is not committed; what is known to be missing is written down for users.
#[must_use]
pub fn unfinished(file: &File) -> Vec<Finding> {
    if file.path.ends_with(".md") || file.path.ends_with("lock") {
        return Vec::new();
    }
    matching(file, "unfinished", |line| {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.find_map(|word| UNFINISHED.iter().find(|mark| **mark == word).copied())
    })
}

/// A path or a package source that exists on one machine only breaks the repository on every other.
#[must_use]
pub fn elsewhere(file: &File) -> Vec<Finding> {
    let mut findings = matching(file, "exists on one machine only", |line| {
        let line = line.to_lowercase();
        ELSEWHERE.iter().find(|word| line.contains(**word)).copied()
    });
    if file.path.ends_with("package-lock.json") {
        findings.extend(matching(file, "must come from the public registry", |line| {
            line.trim()
                .strip_prefix("\"resolved\": \"")
                .filter(|from| !from.starts_with("https://registry.npmjs.org/"))
        }));
    }
    findings
}

fn matching<'a>(
    file: &'a File,
    message: &str,
    rule: impl Fn(&'a str) -> Option<&'a str>,
) -> Vec<Finding> {
    (1..)
        .zip(file.text.lines())
        .filter_map(|(number, line)| {
            rule(line).map(|word| file.finding(number, format!("`{word}`: {message}")))
        })
        .collect()
}

const UNFINISHED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

const ELSEWHERE: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("../sha", "red"),
    concat!("/tmp/bash", "_jobs"),
    concat!("/opt/whe", "els"),
    concat!("arti", "factory"),
    concat!("/ro", "ot/."),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    #[test]
    fn unfinished_work_is_refused() {
        for mark in UNFINISHED {
            assert_eq!(unfinished(&file("a.rs", &format!("\n// {mark}: later\n")))[0].line, 2);
            assert_eq!(unfinished(&file("check", &format!("# {mark}\n"))).len(), 1);
            assert!(unfinished(&file("a.rs", &format!("mktemp a.{mark}{mark}\n"))).is_empty());
            assert!(unfinished(&file("a.md", &format!("no `{mark}` in sources\n"))).is_empty());
        }
    }

    #[test]
    fn paths_of_one_machine_are_refused() {
        for word in ELSEWHERE {
            assert_eq!(elsewhere(&file("a.md", &format!("see {word}x\n"))).len(), 1, "{word}");
            assert_eq!(elsewhere(&file("a.rs", &word.to_uppercase())).len(), 1, "{word}");
        }
        assert!(elsewhere(&file("a.rs", "the work/life of crates, shared\n")).is_empty());
    }

    #[test]
    fn packages_come_from_the_public_registry() {
        let lock = |host| format!("  \"resolved\": \"https://{host}/a/-/a-1.0.0.tgz\",\n");
        let at = |host| elsewhere(&file("tests/package-lock.json", &lock(host))).len();
        assert_eq!(at("registry.npmjs.org"), 0);
        assert_eq!(at("packages.example"), 1);
    }
}
