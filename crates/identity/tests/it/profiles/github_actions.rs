//! Jobs of GitHub Actions, with the claims of docs.github.com, "OpenID Connect reference".

use super::{Platform, chain};
use crate::fixture::{AUDIENCE, NOW_S};
use event::{HopRole, Level};
use identity::{ProfileName, Reason};
use serde_json::{Value, json};

const ISSUER: &str = "https://token.actions.githubusercontent.com";

fn claims() -> Value {
    json!({
        "jti": "example-id", "iss": ISSUER, "nbf": NOW_S - 600,
        "sub": "repo:octo-org/octo-repo:environment:prod",
        "environment": "prod", "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true",
        "sha": "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d", "base_ref": "", "head_ref": "",
        "repository": "octo-org/octo-repo", "repository_id": "74", "repository_visibility": "private",
        "repository_owner": "octo-org", "repository_owner_id": "65",
        "actor": "octocat", "actor_id": "12",
        "run_id": "30433642", "run_number": "10", "run_attempt": "1", "check_run_id": "4711",
        "runner_environment": "github-hosted", "event_name": "push",
        "workflow": "deploy", "workflow_sha": "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d",
        "workflow_ref": "octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main",
        "job_workflow_ref": "octo-org/shared/.github/workflows/oidc.yml@refs/heads/main",
        "enterprise": "octo-inc", "enterprise_id": "3",
        "repo_property_team": "payments",
    })
}

fn platform() -> Platform {
    let rules: &[(&str, &[&str])] =
        &[("repository_owner_id", &["65", "66"]), ("environment", &["prod"])];
    Platform::new(ProfileName::GithubActions, ISSUER, rules, claims())
}

#[test]
fn a_job_is_known_by_numbers() {
    let platform = platform();
    let actor = platform.actor(&json!({}));
    assert_eq!(actor.id, "65/74");
    assert_eq!(
        chain(&actor),
        [
            (HopRole::Human, "12", Level::IssuerAsserted),
            (HopRole::Trigger, "74/30433642/1", Level::IssuerAsserted),
            (HopRole::Workload, "74/30433642/1/4711", Level::VerifiedBearer),
        ]
    );
    assert_eq!(actor.chain[2].evidence.jti.as_deref(), Some("example-id"));
    assert_eq!(actor.chain[0].evidence.iss.as_deref(), Some(ISSUER));
    assert_eq!(actor.chain[0].evidence.alg, None, "the signature is not the person's");
    let told: Vec<_> = actor.attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(
        told,
        [
            "github.check_run_id=4711",
            "github.enterprise=octo-inc",
            "github.enterprise_id=3",
            "github.environment=prod",
            "github.event_name=push",
            "github.job_workflow_ref=octo-org/shared/.github/workflows/oidc.yml@refs/heads/main",
            "github.ref=refs/heads/main",
            "github.ref_protected=true",
            "github.ref_type=branch",
            "github.repository=octo-org/octo-repo",
            "github.repository_id=74",
            "github.repository_owner=octo-org",
            "github.repository_owner_id=65",
            "github.repository_visibility=private",
            "github.run_attempt=1",
            "github.run_id=30433642",
            "github.run_number=10",
            "github.runner_environment=github-hosted",
            "github.sha=7fd1a60b01f91b314f59955a4e4d4e80d8edf11d",
            "github.workflow=deploy",
            "github.workflow_ref=octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main",
            "github.workflow_sha=7fd1a60b01f91b314f59955a4e4d4e80d8edf11d",
        ]
    );
}

#[test]
fn nothing_rests_on_the_subject() {
    let platform = platform();
    for sub in [
        "repo:octo-org/octo-repo:environment:prod",
        "repo:octo-org@65/octo-repo@74:environment:prod",
        "repo:octo-org/octo-repo:pull_request",
        "repository_owner:octo-org:job_workflow_ref:x%3Ay",
        "repo:other-org/other-repo:ref:refs/heads/main",
    ] {
        let actor = platform.actor(&json!({"sub": sub}));
        assert_eq!((actor.id.as_str(), actor.chain.len()), ("65/74", 3), "{sub}");
    }
    // A repository with the same name at another owner is another actor; so is one that was moved.
    assert_eq!(platform.actor(&json!({"repository_owner_id": "66"})).id, "66/74");
    assert_eq!(platform.actor(&json!({"repository_id": "75"})).id, "65/75");
    assert_eq!(platform.actor(&json!({"repository": "octo-org/renamed"})).id, "65/74");
}

