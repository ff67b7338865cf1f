use super::Config;
use crate::altered::{alterations, is_within};
use gateway::config::{AnswerDurability, Server};
use std::path::Path;
use std::time::Duration;

fn parse(text: &str) -> Result<Config, Vec<String>> {
    Config::parse(text, Path::new("/etc/cs"))
        .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

const SMALL: &str = "[gateway]\nname = \"gw\"\n[server]\nname = \"crm\"\nurl = \"http://127.0.0.1:1/mcp\"\n[identity]\nallow_anonymous = true\n";

#[test]
fn a_small_file_gets_the_documented_defaults() {
    let config = parse(SMALL).unwrap();
    assert_eq!(config.listener.address.to_string(), "127.0.0.1:8700");
    assert_eq!(config.listener.allowed_hosts, ["127.0.0.1:8700", "localhost:8700"]);
    assert_eq!(config.answers, AnswerDurability::NextCommit);
    assert_eq!(config.log.directory, Path::new("/etc/cs/log"));
    assert_eq!(config.log.key, keys::Source::File("/etc/cs/keys/log.key".into()));
    assert_eq!(config.log.publish_interval, Duration::from_secs(1));
    assert_eq!(config.log.heartbeat_interval, Duration::from_secs(30));
    assert_eq!(config.policy_reload, Some(Duration::from_secs(1)));
    assert!(matches!(config.servers[0].server, Server::Http { .. }));
}

#[test]
fn all_mistakes_are_reported_at_once_with_their_places() {
    let text = r#"[gateway]
name = "a b"
listen = 8700
colour = "red"

[server]
name = "crm"
url = "ftp://x"
command = ["x"]

[identity]
audience = 3

[[identity.provider]]
name = "ci"
isuer = "https://issuer.example"

[nonsense]
x = 1
"#;
    let mistakes = parse(text).unwrap_err();
    for expected in [
        "line 3, column 10: ",
        "line 4, column 1: unknown field `colour`",
        "line 12, column 12: ",
        "line 16, column 1: unknown field `isuer`",
        "line 18, column 2: unknown field `nonsense`",
        "line 2, column 1: `gateway.name`: must be at most 64",
        "line 6, column 2: `server`: has both",
    ] {
        assert!(
            mistakes.iter().any(|m| m.starts_with(expected)),
            "{expected} is missing in {mistakes:#?}"
        );
    }
    assert!(mistakes.iter().any(|m| m.contains("issuer")), "{mistakes:#?}");
}

#[test]
fn heartbeats_come_at_least_every_hour() {
    for (seconds, good) in [(0, false), (1, true), (3_600, true), (3_601, false)] {
        let parsed = parse(&format!("{SMALL}[log]\nheartbeat_s = {seconds}\n"));
        match parsed {
            Ok(config) => {
                assert!(good);
                assert_eq!(config.log.heartbeat_interval, Duration::from_secs(seconds));
            }
            Err(mistakes) => {
                assert!(
                    !good && mistakes[0].contains("`log.heartbeat_s`: must be"),
                    "{mistakes:?}"
                );
            }
        }
    }
}

#[test]
fn broken_syntax_is_reported_with_its_place() {
    let mistakes = parse("[gateway]\nname = \n").unwrap_err();
    assert!(mistakes.iter().any(|m| m.starts_with("line 2, ")), "{mistakes:#?}");
}

#[test]
fn a_command_gets_only_the_environment_it_was_given() {
    let text = "[gateway]\nname = \"gw\"\n[server]\nname = \"fs\"\ncommand = [\"srv\", \"-x\"]\n\
                inherit_environment = []\nenvironment = { A = \"1\" }\ndirectory = \"d\"\n[identity]\nallow_anonymous = true\n";
    let Server::Stdio(command) = &parse(text).unwrap().servers[0].server else {
        panic!("no command")
    };
    assert_eq!(command.arguments, ["-x"]);
    assert_eq!(command.environment, [("A".to_owned(), "1".to_owned())]);
    assert_eq!(command.directory.as_deref(), Some(Path::new("/etc/cs/d")));
}

#[test]
fn several_servers_each_have_a_name_of_their_own() {
    let several = "[gateway]\nname = \"gw\"\n[[server]]\nname = \"a\"\nurl = \"http://127.0.0.1:1/mcp\"\n\
                   [[server]]\nname = \"b\"\ncommand = [\"srv\"]\n[identity]\nallow_anonymous = true\n";
    let config = parse(several).unwrap();
    assert_eq!(config.server_names(), "a b");
    assert_eq!(config.servers.len(), 2);
    let twice = several.replace("\"b\"", "\"a\"").replace("command = [\"srv\"]\n", "");
    let mistakes: Vec<String> =
        parse(&twice).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        mistakes,
        [
            "line 7, column 1: `server[1].name`: is the name of another server already",
            "line 6, column 1: `server[1]`: has neither `url` nor `command`; add one"
        ]
    );
}

