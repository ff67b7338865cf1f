//! The few things the rules ask of a `Cargo.toml`: which dependencies it names, and where.
//!
//! Reads the plain one-line-per-key form this repository keeps to and is no TOML parser; what it
//! cannot follow (a dependency written as a table of its own) it reports as not inherited, so that
//! nothing slips past the rules by being written differently.

/// One dependency as a manifest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The crate's name, with `-` for `_`.
    pub name: String,
    /// The line it stands on, counted from 1.
    pub line: usize,
    /// Whether it is taken from `[workspace.dependencies]`, so that one place names its version.
    pub inherited: bool,
    /// Whether it goes by another name than its package's.
    pub renamed: bool,
    /// Whether only tests and benchmarks use it.
    pub for_tests: bool,
}

/// What a line stands in.
enum Section {
    Dependencies { for_tests: bool },
    Other,
}

/// Every dependency of a manifest: ordinary, for tests, for builds, for one platform, of the
/// workspace.
#[must_use]
pub fn dependencies(text: &str) -> Vec<Dependency> {
    let mut found = Vec::new();
    let mut section = Section::Other;
    let mut depth = 0;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if depth == 0 && line.starts_with('[') {
            section = enter(line, number, &mut found);
            continue;
        }
        if depth == 0
            && let Section::Dependencies { for_tests } = section
            && let Some((key, value)) = line.split_once('=')
        {
            found.push(Dependency { for_tests, ..dependency(key, value, number) });
        }
        depth += balance(line);
    }
    found
}

/// Whether `[table]` holds the line `key`, written as `key.workspace = true` would be.
#[must_use]
pub fn holds(text: &str, table: &str, entry: &str) -> bool {
    let mut lines = text.lines().map(str::trim).skip_while(|line| *line != table).skip(1);
    lines.by_ref().take_while(|line| !line.starts_with('[')).any(|line| line == entry)
}

fn enter(header: &str, line: usize, found: &mut Vec<Dependency>) -> Section {
    let path = header.trim_matches(['[', ']']);
    let (parent, last) = path.rsplit_once('.').unwrap_or(("", path));
    if last.ends_with("dependencies") {
        return Section::Dependencies { for_tests: last == "dev-dependencies" };
    }
    if parent.ends_with("dependencies") {
        let for_tests = parent.ends_with("dev-dependencies");
        let name = plain(last);
        found.push(Dependency { name, line, inherited: false, renamed: false, for_tests });
    }
    Section::Other
}

fn dependency(key: &str, value: &str, line: usize) -> Dependency {
    let (name, rest) = key.split_once('.').unwrap_or((key, ""));
    let value = value.replace(' ', "");
    let inherited =
        (rest.trim() == "workspace" && value == "true") || value.contains("workspace=true");
    let renamed = rest.trim() == "package" || value.contains("package=");
    Dependency { name: plain(name), line, inherited, renamed, for_tests: false }
}

fn plain(name: &str) -> String {
    name.trim().trim_matches(['"', '\'']).replace('_', "-")
}

fn balance(line: &str) -> i32 {
    line.chars().fold(0, |depth, c| match c {
        '[' | '{' => depth + 1,
        ']' | '}' => depth - 1,
        _ => depth,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        dependencies(text).into_iter().map(|dependency| dependency.name).collect()
    }

    #[test]
    fn every_kind_of_dependency_is_seen() {
        let text = "[package]\nname = \"x\"\n[dependencies]\na.workspace = true\n\
                    b_c = { workspace = true, features = [\n  \"d\",\n] }\n\"e\" = \"1\"\n\
                    [dev-dependencies]\nf.workspace = true\n[build-dependencies]\ng = \"1\"\n\
                    [target.'cfg(unix)'.dependencies]\nh.workspace = true # why\n\
                    [dependencies.i]\nversion = \"1\"\n[features]\nj = []\n";
        assert_eq!(names(text), ["a", "b-c", "e", "f", "g", "h", "i"]);
    }

    #[test]
    fn only_workspace_true_is_inherited() {
        let inherited =
            |text: &str| dependencies(&format!("[dependencies]\n{text}\n"))[0].inherited;
        assert!(inherited("a.workspace = true"));
        assert!(inherited("a = { workspace = true, features = [\"b\"] }"));
        assert!(!inherited("a = \"1\""));
        assert!(!inherited("a = { path = \"../a\" }"));
        assert!(!dependencies("[dependencies.a]\nworkspace = true\n")[0].inherited);
    }

    #[test]
    fn a_renamed_package_is_seen() {
        assert!(dependencies("[workspace.dependencies]\na = { package = \"b\" }\n")[0].renamed);
        assert!(!dependencies("[workspace.dependencies]\na = \"1\"\n")[0].renamed);
    }

    #[test]
    fn an_entry_counts_only_in_its_own_table() {
        let text = "[package]\npublish.workspace = true\n\n[lints]\nworkspace = true\n";
        assert!(holds(text, "[lints]", "workspace = true"));
        assert!(!holds(text, "[package]", "workspace = true"));
        assert!(!holds(text, "[lib]", "workspace = true"));
    }
}
