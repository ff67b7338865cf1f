//! A gateway in the hands of those who operate it: metrics, readiness, traces, other configurations while
//! it runs, the way it stops, and `doctor`.

use crate::program::{run, text};
use crate::serve::{Site, exchange, free_address};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

impl Site {
    /// With these lines at the end of the configuration.
    fn with(self, lines: &str) -> Self {
        let written = std::fs::read_to_string(self.config()).unwrap();
        std::fs::write(self.config(), format!("{written}\n{lines}")).unwrap();
        self
    }

    /// Changes several things in one go: the gateway may look at any moment.
    fn change_all(&self, changes: &[(&str, &str)]) {
        let mut written = std::fs::read_to_string(self.config()).unwrap();
        for (from, to) in changes {
            assert!(written.contains(from), "{written}");
            written = written.replace(from, to);
        }
        let beside = self.path("next.toml");
        std::fs::write(&beside, written).unwrap();
        std::fs::rename(beside, self.config()).unwrap();
    }

    fn get(&self, path: &str) -> String {
        exchange(self.address, &format!("GET {path} HTTP/1.1\r\n"), "")
    }

    fn call(&self, path: &str) -> String {
        let head = format!(
            "POST {path} HTTP/1.1\r\ncontent-type: application/json\r\nauthorization: Bearer {}\r\n",
            self.token
        );
        exchange(self.address, &head, CALL)
    }

    fn details(&self, kind: &str) -> Vec<Value> {
        let records = self.search().into_iter().filter(|record| record["kind"] == kind);
        records.map(|record| record["details"].clone()).collect()
    }
}

#[test]
fn a_gateway_tells_how_it_is() {
    let pages = free_address();
    let site = Site::new().with(&format!("[metrics]\nlisten = \"{pages}\"\n"));
    let running = site.serve();
    let page = |path: &str| exchange(pages, &format!("GET {path} HTTP/1.1\r\n"), "");
    let ready = page("/readyz");
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    assert!(ready.contains("ready\nlog: ok\npolicies: sha256:"), "{ready}");
    assert!(ready.ends_with("server server-1: ok\n"), "{ready}");
    assert!(page("/healthz").ends_with("ok\n"));
    assert!(page("/other").starts_with("HTTP/1.1 404 "));
    assert!(site.call("/mcp").starts_with("HTTP/1.1 502 "));
    let unready = page("/readyz");
    assert!(unready.starts_with("HTTP/1.1 503 "), "{unready}");
    assert!(unready.contains("not ready: server server-1 is not reachable"), "{unready}");
    let metrics = page("/metrics");
    for line in [
        "countersign_calls_admitted_total{server=\"server-1\",method=\"tools/list\"} 1",
        "countersign_server_up{server=\"server-1\"} 0.0",
        "countersign_log_up 1.0",
        "# EOF",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in {metrics}");
    }
    assert!(metrics.contains("content-type: application/openmetrics-text"), "{metrics}");
    assert!(!metrics.contains("first-trial") && !metrics.contains(&site.token), "{metrics}");
    running.ask_to_stop();
    assert_eq!(running.end().status, Some(0));
}

#[test]
fn a_gateway_that_drains_says_so_and_still_serves() {
    let site = Site::new();
    site.change("[gateway]\n", "[gateway]\ndrain_delay_ms = 600000\n");
    let mut running = site.serve();
    assert!(site.get("/readyz").starts_with("HTTP/1.1 200 "));
    running.ask_to_stop();
    running.until_told("draining");
    let unready = site.get("/readyz");
    assert!(unready.contains(" 503 ") && unready.ends_with("not ready: draining\n"), "{unready}");
    assert!(site.call("/mcp").starts_with("HTTP/1.1 502 "), "calls still go through");
    running.ask_to_stop();
    assert_eq!(running.end().status, Some(0));
    assert_eq!(site.search().last().unwrap()["kind"], "gateway.stopped");
}