#[test]
fn tls_names_files_and_changes_the_hosts_that_are_served() {
    let text = SMALL
        .replace("[server]", "[gateway.tls]\ncertificate = \"c.pem\"\nkey = \"/k.pem\"\n[server]");
    let config = parse(&text).unwrap();
    let pair = config.tls.listener.unwrap();
    assert_eq!(pair.certificate, Path::new("/etc/cs/c.pem"));
    assert_eq!(pair.key, Path::new("/k.pem"));
    assert!(config.tls.servers.is_empty());
    let listening = |address: &str, text: &str| {
        let listen = format!("[gateway]\nlisten = \"{address}\"");
        parse(&text.replace("[gateway]\n", &format!("{listen}\n"))).unwrap().listener.allowed_hosts
    };
    assert_eq!(listening("10.0.0.1:443", &text), ["10.0.0.1:443", "10.0.0.1"]);
    assert_eq!(listening("10.0.0.1:443", SMALL), ["10.0.0.1:443"]);
    let own = ["[::1]:80", "localhost:80", "[::1]", "localhost"];
    assert_eq!(listening("[::1]:80", SMALL), own);
}

#[test]
fn tls_of_a_server_needs_https_and_whole_pairs() {
    let with = |tls: &str, url: &str| {
        parse(
            &SMALL
                .replace("[identity]", &format!("[server.tls]\n{tls}\n[identity]"))
                .replace("http://127.0.0.1:1/mcp", url),
        )
    };
    let config = with("roots = \"ca.pem\"", "https://127.0.0.1:1/mcp").unwrap();
    let crm = &config.tls.servers["crm"];
    assert_eq!(crm.roots.as_deref(), Some(Path::new("/etc/cs/ca.pem")));
    assert_eq!(crm.pair, None);
    for (tls, url, expected) in [
        ("roots = \"ca.pem\"", "http://127.0.0.1:1/mcp", "`https` URL"),
        ("key = \"k.pem\"", "https://127.0.0.1:1/mcp", "no `certificate`"),
        ("certificate = \"k.pem\"", "https://127.0.0.1:1/mcp", "no `key`"),
        ("root = \"ca.pem\"", "https://127.0.0.1:1/mcp", "unknown field `root`"),
    ] {
        let mistakes = with(tls, url).unwrap_err();
        assert!(mistakes.iter().any(|m| m.contains(expected)), "{expected}: {mistakes:?}");
    }
}

#[test]
fn the_transport_of_a_server_can_be_chosen() {
    let text = |line: &str| {
        format!(
            "[gateway]\nname = \"gw\"\n[server]\nname = \"old\"\n{line}\n[identity]\nallow_anonymous = true\n"
        )
    };
    let sse = parse(&text("url = \"http://127.0.0.1:1/sse\"\ntransport = \"sse\"")).unwrap();
    assert!(matches!(sse.servers[0].server, Server::Sse { .. }));
    for (line, mistake) in [
        (
            "url = \"http://127.0.0.1:1/sse\"\ntransport = \"http\"",
            "must be `streamable-http` or `sse`",
        ),
        ("command = [\"srv\"]\ntransport = \"sse\"", "goes with `url` only"),
    ] {
        let mistakes = parse(&text(line)).unwrap_err();
        assert!(mistakes.iter().any(|m| m.contains(mistake)), "{mistakes:#?}");
    }
}

#[test]
fn a_server_has_the_quota_of_all_servers_but_for_what_is_its_own() {
    let text = "[gateway]\nname = \"gw\"\n[identity]\nallow_anonymous = true\n\
        [limits.actor]\ncalls_per_second = 5\n\
        [limits.server]\ncalls_per_second = 100\ncalls_burst = 200\ncalls_max = 10\n\
        [[server]]\nname = \"a\"\nurl = \"http://127.0.0.1:1/mcp\"\n\
        limits = { calls_max = 0, calls_burst = 7, reply_timeout_ms = 50 }\n\
        [[server]]\nname = \"b\"\nurl = \"http://127.0.0.1:2/mcp\"\n";
    let config = parse(text).unwrap();
    assert_eq!(config.limits.actor.calls_per_second, Some(5));
    let [a, b] = &*config.servers else { panic!("two servers") };
    assert_eq!((a.quota.calls_per_second, a.quota.calls_burst), (Some(100), Some(7)));
    assert_eq!((a.quota.calls_max, a.quota.reply_timeout), (None, Some(Duration::from_millis(50))));
    assert_eq!((b.quota.calls_burst, b.quota.calls_max), (Some(200), Some(10)));
}

