//! Relative links between the Markdown pages lead somewhere.
//!
//! Follows the file part of a link only; it neither opens the network nor checks a heading's name.

use std::collections::BTreeSet;

use crate::tree::{File, Finding, Tree};

/// Every page at the root, below `docs/`, and each crate's README.
#[must_use]
pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.files
        .iter()
        .filter(|file| is_page(&file.path))
        .flat_map(|file| broken(file, &tree.paths))
        .collect()
}

/// The links of one page that lead nowhere.
#[must_use]
pub fn broken(file: &File, paths: &BTreeSet<String>) -> Vec<Finding> {
    targets(&file.text)
        .into_iter()
        .filter(|(_, target)| is_relative(target))
        .filter(|(_, target)| {
            let path = target.split(['#', '?']).next().unwrap_or_default();
            let full = resolve(&file.path, path);
            !full.is_some_and(|full| full.is_empty() || paths.contains(&full))
        })
        .map(|(line, target)| file.finding(line, format!("`{target}` leads nowhere")))
        .collect()
}

/// What the inline links, images and reference definitions outside of code point at, with lines.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        let prose = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let inline = prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        let definition = prose
            .starts_with('[')
            .then(|| prose.split_once("]: ")?.1.split_whitespace().next())
            .flatten();
        found.extend(inline.chain(definition).map(|target| (number, target.to_owned())));
    }
    found
}

/// Not a web address, not a heading on the same page, not a Rust path that rustdoc resolves.
fn is_relative(target: &str) -> bool {
    !target.contains("://")
        && !target.contains("::")
        && !target.starts_with("mailto:")
        && !target.starts_with('#')
}

/// The path from the root that `target` means on the page at `from`; none when it leaves the root.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts = from.split('/').collect::<Vec<_>>();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn is_page(path: &str) -> bool {
    let readme =
        path.strip_prefix("crates/").and_then(|rest| rest.split_once('/')).map(|(_, file)| file);
    path.ends_with(".md")
        && (!path.contains('/') || path.starts_with("docs/") || readme == Some("README.md"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let paths = ["docs", "docs/log.md", "README.md", "crates/a/README.md"];
        let paths = paths.into_iter().map(str::to_owned).collect();
        let file = File { path: path.into(), text: text.into() };
        broken(&file, &paths).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_link_to_nothing_is_found() {
        assert!(lines("README.md", "[a](docs/log.md#tiles), ![b](./docs/) [c](.)\n").is_empty());
        assert_eq!(lines("README.md", "ok\n[a](docs/log.md) [b](docs/lost.md \"title\")\n"), [2]);
        assert_eq!(lines("README.md", "[a]: docs/lost.md\n[b]: docs/log.md\n"), [1]);
    }

    #[test]
    fn links_are_relative_to_their_page() {
        assert!(lines("docs/log.md", "[a](../README.md) [b](log.md)\n").is_empty());
        assert_eq!(lines("docs/log.md", "[a](README.md)\n"), [1]);
        assert_eq!(lines("README.md", "[out](../elsewhere.md)\n"), [1]);
    }

    #[test]
    fn code_and_the_web_are_left_alone() {
        let text = "```\n[a](lost.md)\n```\n`[b](lost.md)` [c](https://example.org/lost.md)\n\
                    [d](crate::Lost) [e](#heading) [f](mailto:a@example.org)\n";
        assert!(lines("README.md", text).is_empty());
    }

    #[test]
    fn only_our_pages_are_read() {
        assert!(is_page("README.md") && is_page("docs/a/b.md") && is_page("crates/a/README.md"));
        assert!(!is_page("crates/a/tests/golden/x.md") && !is_page("docs/a.txt"));
    }
}
