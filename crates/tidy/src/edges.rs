//! The arrows between the crates, and the doors each heavy dependency comes in by.
//!
//! Looks at manifests only: whether an allowed arrow is a good idea is for `ARCHITECTURE.md`.

use crate::manifest::dependencies;
use crate::tree::{File, Finding, Tree};

/// Which crate may use which, in layer order. Tests may use no more than the code they test, but for
/// [`FOR_TESTS`].
pub const ALLOWED: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("mcp", &[]),
    ("inventory", &["event", "mcp"]),
    ("clients", &[]),
    ("settings", &[]),
    ("note", &[]),
    ("keys", &["note"]),
    ("tlog", &["note"]),
    ("timestamp", &[]),
    ("verify", &["note", "timestamp"]),
    ("objects", &[]),
    ("witness", &["note"]),
    ("audit", &["event", "tlog"]),
    ("archive", &["audit", "event", "note", "objects", "timestamp", "tlog"]),
    ("identity", &["event"]),
    ("signals", &["event", "identity"]),
    ("policy", &["event"]),
    ("broker", &["event"]),
    ("gateway", &["audit", "broker", "event", "identity", "inventory", "mcp", "policy"]),
    ("telemetry", &["event", "gateway"]),
    (
        "app",
        &[
            "archive",
            "audit",
            "broker",
            "clients",
            "event",
            "gateway",
            "identity",
            "inventory",
            "keys",
            "mcp",
            "note",
            "objects",
            "policy",
            "settings",
            "signals",
            "telemetry",
            "timestamp",
            "tlog",
            "verify",
            "witness",
        ],
    ),
    ("tidy", &[]),
];

/// Dependencies that cost build time or trust, and the only crates that may name them.
pub const DOORS: &[(&str, &[&str])] = &[
    ("anyhow", &["app"]),
    ("aws-credential-types", &["objects"]),
    ("aws-sigv4", &["objects"]),
    ("cedar-policy", &["policy"]),
    ("clap", &["app", "verify"]),
    ("coset", &["archive", "verify"]),
    ("hyper", &["archive", "gateway", "objects", "witness"]),
    // `identity` reads tokens, `broker` signs what the gateway says of itself.
    ("jsonwebtoken", &["broker", "identity"]),
    ("opentelemetry", &["telemetry"]),
    ("opentelemetry-otlp", &["telemetry"]),
    ("opentelemetry_sdk", &["telemetry"]),
    ("prometheus-client", &["telemetry"]),
    ("quick-xml", &["objects"]),
    // To issuers: of the keys of callers, and of the gateway's own credentials.
    ("reqwest", &["broker", "identity"]),
    ("rmcp", &["app"]),
    ("rusqlite", &["app"]),
    ("ureq", &["verify"]),
    ("x509-cert", &["app", "identity", "timestamp"]),
];

/// What the tests of a crate may use beyond the code they test: who, what, why.
pub const FOR_TESTS: &[(&str, &str, &str)] = &[
    ("app", "hyper", "the crash test and the benchmark bring a server of their own"),
    ("gateway", "tlog", "tests make the log that the gateway writes to, and break it"),
    ("audit", "verify", "tests verify the logs that the recorder wrote"),
    ("gateway", "verify", "tests verify the logs that the gateway wrote"),
    ("tlog", "verify", "tests verify the logs that the writer wrote"),
    ("tlog", "rusqlite", "the benchmark measures a database beside the log"),
    ("verify", "tlog", "tests verify logs that the real writer made"),
];

/// Every arrow in the tree against the two tables.
#[must_use]
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = missing(&tree.crates().collect::<Vec<_>>());
    for name in tree.crates() {
        if let Some(manifest) = tree.file(&format!("crates/{name}/Cargo.toml")) {
            findings.extend(of_crate(name, manifest));
        }
    }
    if let Some(manifest) = tree.file("Cargo.toml") {
        findings.extend(renamed(manifest));
    }
    findings
}

/// The table names exactly the crates that exist.
#[must_use]
pub fn missing(crates: &[&str]) -> Vec<Finding> {
    let table = File { path: TABLE.into(), text: String::new() };
    let unknown = crates
        .iter()
        .filter(|name| allowed(name).is_none())
        .map(|name| table.finding(0, format!("crate `{name}` is missing from `ALLOWED`: add it")));
    let gone = ALLOWED
        .iter()
        .filter(|(name, _)| !crates.contains(name))
        .map(|(name, _)| table.finding(0, format!("there is no crate `{name}`: take it out")));
    unknown.chain(gone).collect()
}

