//! Any issuer. What names the caller is `sub`, whatever it may mean; no other claim is told.

use event::HopRole;
use std::collections::BTreeMap;

use crate::config::Algorithm;
use crate::profile::{Facts, Identity, Profile, Tenants};
use crate::rejection::Rejection;

pub(super) const PROFILE: Profile = Profile {
    name: "oidc",
    prefix: "",
    algorithms: &[
        Algorithm::Rs256,
        Algorithm::Ps256,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::EdDsa,
    ],
    algorithms_allowed: &Algorithm::ALL,
    types: &["", "JWT", "at+jwt"],
    lifetime_s: 3_900,
    lifetime_max_s: 7 * 86_400,
    claims: &[],
    tenants: |_issuer| Some(Tenants::One),
    issuers: "any",
    audience: |_issuer, _audience| None,
    identify,
};

fn identify(facts: &Facts<'_>) -> Result<Identity, Rejection> {
    let before: Vec<(HopRole, String)> = Vec::new();
    let id = facts.subject.to_owned();
    Ok(Identity { hop: id.clone(), id, before, attributes: BTreeMap::new() })
}
