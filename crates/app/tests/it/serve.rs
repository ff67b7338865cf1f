//! `init` and `serve`: from nothing to a gateway that answers, and back to a log that verifies.

use crate::program::{Running, Said, run, text};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A directory that `init` made.
pub(crate) struct Site {
    directory: TempDir,
    pub(crate) address: SocketAddr,
    /// The development key.
    pub(crate) token: String,
}

impl Site {
    /// In front of a server of which nobody knows.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let upstream = format!("http://{}/mcp", free_address());
        let gateway = directory.path().join("gw");
        let said = run(&["init", text(&gateway), "--name", "gw-1", "--url", &upstream]).good();
        let (_, token) = said.split_once("Authorization: Bearer ").unwrap();
        let token = token.lines().next().unwrap().to_owned();
        let site = Self { directory, address: free_address(), token };
        site.change("127.0.0.1:8700", &site.address.to_string());
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("gw").join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("countersign.toml")
    }

    pub(crate) fn change(&self, from: &str, to: &str) {
        replace(&self.config(), from, to);
    }

    pub(crate) fn serve(&self) -> Running {
        let mut running = Running::start(&["serve", "--config", text(&self.config())]);
        running.until_told("serving MCP on ");
        running
    }

    /// Stops it as soon as it says that it serves.
    fn serve_and_stop(&self) -> Said {
        let running = self.serve();
        running.ask_to_stop();
        running.end()
    }

    /// What a failing `serve` says.
    fn refused(&self) -> String {
        run(&["serve", "--config", text(&self.config())]).bad()
    }

    pub(crate) fn search(&self) -> Vec<Value> {
        run(&["search", text(&self.path("log")), "--all", "--json"]).json()
    }
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

