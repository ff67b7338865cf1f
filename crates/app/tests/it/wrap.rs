//! `wrap`: a client that starts this instead of its server notices nothing, and all of it is on record.

use crate::program::{Running, Said, run, text};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Answers every request with its own line; `exit` ends it with 7.
const SERVER: &str = r#"
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%[,\}]*}
  case $line in
    *'"method":"notifications/'*) ;;
    *'"name":"exit"'*) exit 7 ;;
    *) printf '{"jsonrpc":"2.0","id":%s,"result":{"heard":%s}}\n' "$id" "$line" ;;
  esac
done
"#;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"tester","version":"1"}}}"#;

fn call(id: u32, tool: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{}}}}}}"#
    )
}

fn start(data: &Path) -> Running {
    Running::start(&["wrap", "--name", "files", "--data", text(data), "--", "sh", "-c", SERVER])
}

fn heard(running: &mut Running, line: &str) -> Value {
    running.say(line);
    let answer = running.hear();
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn records(data: &Path) -> Vec<Value> {
    let log = data.join("log");
    run(&["verify", text(&log), "--key", text(&data.join("keys/log.key.pub"))]).good();
    run(&["search", text(&log), "--json"]).json()
}

#[test]
fn a_wrapped_server_works_as_before_and_is_on_record() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("deep/data");
    let mut first = start(&data);
    assert_eq!(heard(&mut first, INITIALIZE)["id"], 0);
    first.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    let answer = heard(&mut first, &call(1, "read"));
    assert_eq!(answer["result"]["heard"]["params"]["name"], "read");
    let Said { status, out, err } = first.end();
    assert_eq!((status, out.as_str()), (Some(0), ""), "{err}");
    assert!(err.contains("made key, policy and log in") && err.contains("(first use)"), "{err}");
    let mut second = start(&data);
    heard(&mut second, &call(1, "write"));
    let said = second.end();
    assert_eq!((said.status, said.err.as_str()), (Some(0), ""));
    let records = records(&data);
    let methods: Vec<_> =
        records.iter().map(|record| record["resource"]["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["initialize", "notifications/initialized", "tools/call", "tools/call"]);
    for record in &records {
        assert_eq!(record["actor"]["kind"], "local");
        assert_eq!(record["environment"]["transport"], "stdio");
        assert_eq!(record["resource"]["server"], "files");
        assert_eq!(record["outcome"]["class"], "success");
    }
    let all = run(&["search", text(&data.join("log")), "--all", "--json"]).json();
    let kinds: Vec<_> = all.iter().map(|record| record["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "gateway.stopped").count(), 2);
    assert!(!kinds.contains(&"log.recovered"), "both runs ended in order");
}

#[test]
fn wraps_of_one_name_at_once_each_have_their_log_and_share_the_policy() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    // Nothing is there yet: each of the three may be the one that makes it.
    let mut wraps = [(); 3].map(|()| start(&data));
    for wrap in &mut wraps {
        assert_eq!(heard(wrap, INITIALIZE)["id"], 0);
        assert_eq!(heard(wrap, &call(1, "read"))["id"], 1);
    }
    let said = wraps.map(Running::end);
    let places = [data.clone(), data.join("2"), data.join("3")];
    for log in places.iter().map(|place| place.join("log")).skip(1) {
        let note = format!(
            "another wrap of `files` is running; this one is on record in {}",
            log.display()
        );
        assert_eq!(said.iter().filter(|said| said.err.contains(&note)).count(), 1, "{said:?}");
    }
    for place in &places {
        let calls =
            records(place).iter().filter(|one| one["resource"]["method"] == "tools/call").count();
        assert_eq!(calls, 1, "{}", place.display());
        assert_eq!(place.join("policy").exists(), *place == data);
    }
    // One by one they all find the first place free again.
    start(&data).end();
    assert!(!data.join("4").exists());
    let leftovers = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(leftovers, 1, "what was made in vain is gone");
}

#[test]
fn a_second_wrap_knows_what_the_first_has_approved() {
    const LISTS: &str = r#"while IFS= read -r line; do case $line in
        *tools/list*) printf '{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"read","description":"%s","inputSchema":{"type":"object"}}]}}\n' "$0" ;;
        *) printf '{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}}\n' ;;
        esac; done"#;
    const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let listed = |description: &str| {
        let arguments = [
            "wrap",
            "--name",
            "files",
            "--data",
            text(&data),
            "--",
            "sh",
            "-c",
            LISTS,
            description,
        ];
        let mut wrap = Running::start(&arguments);
        heard(&mut wrap, INITIALIZE);
        assert_eq!(heard(&mut wrap, LIST)["id"], 1);
        wrap
    };
    listed("reads").end();
    let first = listed("reads");
    let second = listed("reads, and sends it somewhere");
    second.end();
    first.end();
    let all = run(&["search", text(&data.join("2/log")), "--all", "--json"]).json();
    let changed: Vec<_> = all
        .iter()
        .filter(|one| one["kind"] == "inventory.changed")
        .map(|one| &one["details"])
        .collect();
    assert_eq!(changed.len(), 1, "{all:#?}");
}

#[test]
fn a_policy_that_forbids_is_obeyed() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    start(&data).end();
    let policy = data.join("policy/main.cedar");
    let text = std::fs::read_to_string(&policy).unwrap();
    let forbid = "@id(\"no-deleting\")\nforbid (principal, action == Action::\"tools/call\", resource == Tool::\"files/delete\");\n";
    std::fs::write(&policy, format!("{text}\n{forbid}")).unwrap();
    let mut running = start(&data);
    let answer = heard(&mut running, &call(1, "delete"));
    assert_eq!((&answer["error"]["code"], &answer["id"]), (&40_300.into(), &1.into()));
    heard(&mut running, &call(2, "read"));
    assert_eq!(running.end().status, Some(0));
    let records = records(&data);
    assert_eq!(records[0]["decision"]["determining"][0], "no-deleting");
    assert_eq!(records[1]["outcome"]["status"], "ok");
}

