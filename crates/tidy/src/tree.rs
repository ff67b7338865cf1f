//! The repository as the rules see it: paths and the text behind them.
//!
//! Reads the folder as it stands and does not ask git; what tools leave behind (build products,
//! installed packages) is passed over. Knows no rule.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

/// Every file and folder below the root, with the text of those that hold text.
#[derive(Debug, Default)]
pub struct Tree {
    /// All text files, in the order of their paths.
    pub files: Vec<File>,
    /// Every path below the root, folders and binary files included, parts joined by `/`.
    pub paths: BTreeSet<String>,
}

/// One text file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path from the root, parts joined by `/`.
    pub path: String,
    /// All of it, as UTF-8.
    pub text: String,
}

/// One breach of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file's path from the root.
    pub path: String,
    /// Its line, counted from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl Tree {
    /// Reads everything below `root`.
    ///
    /// # Errors
    /// Whatever the file system answers when a folder or a file cannot be read.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    /// The text file at exactly this path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The names of the folders directly below `crates/`.
    pub fn crates(&self) -> impl Iterator<Item = &str> {
        self.paths
            .iter()
            .filter_map(|path| path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml"))
            .filter(|name| !name.contains('/'))
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if !is_passed_over(&name, &entry.path()) {
                    self.read_folder(&entry.path(), &format!("{path}/"))?;
                    self.paths.insert(path);
                }
                continue;
            }
            // In a linked working folder of git, `.git` is a file.
            if kind.is_file()
                && name != ".git"
                && let Ok(text) = String::from_utf8(fs::read(entry.path())?)
            {
                self.files.push(File { path: path.clone(), text });
            }
            self.paths.insert(path);
        }
        Ok(())
    }
}

impl File {
    /// Whether this is Rust.
    #[must_use]
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the whole file is test code: below `tests/` or `benches/`, or named `tests.rs`.
    #[must_use]
    pub fn is_test(&self) -> bool {
        let mut parts = self.path.split('/').rev();
        parts.next() == Some("tests.rs") || parts.any(|part| part == "tests" || part == "benches")
    }

    /// Whether this is the source of a program that tests start, which is no test itself.
    #[must_use]
    pub fn is_for_tests(&self) -> bool {
        self.path.starts_with("tests/") && self.path.contains("/src/")
    }

    /// A breach in this file; `line` counts from 1.
    #[must_use]
    pub fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Build folders carry `CACHEDIR.TAG` wherever they stand, Python environments `pyvenv.cfg`.
fn is_passed_over(name: &str, folder: &Path) -> bool {
    NOT_OURS.contains(&name)
        || folder.join("CACHEDIR.TAG").exists()
        || folder.join("pyvenv.cfg").exists()
}

/// What git, cargo, npm and Python leave in a working folder.
const NOT_OURS: &[&str] = &[".git", "target", "node_modules", ".check", "__pycache__"];

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> File {
        File { path: path.into(), text: String::new() }
    }

    #[test]
    fn test_files_are_told_by_their_path() {
        assert!(file("crates/a/tests/it/main.rs").is_test());
        assert!(file("crates/a/benches/b.rs").is_test());
        assert!(file("crates/a/src/log/tests.rs").is_test());
        assert!(!file("crates/a/src/log.rs").is_test());
        assert!(!file("crates/a/src/contests.rs").is_test());
    }

    #[test]
    fn a_finding_names_file_line_and_message() {
        assert_eq!(file("a.rs").finding(3, "too long").to_string(), "a.rs:3: too long");
        assert_eq!(file("a.rs").finding(0, "too long").to_string(), "a.rs: too long");
    }

    #[test]
    fn only_folders_with_a_manifest_directly_below_crates_are_crates() {
        let paths =
            ["crates/a/Cargo.toml", "crates/b/fuzz/Cargo.toml", "crates/c/src", "Cargo.toml"];
        let tree =
            Tree { files: Vec::new(), paths: paths.iter().map(|&path| path.into()).collect() };
        assert_eq!(tree.crates().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn what_tools_leave_behind_is_passed_over() {
        let root = Path::new(".");
        assert!(is_passed_over("target", root));
        assert!(is_passed_over("node_modules", root));
        assert!(!is_passed_over("src", root));
    }
}
