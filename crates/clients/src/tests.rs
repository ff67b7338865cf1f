//! Configurations as the clients have them, rewritten and taken back.

use crate::{
    Ours, Server, Way, difference, header_files, installed, masked, ours, read, string_at, undone,
};
use std::path::Path;

const WAY: Way<'_> = Way { program: "/opt/countersign", gateway: None, headers: "/home/u/.h/0a" };

/// As the clients write them, with servers at addresses and credentials in headers.
const SAMPLES: [(&str, &str); 8] = [
    ("claude desktop", include_str!("samples/claude_desktop_config.json")),
    ("claude code", include_str!("samples/claude.json")),
    ("claude code, of a project", include_str!("samples/dot_mcp.json")),
    ("vs code", include_str!("samples/vscode_mcp.json")),
    ("vs code, in the settings", include_str!("samples/vscode_settings.json")),
    ("cursor", include_str!("samples/cursor_mcp.json")),
    ("windsurf", include_str!("samples/windsurf_mcp_config.json")),
    ("one line", include_str!("samples/one_line.json")),
];

/// The text without each of its bytes, cut off there, and with another byte in its place; only what still
/// is text.
pub(crate) fn alterations(text: &str) -> impl Iterator<Item = String> + '_ {
    const INSTEAD: [&[u8]; 7] = [b"", b"\"", b"\\", b"\n", b"=", b"}", b"/"];
    (0..text.len()).flat_map(move |at| {
        let (before, after) = text.as_bytes().split_at(at);
        let replaced = INSTEAD.into_iter().map(move |byte| [before, byte, &after[1..]].concat());
        replaced.chain([before.to_vec()]).filter_map(|bytes| String::from_utf8(bytes).ok())
    })
}

/// Standing for every credential in the samples.
const CANARY: &str = "canary";

fn nothing(_: &Path) -> Option<String> {
    None
}

/// As a file that `install` wrote.
fn kept(_: &Path) -> Option<String> {
    Some("Bearer kept".to_owned())
}

fn sample(named: &str) -> &'static str {
    SAMPLES.iter().find(|(name, _)| *name == named).unwrap().1
}

/// How each entry starts this program now.
fn wrapped(text: &str) -> Vec<(String, bool)> {
    let entries = read(text).unwrap().into_iter();
    let is_ours = |server: &Server| matches!(server, Server::Local(l) if ours(l).is_some());
    entries.map(|entry| (entry.name, is_ours(&entry.server))).collect()
}

#[test]
fn what_is_installed_stays_and_comes_off_again_to_the_byte() {
    for (name, before) in SAMPLES {
        let after = installed(before, &WAY).unwrap().text;
        assert!(after.contains("/opt/countersign"), "{name}: {after}");
        let again = installed(&after, &WAY).unwrap();
        assert_eq!((again.text.as_str(), again.headers.len()), (after.as_str(), 0), "{name}");
        let moved = Way { program: "/elsewhere/countersign", headers: "/moved", ..WAY };
        assert_eq!(undone(&after, Some(before), &moved, &nothing).unwrap().text, before, "{name}");
    }
}

#[test]
fn no_credential_stays_in_an_entry_that_was_taken_over() {
    for (name, before) in SAMPLES {
        let outcome = installed(before, &WAY).unwrap();
        let after = masked(&outcome.text);
        assert!(
            !after.contains(CANARY) && !format!("{:?}", outcome.notes).contains(CANARY),
            "{name}"
        );
        for file in &outcome.headers {
            let value = string_at(before, &file.value_at).unwrap();
            assert!(value.contains(CANARY), "{name}: {value}");
            assert!(file.path.starts_with(WAY.headers), "{name}: {file:?}");
        }
        let mut named = header_files(&outcome.text);
        named.sort();
        let mut written: Vec<_> = outcome.headers.iter().map(|file| file.path.clone()).collect();
        written.sort();
        written.dedup();
        assert_eq!(named, written, "{name}: each file is named once");
    }
}