#[test]
fn a_burst_needs_a_rate() {
    let mistakes = parse(&format!("{SMALL}[limits.actor]\ncalls_burst = 7\n")).unwrap_err();
    assert!(
        mistakes.iter().any(|m| m.contains("`limits.actor.calls_burst`: needs")),
        "{mistakes:?}"
    );
}

/// A file with a secret wherever one may stand.
const FULL: &str = r#"[gateway]
name = "gw"
listen = "127.0.0.1:8700"
allowed_hosts = ["gw.example"]

[[server]]
name = "crm"
url = "http://user:canary@127.0.0.1:1/mcp"

[[server]]
name = "files"
command = ["files", "--all"]
environment = { TOKEN = "canary" }
limits = { calls_max = 9 }

[log]
key = "pkcs11:token=t;object=o?pin-value=canary"
segment_bytes = 1048576

[[log.http.reader]]
name = "auditor"
sha256 = "sha256:canary"

[log.tsa]
urls = ["https://user:canary@tsa.example/"]

[traces]
otlp_url = "http://user:canary@127.0.0.1:4318/"
ratio = 0.5

[[identity.api_key]]
name = "dev"
sha256 = "canary"
"#;

/// Whatever a text holds: it is read the same twice, mistakes are at places within it, and none repeats
/// what may be a secret.
fn check_law(text: &str) {
    let read = Config::parse(text, Path::new("/etc/cs"));
    let again = Config::parse(text, Path::new("/etc/cs"));
    assert_eq!(format!("{again:?}"), format!("{read:?}"), "the second time is another: {text}");
    for mistake in read.err().into_iter().flatten() {
        // A bare word at the place of a key is a key.
        let shown = mistake.message.replace("unknown field `canary`", "");
        assert!(!shown.contains("canary"), "{mistake}\n{text}");
        assert!(mistake.place.is_none_or(|place| is_within(text, place)), "{mistake}\n{text}");
    }
}

#[test]
fn the_laws_hold_for_every_file_with_one_byte_changed() {
    let read = parse(FULL).unwrap_err();
    assert!(read.iter().all(|mistake| !mistake.contains("line 1,")), "{read:?}");
    for text in alterations(FULL).chain(alterations(SMALL)) {
        check_law(&text);
    }
}

#[test]
fn no_mistake_repeats_a_secret_that_stands_where_none_belongs() {
    for wrong in ["\"canary\"", "[\"canary\"]", "{ canary = \"canary\" }", "{ x = [\"canary\"] }"] {
        let lines = FULL.lines().enumerate().filter(|(_, line)| line.contains("canary"));
        for (number, line) in lines {
            let (key, _) = line.split_once(" = ").unwrap();
            let text = FULL.replacen(line, &format!("{key} = {wrong}"), 1);
            let read = Config::parse(&text, Path::new("/etc/cs"));
            let shown: Vec<String> =
                read.err().into_iter().flatten().map(|mistake| mistake.to_string()).collect();
            let shown = shown.join("\n").replace("unknown field `canary`", "");
            assert!(!shown.contains("canary"), "line {}: {shown}", number + 1);
        }
    }
}

#[test]
fn credentials_are_checked_with_the_rest() {
    let with = |more: &str| SMALL.replace("[identity]", &format!("{more}\n[identity]"));
    let config =
        parse(&with("[server.credential]\ntype = \"static\"\nsecret_file = \"s\"")).unwrap();
    let credential = &config.credentials["crm"];
    assert_eq!(credential.secret_file.as_deref(), Some(Path::new("/etc/cs/s")));
    let mistakes =
        parse(&with("[server.credential]\ntype = \"magic\"\nsecret = \"canary\"")).unwrap_err();
    assert!(
        mistakes.iter().any(|m| m.starts_with("line 7, column 8: unknown word")),
        "{mistakes:?}"
    );
    assert!(mistakes.iter().any(|m| m.contains("unknown field `secret`")), "{mistakes:?}");
    assert!(!mistakes.concat().contains("canary"), "{mistakes:?}");
    let mistakes =
        parse(&with("[server.credential]\ntype = \"static\"\nscope = \"a\"")).unwrap_err();
    assert_eq!(
        mistakes[0],
        "line 8, column 1: `server.credential.scope`: goes with `oauth-client-credentials` only"
    );
    assert_eq!(mistakes.len(), 2);
    let program = SMALL.replace(
        "url = \"http://127.0.0.1:1/mcp\"",
        "command = [\"x\"]\n[server.credential]\ntype = \"static\"\nsecret_env = \"S\"",
    );
    assert!(parse(&program).unwrap_err()[0].contains("server.credential.variable"));
    let clear = with("[server.credential]\ntype = \"static\"\nsecret_env = \"S\"")
        .replace("127.0.0.1", "crm.example");
    assert!(parse(&clear).unwrap_err()[0].contains("in the clear"));
}
