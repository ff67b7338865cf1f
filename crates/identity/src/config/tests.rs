//! Each mistake is reported, with its place, and all of them at once.

use super::{Algorithm, CallerKind, Config, ProviderConfig};

fn paths(config: &Config) -> Vec<String> {
    config.check().into_iter().map(|problem| problem.path).collect()
}

fn provider() -> ProviderConfig {
    ProviderConfig {
        name: "ci".to_owned(),
        issuer: "https://issuer.example".to_owned(),
        jwks_url: Some("https://issuer.example/jwks".to_owned()),
        ..ProviderConfig::default()
    }
}

fn config(provider: ProviderConfig) -> Config {
    Config { audience: "gw".to_owned(), provider: vec![provider], ..Config::default() }
}

#[test]
fn a_full_configuration_is_read() {
    let text = r#"
        audience = "https://gw.example/mcp"
        allow_anonymous = true
        token_cache_ttl_s = 60
        [[provider]]
        name = "ci"
        profile = "github-actions"
        match = { repository_owner_id = "65", ref = ["refs/heads/main", "refs/heads/next"] }
        issuer = "https://token.actions.githubusercontent.com"
        jwks_url = "https://token.actions.githubusercontent.com/.well-known/jwks"
        algorithms = ["RS256"]
        token_lifetime_max_s = 900
        [[provider]]
        name = "people"
        issuer = "https://id.example"
        jwks_file = "people.json"
        kind = "human"
        typ = ["at+jwt"]
        [[api_key]]
        name = "laptop"
        sha256 = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    "#;
    let config: Config = toml::from_str(text).unwrap();
    assert_eq!(config.check(), Vec::new());
    assert_eq!(config.provider[0].algorithms, Some(vec![Algorithm::Rs256]));
    assert_eq!(config.provider[1].kind, CallerKind::Human);
    assert!(!format!("{config:?}").contains("ba7816"));
}

#[test]
fn unknown_fields_and_symmetric_algorithms_do_not_parse() {
    for text in [
        "audiences = \"x\"",
        "[[provider]]\nissuers = \"x\"",
        "[[api_key]]\nkey = \"x\"",
        "[[provider]]\nalgorithms = [\"HS256\"]",
        "[[provider]]\nalgorithms = [\"none\"]",
        "[[provider]]\nalgorithms = [\"rs256\"]",
    ] {
        assert!(toml::from_str::<Config>(text).is_err(), "{text}");
    }
}

#[test]
fn each_mistake_has_its_place() {
    assert_eq!(config(provider()).check(), Vec::new());
    let check = |change: fn(&mut ProviderConfig), path: &str| {
        let mut changed = provider();
        change(&mut changed);
        assert_eq!(paths(&config(changed)), [format!("provider[0].{path}")]);
    };
    check(|p| p.name.clear(), "name");
    check(|p| p.name = "local".to_owned(), "name");
    check(|p| p.name = "a b".to_owned(), "name");
    check(|p| p.name = "n".repeat(65), "name");
    check(|p| p.issuer.clear(), "issuer");
    check(|p| p.algorithms = Some(Vec::new()), "algorithms");
    check(|p| p.jwks_url = None, "jwks_url");
    check(|p| p.jwks_file = Some("keys.json".into()), "jwks_file");
    check(|p| p.typ = Some(Vec::new()), "typ");
    check(|p| p.typ = Some(vec!["WIT+jwt".to_owned()]), "typ");
    check(|p| p.refresh_interval_min_s = 0, "refresh_interval_min_s");
    check(|p| p.refresh_interval_s = 10, "refresh_interval_s");
    check(|p| p.stale_max_s = 299, "stale_max_s");
    check(|p| p.token_lifetime_max_s = Some(0), "token_lifetime_max_s");
    check(|p| p.token_lifetime_max_s = Some(1_000_000), "token_lifetime_max_s");
}