#[test]
fn each_client_has_its_servers_behind_wrap() {
    let of = |named| wrapped(&installed(sample(named), &WAY).unwrap().text);
    let all = |names: &[&str]| names.iter().map(|n| ((*n).to_owned(), true)).collect::<Vec<_>>();
    assert_eq!(of("claude desktop"), all(&["filesystem", "github"]));
    assert_eq!(of("claude code"), all(&["notion", "sentry", "notion"]));
    assert_eq!(of("windsurf"), all(&["remote-http-mcp", "local"]));
    let vscode = of("vs code");
    let left = vscode.iter().filter(|(_, ours)| !ours).map(|(name, _)| name.as_str());
    assert_eq!(left.collect::<Vec<_>>(), ["asks-the-user", "events"]);
}

#[test]
fn an_address_becomes_arguments_and_files() {
    let outcome = installed(sample("vs code"), &WAY).unwrap();
    let entries = read(&outcome.text).unwrap();
    let entry = entries.iter().find(|entry| entry.name == "github").unwrap();
    let Server::Local(local) = &entry.server else { panic!("{entry:?}") };
    let kind = local.kind_at.clone().unwrap();
    assert_eq!(string_at(&outcome.text, &kind).unwrap(), "stdio");
    let (first, second) =
        ("/home/u/.h/0a/github.authorization", "/home/u/.h/0a/github.x-mcp-toolsets");
    let headers = vec![("Authorization", first), ("X-MCP-Toolsets", second)];
    let url = "https://api.githubcopilot.com/mcp/";
    assert_eq!(ours(local), Some(Ours::Url(url, headers)));
    assert!(!outcome.text.contains("api.githubcopilot.com/mcp/\",\n"), "{}", outcome.text);
}

