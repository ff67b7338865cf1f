//! What must not stand in a Rust file, line by line.
//!
//! Works on text, not on a syntax tree: comments and the insides of strings are left out of sight,
//! and what only the compiler can see (unsafe code, long functions, casts) is left to the lints.

use std::iter;

use crate::tree::{File, Finding};

/// Every rule of this module over one file; files in other languages pass.
#[must_use]
pub fn check(file: &File) -> Vec<Finding> {
    if !file.is_rust() {
        return Vec::new();
    }
    let mut findings = length(file).into_iter().collect::<Vec<_>>();
    findings.extend(queues(file));
    findings.extend(drops(file));
    findings.extend(environment(file));
    findings.extend(ignored(file));
    findings.extend(sleeps(file));
    findings
}

/// Split by meaning before a file is too long to hold in mind.
#[must_use]
pub fn length(file: &File) -> Option<Finding> {
    let max = if file.is_test() { TEST_LINES_MAX } else { LINES_MAX };
    let lines = file.text.lines().count();
    (lines > max).then(|| file.finding(0, format!("{lines} lines, at most {max}: split it")))
}

/// Every queue has a bound.
#[must_use]
pub fn queues(file: &File) -> Vec<Finding> {
    matching(file, "a queue without a bound: give it one, with a name and a unit", |line, _| {
        line.contains("unbounded(") || line.contains("unbounded_channel")
    })
}

/// Nothing that matters happens in `Drop`: it cannot wait, fail or be seen. Files that must have
/// one are listed with the reason, and leave the list when they no longer do.
#[must_use]
pub fn drops(file: &File) -> Vec<Finding> {
    let found = matching(file, "no work in `Drop`: make the end of it a call", |line, _| {
        line.trim_start().starts_with("impl") && line.contains("Drop for ")
    });
    if !DROPS.iter().any(|(path, _)| *path == file.path) {
        return found;
    }
    if found.is_empty() {
        return vec![file.finding(0, "no longer has a `Drop`: take it out of `DROPS`")];
    }
    Vec::new()
}

/// The environment is read in one file, so that one file says what the program depends on.
#[must_use]
pub fn environment(file: &File) -> Vec<Finding> {
    if file.path == ENVIRONMENT || file.is_test() {
        return Vec::new();
    }
    matching(file, "only `crates/app/src/environment.rs` reads the environment", |line, test| {
        let named = ["std::env::", "std::env;", "std::env}", "std::env as"];
        let listed = line
            .trim_start()
            .strip_prefix("use std::{")
            .is_some_and(|list| list.split([',', '}', ';', ':']).any(|item| item.trim() == "env"));
        !test && (listed || named.iter().any(|name| line.contains(name)))
    })
}

/// A test that does not run says nothing.
#[must_use]
pub fn ignored(file: &File) -> Vec<Finding> {
    matching(file, "a test that is skipped: mend it or take it out", |line, _| {
        line.contains("#[ignore")
    })
}

/// A test that sleeps is slow on a fast machine and wrong on a slow one.
#[must_use]
pub fn sleeps(file: &File) -> Vec<Finding> {
    let whole = file.is_test() && !file.is_for_tests();
    matching(file, "no sleeping in tests: wait for the event itself", |line, test| {
        (whole || test) && (line.contains("thread::sleep") || line.contains("time::sleep"))
    })
}

/// A finding per line the rule matches; it sees the line's code and whether that is test code.
fn matching(file: &File, message: &str, rule: impl Fn(&str, bool) -> bool) -> Vec<Finding> {
    let lines = file.text.lines().map(code).zip(test_lines(&file.text));
    (1..)
        .zip(lines)
        .filter(|(_, (line, test))| rule(line, *test))
        .map(|(number, _)| file.finding(number, message))
        .collect()
}

/// For each line, whether it stands in a `#[cfg(test)]` block; such a block ends with the first
/// closing brace at its own indentation, which is where rustfmt puts it.
fn test_lines(text: &str) -> impl Iterator<Item = bool> {
    let mut lines = text.lines().peekable();
    let mut end: Option<String> = None;
    iter::from_fn(move || {
        let line = lines.next()?;
        if let Some(closing) = &end {
            if line == closing.as_str() {
                end = None;
            }
            return Some(true);
        }
        let start = line.trim_start();
        if start.starts_with("#[cfg(test)]") && lines.peek().is_some_and(|next| next.ends_with('{'))
        {
            let indent = line.len() - start.len();
            end = Some(format!("{}}}", " ".repeat(indent)));
        }
        Some(false)
    })
}

