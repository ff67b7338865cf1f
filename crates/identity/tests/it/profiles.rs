//! Tokens of platforms, with the claims that they document: who they name, what is told of them, and which
//! ones are refused.

mod github_actions;
mod kubernetes;

use crate::fixture::{AUDIENCE, NOW_S, Scripted, block_on, config, now, present, verifier};
use event::{Actor, HopRole, Level};
use identity::dev::TokenIssuer;
use identity::{Algorithm, OneOf, ProfileName, ProviderConfig, Reason, Rejection, Verifier};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A provider `ci` of one platform, and somebody who signs as its issuer.
struct Platform {
    issuer: TokenIssuer,
    claims: Value,
    profile: ProfileName,
    verifier: Verifier,
}

impl Platform {
    /// With tokens that have these claims; `iss`, `aud` and times are filled in.
    fn new(
        profile: ProfileName,
        issuer: &str,
        rules: &[(&str, &[&str])],
        mut claims: Value,
    ) -> Self {
        for (name, value) in
            [("aud", json!(AUDIENCE)), ("iat", json!(NOW_S - 1)), ("exp", json!(NOW_S + 299))]
        {
            claims.as_object_mut().unwrap().entry(name).or_insert(value);
        }
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let rules = rules.iter();
        let provider = ProviderConfig {
            name: "ci".to_owned(),
            profile,
            issuer: issuer.to_owned(),
            rules: rules
                .map(|(name, all)| ((*name).to_owned(), OneOf::Texts(texts(all))))
                .collect(),
            // What we sign with ourselves.
            algorithms: Some(vec![Algorithm::Es256]),
            jwks_file: Some("not read".into()),
            ..ProviderConfig::default()
        };
        let issuer = TokenIssuer::generate(issuer, "k1").unwrap();
        let source = Scripted::new(Ok(issuer.jwks()));
        let verifier = verifier(&config(provider), &source);
        Self { issuer, claims, profile, verifier }
    }

    /// What becomes of a token with other claims: those in `changes`, of which null removes one.
    fn with(&self, changes: &Value) -> Result<Actor, Rejection> {
        let mut claims = self.claims.clone();
        change(&mut claims, changes);
        self.signed(&json!({"alg": "ES256", "kid": "k1", "typ": "JWT"}), &claims)
    }

    fn signed(&self, header: &Value, claims: &Value) -> Result<Actor, Rejection> {
        let token = self.issuer.sign(&header.to_string(), &claims.to_string()).unwrap();
        block_on(present(&self.verifier, &token, now()))
    }

    fn actor(&self, changes: &Value) -> Actor {
        let actor = self.with(changes).unwrap();
        assert_eq!(
            (actor.provider.as_str(), actor.profile.as_str()),
            ("ci", self.profile.as_str())
        );
        assert_eq!(actor.level, Level::VerifiedBearer);
        let known: BTreeSet<_> = self.profile.attributes().into_iter().collect();
        assert!(actor.attributes.keys().all(|name| known.contains(name)));
        actor
    }

    /// Each row: what it changes, why that is refused and where, and what is recorded as found.
    fn refuses(&self, table: &[(Value, Reason, &str, Option<&str>)]) {
        for (changes, reason, attribute, actual) in table {
            let rejection = self.with(changes).unwrap_err();
            let details = &rejection.details;
            assert_eq!(
                (rejection.reason, details.attribute.as_deref(), details.actual.as_deref()),
                (*reason, Some(*attribute), *actual),
                "{changes}"
            );
            assert_eq!(details.provider.as_deref(), Some("ci"));
        }
    }
}

/// RFC 7396: null removes, objects go on inside.
fn change(target: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().unwrap() {
        let members = target.as_object_mut().unwrap();
        match (value, members.get_mut(name)) {
            (Value::Null, _) => drop(members.remove(name)),
            (Value::Object(_), Some(inner @ Value::Object(_))) => change(inner, value),
            _ => drop(members.insert(name.clone(), value.clone())),
        }
    }
}

fn chain(actor: &Actor) -> Vec<(HopRole, &str, Level)> {
    actor.chain.iter().map(|hop| (hop.role, hop.id.as_str(), hop.level)).collect()
}
