//! The tables of the profiles, and what holds for every rule.

use super::{Form, OneOf, Profile, ProfileName, Tenants, problems, rules};
use crate::config::{Algorithm, CallerKind, ProviderConfig};
use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

fn profiles() -> impl Iterator<Item = &'static Profile> {
    ProfileName::ALL.into_iter().map(ProfileName::profile)
}

#[test]
fn tables_are_in_order_and_complete() {
    let names: Vec<_> = profiles().map(|profile| profile.name).collect();
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
    let prefixes: BTreeSet<_> = profiles().map(|profile| profile.prefix).collect();
    assert_eq!(prefixes.len(), names.len());
    for profile in profiles() {
        let claims: Vec<_> = profile.claims.iter().map(|claim| claim.name).collect();
        assert!(claims.windows(2).all(|pair| pair[0] < pair[1]), "{claims:?}");
        for claim in profile.claims {
            assert!(!claim.path.is_empty() && !claim.name.contains(['.', '/']), "{claim:?}");
            assert!(!(claim.personal && claim.required), "{claim:?}");
        }
        assert!(profile.algorithms.iter().all(|own| profile.algorithms_allowed.contains(own)));
        assert!(profile.lifetime_s <= profile.lifetime_max_s && !profile.types.is_empty());
    }
}

#[test]
fn names_are_read_as_they_are_written() {
    for name in ProfileName::ALL {
        let read: ProfileName = serde_json::from_value(json!(name.as_str())).unwrap();
        assert_eq!(read, name);
        assert!(name.attributes().iter().all(|attribute| {
            attribute.starts_with(&format!("{}.", name.profile().prefix)) && attribute.is_ascii()
        }));
    }
    assert_eq!(ProfileName::default().as_str(), "oidc");
}

fn github(rules: &[(&str, OneOf)]) -> ProviderConfig {
    ProviderConfig {
        profile: ProfileName::GithubActions,
        issuer: "https://token.actions.githubusercontent.com".to_owned(),
        rules: table(rules),
        ..ProviderConfig::default()
    }
}

fn table(rules: &[(&str, OneOf)]) -> BTreeMap<String, OneOf> {
    rules.iter().map(|(name, wanted)| ((*name).to_owned(), wanted.clone())).collect()
}

fn text(text: &str) -> OneOf {
    OneOf::Text(text.to_owned())
}

fn told(provider: &ProviderConfig, audience: &str) -> String {
    let found = problems(provider, audience);
    found.iter().map(|(field, problem)| format!("{field}: {problem}\n")).collect()
}

#[test]
fn an_issuer_of_everybody_needs_a_rule_on_whose_tokens() {
    assert_eq!(
        told(&github(&[("ref", text("refs/heads/main"))]), "gw"),
        "match: anybody in the world gets tokens of this issuer: say whose you trust, such as \
         `match = { repository_owner_id = \"...\" }`; one of enterprise_id, repository_id, \
         repository_owner_id must be there\n"
    );
    assert_eq!(told(&github(&[("repository_id", text("74"))]), "gw"), "");
    for issuer in [
        "https://token.actions.githubusercontent.com/octo-inc",
        "https://token.actions.octo.ghe.com",
        "https://github.example.com/_services/token",
    ] {
        let provider = ProviderConfig { issuer: issuer.to_owned(), ..github(&[]) };
        assert_eq!(told(&provider, "gw"), "", "{issuer}");
    }
    // Nor is there a way around by not saying what it is.
    let unsaid = ProviderConfig { profile: ProfileName::Oidc, ..github(&[("sub", text("s"))]) };
    assert_eq!(
        told(&unsaid, "gw"),
        "issuer: anybody in the world gets tokens of this issuer: write `profile = \
         \"github-actions\"` and say in `match` whose you trust\n"
    );
}

