//! Calls that go on with others: after a restart, behind a server that comes back, and in a search.

use crate::program::{run, text};
use crate::serve::{Site, exchange};
use crate::upstream::{Heard, serve};
use serde_json::Value;

/// Gives out a state for a first call, and a result for one that brings a state.
fn rounds(heard: &Heard) -> String {
    let asked: Value = serde_json::from_str(&heard.body).unwrap();
    let result = match asked["params"]["requestState"].is_null() {
        true => {
            r#"{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list"}},"requestState":"s-1"}"#
        }
        false => r#"{"resultType":"complete","content":[]}"#,
    };
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, asked["id"])
}

fn site() -> Site {
    let (address, _) = serve(rounds);
    let site = Site::new();
    let written = std::fs::read_to_string(site.config()).unwrap();
    let url = written.lines().find(|line| line.starts_with("url = ")).unwrap().to_owned();
    site.change(&url, &format!("url = \"http://{address}/mcp\""));
    let limits = "[limits]\nunknown_handles = \"refuse\"\n\n[log]\n";
    site.change("[log]\n", limits);
    site
}

/// Calls a tool; with a state, as the next round of an earlier call. The answer.
fn call(site: &Site, path: &str, tool: &str, state: Option<&str>) -> String {
    let head = format!(
        "POST {path} HTTP/1.1\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\nauthorization: Bearer {}\r\n\
         mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: {tool}\r\n",
        site.token
    );
    let state = state.map_or_else(String::new, |state| {
        format!(r#","inputResponses":{{"a":{{"roots":[]}}}},"requestState":"{state}""#)
    });
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{{meta},"name":"{tool}","arguments":{{}}{state}}}}}"#
    );
    exchange(site.address, &head, &body)
}

fn is_unknown(answer: &str) -> bool {
    answer.contains("handle.unknown")
}

fn is_answered(answer: &str) -> bool {
    answer.contains(" 200 ") && answer.contains("resultType")
}

/// The calls of the log, in their order.
fn calls(site: &Site) -> Vec<Value> {
    let records = site.search().into_iter();
    records.filter(|record| record["kind"] == "call.asked").collect()
}

#[test]
fn a_restart_does_not_part_a_call_from_the_one_before() {
    let site = site();
    let running = site.serve();
    assert!(is_answered(&call(&site, "/mcp", "book", None)));
    running.ask_to_stop();
    running.end();
    let running = site.serve();
    assert!(is_unknown(&call(&site, "/mcp", "book", Some("s-2"))), "nobody gave that out");
    assert!(is_unknown(&call(&site, "/mcp", "other", Some("s-1"))), "for another tool");
    assert!(is_answered(&call(&site, "/mcp", "book", Some("s-1"))));
    running.ask_to_stop();
    assert_eq!(running.end().status, Some(0));
    let calls = calls(&site);
    assert_eq!(calls.len(), 2, "{calls:#?}");
    assert_eq!(calls[1]["root"], calls[0]["call"]);
    assert_eq!(calls[1]["follows"], calls[0]["call"]);
}

#[test]
fn a_server_that_comes_back_knows_what_it_gave_out() {
    let site = site();
    let mut running = site.serve();
    assert!(is_answered(&call(&site, "/s/server-1/mcp", "book", None)));
    site.change("name = \"server-1\"", "name = \"other\"");
    running.until_told("another configuration is active");
    assert!(is_unknown(&call(&site, "/s/other/mcp", "book", Some("s-1"))), "another server");
    site.change("name = \"other\"", "name = \"server-1\"");
    running.until_told("another configuration is active");
    assert!(is_answered(&call(&site, "/s/server-1/mcp", "book", Some("s-1"))));
    running.ask_to_stop();
    assert_eq!(running.end().status, Some(0));
    let calls = calls(&site);
    assert_eq!(calls[1]["follows"], calls[0]["call"], "{calls:#?}");
}

#[test]
fn a_chain_is_found_from_either_end_and_without_the_others() {
    let site = site();
    let running = site.serve();
    for (tool, state) in [("book", None), ("other", None), ("book", Some("s-1"))] {
        assert!(is_answered(&call(&site, "/mcp", tool, state)));
    }
    running.ask_to_stop();
    running.end();
    let calls = calls(&site);
    let id = |at: usize| calls[at]["call"].as_str().unwrap();
    let log = site.path("log");
    let chain = |id: &str| -> Vec<String> {
        let found = run(&["search", text(&log), "--chain", id, "--json"]).json();
        found.iter().map(|record| record["call"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(chain(id(0)), [id(0), id(2)]);
    assert_eq!(chain(id(2)), [id(0), id(2)]);
    assert_eq!(chain(id(1)), [id(1)]);
    let last = id(2).get(id(2).len() - 12..).unwrap();
    assert_eq!(chain(last), [id(0), id(2)], "as the table shows it");
    let only = run(&["search", text(&log), "--chain", id(0), "--outcome", "input-required"]);
    assert!(only.good().contains("book"));
    assert_eq!(chain("00000000-0000-0000"), Vec::<String>::new());
    let said = run(&["search", text(&log), "--chain", "x"]).bad();
    assert!(said.contains("neither a call id"), "{said}");
    let said = run(&["search", text(&log), "--chain", id(0), "--call", id(0)]);
    assert_eq!(said.status, Some(2), "{said:#?}");
}
