//! Service accounts of a cluster, with the claims of kubernetes.io, "Managing Service Accounts".

use super::{Platform, chain};
use crate::fixture::{AUDIENCE, NOW_S};
use event::{HopRole, Level};
use identity::{ProfileName, Reason};
use serde_json::{Value, json};

const ISSUER: &str =
    "https://oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE";

fn claims() -> Value {
    json!({
        "aud": [AUDIENCE], "iss": ISSUER, "iat": NOW_S, "nbf": NOW_S, "exp": NOW_S + 3_607,
        "jti": "ea28ed49-2e11-4280-9ec5-bc3d1d84661a",
        "kubernetes.io": {
            "namespace": "payments",
            "node": {"name": "127.0.0.1", "uid": "58456cb0-dd00-45ed-b797-5578fdceaced"},
            "pod": {"name": "agent-69cbfb9798-jv9gn", "uid": "778a530c-b3f4-47c0-9cd5-ab018fb64f33"},
            "serviceaccount": {"name": "agent", "uid": "a087d5a0-e1dd-43ec-93ac-f13d89cd13af"},
            "warnafter": NOW_S + 3_000,
        },
        "sub": "system:serviceaccount:payments:agent",
    })
}

fn platform(rules: &[(&str, &[&str])]) -> Platform {
    Platform::new(ProfileName::Kubernetes, ISSUER, rules, claims())
}

#[test]
fn a_service_account_is_known_by_namespace_and_name() {
    let platform = platform(&[]);
    let actor = platform.actor(&json!({}));
    assert_eq!(actor.id, "payments/agent");
    assert_eq!(chain(&actor), [(HopRole::Workload, "payments/agent", Level::VerifiedBearer)]);
    let told: Vec<_> = actor.attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(
        told,
        [
            "kubernetes.namespace=payments",
            "kubernetes.node_name=127.0.0.1",
            "kubernetes.node_uid=58456cb0-dd00-45ed-b797-5578fdceaced",
            "kubernetes.pod_name=agent-69cbfb9798-jv9gn",
            "kubernetes.pod_uid=778a530c-b3f4-47c0-9cd5-ab018fb64f33",
            "kubernetes.service_account_name=agent",
            "kubernetes.service_account_uid=a087d5a0-e1dd-43ec-93ac-f13d89cd13af",
        ]
    );
    // `kubectl create token` binds to no pod, and older clusters write no node.
    let unbound = json!({"kubernetes.io": {"pod": null, "node": null}, "aud": AUDIENCE});
    assert_eq!(platform.actor(&unbound).attributes.len(), 3);
}

#[test]
fn an_account_can_be_bound_to_its_uid() {
    let uid = "a087d5a0-e1dd-43ec-93ac-f13d89cd13af";
    let platform = platform(&[("namespace", &["payments"]), ("service_account_uid", &[uid])]);
    assert_eq!(platform.actor(&json!({})).id, "payments/agent");
    let other = "00000000-0000-0000-0000-000000000000";
    platform.refuses(&[
        // Deleted and made again under the same name.
        (
            json!({"kubernetes.io": {"serviceaccount": {"uid": other}}}),
            Reason::MatchRuleFailed,
            "service_account_uid",
            Some(other),
        ),
        (
            json!({"sub": "system:serviceaccount:other:agent", "kubernetes.io": {"namespace": "other"}}),
            Reason::MatchRuleFailed,
            "namespace",
            Some("other"),
        ),
    ]);
}

#[test]
fn other_tokens_of_the_cluster_are_refused() {
    let audience = "https://kubernetes.default.svc";
    platform(&[]).refuses(&[
        // The token that every pod has: another audience, and prolonged to a year.
        (json!({"aud": [audience]}), Reason::WrongAudience, "aud", Some(audience)),
        (
            json!({"aud": [AUDIENCE, audience]}),
            Reason::WrongAudience,
            "aud",
            Some("https://gw.example/mcp https://kubernetes.default.svc"),
        ),
        (json!({"exp": NOW_S + 31_536_000}), Reason::LifetimeTooLong, "exp", Some("31536000 s")),
        // What a legacy token looks like.
        (json!({"exp": null}), Reason::MissingClaim, "exp", None),
        (
            json!({
                "kubernetes.io": null, "kubernetes.io/serviceaccount/namespace": "payments",
                "kubernetes.io/serviceaccount/service-account.name": "agent",
            }),
            Reason::MissingClaim,
            "namespace",
            None,
        ),
        (json!({"kubernetes.io": "payments"}), Reason::MissingClaim, "namespace", None),
        (
            json!({"kubernetes.io": {"serviceaccount": {"uid": null}}}),
            Reason::MissingClaim,
            "service_account_uid",
            None,
        ),
        (
            json!({"kubernetes.io": {"serviceaccount": {"name": ["agent"]}}}),
            Reason::MalformedClaim,
            "service_account_name",
            None,
        ),
        (json!({"kubernetes.io": {"namespace": 7}}), Reason::MalformedClaim, "namespace", None),
        // Two names in one token.
        (
            json!({"sub": "system:serviceaccount:payments:admin"}),
            Reason::MalformedClaim,
            "sub",
            Some("system:serviceaccount:payments:admin"),
        ),
        (
            json!({"sub": "system:node:127.0.0.1"}),
            Reason::MalformedClaim,
            "sub",
            Some("system:node:127.0.0.1"),
        ),
    ]);
}
