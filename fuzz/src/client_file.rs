//! Files of MCP clients: a naive parser reads the same servers, rewriting touches nothing but what it must and
//! comes off to the byte, and no value of a variable or header is shown or copied.

mod model;

use crate::script::{Script, patch};
use clients::{
    Entry, Ours, Outcome, Server, Way, added, difference, header_files, installed, masked,
    named_servers, ours, read, string_at, tables, undone,
};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The first byte chooses what the rest is: a file, changes to one that a client wrote, members of entries,
/// or two files of which one is to be what the other was.
pub fn client_file(data: &[u8]) {
    let mut script = Script::new(data);
    match script.byte() % 4 {
        0 => check_bytes(script.rest()),
        1 => {
            let mut bytes = script.choose(&SAMPLES).as_bytes().to_vec();
            patch(&mut bytes, &mut script);
            check_bytes(&bytes);
        }
        2 => check(&put_together(&mut script)),
        _ => {
            let mut halves = script.rest().splitn(2, |byte| *byte == 0).map(str::from_utf8);
            if let (Some(Ok(text)), Some(Ok(backup))) = (halves.next(), halves.next()) {
                check_taken_back(text, backup);
            }
        }
    }
}

/// A file that is no text is not read at all.
fn check_bytes(bytes: &[u8]) {
    if let Ok(text) = str::from_utf8(bytes) {
        check(text);
    }
}

/// A file with one list, whose entries have members of these; one that begins with the sign begins an entry.
fn put_together(script: &mut Script<'_>) -> String {
    let mut text = "{\"mcpServers\": {\n  \"a\": {".to_owned();
    let mut first = true;
    while !script.is_at_end() {
        let member = *script.choose(&MEMBERS);
        match member.strip_prefix('#') {
            Some(name) => {
                text.push_str(&format!("}},\n  {name}: {{"));
                first = true;
            }
            None => {
                let parted = if first { "" } else { SEPARATORS[text.len() % SEPARATORS.len()] };
                text.push_str(parted);
                text.push_str(member);
                first = false;
            }
        }
    }
    text + "}\n}}\n"
}

fn check(text: &str) {
    let entries = match read(text) {
        Ok(entries) => entries,
        Err(error) => {
            let error = error.to_string();
            assert!(error.len() < 200 && !error.contains(CANARY), "it repeats the file: {error}");
            assert!(installed(text, &WRAP).is_err());
            return;
        }
    };
    assert_eq!(read(text).ok().as_ref(), Some(&entries), "the second time is another");
    model::check(text, &entries);
    let secrets = model::secrets(text);
    check_hidden(&format!("{entries:?}"), &secrets);
    check_hidden(&masked(text), &secrets);
    assert_eq!(masked(&masked(text)), masked(text), "not all was hidden");
    check_tables(&entries, &secrets);
    for way in [&WRAP, &GATEWAY] {
        let made = installed(text, way).expect("what was read can be rewritten");
        check_hidden(&made.notes.join("\n"), &secrets);
        check_difference(text, &made.text, &secrets);
        check_installed(text, &entries, &made, way);
        check_undone(text, &entries, &made, way);
    }
}

/// None of these values is shown.
fn check_hidden(shown: &str, secrets: &[String]) {
    let leak = secrets.iter().find(|secret| shown.contains(*secret));
    assert_eq!(leak, None, "it is shown: {shown}");
}

/// What is shown of a change are lines of the two texts, as many as there must be, with nothing secret.
fn check_difference(old: &str, new: &str, secrets: &[String]) {
    let (old, new) = (masked(old), masked(new));
    let shown = difference(&old, &new);
    check_hidden(&shown, secrets);
    assert_eq!(shown.is_empty(), old.lines().eq(new.lines()));
    let count = |sign| shown.lines().filter(|line| line.starts_with(sign)).count();
    assert_eq!(old.lines().count() + count('+'), new.lines().count() + count('-'));
}

