//! The first thing that a newcomer runs, and everything that can be done with what it leaves.

use crate::program::{Said, run, text};
use serde_json::Value;
use std::path::Path;

#[test]
fn the_demo_needs_nothing_and_proves_itself() {
    let out = run(&["demo"]).good();
    assert!(out.contains("\nlog verified: "), "{out}");
    for words in ["support-agent", "reporting-job", "reports-never-change-anything", "refused: 401"]
    {
        assert!(out.contains(words), "{words}: {out}");
    }
}

#[test]
fn the_demo_leaves_a_directory_to_work_with() {
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join("kept");
    let out = run(&["demo", "--data", text(&kept)]).good();
    assert!(out.contains("log verified: "), "{out}");
    let log = kept.join("log");
    search(&log);
    verify(&kept, &log);
    policies(&kept);
    let again = run(&["demo", "--data", text(&kept)]).bad();
    assert!(again.contains("is not empty"), "{again}");
}

fn found(log: &Path, filters: &[&str]) -> Vec<Value> {
    let arguments = [&["search", text(log), "--json"][..], filters].concat();
    run(&arguments).json()
}

/// Every filter finds what it names, and nothing else.
fn search(log: &Path) {
    let all = found(log, &[]);
    let everything = found(log, &["--all"]);
    assert!(all.len() > 10 && all.len() < everything.len());
    assert!(all.iter().all(|record| record["call"].is_string() && record["entry"].is_u64()));
    assert_eq!(everything[0]["kind"], "gateway.started");
    assert_eq!(everything.last().unwrap()["kind"], "gateway.stopped");
    type Matches = fn(&Value) -> bool;
    let table: [(&[&str], Matches); 9] = [
        (&["--actor", "support-agent"], |r| r["actor"]["id"] == "support-agent"),
        (&["--method", "tools/call"], |r| r["resource"]["method"] == "tools/call"),
        (&["--tool", "close_ticket"], |r| r["resource"]["names"][0] == "close_ticket"),
        (&["--decision", "forbid"], |r| r["kind"] == "call.refused"),
        (&["--decision", "permit"], |r| r["kind"] == "call.asked"),
        (&["--outcome", "tool-error"], |r| r["outcome"]["status"] == "tool-error"),
        (&["--outcome", "success"], |r| r["outcome"]["class"] == "success"),
        (&["--outcome", "refused"], |r| r["kind"] == "call.refused"),
        (&["--server", "crm", "--since", "1h"], |r| r["resource"]["server"] == "crm"),
    ];
    for (filters, matches) in table {
        let expected: Vec<_> = all.iter().filter(|record| matches(record)).collect();
        assert!(!expected.is_empty(), "{filters:?}");
        assert_eq!(found(log, filters).iter().collect::<Vec<_>>(), expected, "{filters:?}");
    }
    let one = &all[3];
    let id = one["call"].as_str().unwrap();
    let (_, short) = id.rsplit_once('-').unwrap();
    for id in [id, short] {
        assert_eq!(found(log, &["--call", id]), std::slice::from_ref(one));
    }
    assert_eq!(found(log, &["--limit", "2"]), all[all.len() - 2..]);
    for nothing in
        [&["--actor", "nobody"][..], &["--until", "2020-01-01T00:00:00Z"], &["--since", "0s"]]
    {
        assert!(found(log, nothing).is_empty(), "{nothing:?}");
    }
    let table = run(&["search", text(log), "--decision", "forbid"]).good();
    assert!(table.contains("reports-never-change-anything"), "{table}");
    assert_eq!(run(&["search", text(log), "--actor", "nobody"]).good(), "nothing found\n");
}

fn verify(kept: &Path, log: &Path) {
    let (key, checkpoint) = (kept.join("keys/log.key.pub"), log.join("checkpoint"));
    let plain = run(&["verify", text(log)]);
    assert_eq!(plain.status, Some(10), "{plain:#?}");
    assert!(plain.out.starts_with("unproven: "), "{plain:#?}");
    let strict = ["verify", text(log), "--key", text(&key), "--checkpoint", text(&checkpoint)];
    let full = run(&strict).good();
    assert!(full.starts_with("valid: "), "{full}");
    let report = &run(&[&strict[..], &["--json"]].concat()).json()[0];
    assert_eq!(report["verified"], true);
    assert_eq!(report["events"]["open"], 0);
    assert_eq!(report["entries"], report["given_checkpoint_entries"][0]);
    assert_eq!(report["events"]["asked"], report["events"]["answered"]);
}

fn policies(kept: &Path) {
    let directory = kept.join("policy");
    let check = || run(&["policy", "check", text(&directory)]);
    let out = check().good();
    assert!(out.contains("can be used") && out.contains("policy set sha256:"), "{out}");
    let file = directory.join("main.cedar");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        format!("{good}\npermit (principal, action == Action::\"tools/cal\", resource);\n"),
    )
    .unwrap();
    let Said { status, out, .. } = check();
    assert_eq!(status, Some(1), "{out}");
    assert!(out.contains("main.cedar:") && out.contains("cannot be used"), "{out}");
    let json = run(&["policy", "check", text(&directory), "--json"]);
    let report: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json.status, &report["usable"]), (Some(1), &Value::Bool(false)));
    let line = u64::try_from(good.lines().count() + 2).unwrap();
    let problems = report["problems"].as_array().unwrap();
    assert!(problems.iter().any(|problem| problem["line"] == line), "{report:#}");
    let serve = run(&["serve", "--config", text(&kept.join("countersign.toml"))]).bad();
    assert!(serve.contains("policies in ") && serve.contains("cannot be used"), "{serve}");
}