#[test]
fn the_status_is_that_of_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut running = start(&data);
    let answer = heard(&mut running, &call(1, "exit"));
    assert_eq!(answer["error"]["code"], 50_201);
    assert_eq!(running.end().status, Some(7));
    assert_eq!(records(&data)[0]["outcome"]["status"], "transport-failure");
}

#[test]
fn a_signal_ends_it_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut running = start(&data);
    heard(&mut running, &call(1, "read"));
    running.ask_to_stop();
    assert_eq!(running.end().status, Some(0));
    let all = run(&["search", text(&data.join("log")), "--all", "--json"]).json();
    assert_eq!(all.last().unwrap()["kind"], "gateway.stopped");
}

#[test]
fn a_server_that_cannot_be_started_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let said = run(&["wrap", "--data", text(&data), "--", "/no/such/server"]);
    assert_eq!(said.status, Some(1));
    assert!(said.err.contains("cannot start server program `/no/such/server`"), "{said:#?}");
    records(&data);
    let said = run(&["wrap", "--name", "../x", "--", "true"]).bad();
    assert!(said.contains("--name must be"), "{said}");
}

#[test]
fn without_a_directory_the_data_go_where_data_of_users_go() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("share");
    let mut running = Running::start_in(
        &["wrap", "--name", "files", "--", "sh", "-c", SERVER],
        &[("XDG_DATA_HOME", text(&home))],
    );
    heard(&mut running, &call(1, "read"));
    assert_eq!(running.end().status, Some(0));
    let data: PathBuf = home.join("countersign").join("files");
    assert_eq!(records(&data).len(), 1);
}

#[test]
fn two_at_once_on_the_log_of_one_configuration_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let gateway = directory.path().join("gw");
    run(&["init", text(&gateway), "--name", "gw", "--url", "http://127.0.0.1:1/mcp"]).good();
    let config = gateway.join("countersign.toml");
    let start = || Running::start(&["wrap", "--config", text(&config), "--", "sh", "-c", SERVER]);
    let mut first = start();
    // Nobody local is permitted anything there; an answer it is all the same.
    heard(&mut first, INITIALIZE);
    let said = start().end();
    assert_eq!(said.status, Some(1));
    assert!(said.err.contains("another process is writing this log"), "{said:#?}");
    heard(&mut first, &call(2, "read"));
    assert_eq!(first.end().status, Some(0));
}