/// What is copied into a configuration is TOML with one table for each server that is named, its words are
/// those of the entry, and all names and prefixes are different ones.
fn check_tables(entries: &[Entry], secrets: &[String]) {
    let there = named_servers(OWN).expect("it is TOML");
    let plan = tables(entries, &there);
    check_hidden(&plan.tables, secrets);
    check_hidden(&plan.notes.join("\n"), secrets);
    let whole = added(OWN, &plan.tables);
    let named = named_servers(&whole).expect("what was copied is TOML");
    assert!(named.iter().map(|(name, _)| name).eq(&plan.names));
    assert!(named.iter().map(|(_, prefix)| prefix).eq(&plan.prefixes));
    assert_eq!(named.iter().map(|(name, _)| name).collect::<BTreeSet<_>>().len(), named.len());
    assert_eq!(named.iter().map(|(_, prefix)| prefix).collect::<BTreeSet<_>>().len(), named.len());
    let words = |table: &toml::Value| -> Option<Vec<String>> {
        let words = table.get("command")?.as_array()?.iter();
        words.map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let table: toml::Table = plan.tables.parse().expect("what was copied is TOML");
    let servers = table.get("server").and_then(toml::Value::as_array);
    for server in servers.into_iter().flatten() {
        let holds = |entry: &Entry| match &entry.server {
            Server::Local(local) => {
                let own = std::iter::once(&local.command).chain(&local.arguments);
                words(server).is_some_and(|words| words.iter().eq(own))
            }
            Server::Remote(remote) => {
                server.get("url").and_then(toml::Value::as_str) == Some(&remote.url)
            }
            Server::Unusable(_) => false,
        };
        assert!(entries.iter().any(holds), "a server that is not there: {server}");
    }
}

/// Every server is behind the program or said to be left alone, and all that need not change is as it was.
fn check_installed(text: &str, entries: &[Entry], made: &Outcome, way: &Way<'_>) {
    let after = read(&made.text).expect("what was rewritten can be read");
    model::check(&made.text, &after);
    assert_eq!(outside(text, entries), outside(&made.text, &after), "changed outside of entries");
    let again = installed(&made.text, way).expect("what was rewritten can be read");
    assert_eq!((&again.text, again.headers.len()), (&made.text, 0), "twice is not once");
    for (before, after) in entries.iter().zip(&after) {
        assert_eq!(before.name, after.name);
        check_entry((text, before), (&made.text, after), made, way);
    }
    let files: BTreeSet<&PathBuf> = made.headers.iter().map(|file| &file.path).collect();
    assert_eq!(files.len(), made.headers.len(), "two values go to one file");
    let named = header_files(&made.text);
    for file in &made.headers {
        assert_eq!(file.path.parent(), Some(Path::new(way.headers)));
        assert_eq!(named.iter().filter(|named| **named == file.path).count(), 1);
        let value = string_at(text, &file.value_at).expect("a header has a text");
        assert!(!value.trim().is_empty() && !value.contains("${"));
    }
}

fn check_entry(before: (&str, &Entry), after: (&str, &Entry), made: &Outcome, way: &Way<'_>) {
    let (old, new) = (&before.0[before.1.at.clone()], &after.0[after.1.at.clone()]);
    let said = format!("{}: left alone, since ", before.1.name);
    let is_left_alone = || old == new && made.notes.iter().any(|note| note.starts_with(&said));
    let cuts: Vec<Range<usize>> = match (&before.1.server, &after.1.server) {
        (Server::Local(was), Server::Local(_)) if ours(was).is_some() => Vec::new(),
        (Server::Local(was), Server::Local(is)) => {
            assert_eq!(ours(is), Some(Ours::Command(&was.command)));
            assert_eq!((is.command.as_str(), &is.variables), (way.program, &was.variables));
            assert_eq!(is.arguments[OWN_WORDS..], was.arguments);
            let at = match &was.arguments_at {
                Some((list, each)) => each.first().map_or(list.start + 1, |first| first.start),
                None => was.command_at.end,
            };
            vec![was.command_at.clone(), at..at]
        }
        (Server::Remote(was), Server::Local(is)) => {
            let Some(Ours::Url(url, headers)) = ours(is) else { panic!("not ours: {new}") };
            assert_eq!((is.command.as_str(), url), (way.program, was.url.as_str()));
            let names = headers.iter().map(|(name, _)| *name);
            assert!(names.eq(was.headers.iter().map(|(name, _)| name.as_str())));
            let more = [was.headers_at.clone(), was.kind_at.clone()];
            more.into_iter().flatten().chain([was.address_at.clone()]).collect()
        }
        (Server::Remote(was), Server::Remote(is)) if old != new => {
            assert!(way.gateway.is_some_and(|gateway| is.url.starts_with(gateway)));
            assert_eq!(is.headers.len(), was.headers.len());
            vec![was.url_at.clone()]
        }
        (Server::Remote(was), _) if way.gateway.is_some_and(|own| was.url.starts_with(own)) => {
            Vec::new()
        }
        _ => {
            assert!(is_left_alone(), "nothing is said of {}: {:?}", before.1.name, made.notes);
            Vec::new()
        }
    };
    assert!(is_but_for((before.0, &before.1.at), cuts, new), "more was changed: {old} -> {new}");
}

/// Whether a text is another one but for these places, which hold anything now.
fn is_but_for((text, at): (&str, &Range<usize>), mut cuts: Vec<Range<usize>>, new: &str) -> bool {
    cuts.sort_by_key(|cut| cut.start);
    let Some(first) = cuts.first() else { return text[at.clone()] == *new };
    let Some(mut rest) = new.strip_prefix(&text[at.start..first.start]) else { return false };
    for pair in cuts.windows(2) {
        let piece = &text[pair[0].end..pair[1].start];
        let Some((_, more)) = rest.split_once(piece) else { return false };
        rest = more;
    }
    rest.ends_with(&text[cuts[cuts.len() - 1].end..at.end])
}

/// With the file as it was before, every byte comes back; without it, every server.
fn check_undone(text: &str, entries: &[Entry], made: &Outcome, way: &Way<'_>) {
    let moved = Way { program: "/elsewhere/countersign", headers: "/moved", ..*way };
    let back = undone(&made.text, Some(text), &moved, &|_| None).expect("it can be read");
    assert_eq!(back.text, text, "it does not come off again");
    let value = |path: &Path| {
        let file = made.headers.iter().find(|file| file.path == path)?;
        string_at(text, &file.value_at).map(|value| value.trim().to_owned())
    };
    let longer = format!("{}\n", made.text);
    for (made, backup) in [(&made.text, None), (&longer, Some(text))] {
        let back = undone(made, backup, way, &value).expect("it can be read").text;
        let after = read(&back).expect("what was taken back can be read");
        assert!(outside(&back, &after).starts_with(&outside(text, entries)));
        for (before, after) in entries.iter().zip(&after) {
            let can_come_back = match &before.server {
                Server::Local(local) => ours(local).is_none(),
                Server::Remote(_) => way.gateway.is_none() && !before.server_leads(),
                Server::Unusable(_) => true,
            };
            let same = is_same((text, before), (&back, after));
            assert!(!can_come_back || same, "it does not come back: {before:?} {after:?}");
        }
    }
}

/// Whether an address is one that undoing may take for a gateway's.
trait Leads {
    fn server_leads(&self) -> bool;
}

impl Leads for Entry {
    fn server_leads(&self) -> bool {
        matches!(&self.server, Server::Remote(remote) if remote.url.contains("/s/"))
    }
}

/// Whether two entries are one server to a client.
fn is_same(one: (&str, &Entry), other: (&str, &Entry)) -> bool {
    match (&one.1.server, &other.1.server) {
        (Server::Local(a), Server::Local(b)) => {
            (&a.command, &a.arguments, &a.variables) == (&b.command, &b.arguments, &b.variables)
        }
        (Server::Remote(a), Server::Remote(b)) => {
            let headers = |text: &str, headers: &[(String, Range<usize>)]| -> Vec<_> {
                let value = |at| string_at(text, at).map(|value| value.trim().to_owned());
                headers.iter().map(|(name, at)| (name.clone(), value(at))).collect()
            };
            (&a.url, a.transport) == (&b.url, b.transport)
                && headers(one.0, &a.headers) == headers(other.0, &b.headers)
        }
        (a, b) => a == b && one.0[one.1.at.clone()] == other.0[other.1.at.clone()],
    }
}

/// Whatever was there before and is there now: nothing changes outside of entries, and none that is another's.
fn check_taken_back(text: &str, backup: &str) {
    let value = |_: &Path| Some("kept".to_owned());
    for way in [&WRAP, &GATEWAY] {
        let Ok(back) = undone(text, Some(backup), way, &value) else {
            assert!(read(text).is_err());
            continue;
        };
        if back.text == backup {
            continue;
        }
        let (before, after) =
            (read(text).expect("it was"), read(&back.text).expect("it can be read"));
        assert_eq!(outside(text, &before), outside(&back.text, &after));
        for (before, after) in before.iter().zip(&after) {
            let is_own = match &before.server {
                Server::Local(local) => ours(local).is_some(),
                Server::Remote(_) => before.server_leads(),
                Server::Unusable(_) => false,
            };
            assert!(is_own || text[before.at.clone()] == back.text[after.at.clone()]);
        }
    }
}

/// The text without its entries.
fn outside(text: &str, entries: &[Entry]) -> String {
    let mut places: Vec<&Range<usize>> = entries.iter().map(|entry| &entry.at).collect();
    places.sort_by_key(|at| at.start);
    let mut out = String::new();
    let mut done = 0;
    for at in places {
        out.push_str(&text[done..at.start]);
        done = at.end;
    }
    out + &text[done..]
}

const WRAP: Way<'_> = Way { program: "/opt/countersign", gateway: None, headers: "/home/u/.h/0a" };
const GATEWAY: Way<'_> = Way { gateway: Some("http://127.0.0.1:8700"), ..WRAP };
/// `wrap --name NAME -- COMMAND`.
const OWN_WORDS: usize = 5;
/// Standing for every credential in the samples.
const CANARY: &str = "canary";
const OWN: &str =
    "[gateway]\nname = \"gw\"\n\n[server]\nname = \"crm\"\nurl = \"http://127.0.0.1:1/mcp\"\n";

/// As the clients write them, with credentials.
const SAMPLES: [&str; 8] = [
    include_str!("../../crates/clients/src/samples/claude_desktop_config.json"),
    include_str!("../../crates/clients/src/samples/claude.json"),
    include_str!("../../crates/clients/src/samples/dot_mcp.json"),
    include_str!("../../crates/clients/src/samples/vscode_mcp.json"),
    include_str!("../../crates/clients/src/samples/vscode_settings.json"),
    include_str!("../../crates/clients/src/samples/cursor_mcp.json"),
    include_str!("../../crates/clients/src/samples/windsurf_mcp_config.json"),
    include_str!("../../crates/clients/src/samples/one_line.json"),
];

const SEPARATORS: [&str; 4] = [", ", ",\n    ", ", // why\n\t", " /* , */ ,"];

/// Members of entries, good ones and others.
const MEMBERS: [&str; 52] = [
    "#\"a\"",
    "#\"b.2\"",
    "#\"My Files\"",
    "#\"\"",
    "#\"a\\u002f\"",
    "\"command\": \"npx\"",
    "\"command\": \"C:\\\\a b.exe\"",
    "\"command\": \"${input:x}\"",
    "\"command\": \"\"",
    "\"command\": null",
    "\"command\": \"/opt/countersign\"",
    "\"\\u0063ommand\": \"x\"",
    "\"args\": []",
    "\"args\": [\"-y\", \"x\\ty\"]",
    "\"args\": [ \"x\" , ]",
    "\"args\": [/* none */]",
    "\"args\": \"x\"",
    "\"args\": [1]",
    "\"args\": [\"wrap\", \"--name\", \"a\", \"--\", \"npx\", \"x\"]",
    "\"args\": [\"wrap\", \"--name\", \"a\", \"--url\", \"https://x/mcp\"]",
    "\"args\": [\"wrap\", \"--name\", \"a\", \"--url\", \"https://x/mcp\", \"--header-from-file\", \"A=/f\"]",
    "\"env\": {}",
    "\"env\": {\"TOKEN\": \"canary-1\"}",
    "\"env\": {\"T\\n#\": \"canary-2\"}",
    "\"env\": {\"T\": {\"U\": \"canary-3\"}}",
    "\"env\": [\"TOKEN=canary-4\"]",
    "\"env\": \"canary-5\"",
    "\"headers\": {}",
    "\"headers\": {\"Authorization\": \"Bearer canary-6\"}",
    "\"headers\": {\"A\": \"canary-7\", \"a\": \"canary-8\"}",
    "\"headers\": {\"2.X\": \" canary-9 \", /* one */ \"Y\": \"y\",}",
    "\"headers\": {\"X\": \"canary\\u002d0\"}",
    "\"headers\": {\"A\": \"${input:t}\"}",
    "\"headers\": [\"canary-a\"]",
    "\"headers\": \"canary-b\"",
    "\"type\": \"stdio\"",
    "\"type\": \"http\"",
    "\"type\": \"sse\"",
    "\"type\": \"streamableHttp\"",
    "\"type\": 5",
    "\"url\": \"https://x.example/mcp\"",
    "\"url\": \"http:\\/\\/127.0.0.1:8700/s/a/mcp\"",
    "\"url\": \"http://127.0.0.1:87001/sse\"",
    "\"url\": \"https://u:canary-c@x/mcp?k=canary-d\"",
    "\"url\": \"ws://x\"",
    "\"url\": 5",
    "\"serverUrl\": \"https://y/mcp\"",
    "\"httpUrl\": \"https://z/mcp\"",
    "\"disabled\": true",
    "\"disabled\": false",
    "\"autoApprove\": [\"a\", \"b\"]",
    "\"more\": {\"env\": {\"K\": \"canary-e\"}, \"list\": [{\"headers\": {\"K\": \"canary-f\"}}]}",
];