/// One crate's manifest against both tables.
#[must_use]
pub fn of_crate(name: &str, manifest: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for dependency in dependencies(&manifest.text) {
        let used = dependency.name.as_str();
        let mut finding = |message| findings.push(manifest.finding(dependency.line, message));
        if !dependency.inherited {
            finding(format!("`{used}` must be written `{used}.workspace = true` on one line"));
        }
        if dependency.for_tests
            && FOR_TESTS.iter().any(|(who, what, _)| (*who, *what) == (name, used))
        {
            continue;
        }
        if allowed(used).is_some() && !allowed(name).is_some_and(|may| may.contains(&used)) {
            finding(format!("`{name}` may not use `{used}` (see `{TABLE}`)"));
        }
        if let Some((_, doors)) =
            DOORS.iter().find(|(heavy, doors)| *heavy == used && !doors.contains(&name))
        {
            let doors = doors.join("`, `");
            finding(format!("`{used}` comes in through `{doors}` only, not through `{name}`"));
        }
    }
    findings
}

/// A dependency under another name would pass both tables unseen.
#[must_use]
pub fn renamed(workspace: &File) -> Vec<Finding> {
    dependencies(&workspace.text)
        .iter()
        .filter(|dependency| dependency.renamed)
        .map(|dependency| {
            let message = format!("`{}` must go by its package's name", dependency.name);
            workspace.finding(dependency.line, message)
        })
        .collect()
}

fn allowed(name: &str) -> Option<&'static [&'static str]> {
    ALLOWED.iter().find(|(one, _)| *one == name).map(|(_, may)| *may)
}

const TABLE: &str = "crates/tidy/src/edges.rs";

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(name: &str, dependencies: &str) -> Vec<String> {
        let manifest = File { path: "Cargo.toml".into(), text: dependencies.into() };
        of_crate(name, &manifest).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn an_arrow_outside_the_table_is_refused() {
        assert!(messages("gateway", "[dependencies]\naudit.workspace = true\n").is_empty());
        assert_eq!(
            messages("audit", "[dependencies]\ngateway.workspace = true\n"),
            ["`audit` may not use `gateway` (see `crates/tidy/src/edges.rs`)"]
        );
        assert_eq!(messages("gateway", "[dependencies]\ntlog.workspace = true\n").len(), 1);
        assert_eq!(messages("tidy", "[dependencies]\nevent.workspace = true\n").len(), 1);
    }

    #[test]
    fn tests_and_platforms_may_use_no_more() {
        let tests = "[dev-dependencies]\npolicy.workspace = true\ntempfile.workspace = true\n";
        assert_eq!(messages("audit", tests).len(), 1);
        assert!(messages("gateway", "[dev-dependencies]\ntlog.workspace = true\n").is_empty());
        let unix = "[target.'cfg(unix)'.dependencies]\ntlog.workspace = true\n";
        assert_eq!(messages("identity", unix).len(), 1);
    }

    #[test]
    fn a_heavy_dependency_has_its_doors() {
        let hyper = "[dependencies]\nhyper.workspace = true\n";
        assert!(messages("gateway", hyper).is_empty());
        assert!(messages("objects", hyper).is_empty());
        assert_eq!(messages("app", hyper).len(), 1);
        assert_eq!(
            messages("app", "[dependencies]\ncedar-policy.workspace = true\n"),
            ["`cedar-policy` comes in through `policy` only, not through `app`"]
        );
        assert_eq!(messages("tlog", "[dev-dependencies]\nanyhow.workspace = true\n").len(), 1);
    }

    #[test]
    fn a_version_of_ones_own_is_refused() {
        assert_eq!(messages("tlog", "[dependencies]\nbytes = \"1\"\n").len(), 1);
        assert_eq!(messages("app", "[dependencies.tlog]\npath = \"../tlog\"\n").len(), 1);
    }

    #[test]
    fn the_table_and_the_folder_name_the_same_crates() {
        let all = ALLOWED.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        assert!(missing(&all).is_empty());
        assert_eq!(missing(&[all.as_slice(), &["attic"]].concat()).len(), 1);
        assert_eq!(missing(&all[1..]).len(), 1);
    }

    #[test]
    fn a_rename_in_the_workspace_is_refused() {
        let text = "[workspace.dependencies]\nweb = { package = \"hyper\", version = \"1\" }\n";
        let workspace = File { path: "Cargo.toml".into(), text: text.into() };
        assert_eq!(renamed(&workspace).len(), 1);
    }

    #[test]
    fn arrows_point_only_to_lines_further_up() {
        for (place, (name, may)) in ALLOWED.iter().enumerate() {
            let above = ALLOWED[..place].iter().map(|(above, _)| above).collect::<Vec<_>>();
            assert!(may.iter().all(|used| above.contains(&used)), "`{name}` points down");
        }
    }
}