/// Sends a request and reads the whole answer.
pub(crate) fn exchange(address: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{head}host: {address}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_gateway_starts_answers_and_stops_in_order() {
    let site = Site::new();
    let running = site.serve();
    let health = exchange(site.address, "GET /healthz HTTP/1.1\r\n", "");
    assert!(health.starts_with("HTTP/1.1 200 ") && health.ends_with("ok\n"), "{health}");
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let json = "POST /mcp HTTP/1.1\r\ncontent-type: application/json\r\n";
    let anonymous = exchange(site.address, json, call);
    assert!(anonymous.starts_with("HTTP/1.1 401 "), "{anonymous}");
    let known = format!("{json}authorization: Bearer {}\r\n", site.token);
    let unreachable = exchange(site.address, &known, call);
    assert!(unreachable.starts_with("HTTP/1.1 502 "), "{unreachable}");
    running.ask_to_stop();
    let said = running.end();
    assert_eq!(said.status, Some(0), "{said:#?}");
    assert!(!said.err.contains(&site.token));
    let (log, key) = (site.path("log"), site.path("keys/log.key.pub"));
    run(&["verify", text(&log), "--key", text(&key)]).good();
    let records = site.search();
    let kinds: Vec<_> = records.iter().map(|record| record["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["gateway.started", "call.refused", "call.asked", "gateway.stopped"]);
    assert_eq!(records[1]["refusal"]["reason"], "identity.missing");
    assert_eq!(records[2]["actor"]["id"], "first-trial");
    assert_eq!(records[2]["outcome"]["status"], "unreachable");
    assert_eq!(records[2]["environment"]["gateway"], "gw-1");
}

fn sha256(path: &Path) -> String {
    let digest =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &std::fs::read(path).unwrap());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The events of a run without sessions, from its beginning to its end.
fn in_one_sequence(records: &[Value]) {
    let run = &records[0]["id"];
    for (n, record) in records.iter().enumerate() {
        assert_eq!((&record["sequence"]["n"], &record["sequence"]["run"]), (&n.into(), run));
    }
    let stopped = records.last().unwrap();
    assert_eq!(stopped["details"]["recorded"], (records.len() - 1).to_string());
}

#[test]
fn the_record_of_a_run_says_what_ran_and_that_it_is_alive() {
    let site = Site::new();
    site.change("[log]\n", "[log]\nheartbeat_s = 1\n");
    let running = site.serve();
    let beats = || site.search().into_iter().filter(|record| record["kind"] == "log.heartbeat");
    while beats().count() < 2 {
        // Each look takes a while itself.
    }
    running.ask_to_stop();
    assert_eq!(running.end().status, Some(0));
    let beat = beats().nth(1).unwrap();
    assert_eq!(beat["details"]["recorded"], "2");
    assert_eq!(beat["details"]["open_calls"], "0");
    let records = site.search();
    let started = &records[0]["details"];
    let (config, program) = (sha256(&site.config()), sha256(Path::new(crate::program::PROGRAM)));
    for (key, value) in [
        ("binary_sha256", program.as_str()),
        ("command", "serve"),
        ("config_sha256", config.as_str()),
        ("heartbeat_s", "1"),
        ("server", "server-1"),
        ("version", env!("CARGO_PKG_VERSION")),
    ] {
        assert_eq!(started[key], value, "{key}");
    }
    for key in ["policy_set", "policy_schema"] {
        assert!(started[key].as_str().unwrap().starts_with("sha256:"), "{started}");
    }
    in_one_sequence(&records);
    let key = site.path("keys/log.key.pub");
    run(&["verify", text(&site.path("log")), "--key", text(&key)]).good();
}

#[test]
fn stopping_is_no_failure_however_early() {
    let site = Site::new();
    for _ in 0..5 {
        let said = site.serve_and_stop();
        assert_eq!(said.status, Some(0), "{said:#?}");
    }
    let key = site.path("keys/log.key.pub");
    run(&["verify", text(&site.path("log")), "--key", text(&key)]).good();
    let kinds: Vec<_> = site.search().iter().map(|record| record["kind"].clone()).collect();
    assert_eq!(kinds, ["gateway.started", "gateway.stopped"].repeat(5));
}

#[test]
fn a_log_has_one_gateway() {
    let site = Site::new();
    let running = site.serve();
    let second = site.path("second.toml");
    std::fs::copy(site.config(), &second).unwrap();
    replace(&second, &site.address.to_string(), &free_address().to_string());
    let said = run(&["serve", "--config", text(&second)]).bad();
    assert!(said.contains("another process is writing this log"), "{said}");
    let same_address = site.refused();
    assert!(same_address.contains(&format!("cannot listen on {}", site.address)), "{same_address}");
    running.ask_to_stop();
    assert_eq!(running.end().status, Some(0));
}

#[test]
fn init_overwrites_nothing() {
    let site = Site::new();
    let gateway = site.directory.path().join("gw");
    let said = run(&["init", text(&gateway), "--url", "http://127.0.0.1:1/mcp"]).bad();
    assert!(said.contains("is not empty"), "{said}");
    let said = run(&["init", text(&site.directory.path().join("new"))]).bad();
    assert!(said.contains("name the server"), "{said}");
}

#[cfg(unix)]
#[test]
fn private_keys_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    let mode = std::fs::metadata(site.path("keys/log.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_missing_log_is_never_made() {
    let site = Site::new();
    std::fs::remove_dir_all(site.path("log")).unwrap();
    let said = site.refused();
    assert!(said.contains("there is no log in") && said.contains("countersign init"), "{said}");
    assert!(!site.path("log").exists());
}

#[test]
fn a_wrong_key_is_refused() {
    let site = Site::new();
    let key = site.path("keys/other.key");
    run(&["keys", "generate", "--origin", "countersign.local/gw-1", "--out", text(&key)]).good();
    site.change("keys/log.key", "keys/other.key");
    let said = site.refused();
    assert!(said.contains("the log belongs to the key"), "{said}");
    std::fs::write(&key, "nonsense\n").unwrap();
    let said = site.refused();
    assert!(said.contains("is not a private key of a log") && !said.contains("nonsense"), "{said}");
    std::fs::remove_file(&key).unwrap();
    let said = site.refused();
    assert!(said.contains("cannot use the private key"), "{said}");
    let again =
        run(&["keys", "generate", "--origin", "o", "--out", text(&site.path("keys/log.key"))]);
    assert!(again.bad().contains("cannot make"));
}

#[test]
fn an_altered_log_is_not_written_to() {
    let site = Site::new();
    site.serve_and_stop();
    let segment = site.path("log/segments/00000000000000000000.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let said = site.refused();
    assert!(said.contains("cannot open the log") && said.contains("verify"), "{said}");
    assert_eq!(std::fs::read(&segment).unwrap(), bytes);
}

#[test]
fn all_mistakes_of_a_configuration_are_told_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.toml");
    let text_of_file = "[gateway]\nname = \"two words\"\nlisten = 8700\ncolour = \"red\"\n\n\
                        [server]\nname = \"crm\"\nurl = \"ftp://x\"\n\n[limits]\ncalls_max = \"many\"\n";
    std::fs::write(&path, text_of_file).unwrap();
    let said = run(&["serve", "--config", text(&path)]).bad();
    for line in [2, 3, 4, 8, 11] {
        assert!(said.contains(&format!("\n  line {line}, ")), "line {line}: {said}");
    }
    // The sixth is that nobody could call.
    assert!(said.contains("6 mistake(s)") && said.contains("nobody could call"), "{said}");
}

#[test]
fn what_is_not_there_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let missing = text(&missing);
    for (arguments, words) in [
        (&["serve", "--config", missing][..], "cannot read configuration"),
        (&["search", missing], "there is no log here"),
        (&["policy", "check", missing], "is not a directory"),
        (&["wrap", "--config", missing, "--", "true"], "cannot read configuration"),
    ] {
        let said = run(arguments).bad();
        assert!(said.contains(words) && said.contains("missing"), "{said}");
    }
}

#[test]
fn arguments_that_make_no_sense_are_refused_with_help() {
    let site = Site::new();
    let log = site.path("log");
    for arguments in [
        &["serve", "--colour"][..],
        &["nonsense"],
        &["verify"],
        &["search", text(&log), "--decision", "maybe"],
        &["wrap", "--name", "x"],
    ] {
        let said = run(arguments);
        assert_eq!(said.status, Some(2), "{said:#?}");
        assert!(said.err.contains("error: ") && said.err.contains("--help"), "{said:#?}");
    }
    for (filter, words) in [
        (["--since", "yesterday"], "neither RFC 3339 nor an age"),
        (["--outcome", "splendid"], "splendid"),
        (["--call", "abc"], "abc"),
    ] {
        let said = run(&[&["search", text(&log)][..], &filter].concat()).bad();
        assert!(said.contains(words), "{said}");
    }
}