#[test]
fn issuers_of_other_platforms_are_refused() {
    for (profile, issuers) in [
        (
            ProfileName::GithubActions,
            &[
                "https://token.actions.githubusercontent.com/",
                "https://token.actions.githubusercontent.com/a/b",
                "https://token.actions.githubusercontent.com.evil.example",
                "http://token.actions.githubusercontent.com",
                "https://token.actions.ghe.com",
                "https://token.actions.a.b.ghe.com",
                "https://github.com/_services/token",
                "https:///_services/token",
                "https://gitlab.com",
            ][..],
        ),
        (
            ProfileName::Kubernetes,
            &[
                "kubernetes/serviceaccount",
                "http://kubernetes.default.svc",
                "https://k8s.example/?x",
                "https://k8s.example/#x",
            ],
        ),
    ] {
        for issuer in issuers {
            assert_eq!((profile.profile().tenants)(issuer), None, "{issuer}");
        }
    }
    let provider = ProviderConfig { issuer: "https://gitlab.com".to_owned(), ..github(&[]) };
    assert!(told(&provider, "gw").starts_with("issuer: no issuer of the profile `github-actions`"));
    for issuer in [
        "https://kubernetes.default.svc.cluster.local",
        "https://oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE",
        "https://eastus.oic.prod-aks.azure.com/00000000-0000-0000-0000-000000000000/11111111/",
        "https://container.googleapis.com/v1/projects/p/locations/l/clusters/c",
    ] {
        let tenants = ProfileName::Kubernetes.profile().tenants;
        assert_eq!(tenants(issuer), Some(Tenants::One), "{issuer}");
    }
}

#[test]
fn audiences_that_others_use_are_refused() {
    let good = github(&[("repository_id", text("74"))]);
    for audience in
        ["https://github.com/octo-org", "https://GITHUB.com", "https://octo.ghe.com/octo-org"]
    {
        assert!(
            told(&good, audience).starts_with("audience: is an address of GitHub"),
            "{audience}"
        );
    }
    let server = "https://git.example/_services/token".to_owned();
    let server = ProviderConfig { issuer: server, ..good.clone() };
    assert!(told(&server, "https://git.example/octo").starts_with("audience: "));
    assert_eq!(told(&server, "https://gw.example/mcp"), "");
    // Empty is that of the endpoint.
    assert_eq!(told(&good, ""), "");
    let cluster = ProviderConfig {
        profile: ProfileName::Kubernetes,
        issuer: "https://k8s.example".to_owned(),
        ..ProviderConfig::default()
    };
    for audience in ["https://kubernetes.default.svc", "api", "https://k8s.example", "kubernetes"] {
        assert!(
            told(&cluster, audience).starts_with("audience: is the audience of the API server")
        );
    }
    assert_eq!(told(&cluster, "https://gw.example/mcp"), "");
}

#[test]
fn rules_that_can_never_hold_are_mistakes() {
    let problem = |name: &str, wanted: OneOf| {
        let rules = [("repository_owner_id", text("65")), (name, wanted)];
        told(&github(&rules), "gw")
    };
    let unknown = problem("repo", text("x"));
    assert!(unknown.starts_with(
        "match.repo: the profile `github-actions` knows no such claim, only actor, actor_id, base_ref, "
    ));
    assert_eq!(
        problem("run_id", text("octo")),
        "match.run_id: can never be this: its value is a whole number without leading zeros\n"
    );
    for (name, wanted) in [
        ("repository_owner_id", text("octo-org")),
        ("repository_owner_id", text("065")),
        ("ref_protected", text("yes")),
        ("ref", text("")),
        ("ref", text("a\nb")),
        ("ref", text("refs/heads/*")),
        ("ref", OneOf::Texts(Vec::new())),
        ("ref", OneOf::Texts(vec!["refs/heads/main".to_owned(), "refs/*".to_owned()])),
    ] {
        let told = problem(name, wanted.clone());
        assert!(told.starts_with(&format!("match.{name}: ")), "{name} {wanted:?}: {told}");
    }
    let any = ProviderConfig {
        rules: table(&[("/a~2b", text("x")), ("", text("x")), ("/a/b", text("x*"))]),
        ..ProviderConfig::default()
    };
    assert_eq!(problems(&any, "gw").len(), 2);
}

#[test]
fn other_keys_must_fit_the_profile() {
    let good = github(&[("repository_id", text("74"))]);
    for (field, provider) in [
        ("kind", ProviderConfig { kind: CallerKind::Human, ..good.clone() }),
        (
            "token_lifetime_max_s",
            ProviderConfig { token_lifetime_max_s: Some(31_536_000), ..good.clone() },
        ),
    ] {
        assert!(told(&provider, "gw").starts_with(&format!("{field}: ")), "{field}");
    }
    let later = ProviderConfig { algorithms: Some(vec![Algorithm::EdDsa]), ..good };
    assert_eq!(told(&later, "gw"), "");
}