#[test]
fn another_configuration_is_taken_over_whole_or_not_at_all() {
    let site = Site::new();
    let mut running = site.serve();
    site.change_all(&[("[server]\n", "[limits.actor]\ncalls_max = 7\n\n[server]\n")]);
    running.until_told("another configuration is active");
    site.change_all(&[("calls_max = 7", "calls_max = \"many\"")]);
    running.until_told("the changed configuration is not used");
    site.change_all(&[("calls_max = \"many\"", "calls_max = 8"), ("\"gw-1\"", "\"gw-2\"")]);
    running.until_told("needs a restart, and nothing is taken over: gateway.name");
    site.change_all(&[("\"gw-2\"", "\"gw-1\""), ("\"server-1\"", "\"other\"")]);
    running.until_told("another configuration is active");
    assert!(site.call("/s/other/mcp").starts_with("HTTP/1.1 502 "));
    assert!(site.call("/s/server-1/mcp").starts_with("HTTP/1.1 404 "));
    running.ask_to_stop();
    assert_eq!(running.end().status, Some(0));
    let changed = site.details("config.changed");
    let tables: Vec<&str> = changed.iter().map(|d| d["changed"].as_str().unwrap()).collect();
    assert_eq!(tables, ["limits.actor", "limits.actor server"]);
    assert_eq!(changed[1]["servers_added"], "other");
    assert_eq!(changed[1]["servers_removed"], "server-1");
    let rejected = site.details("config.rejected");
    assert_eq!(rejected.len(), 2, "{rejected:#?}");
    assert!(rejected[1]["first_problem"].as_str().unwrap().contains("gateway.name"));
    assert_eq!(rejected[1]["needs_restart"], "gateway.name");
    assert_eq!(rejected[0].get("needs_restart"), None);
    let key = site.path("keys/log.key.pub");
    run(&["verify", text(&site.path("log")), "--key", text(&key)]).good();
}

#[test]
fn a_gateway_needs_the_secrets_that_its_servers_want() {
    const SECRET: &str = "canary-of-the-server";
    let site = Site::new()
        .with("[server.credential]\ntype = \"static\"\nsecret_file = \"keys/crm.secret\"\n");
    let config = site.config();
    let said = run(&["serve", "--config", text(&config)]).bad();
    assert!(said.contains("credential of server `server-1`: cannot read `"), "{said}");
    let secret = site.path("keys/crm.secret");
    std::fs::write(&secret, SECRET).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o640)).unwrap();
    let said = run(&["doctor", "--config", text(&config)]).out;
    assert!(said.contains("can be used by others: run `chmod 600` on it"), "{said}");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut running = site.serve();
    assert!(site.call("/mcp").starts_with("HTTP/1.1 502 "));
    // What cannot be used is not taken over; the other one goes on.
    site.change_all(&[("crm.secret", "none.secret")]);
    running.until_told("the changed configuration is not used");
    assert!(site.call("/mcp").starts_with("HTTP/1.1 502 "));
    site.change_all(&[("none.secret", "crm.secret"), ("\"static\"", "\"static\"\nname = \"key\"")]);
    running.until_told("another configuration is active");
    assert!(site.call("/mcp").starts_with("HTTP/1.1 502 "));
    running.ask_to_stop();
    let ended = running.end();
    assert_eq!(ended.status, Some(0));
    assert!(!ended.err.contains(SECRET) && !ended.out.contains(SECRET));
    let issued = site.details("credential.issued");
    let names: Vec<_> = issued.iter().map(|details| details["provider"].as_str()).collect();
    assert_eq!(names, [Some("static"), Some("key")], "once for each configuration");
    for file in std::fs::read_dir(site.path("log")).unwrap() {
        let path = file.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let shows = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!shows, "{}", path.display());
    }
}