#[test]
fn what_cannot_be_behind_wrap_is_left_alone_and_said() {
    for (entry, reason) in [
        (r#"{"type": "sse", "url": "http://x/events"}"#, "HTTP+SSE"),
        (r#"{"url": "http://x/sse"}"#, "HTTP+SSE"),
        (r#"{"url": "https://${HOST}/mcp"}"#, "placeholder"),
        (r#"{"url": "ws://x/mcp"}"#, "no `http`"),
        (r#"{"url": "https://x/mcp?key=k"}"#, "may hold a credential"),
        (r#"{"url": "https://u:p@x/mcp"}"#, "may hold a credential"),
        (
            r#"{"url": "https://x/mcp", "headers": {"A": "Bearer ${input:t}"}}"#,
            "header `A` has a placeholder",
        ),
        (r#"{"url": "https://x/mcp", "headers": {"A": 1}}"#, "no text"),
        (r#"{"url": "https://x/mcp", "headers": {"A b": "c"}}"#, "none by its name"),
        (r#"{"url": "https://x/mcp", "headers": {"A": "b\nc"}}"#, "no header can have"),
        (r#"{"url": "https://x/mcp", "headers": {"A": " "}}"#, "no value"),
        (r#"{"url": "https://x/mcp", "headers": {"A": "b", "a": "c"}}"#, "there twice"),
    ] {
        let text = format!("{{\"mcpServers\": {{\"a\": {entry}}}}}");
        let outcome = installed(&text, &WAY).unwrap();
        assert_eq!((outcome.text.as_str(), outcome.headers.len()), (text.as_str(), 0), "{entry}");
        assert!(outcome.notes[0].starts_with("a: left alone"), "{:?}", outcome.notes);
        assert!(outcome.notes[0].contains(reason), "{entry}: {:?}", outcome.notes);
    }
}

#[test]
fn a_file_that_was_changed_since_is_taken_back_entry_by_entry() {
    for (name, before) in SAMPLES {
        // The last brace, whatever stands behind it.
        let (body, tail) = before.rsplit_once('}').unwrap();
        let comma = if body.trim_end().ends_with(',') { "" } else { "," };
        let with = |text: &str| {
            let (body, _) = text.rsplit_once('}').unwrap();
            format!("{body}{comma} \"added\": true }}{tail}")
        };
        let after = installed(before, &WAY).unwrap().text;
        let back = undone(&with(&after), Some(before), &WAY, &nothing).unwrap();
        assert_eq!(back.notes.len(), 1, "{name}: {:?}", back.notes);
        let (now, then) = (read(&back.text).unwrap(), read(&with(before)).unwrap());
        for (now, then) in now.iter().zip(&then) {
            assert!(is_same(&now.server, &then.server), "{name}: {now:#?} {then:#?}");
        }
        assert!(back.text.contains("\"added\": true"), "{name}");
    }
}

/// But for its places in the text.
fn is_same(one: &Server, other: &Server) -> bool {
    match (one, other) {
        (Server::Local(one), Server::Local(other)) => {
            one.command == other.command
                && one.arguments == other.arguments
                && one.variables == other.variables
        }
        (Server::Remote(one), Server::Remote(other)) => {
            let names = |headers: &[(String, _)]| -> Vec<String> {
                headers.iter().map(|(name, _)| name.clone()).collect()
            };
            one.url == other.url
                && one.transport == other.transport
                && names(&one.headers) == names(&other.headers)
        }
        (one, other) => one == other,
    }
}

#[test]
fn without_the_text_before_entries_are_made_of_what_our_arguments_say() {
    let after = installed(sample("cursor"), &WAY).unwrap().text;
    let back = undone(&after, None, &WAY, &kept).unwrap().text;
    let value: serde_json::Value = serde_json::from_str(&back).unwrap();
    let entry = &value["mcpServers"]["linear"];
    assert_eq!(entry["url"], "https://mcp.linear.app/mcp");
    assert_eq!(entry["headers"]["Authorization"], "Bearer kept");
    let lost = undone(&after, None, &WAY, &nothing).unwrap();
    assert!(lost.notes.iter().any(|note| note.starts_with("linear: stays")), "{:?}", lost.notes);
    assert!(lost.text.contains("--header-from-file"));
}

#[test]
fn no_two_headers_go_to_one_file() {
    let text = r#"{"mcpServers": {"a b": {"url": "https://a/mcp", "headers": {"2.X": "1"}},
        "a/b": {"url": "https://b/mcp", "headers": {"X": "2"}}, "a-b": {"url": "https://c/mcp", "headers": {"X": "3"}}}}"#;
    let headers = installed(text, &WAY).unwrap().headers;
    let mut files: Vec<_> = headers.iter().map(|file| &file.path).collect();
    files.sort_unstable();
    files.dedup();
    assert_eq!(files.len(), 3, "{headers:?}");
}

#[test]
fn members_that_were_added_since_stay_when_an_address_comes_back() {
    let before = r#"{"servers": {"a": {"serverUrl": "https://a/mcp", "type": "streamableHttp", "headers": {"K": " canary "}}}}"#;
    let after = installed(before, &WAY).unwrap().text;
    let edited = after.replace("\"type\"", "\"autoApprove\": [\"x\"], \"type\"");
    let added = before
        .replace(
            "\"type\"",
            "\"headers\": {\"K\": \" canary \"}, \"autoApprove\": [\"x\"], \"type\"",
        )
        .replace(", \"headers\": {\"K\": \" canary \"}}}", "}}");
    assert_eq!(undone(&edited, Some(before), &WAY, &nothing).unwrap().text, added);
    let without = undone(&edited, None, &WAY, &kept).unwrap().text;
    let expected = added
        .replace("serverUrl", "url")
        .replace("streamableHttp", "http")
        .replace(" canary ", "Bearer kept");
    assert_eq!(without, expected);
}

#[test]
fn arguments_with_a_comma_behind_them_are_taken_back() {
    let text = r#"{"servers": {"a": {"command": "/x/countersign", "args": ["wrap", "--name", "a", "--", "b" /* , */ , ]}}}"#;
    let back = undone(text, None, &WAY, &nothing).unwrap().text;
    assert_eq!(back, r#"{"servers": {"a": {"command": "b", "args": []}}}"#);
}

#[test]
fn what_is_ours_already_is_no_part_of_what_comes_off() {
    let before = r#"{"servers": {"mine": {"command": "/y/countersign", "args": ["wrap", "--name", "m", "--", "m"]},
        "led": {"url": "http://other/s/led/mcp"}, "b": {"command": "b"}, "c": {"url": "https://c/mcp"}}}"#;
    let gateway = Way { gateway: Some("http://127.0.0.1:8700"), ..WAY };
    for way in [WAY, gateway] {
        let after = installed(before, &way).unwrap().text;
        let moved = Way { program: "/z/countersign", headers: "/z", ..WAY };
        assert_eq!(undone(&after, Some(before), &moved, &nothing).unwrap().text, before);
    }
}

#[test]
fn servers_start_through_wrap_with_their_own_words() {
    let after = installed(sample("claude desktop"), &WAY).unwrap().text;
    let value: serde_json::Value = serde_json::from_str(&after).unwrap();
    let entry = &value["mcpServers"]["github"];
    assert_eq!(entry["command"], "/opt/countersign");
    let words =
        ["wrap", "--name", "github", "--", "docker", "run", "-i", "--rm", "ghcr.io/github/server"];
    assert_eq!(entry["args"], serde_json::json!(words));
    assert_eq!(entry["env"]["GITHUB_PERSONAL_ACCESS_TOKEN"], "canary");
}

#[test]
fn addresses_behind_a_gateway_are_those_that_it_has() {
    let gateway = Way { gateway: Some("http://127.0.0.1:8700"), ..WAY };
    let before = r#"{"mcpServers": {"My Files": {"url": "http://127.0.0.1:87001/mcp"}}}"#;
    let after = installed(before, &gateway).unwrap().text;
    let led = r#"{"mcpServers": {"My Files": {"url": "http://127.0.0.1:8700/s/My-Files/mcp"}}}"#;
    assert_eq!(after, led, "as `import` names it; and the port is another one");
    assert_eq!(installed(&after, &gateway).unwrap().text, after);
    assert_eq!(undone(&after, Some(before), &WAY, &nothing).unwrap().text, before);
}

#[test]
fn addresses_lead_to_the_gateway_when_there_is_one() {
    let gateway = Way { gateway: Some("http://127.0.0.1:8700"), ..WAY };
    let before = sample("cursor");
    let after = installed(before, &gateway).unwrap().text;
    assert!(after.contains("\"http://127.0.0.1:8700/s/linear/mcp\""), "{after}");
    assert!(after.contains("\"http://127.0.0.1:8700/s/local-sse/sse\""), "{after}");
    assert_eq!(installed(&after, &gateway).unwrap().text, after);
    assert_eq!(undone(&after, Some(before), &WAY, &nothing).unwrap().text, before);
    let changed = after.replace("\"mcpServers\"", "\"more\": 1, \"mcpServers\"");
    let back = undone(&changed, Some(before), &WAY, &nothing).unwrap().text;
    assert!(back.contains("https://mcp.linear.app/mcp") && !back.contains("8700"), "{back}");
    let stays = undone(&changed, None, &WAY, &nothing).unwrap().notes;
    assert!(stays.contains(&"linear: its address stays".to_owned()), "{stays:?}");
}

#[test]
fn what_is_shown_has_no_credential() {
    for (name, before) in SAMPLES {
        let after = installed(before, &WAY).unwrap().text;
        let shown = difference(&masked(before), &masked(&after));
        assert!(shown.contains("wrap") && !shown.contains(CANARY), "{name}: {shown}");
    }
}

/// The text without its entries.
fn outside(text: &str) -> String {
    let mut entries: Vec<_> = read(text).unwrap().into_iter().map(|e| e.at).collect();
    entries.sort_by_key(|at| at.start);
    let mut out = String::new();
    let mut done = 0;
    for at in entries {
        out.push_str(text.get(done..at.start).unwrap());
        done = at.end;
    }
    out + text.get(done..).unwrap()
}

/// Whatever byte of a client's file is another: what is installed comes off again to the byte, doing it
/// twice changes nothing more, and nothing outside of the entries changes.
#[test]
fn the_laws_hold_for_every_file_with_one_byte_changed() {
    let gateway = Way { gateway: Some("http://127.0.0.1:8700"), ..WAY };
    let samples = SAMPLES.iter().flat_map(|(_, sample)| alterations(sample));
    for before in samples {
        for way in [&WAY, &gateway] {
            let Ok(made) = installed(&before, way) else {
                assert!(read(&before).is_err(), "{before}");
                continue;
            };
            let again = installed(&made.text, way).unwrap();
            assert_eq!((&again.text, again.headers.len()), (&made.text, 0), "{before}");
            let undone = undone(&made.text, Some(&before), way, &nothing).unwrap();
            assert_eq!(undone.text, before);
            assert_eq!(outside(&made.text), outside(&before));
        }
    }
}
