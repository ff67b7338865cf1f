use crate::config::{Config, Target};

fn problems(text: &str, target: Target) -> Vec<String> {
    let config: Config = toml::from_str(text).unwrap();
    config.check(target).iter().map(ToString::to_string).collect()
}

fn paths(text: &str, target: Target) -> Vec<String> {
    let config: Config = toml::from_str(text).unwrap();
    config.check(target).into_iter().map(|problem| problem.path).collect()
}

const CLIENT: &str =
    "type = 'oauth-client-credentials'\ntoken_url = 'https://as.example/token'\nclient_id = 'gw'\n";

#[test]
fn complete_tables_have_no_problem() {
    for text in [
        "type = 'static'\nsecret_file = 's'".to_owned(),
        "type = 'static'\nsecret_env = 'TOKEN'\nheader = 'X-API-Key'\nname = 'crm-key'".to_owned(),
        "type = 'static'\nsecret_env = 'TOKEN'\nheader = 'Authorization'\nscheme = 'Token'"
            .to_owned(),
        format!("{CLIENT}secret_file = 's'\nscope = 'a b'\nresource = 'https://srv.example/mcp'"),
        format!("{CLIENT}client_auth = 'client_secret_post'\nsecret_env = 'S'\naudience = 'srv'"),
        format!("{CLIENT}client_auth = 'private_key_jwt'\nkey_file = 'k.pem'\nkey_id = 'k1'"),
    ] {
        assert_eq!(problems(&text, Target::Http), [""; 0], "{text}");
    }
    let program = "type = 'static'\nsecret_file = 's'\nvariable = 'API_TOKEN'";
    assert_eq!(problems(program, Target::Program), [""; 0]);
}

#[test]
fn every_mistake_is_named_at_once() {
    for (text, expected) in [
        ("", vec!["type"]),
        ("type = 'static'", vec!["secret_file"]),
        ("type = 'static'\nsecret_file = 's'\nsecret_env = 'S'", vec!["secret_env"]),
        ("type = 'static'\nsecret_env = 'sk-live 1'", vec!["secret_env"]),
        (
            "type = 'static'\nname = 'a b'\nscheme = 'a b'\nheader = 'x y'\ntoken_url = 'x'\nmargin_s = 0",
            vec!["token_url", "margin_s", "name", "header", "scheme", "margin_s", "secret_file"],
        ),
        ("type = 'static'\nsecret_file = 's'\nheader = 'Mcp-Session-Id'", vec!["header"]),
        ("type = 'static'\nsecret_file = 's'\nheader = 'content-length'", vec!["header"]),
        ("type = 'static'\nsecret_file = 's'\nvariable = 'X'", vec!["variable"]),
        ("type = 'oauth-client-credentials'", vec!["token_url", "client_id", "secret_file"]),
    ] {
        assert_eq!(paths(text, Target::Http), expected, "{text}");
    }
    for (more, expected) in [
        ("timeout_ms = 0\nmargin_s = 4000", vec!["timeout_ms", "margin_s", "secret_file"]),
        ("client_auth = 'private_key_jwt'\nsecret_file = 's'", vec!["secret_file", "key_file"]),
        ("secret_file = 's'\nkey_file = 'k'\nkey_id = 'k'", vec!["key_file", "key_id"]),
        ("secret_file = 's'\nresource = 'srv'", vec!["resource"]),
        ("secret_file = 's'\nresource = 'https://a/#b'", vec!["resource"]),
        ("secret_file = 's'\nscope = ''\naudience = \"a\\nb\"", vec!["scope", "audience"]),
        ("secret_file = 's'\nvariable = 'X'", vec!["variable", "variable"]),
    ] {
        assert_eq!(paths(&format!("{CLIENT}{more}"), Target::Http), expected, "{more}");
    }
}

#[test]
fn programs_get_a_variable() {
    for (text, expected) in [
        ("type = 'static'\nsecret_file = 's'", vec!["variable"]),
        (
            "type = 'static'\nsecret_file = 's'\nvariable = '1X'\nheader = 'A'\nscheme = 'B'",
            vec!["variable", "header", "scheme"],
        ),
    ] {
        assert_eq!(paths(text, Target::Program), expected, "{text}");
    }
    let text = format!("{CLIENT}secret_file = 's'");
    assert_eq!(paths(&text, Target::Program), ["type", "variable"]);
}

#[test]
fn token_endpoints_are_on_https() {
    let of = |url: &str, more: &str| {
        let text = format!(
            "type = 'oauth-client-credentials'\ntoken_url = '{url}'\nclient_id = 'gw'\nsecret_file = 's'\n{more}"
        );
        paths(&text, Target::Http).is_empty()
    };
    let loopback = "allow_insecure_loopback = true";
    assert!(of("https://as.example/token?x=1", ""));
    assert!(of("http://127.0.0.1:1/token", loopback));
    assert!(of("http://[::1]:1/token", loopback));
    assert!(of("http://localhost:1/token", loopback));
    for url in
        ["http://127.0.0.1/token", "http://localhost/", "", "as.example", "ftp://as.example/"]
    {
        assert!(!of(url, ""), "{url}");
    }
    for url in [
        "http://as.example/token",
        "http://127.0.0.1.as.example/",
        "https://u:p@as.example/",
        "https://as.example/#f",
    ] {
        assert!(!of(url, loopback), "{url}");
    }
}

#[test]
fn unknown_keys_and_words_are_refused() {
    for text in ["typo = 1", "type = 'magic'", "client_auth = 'none'", "secret = 'canary'"] {
        toml::from_str::<Config>(text).unwrap_err();
    }
}