#[test]
fn a_person_is_there_only_when_one_did_something() {
    let platform = platform();
    let people = |changes: Value| {
        let actor = platform.actor(&changes);
        actor.chain.iter().filter(|hop| hop.role == HopRole::Human).count()
    };
    for event in ["push", "workflow_dispatch", "pull_request", "issue_comment", "release"] {
        assert_eq!(people(json!({"event_name": event})), 1, "{event}");
    }
    for changes in [
        json!({"event_name": "schedule"}),
        json!({"event_name": "repository_dispatch"}),
        json!({"event_name": "workflow_run"}),
        json!({"event_name": "merge_group"}),
        json!({"event_name": "an event of the future"}),
        json!({"actor": "dependabot[bot]"}),
        json!({"actor": "octo-app[bot]"}),
        json!({"actor": null}),
        json!({"actor_id": null}),
        // Perhaps somebody else started it again; the token does not say.
        json!({"run_attempt": "2"}),
    ] {
        assert_eq!(people(changes.clone()), 0, "{changes}");
    }
}

#[test]
fn what_older_servers_do_not_write_may_be_absent() {
    let issuer = "https://github.example.com/_services/token";
    let mut older = claims();
    older["iss"] = json!(issuer);
    for name in ["check_run_id", "enterprise", "enterprise_id", "environment", "ref_protected"] {
        older.as_object_mut().unwrap().remove(name);
    }
    let platform = Platform::new(ProfileName::GithubActions, issuer, &[], older);
    let actor = platform.actor(&json!({"run_id": 30_433_642}));
    assert_eq!(actor.chain.last().unwrap().id, "65/74");
    assert_eq!(actor.attributes["github.run_id"], "30433642");
    assert!(!actor.attributes.contains_key("github.environment"));
    assert!(!actor.attributes.keys().any(|name| name.contains("actor")), "of a person");
}

#[test]
fn tokens_of_others_are_refused() {
    platform().refuses(&[
        (
            json!({"repository_owner_id": "999"}),
            Reason::MatchRuleFailed,
            "repository_owner_id",
            Some("999"),
        ),
        (
            json!({"repository_owner_id": "6"}),
            Reason::MatchRuleFailed,
            "repository_owner_id",
            Some("6"),
        ),
        (json!({"repository_owner_id": null}), Reason::MissingClaim, "repository_owner_id", None),
        (json!({"repository_owner_id": ""}), Reason::MissingClaim, "repository_owner_id", None),
        (
            json!({"repository_owner_id": ["65"]}),
            Reason::MalformedClaim,
            "repository_owner_id",
            None,
        ),
        (
            json!({"repository_owner_id": "065"}),
            Reason::MalformedClaim,
            "repository_owner_id",
            None,
        ),
        (json!({"repository_owner_id": 65.0}), Reason::MalformedClaim, "repository_owner_id", None),
        (
            json!({"repository_owner_id": "65\n"}),
            Reason::MalformedClaim,
            "repository_owner_id",
            None,
        ),
        (json!({"environment": null}), Reason::MatchRuleFailed, "environment", Some("absent")),
        (json!({"environment": "PROD"}), Reason::MatchRuleFailed, "environment", Some("PROD")),
        (json!({"environment": {"name": "prod"}}), Reason::MalformedClaim, "environment", None),
        (json!({"repository_id": null}), Reason::MissingClaim, "repository_id", None),
        (json!({"run_id": null}), Reason::MissingClaim, "run_id", None),
        (json!({"run_attempt": null}), Reason::MissingClaim, "run_attempt", None),
        (json!({"ref_protected": "yes"}), Reason::MalformedClaim, "ref_protected", None),
        (json!({"ref": "x".repeat(513)}), Reason::MalformedClaim, "ref", None),
        (
            json!({"aud": "https://github.com/octo-org"}),
            Reason::WrongAudience,
            "aud",
            Some("https://github.com/octo-org"),
        ),
        (
            json!({"aud": [AUDIENCE, "https://github.com/octo-org"]}),
            Reason::WrongAudience,
            "aud",
            Some("https://gw.example/mcp https://github.com/octo-org"),
        ),
        (json!({"exp": NOW_S + 30_000}), Reason::LifetimeTooLong, "exp", Some("30001 s")),
    ]);
}

#[test]
fn values_about_persons_are_matched_and_not_recorded() {
    let rules: &[(&str, &[&str])] = &[("repository_id", &["74"]), ("actor_id", &["12"])];
    let platform = Platform::new(ProfileName::GithubActions, ISSUER, rules, claims());
    platform.actor(&json!({}));
    let row =
        (json!({"actor_id": "13"}), Reason::MatchRuleFailed, "actor_id", Some("another value"));
    platform.refuses(&[row]);
}

#[test]
fn the_form_of_the_token_is_that_of_the_platform() {
    let platform = platform();
    for typ in [None, Some("at+jwt"), Some("wit+jwt")] {
        let mut header = json!({"alg": "ES256", "kid": "k1"});
        if let Some(typ) = typ {
            header["typ"] = json!(typ);
        }
        assert_eq!(
            platform.signed(&header, &platform.claims).unwrap_err().reason,
            Reason::WrongType
        );
    }
}
