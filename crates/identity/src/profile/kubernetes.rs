//! Service accounts of a Kubernetes cluster, by the tokens that pods get in projected volumes
//! (kubernetes.io, "Managing Service Accounts", "Bound service account tokens").
//!
//! Whether the pod still exists cannot be seen in a token: it is good until it expires.

use url::Url;

use crate::config::Algorithm;
use crate::profile::{Claim, Facts, Identity, Profile, Tenants};
use crate::rejection::{Reason, Rejection};

pub(super) const PROFILE: Profile = Profile {
    name: "kubernetes",
    prefix: "kubernetes",
    algorithms: &[Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384],
    algorithms_allowed: &Algorithm::ALL,
    types: &["", "JWT"],
    lifetime_s: 3_900,
    // The default token of a pod is prolonged to a year; nothing that lives so long proves anything.
    lifetime_max_s: 86_400,
    claims: &CLAIMS,
    tenants,
    issuers: "the `issuer` in `kubectl get --raw /.well-known/openid-configuration`",
    audience,
    identify,
};

const ROOT: &str = "kubernetes.io";

const CLAIMS: [Claim; 7] = [
    Claim::text(&[ROOT, "namespace"]).named("namespace").required(),
    Claim::text(&[ROOT, "node", "name"]).named("node_name"),
    Claim::text(&[ROOT, "node", "uid"]).named("node_uid"),
    Claim::text(&[ROOT, "pod", "name"]).named("pod_name"),
    Claim::text(&[ROOT, "pod", "uid"]).named("pod_uid"),
    Claim::text(&[ROOT, "serviceaccount", "name"]).named("service_account_name").required(),
    Claim::text(&[ROOT, "serviceaccount", "uid"]).named("service_account_uid").required(),
];

/// Every cluster has an issuer of its own, whatever it is called. `kubernetes/serviceaccount` is that of
/// legacy tokens, which never expire.
fn tenants(issuer: &str) -> Option<Tenants> {
    let url = Url::parse(issuer).ok()?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.has_host();
    (url.scheme() == "https" && plain).then_some(Tenants::One)
}

/// The token that every pod has is for the API server, and whatever reads it could present it here.
fn audience(issuer: &str, audience: &str) -> Option<&'static str> {
    let name = audience.strip_prefix("https://").unwrap_or(audience);
    let of_api_server = API_SERVER.contains(&name.trim_end_matches('/')) || audience == issuer;
    of_api_server.then_some(
        "is the audience of the API server, which the default token of every pod has: write one of \
         this gateway, and project a token for it (`serviceAccountToken` with `audience`)",
    )
}

fn identify(facts: &Facts<'_>) -> Result<Identity, Rejection> {
    let namespace = facts.need("namespace")?;
    let account = facts.need("service_account_name")?;
    if facts.subject != format!("system:serviceaccount:{namespace}:{account}") {
        return Err(Rejection::at(Reason::MalformedClaim, "sub")
            .expected("the service account that `kubernetes.io` names")
            .actual(facts.subject));
    }
    Ok(facts.identity(format!("{namespace}/{account}")))
}

const API_SERVER: [&str; 5] = [
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "kubernetes.default",
    "kubernetes",
    "api",
];