#[test]
fn a_gateway_reads_its_configuration_when_it_is_told_to() {
    let site = Site::new();
    site.change("[gateway]\n", "[gateway]\nreload_interval_ms = 0\n");
    let mut running = site.serve();
    running.ask_to_reload();
    running.until_told("the configuration says the same as before");
    site.change_all(&[("[server]\n", "[limits.server]\ncalls_max = 7\n\n[server]\n")]);
    running.ask_to_reload();
    running.until_told("another configuration is active");
    running.ask_to_stop();
    assert_eq!(running.end().status, Some(0));
    assert_eq!(site.details("config.changed").len(), 1);
}

#[test]
fn the_spans_of_a_call_reach_the_collector() {
    let collector = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = collector.local_addr().unwrap();
    let site = Site::new().with(&format!("[traces]\notlp_url = \"http://{address}/v1/traces\"\n"));
    let taken = thread::spawn(move || {
        let (mut stream, _) = collector.accept().unwrap();
        let (mut heard, mut buffer) = (Vec::new(), [0; 4_096]);
        let (head, length) = loop {
            let read = stream.read(&mut buffer).unwrap();
            assert_ne!(read, 0, "the request breaks off");
            heard.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&heard).to_lowercase();
            if let Some((head, _)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                break (head.to_owned(), length.unwrap().parse::<usize>().unwrap());
            }
        };
        while heard.len() < head.len() + 4 + length {
            let read = stream.read(&mut buffer).unwrap();
            assert_ne!(read, 0, "the request breaks off");
            heard.extend_from_slice(&buffer[..read]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        (head, heard)
    });
    let running = site.serve();
    assert!(site.call("/mcp").starts_with("HTTP/1.1 502 "));
    running.ask_to_stop();
    assert_eq!(running.end().status, Some(0));
    let (head, heard) = taken.join().unwrap();
    assert!(head.starts_with("post /v1/traces "), "{head}");
    assert!(head.contains("content-type: application/x-protobuf"), "{head}");
    let holds = |text: &str| heard.windows(text.len()).any(|window| window == text.as_bytes());
    for text in ["tools/list", "countersign.call.id", "error.type", "unreachable", "gw-1"] {
        assert!(holds(text), "{text} is missing");
    }
    assert!(!holds(&site.token) && !holds("first-trial"));
}

#[test]
fn a_collector_that_is_not_there_is_no_harm() {
    let nobody = free_address();
    let site = Site::new().with(&format!("[traces]\notlp_url = \"http://{nobody}/v1/traces\"\n"));
    let running = site.serve();
    assert!(site.call("/mcp").starts_with("HTTP/1.1 502 "));
    running.ask_to_stop();
    assert_eq!(running.end().status, Some(0));
}

#[test]
fn a_doctor_says_what_is_wrong_and_how_bad_it_is() {
    let site = Site::new();
    let doctor = || run(&["doctor", "--config", text(&site.config()), "--json"]);
    let findings = |said: &str| -> Vec<(String, String)> {
        let report: Value = serde_json::from_str(said).unwrap();
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        let findings = report["findings"].as_array().unwrap();
        findings.iter().map(|f| (word(&f["check"]), word(&f["level"]))).collect()
    };
    let said = doctor();
    assert_eq!(said.status, Some(2), "{said:#?}");
    let found = findings(&said.out);
    let is = |check: &str, level: &str| (check.to_owned(), level.to_owned());
    for expected in [
        is("configuration", "ok"),
        is("log", "ok"),
        is("keys", "ok"),
        is("policies", "ok"),
        is("port", "ok"),
        is("server", "error"),
        is("identity", "warning"),
    ] {
        assert!(found.contains(&expected), "{expected:?} is missing in {found:?}");
    }
    let running = site.serve();
    assert!(findings(&doctor().out).contains(&is("gateway", "ok")));
    running.ask_to_stop();
    assert_eq!(running.end().status, Some(0));
    std::fs::write(site.config(), "[gateway]\n").unwrap();
    let said = run(&["doctor", "--config", text(&site.config())]);
    assert_eq!(said.status, Some(2), "{said:#?}");
    assert!(said.out.starts_with("error    configuration"), "{said:#?}");
    assert!(said.out.contains("why: ") && said.out.contains("fix: "), "{said:#?}");
}
