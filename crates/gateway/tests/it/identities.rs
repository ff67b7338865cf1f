//! Callers of platforms: who a token names is who is on record, who policies see, and nobody else.

use crate::messages::{code, modern_call, reason, result};
use crate::rig::{AUDIENCE, Plan, Rig};
use crate::trail;
use crate::upstream::{Upstream, json};
use event::{HopRole, Level};
use identity::dev::TokenIssuer;
use identity::{Algorithm, Config, OneOf, ProfileName, ProviderConfig, Verifier};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

const ISSUER: &str = "https://token.actions.githubusercontent.com";

const POLICY: &str = r#"
@id("deploys")
permit (principal in Provider::"github", action, resource)
when { principal is Actor && principal has github.environment
       && principal.github.repository_id == "74" && principal.github.environment == "prod" };
"#;

/// A gateway for jobs of one owner at GitHub, whose issuer is somebody here.
async fn rig(upstream: &Upstream) -> (Rig, TokenIssuer) {
    let rig = Plan { policy: POLICY.to_owned(), ..Plan::http(upstream) }.start().await;
    let issuer = TokenIssuer::generate(ISSUER, "k1").unwrap();
    let provider = ProviderConfig {
        name: "github".to_owned(),
        profile: ProfileName::GithubActions,
        issuer: ISSUER.to_owned(),
        rules: [("repository_owner_id".to_owned(), OneOf::Text("65".to_owned()))].into(),
        algorithms: Some(vec![Algorithm::Es256]),
        jwks_file: Some("not read".into()),
        ..ProviderConfig::default()
    };
    let config =
        Config { audience: AUDIENCE.to_owned(), provider: vec![provider], ..Config::default() };
    let sources = HashMap::from([("github".to_owned(), issuer.key_source())]);
    let mut next = rig.changeable.clone();
    next.identity = Arc::new(Verifier::with_sources(&config, sources).unwrap());
    rig.gateway.reload(&next).unwrap();
    (rig, issuer)
}

fn token(rig: &Rig, issuer: &TokenIssuer, changes: &[(&str, &str)]) -> String {
    let claims = [
        ("aud", AUDIENCE),
        ("sub", "repo:octo-org/octo-repo:environment:prod"),
        ("repository", "octo-org/octo-repo"),
        ("repository_id", "74"),
        ("repository_owner_id", "65"),
        ("environment", "prod"),
        ("event_name", "workflow_dispatch"),
        ("actor", "canary-login"),
        ("actor_id", "12"),
        ("run_id", "30433642"),
        ("run_attempt", "1"),
        ("check_run_id", "4711"),
    ];
    let mut claims: HashMap<_, _> = claims.into();
    claims.extend(changes.iter().copied());
    let claims =
        claims.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    issuer.token_with(claims, rig.recorder.clock().now(), 300).unwrap()
}

#[tokio::test]
async fn a_job_of_github_is_the_actor_on_record() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let (rig, issuer) = rig(&upstream).await;
    let job = token(&rig, &issuer, &[]);
    let reply = modern_call("1", "echo").token(&job).send(rig.address).await;
    assert_eq!(reply.status, 200);
    assert!(reply.message().await.get("result").is_some());

    let elsewhere = token(&rig, &issuer, &[("environment", "dev")]);
    let reply = modern_call("2", "echo").token(&elsewhere).send(rig.address).await;
    assert_eq!(code(&reply.message().await), 40_300);

    let secrets = [job, elsewhere, "canary-login".to_owned()];
    let look = |log: &std::path::Path| {
        assert!(secrets.iter().all(|secret| !trail::mentions(log, secret)));
    };
    let trail = rig.stop_with(look).await;
    let actor = trail.call("tools/call").asked.actor.clone().unwrap();
    assert_eq!((actor.id.as_str(), actor.provider.as_str()), ("65/74", "github"));
    assert_eq!(actor.profile, "github-actions");
    let chain: Vec<_> =
        actor.chain.iter().map(|hop| (hop.role, hop.id.as_str(), hop.level)).collect();
    assert_eq!(
        chain,
        [
            (HopRole::Human, "12", Level::IssuerAsserted),
            (HopRole::Trigger, "74/30433642/1", Level::IssuerAsserted),
            (HopRole::Workload, "74/30433642/1/4711", Level::VerifiedBearer),
        ]
    );
    assert_eq!(actor.attributes["github.environment"], "prod");
    assert_eq!(actor.attributes["github.repository_id"], "74");
    let refused = trail.refusal();
    assert_eq!(refused.actor.as_ref().unwrap().attributes["github.environment"], "dev");
    assert!(refused.details.is_empty());
}

#[tokio::test]
async fn jobs_of_others_are_nobody_and_the_record_says_why() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let (rig, issuer) = rig(&upstream).await;
    let stranger = token(&rig, &issuer, &[("repository_owner_id", "4321")]);
    let reply = modern_call("1", "echo").token(&stranger).send(rig.address).await;
    assert_eq!(reply.status, 401);
    let message = reply.message().await;
    assert_eq!((code(&message), reason(&message)), (40_100, "identity.match-rule-failed"));
    let told = message["error"]["message"].as_str().unwrap();
    assert!(!["4321", "65", "owner"].iter().any(|detail| told.contains(detail)), "{told}");

    let trail = rig.stop_with(|log| assert!(!trail::mentions(log, &stranger))).await;
    let refused = trail.refusal();
    assert_eq!(refused.actor.as_ref().unwrap().id, "anonymous");
    let details = &refused.details;
    for (name, value) in [
        ("actual", "4321"),
        ("alg", "ES256"),
        ("attribute", "repository_owner_id"),
        ("expected", "65"),
        ("iss", ISSUER),
        ("kid", "k1"),
        ("provider", "github"),
    ] {
        assert_eq!(details[name], value, "{name}");
    }
    assert_eq!(details["token_sha256"].len(), 64);
    assert_eq!(details.len(), 8);
    assert!(upstream.seen().is_empty());
}

/// Both crates list them; neither may know the other.
#[test]
fn policies_know_the_attributes_that_are_recorded() {
    let recorded = ProfileName::ALL.into_iter().flat_map(ProfileName::attributes);
    let recorded: BTreeSet<_> = recorded.collect();
    assert_eq!(recorded, policy::platform_attributes().into_iter().collect());
}
