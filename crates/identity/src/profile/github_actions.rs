//! Jobs of GitHub Actions (docs.github.com, "OpenID Connect reference").
//!
//! `sub` is never looked at beyond being there: it can be customised, has two formats
//! (`repo:o/r:ref:...` and `repo:o@1/r@2:ref:...`), and names can be taken over. Numbers cannot.

use event::HopRole;
use url::{Host, Url};

use crate::config::Algorithm;
use crate::profile::{Claim, Facts, Identity, Profile, Tenants};
use crate::rejection::Rejection;

pub(super) const PROFILE: Profile = Profile {
    name: "github-actions",
    prefix: "github",
    algorithms: &[Algorithm::Rs256],
    algorithms_allowed: &Algorithm::ALL,
    types: &["JWT"],
    // Five minutes are documented, and six hours were seen (github.com/github/actions-oidc-debugger).
    lifetime_s: 21_600,
    lifetime_max_s: 86_400,
    claims: &CLAIMS,
    tenants,
    issuers: "`https://token.actions.githubusercontent.com`, the same with `/ENTERPRISE`, \
              `https://token.actions.SUBDOMAIN.ghe.com` or `https://HOST/_services/token`",
    audience,
    identify,
};

const CLAIMS: [Claim; 27] = [
    Claim::text(&["actor"]).personal(),
    Claim::number(&["actor_id"]).personal(),
    Claim::text(&["base_ref"]),
    Claim::number(&["check_run_id"]),
    Claim::text(&["enterprise"]),
    Claim::number(&["enterprise_id"]),
    Claim::text(&["environment"]),
    Claim::text(&["event_name"]).required(),
    Claim::text(&["head_ref"]),
    Claim::text(&["job_workflow_ref"]),
    Claim::text(&["job_workflow_sha"]),
    Claim::text(&["ref"]),
    Claim::flag(&["ref_protected"]),
    Claim::text(&["ref_type"]),
    Claim::text(&["repository"]).required(),
    Claim::number(&["repository_id"]).required(),
    Claim::text(&["repository_owner"]),
    Claim::number(&["repository_owner_id"]).required(),
    Claim::text(&["repository_visibility"]),
    Claim::number(&["run_attempt"]).required(),
    Claim::number(&["run_id"]).required(),
    Claim::number(&["run_number"]),
    Claim::text(&["runner_environment"]),
    Claim::text(&["sha"]),
    Claim::text(&["workflow"]),
    Claim::text(&["workflow_ref"]),
    Claim::text(&["workflow_sha"]),
];

fn tenants(issuer: &str) -> Option<Tenants> {
    let Some(rest) = issuer.strip_prefix(SHARED_ISSUER) else {
        return own_issuer(issuer).then_some(Tenants::One);
    };
    match rest.strip_prefix('/') {
        None if rest.is_empty() => Some(Tenants::Many(&TENANT_CLAIMS)),
        Some(enterprise) if is_label(enterprise) => Some(Tenants::One),
        _ => None,
    }
}

/// Of an enterprise with data residency, or of an enterprise's own server.
fn own_issuer(issuer: &str) -> bool {
    let Some(rest) = issuer.strip_prefix("https://") else { return false };
    if let Some(name) = rest.strip_prefix("token.actions.").and_then(|r| r.strip_suffix(".ghe.com"))
    {
        return is_label(name);
    }
    let host = rest.strip_suffix("/_services/token");
    host.is_some_and(|host| !host.is_empty() && !host.contains('/') && host != "github.com")
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Without asking for one, a job gets the URL of the repository's owner as the audience: every service that
/// accepts it could present the token here.
fn audience(issuer: &str, audience: &str) -> Option<&'static str> {
    let host_of = |url: &str| Url::parse(url).ok()?.host().map(|host| host.to_owned());
    let host = host_of(audience)?;
    let shared = match &host {
        Host::Domain(name) => name == "github.com" || name.ends_with(".ghe.com"),
        Host::Ipv4(_) | Host::Ipv6(_) => false,
    };
    (shared || host_of(issuer) == Some(host)).then_some(
        "is an address of GitHub, as in tokens for which no audience was asked: every service that \
         accepts those could present them here; write an address of this gateway and ask for it with \
         `core.getIDToken(audience)`",
    )
}

/// The actor is the repository; the token stands for one of its jobs.
fn identify(facts: &Facts<'_>) -> Result<Identity, Rejection> {
    let repository = facts.need("repository_id")?;
    let owner = facts.need("repository_owner_id")?;
    let run = format!("{repository}/{}/{}", facts.need("run_id")?, facts.need("run_attempt")?);
    let mut identity = facts.identity(format!("{owner}/{repository}"));
    if let Some(person) = person(facts) {
        identity.before.push((HopRole::Human, person.to_owned()));
    }
    if let Some(job) = facts.get("check_run_id") {
        identity.hop = format!("{run}/{job}");
    }
    identity.before.push((HopRole::Trigger, run));
    Ok(identity)
}

/// The number of the person who set the run going: only for events that persons cause themselves, not for
/// bots, and not when the run was started again, perhaps by somebody else.
fn person<'a>(facts: &'a Facts<'_>) -> Option<&'a str> {
    let name = facts.get("actor")?;
    let by_person = EVENTS_OF_PERSONS.contains(&facts.get("event_name")?)
        && facts.get("run_attempt") == Some("1")
        && !name.ends_with("[bot]");
    facts.get("actor_id").filter(|_| by_person)
}

/// Events that somebody causes by doing something. Absent are those of the clock (`schedule`), of other runs
/// and programs (`workflow_run`, `repository_dispatch`, `deployment`, `status`, `check_run`, ...), and those
/// whose `actor` is whoever touched the workflow last.
const EVENTS_OF_PERSONS: [&str; 17] = [
    "create",
    "delete",
    "discussion",
    "discussion_comment",
    "fork",
    "issue_comment",
    "issues",
    "label",
    "milestone",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "pull_request_target",
    "push",
    "release",
    "watch",
    "workflow_dispatch",
];

const SHARED_ISSUER: &str = "https://token.actions.githubusercontent.com";

/// Numbers by which an owner can be told from everybody else.
const TENANT_CLAIMS: [&str; 3] = ["enterprise_id", "repository_id", "repository_owner_id"];