/// A line without its comment and without what its strings say.
fn code(line: &str) -> String {
    let line = line.replace("'\"'", "''").replace("'\\\"'", "''");
    let mut kept = String::new();
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' if quoted => drop(characters.next()),
            '"' => {
                quoted = !quoted;
                kept.push(c);
            }
            '/' if !quoted && characters.peek() == Some(&'/') => break,
            _ if quoted => {}
            _ => kept.push(c),
        }
    }
    kept
}

/// Lines of a file that ships.
const LINES_MAX: usize = 500;
/// Lines of a file of tests, which is read one test at a time.
const TEST_LINES_MAX: usize = 1_000;

/// The one file that reads the environment.
const ENVIRONMENT: &str = "crates/app/src/environment.rs";

/// The files that may implement `Drop`, each with its reason.
const DROPS: &[(&str, &str)] = &[
    ("crates/tlog/src/log.rs", "the last handle lets the writer thread end; nothing is written"),
    ("crates/tlog/src/storage/memory.rs", "a lock ends with its holder, as it does on a file"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    fn lines(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn long_files_are_refused() {
        let text = |lines| "//\n".repeat(lines);
        assert!(length(&file("src/a.rs", &text(500))).is_none());
        assert!(length(&file("src/a.rs", &text(501))).is_some());
        assert!(length(&file("tests/it/a.rs", &text(1_000))).is_none());
        assert!(length(&file("src/a/tests.rs", &text(1_001))).is_some());
    }

    #[test]
    fn unbounded_queues_are_refused() {
        let text = "// unbounded(\nlet (a, b) = unbounded();\nlet c = mpsc::unbounded_channel();\n";
        assert_eq!(lines(&queues(&file("src/a.rs", text))), [2, 3]);
    }

    #[test]
    fn drop_is_refused_outside_the_list() {
        let text = "struct A;\nimpl<T> std::ops::Drop for A<T> {}\nimpl Drop for B {}\n";
        assert_eq!(lines(&drops(&file("src/a.rs", text))), [2, 3]);
        let (listed, _) = DROPS[0];
        assert!(drops(&file(listed, text)).is_empty());
        assert_eq!(lines(&drops(&file(listed, "struct A;\n"))), [0]);
    }

    #[test]
    fn the_environment_is_read_in_one_file() {
        let text = "use std::env;\nuse std::{env, fs};\nlet a = std::env::var(\"A\");\n\
                    let b = env!(\"B\");\n// std::env::args\nlet c = \"std::env::args\";\n\
                    use std::{fs, path};\n";
        assert_eq!(lines(&environment(&file("src/a.rs", text))), [1, 2, 3]);
        assert!(environment(&file(ENVIRONMENT, text)).is_empty());
        assert!(environment(&file("tests/it/a.rs", text)).is_empty());
    }

    #[test]
    fn a_test_module_ends_at_its_own_brace() {
        let text = "#[cfg(test)]\nmod tests {\n    fn a() {\n        std::env::temp_dir();\n    }\n\
                    }\nfn b() {\n    std::env::temp_dir();\n}\n";
        assert_eq!(lines(&environment(&file("src/a.rs", text))), [8]);
        let declared = "#[cfg(test)]\nmod tests;\nfn b() { std::env::temp_dir(); }\n";
        assert_eq!(lines(&environment(&file("src/a.rs", declared))), [3]);
    }

    #[test]
    fn skipped_tests_are_refused() {
        let text = "#[test]\n#[ignore]\nfn a() {}\n#[ignore = \"slow\"]\nfn b() {}\n";
        assert_eq!(lines(&ignored(&file("src/a.rs", text))), [2, 4]);
    }

    #[test]
    fn sleeping_is_refused_in_tests_only() {
        let text = "tokio::time::sleep(PAUSE).await;\nthread::sleep(PAUSE);\n";
        assert!(sleeps(&file("src/a.rs", text)).is_empty());
        assert_eq!(lines(&sleeps(&file("tests/it/a.rs", text))), [1, 2]);
        assert!(sleeps(&file("tests/peers/server/src/a.rs", text)).is_empty());
        let inside = format!("#[cfg(test)]\nmod tests {{\n{text}}}\n");
        assert_eq!(lines(&sleeps(&file("src/a.rs", &inside))), [3, 4]);
    }

    #[test]
    fn strings_and_comments_are_out_of_sight() {
        assert_eq!(code(r#"let a = "b // c \" d"; // e"#), r#"let a = ""; "#);
        assert_eq!(code(r#"split('"').map("x")"#), r#"split('').map("")"#);
    }

    #[test]
    fn other_languages_pass() {
        assert!(check(&file("check", &"#[ignore]\n".repeat(600))).is_empty());
        assert_eq!(check(&file("a.rs", &"#[ignore]\n".repeat(600))).len(), 601);
    }
}
