//! What stands where: every crate has its page and its lints, every file an honest name, and tests
//! link the crate once.
//!
//! Looks at paths, manifests and first lines; never at code.

use crate::manifest::holds;
use crate::tree::{File, Finding, Tree};

/// Every crate's folder.
#[must_use]
pub fn check(tree: &Tree) -> Vec<Finding> {
    let paths = tree.paths.iter().map(String::as_str).collect::<Vec<_>>();
    let architecture = tree.file("ARCHITECTURE.md").map_or("", |file| &file.text);
    let mut findings = paths.iter().filter_map(|path| vague_name(path)).collect::<Vec<_>>();
    for name in tree.crates() {
        let readme = format!("crates/{name}/README.md");
        findings.extend(page(&readme, tree.file(&readme), architecture));
        findings.extend(test_binaries(name, &paths));
        if let Some(manifest) = tree.file(&format!("crates/{name}/Cargo.toml")) {
            findings.extend(inherited(manifest));
        }
    }
    findings
}

/// The page exists, and the architecture quotes its first line, so that the two cannot drift apart.
#[must_use]
pub fn page(path: &str, readme: Option<&File>, architecture: &str) -> Option<Finding> {
    let finding = |message: String| Some(Finding { path: path.into(), line: 1, message });
    let Some(readme) = readme else {
        return finding("missing: say in one line what the crate is for".into());
    };
    let first = readme.text.lines().next().unwrap_or_default();
    let first = first.trim_start_matches("# ").trim();
    if first.is_empty() {
        return finding("the first line must say what the crate is for".into());
    }
    if !one_line(architecture).contains(&one_line(first)) {
        return finding(format!("`ARCHITECTURE.md` must quote the first line: `{first}`"));
    }
    None
}

/// The lints and the ban on publishing come from the workspace.
#[must_use]
pub fn inherited(manifest: &File) -> Vec<Finding> {
    [("[package]", "publish.workspace = true"), ("[lints]", "workspace = true")]
        .into_iter()
        .filter(|(table, entry)| !holds(&manifest.text, table, entry))
        .map(|(table, entry)| manifest.finding(0, format!("`{table}` must hold `{entry}`")))
        .collect()
}

/// A name that says nothing of what is inside collects whatever has no place.
#[must_use]
pub fn vague_name(path: &str) -> Option<Finding> {
    let inside = path.starts_with("crates/") || path.starts_with("tests/");
    let name = path.rsplit('/').next().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    let message = format!("`{stem}` says nothing of what is inside: name it after its subject");
    (inside && VAGUE.contains(&stem)).then(|| Finding { path: path.into(), line: 0, message })
}

/// Each further file directly below `tests/` would link the whole crate once more.
#[must_use]
pub fn test_binaries(name: &str, paths: &[&str]) -> Option<Finding> {
    let folder = format!("crates/{name}/tests/");
    let binaries = paths
        .iter()
        .filter_map(|path| path.strip_prefix(&folder))
        .filter(|rest| match rest.split_once('/') {
            None => rest.ends_with(".rs"),
            Some((_, file)) => file == "main.rs",
        })
        .count();
    let message = format!("{binaries} test binaries: make them modules of `tests/it/main.rs`");
    (binaries > 1).then_some(Finding { path: folder, line: 0, message })
}

/// Wrapped text as one line, so that a quotation may run over a line's end.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

const VAGUE: &[&str] = &[
    "base",
    "common",
    "helper",
    "helpers",
    "manager",
    "misc",
    "types",
    "util",
    "utilities",
    "utils",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    #[test]
    fn the_architecture_quotes_every_page() {
        let readme = file("README.md", "# tlog: a log\n\nMore.\n");
        let of = |architecture| page("README.md", Some(&readme), architecture);
        assert_eq!(of("### tlog: a\n    log\n"), None);
        assert!(of("### tlog: a tree\n").is_some());
        assert!(of("").is_some());
        assert!(page("README.md", None, "anything").is_some());
        assert!(page("README.md", Some(&file("README.md", "\n# x\n")), "x").is_some());
    }

    #[test]
    fn lints_and_publishing_are_inherited() {
        let good = "[package]\npublish.workspace = true\n[lints]\nworkspace = true\n";
        assert!(inherited(&file("Cargo.toml", good)).is_empty());
        assert_eq!(inherited(&file("Cargo.toml", "[package]\npublish = true\n")).len(), 2);
        let own = good.replace("[lints]", "[lints.rust]");
        assert_eq!(inherited(&file("Cargo.toml", &own)).len(), 1);
    }

    #[test]
    fn vague_names_are_refused() {
        assert!(vague_name("crates/a/src/utils.rs").is_some());
        assert!(vague_name("crates/a/src/common").is_some());
        assert!(vague_name("crates/a/tests/it/helpers.rs").is_some());
        assert!(vague_name("crates/a/src/manager.test.js").is_some());
        assert!(vague_name("crates/a/src/utility_bill.rs").is_none());
        assert!(vague_name("docs/types.md").is_none());
    }

    #[test]
    fn one_test_binary_is_enough() {
        let one = ["crates/a/tests/it/main.rs", "crates/a/tests/it/laws.rs", "crates/b/tests/b.rs"];
        assert!(test_binaries("a", &one).is_none());
        let two = ["crates/a/tests/it/main.rs", "crates/a/tests/laws.rs"];
        assert!(test_binaries("a", &two).is_some());
        let golden = ["crates/a/tests/it/main.rs", "crates/a/tests/golden/log.txt"];
        assert!(test_binaries("a", &golden).is_none());
    }
}
