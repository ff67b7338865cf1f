//! A client's configuration that was rewritten starts what it says, and comes back byte for byte.

use crate::program::{Running, run, run_in, text};
use crate::upstream;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"tester","version":"1"}}}"#;

const INITIALIZED: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}"#;

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(directory).into_iter().flatten().map(|found| found.unwrap());
    found
        .flat_map(|found| match found.file_type().unwrap().is_dir() {
            true => files_below(&found.path()),
            false => vec![found.path()],
        })
        .collect()
}

/// Starts what an entry says, and asks it who it is.
fn initialize_through(entry: &Value, variables: &[(&str, &str)]) {
    let arguments: Vec<&str> =
        entry["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    let mut wrapped = Running::start_in(&arguments, variables);
    wrapped.say(INITIALIZE);
    let answer: Value = serde_json::from_str(&wrapped.hear()).unwrap();
    assert_eq!(answer["result"]["serverInfo"]["name"], "s");
    assert_eq!(wrapped.end().status, Some(0));
}

#[test]
fn a_server_at_an_address_is_reached_through_wrap_with_its_credential() {
    let directory = tempfile::tempdir().unwrap();
    let (address, asked) = upstream::serve(|_| INITIALIZED.to_owned());
    let client = directory.path().join("mcp.json");
    let before = format!(
        "{{\n  // mine\n  \"servers\": {{\n    \"web\": {{\n      \"type\": \"http\",\n      \
         \"url\": \"http://{address}/mcp\",\n      \"headers\": {{ \"Authorization\": \"Bearer c4nary\" }}\n    }}\n  }}\n}}\n"
    );
    std::fs::write(&client, &before).unwrap();
    let data = directory.path().join("data");
    let variables = [("XDG_DATA_HOME", text(&data))];

    let said = run_in(&["install", text(&client)], &variables);
    assert!(said.status == Some(1) && said.err.contains("add --yes"), "{said:#?}");
    assert_eq!(std::fs::read_to_string(&client).unwrap(), before, "nobody agreed");
    let said = run_in(&["install", text(&client), "--yes"], &variables);
    assert!(!said.err.contains("c4nary"), "{said:#?}");
    let shown = said.good();
    assert!(shown.contains("+") && shown.contains("--header-from-file"), "{shown}");
    assert!(!shown.contains("c4nary"), "{shown}");

    let after = std::fs::read_to_string(&client).unwrap();
    assert!(!after.contains("c4nary"), "{after}");
    let value: Value = serde_json::from_str(&after.replace("// mine", "")).unwrap();
    let entry = &value["servers"]["web"];
    assert_eq!(entry["type"], "stdio");
    let secrets = files_below(&data);
    assert_eq!(secrets.len(), 1, "{secrets:?}");
    let mode = std::fs::metadata(&secrets[0]).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    initialize_through(entry, &variables);
    assert!(asked.recv().unwrap().head.contains("authorization: bearer c4nary"));
    let log = data.join("countersign/web/log");
    let records = run(&["search", text(&log), "--json"]).json();
    assert_eq!(records[0]["resource"]["server"], "web");

    run_in(&["install", text(&client), "--undo", "--yes"], &variables).good();
    assert_eq!(std::fs::read_to_string(&client).unwrap(), before);
    assert!(!secrets[0].exists(), "nothing names it any more");
}

#[test]
fn servers_that_come_later_are_installed_and_taken_back_with_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let client = directory.path().join("mcp.json");
    let data = directory.path().join("data");
    let variables = [("XDG_DATA_HOME", text(&data))];
    let first = r#"{"mcpServers": {"a": {"url": "https://a.example/mcp", "headers": {"K": "v"}}}}"#;
    std::fs::write(&client, first).unwrap();
    run_in(&["install", text(&client), "--yes"], &variables).good();
    let installed = std::fs::read_to_string(&client).unwrap();
    let more = r#"{"mcpServers": {"b": {"command": "b", "args": ["x"]}, "#;
    let with_another = installed.replace(r#"{"mcpServers": {"#, more);
    std::fs::write(&client, &with_another).unwrap();
    run_in(&["install", text(&client), "--yes"], &variables).good();
    run_in(&["install", text(&client), "--undo", "--yes"], &variables).good();
    let back = std::fs::read_to_string(&client).unwrap();
    assert_eq!(back, first.replace(r#"{"mcpServers": {"#, more));
    assert_eq!(files_below(&data), Vec::<PathBuf>::new());
}