#[test]
fn authorization_servers_are_providers_that_clients_can_find() {
    let of = |issuer: &str| Config {
        has_resources: true,
        authorization_servers: vec!["ci".to_owned()],
        ..config(ProviderConfig { issuer: issuer.to_owned(), ..provider() })
    };
    let good = of("https://issuer.example/realm");
    assert_eq!(good.check(), Vec::new());
    assert_eq!(good.authorization_servers(), ["https://issuer.example/realm"]);
    assert!(config(provider()).authorization_servers().is_empty());
    let wrong = ["authorization_servers[0]"];
    for issuer in [
        "issuer",
        "http://issuer.example",
        "http://127.0.0.1:1",
        "https://u@i.example",
        "https://i.example/?a",
        "https://i.example#a",
    ] {
        assert_eq!(paths(&of(issuer)), wrong, "{issuer}");
    }
    let mut local = of("http://127.0.0.1:1");
    local.provider[0].allow_insecure_loopback = true;
    assert_eq!(local.check(), Vec::new());
    local.provider[0].issuer = "http://issuer.example".to_owned();
    assert_eq!(paths(&local), wrong);
    assert_eq!(paths(&Config { has_resources: false, ..good.clone() }), wrong);
    let names = vec!["ci".to_owned(), "nobody".to_owned()];
    let unknown = Config { authorization_servers: names, ..good };
    assert_eq!(paths(&unknown), ["authorization_servers[1]"]);
}

#[test]
fn key_set_addresses_must_be_safe() {
    let bad = |url: &str, insecure: bool| {
        let provider = ProviderConfig {
            jwks_url: Some(url.to_owned()),
            allow_insecure_loopback: insecure,
            ..provider()
        };
        !config(provider).check().is_empty()
    };
    for url in [
        "jwks",
        "http://issuer.example/jwks",
        "http://localhost/jwks",
        "http://127.0.0.1/jwks",
        "ftp://issuer.example/jwks",
        "file:///etc/passwd",
        "https://user:pw@issuer.example/jwks",
        "https://user@issuer.example/",
        "https://issuer.example/jwks#x",
        "https://127.0.0.1/jwks",
        "https://10.0.0.1/",
        "https://169.254.169.254/",
        "https://[::1]/",
        "https://[fd00::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://0x7f000001/",
        "https://2130706433/",
    ] {
        assert!(bad(url, false), "{url}");
    }
    for url in ["http://issuer.example/jwks", "http://10.0.0.1/", "http://127.0.0.1.evil.example/"]
    {
        assert!(bad(url, true), "{url}");
    }
    for url in
        ["http://localhost:80/", "http://127.0.0.1/", "http://[::1]:8/", "https://127.0.0.1/"]
    {
        assert!(!bad(url, true), "{url}");
    }
    let internal = ProviderConfig {
        jwks_url: Some("https://10.0.0.1/jwks".to_owned()),
        allow_private_addresses: true,
        ..provider()
    };
    assert_eq!(config(internal).check(), Vec::new());
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let mut broken: Config = toml::from_str(
        r#"
        token_cache_ttl_s = 0
        token_cache_entries_max = 100000000
        [[api_key]]
        name = "one"
        sha256 = "abc"
        [[api_key]]
        name = "one"
        sha256 = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        [[api_key]]
        name = "two"
        sha256 = "sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        "#,
    )
    .unwrap();
    broken.provider = vec![provider(), ProviderConfig { typ: Some(Vec::new()), ..provider() }];
    assert_eq!(
        paths(&broken),
        [
            "api_key[0].sha256",
            "provider[0].audience",
            "provider[1].audience",
            "provider[1].typ",
            "api_key[1].name",
            "api_key[2].sha256",
            "provider[1].name",
            "provider[1].issuer",
            "token_cache_ttl_s",
            "token_cache_entries_max",
        ]
    );
}

#[test]
fn a_configuration_that_lets_nobody_in_is_a_mistake() {
    assert_eq!(paths(&Config::default()), ["provider"]);
    assert!(Config { allow_anonymous: true, ..Config::default() }.check().is_empty());
}