#[test]
fn pointers_are_those_of_rfc_6901() {
    // Section 5 of the RFC, but for the empty pointer, which is the claims as a whole.
    for (pointer, path) in [
        ("/foo", &["foo"][..]),
        ("/foo/0", &["foo", "0"]),
        ("/", &[""]),
        ("/a~1b", &["a/b"]),
        ("/c%d", &["c%d"]),
        ("/ ", &[" "]),
        ("/m~0n", &["m~n"]),
        ("/~01", &["~1"]),
        ("plain~1", &["plain~1"]),
        ("https://claims.example/role", &["https://claims.example/role"]),
    ] {
        assert_eq!(rules::path(pointer).unwrap(), path, "{pointer}");
    }
    for pointer in ["", "/~", "/~2", "/a~"] {
        assert_eq!(rules::path(pointer), None, "{pointer}");
    }
}

/// Whether a token of the generic profile with these claims is one that the rule wants.
fn holds(name: &str, wanted: OneOf, claims: Value) -> bool {
    let profile = ProfileName::Oidc.profile();
    let Value::Object(claims) = claims else { panic!("no claims: {claims}") };
    let facts = super::Facts::read(profile, &claims, "s").unwrap();
    super::Rules::new(profile, &table(&[(name, wanted)])).check(&facts, &claims).is_ok()
}

#[test]
fn any_claim_can_be_matched_at_any_issuer() {
    let claims = json!({
        "department": "ops", "groups": ["dev", "ops"], "level": 3, "admin": true, "share": 0.5,
        "realm_access": {"roles": ["a", "b"], "x/y": "z"}, "none": null, "nested": [["deep"]],
    });
    let one = |name: &str, wanted: &str| holds(name, text(wanted), claims.clone());
    for (name, wanted) in [
        ("department", "ops"),
        ("groups", "dev"),
        ("/groups/1", "ops"),
        ("level", "3"),
        ("admin", "true"),
        ("/realm_access/roles", "b"),
        ("/realm_access/x~1y", "z"),
    ] {
        assert!(one(name, wanted), "{name}");
    }
    for (name, wanted) in [
        ("department", "op"),
        ("department", "Ops"),
        ("department", "ops "),
        ("groups", "dev ops"),
        ("/groups/01", "ops"),
        ("/groups/2", "ops"),
        ("/groups/-", "ops"),
        ("share", "0.5"),
        ("none", "null"),
        ("absent", ""),
        ("realm_access", "b"),
        ("nested", "deep"),
        ("/nested", "deep"),
        ("realm_access.roles", "b"),
    ] {
        assert!(!one(name, wanted), "{name}");
    }
    let either = OneOf::Texts(vec!["x".to_owned(), "ops".to_owned()]);
    assert!(holds("department", either, claims));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// A rule on a text holds for that text and for no other.
    #[test]
    fn comparisons_are_exact(wanted in ".{1,12}", actual in ".{0,12}") {
        prop_assert_eq!(holds("c", text(&wanted), json!({"c": actual})), wanted == actual);
        assert!(holds("c", text(&wanted), json!({"c": wanted})));
    }

    /// The way to a member is found by the pointer that is written for it.
    #[test]
    fn every_member_has_a_pointer(outer in ".{0,8}", inner in ".{0,8}") {
        let escape = |name: &str| name.replace('~', "~0").replace('/', "~1");
        let pointer = format!("/{}/{}", escape(&outer), escape(&inner));
        let claims = json!({outer.clone(): {inner.clone(): "v"}});
        assert!(holds(&pointer, text("v"), claims));
        prop_assert_eq!(rules::path(&pointer), Some(vec![outer, inner]));
    }

    /// What a rule may be compared with is what a claim may be read as, in one writing only.
    #[test]
    fn numbers_have_one_writing(number: u64, zeros in 1_usize..4) {
        let written = number.to_string();
        assert!(Form::Number.admits(&written));
        let padded = format!("{}{}", "0".repeat(zeros), written);
        assert!(!Form::Number.admits(&padded));
    }
}
