//! What is wrong in a provider's configuration, seen from its profile. It says what to write instead.

use crate::config::{CallerKind, ProviderConfig};
use crate::profile::rules::path;
use crate::profile::{OneOf, Profile, ProfileName, Tenants};

/// Everything that does not fit the profile, each with its field. `audience` is the one in force; empty
/// where it is that of the endpoint.
pub(crate) fn problems(provider: &ProviderConfig, audience: &str) -> Vec<(String, String)> {
    let profile = provider.profile.profile();
    let mut found = Vec::new();
    let mut add = |field: &str, problem: String| found.push((field.to_owned(), problem));
    if let Some(problem) = issuer(provider, profile) {
        add("issuer", problem);
    }
    if let Some(problem) = (profile.audience)(&provider.issuer, audience) {
        add("audience", problem.to_owned());
    }
    for problem in unknown_algorithms(provider, profile) {
        add("algorithms", problem);
    }
    if let Some(lifetime) = provider.token_lifetime_max_s
        && !(1..=profile.lifetime_max_s).contains(&lifetime)
    {
        let problem = format!("must be 1 to {} seconds", profile.lifetime_max_s);
        add("token_lifetime_max_s", problem);
    }
    if provider.profile != ProfileName::Oidc && provider.kind == CallerKind::Human {
        add("kind", format!("tokens of the profile `{}` name no persons", profile.name));
    }
    for (name, wanted) in &provider.rules {
        if let Some(problem) = rule(profile, name, wanted) {
            add(&format!("match.{name}"), problem);
        }
    }
    if let Some(problem) = tenancy(provider, profile) {
        add("match", problem);
    }
    found
}

fn issuer(provider: &ProviderConfig, profile: &Profile) -> Option<String> {
    if provider.issuer.is_empty() {
        return None;
    }
    if (profile.tenants)(&provider.issuer).is_none() {
        return Some(format!(
            "no issuer of the profile `{}` is called so: write {}",
            profile.name, profile.issuers
        ));
    }
    if provider.profile != ProfileName::Oidc {
        return None;
    }
    let own = ProfileName::ALL.into_iter().find(|other| {
        matches!((other.profile().tenants)(&provider.issuer), Some(Tenants::Many(_)))
    })?;
    Some(format!(
        "anybody in the world gets tokens of this issuer: write `profile = \"{}\"` and say in `match` \
         whose you trust",
        own.as_str()
    ))
}

fn unknown_algorithms(provider: &ProviderConfig, profile: &Profile) -> Vec<String> {
    let names: Vec<_> = profile.algorithms_allowed.iter().map(|own| own.as_str()).collect();
    let foreign = provider.algorithms.iter().flatten();
    let foreign = foreign.filter(|algorithm| !profile.may_use(**algorithm));
    let problem = |algorithm: &crate::config::Algorithm| {
        format!(
            "tokens of the profile `{}` are never signed with {}: write some of {}",
            profile.name,
            algorithm.as_str(),
            names.join(", ")
        )
    };
    foreign.map(problem).collect()
}

fn rule(profile: &'static Profile, name: &str, wanted: &OneOf) -> Option<String> {
    let texts = wanted.texts();
    if texts.is_empty() {
        return Some("write at least one text".to_owned());
    }
    if profile.claims.is_empty() {
        return path(name).is_none().then(|| {
            "write the name of a claim, or the way to it as a JSON Pointer (RFC 6901): `/a/b`"
                .to_owned()
        });
    }
    let Some(claim) = profile.claim(name) else {
        let names: Vec<_> = profile.claims.iter().map(|claim| claim.name).collect();
        return Some(format!(
            "the profile `{}` knows no such claim, only {}",
            profile.name,
            names.join(", ")
        ));
    };
    if texts.iter().any(|text| !claim.form.admits(text)) {
        return Some(format!("can never be this: its value is {}", claim.form.rule()));
    }
    texts.iter().any(|text| text.contains('*')).then(|| {
        "texts are compared character by character, and a `*` stands for itself: write whole texts".to_owned()
    })
}

fn tenancy(provider: &ProviderConfig, profile: &Profile) -> Option<String> {
    let Some(Tenants::Many(claims)) = (profile.tenants)(&provider.issuer) else { return None };
    let first = claims.last()?;
    (!claims.iter().any(|claim| provider.rules.contains_key(*claim))).then(|| {
        format!(
            "anybody in the world gets tokens of this issuer: say whose you trust, such as \
             `match = {{ {first} = \"...\" }}`; one of {} must be there",
            claims.join(", ")
        )
    })
}
