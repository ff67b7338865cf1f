//! From verified claims to the actor and its chain of hops. It verifies nothing.

use event::{Actor, ActorKind, Evidence, EvidenceKind, Hop, HopRole, Level, Time};
use serde_json::Value;

use crate::claims::{Claimed, IDENTIFIER_RULE, is_identifier};
use crate::config::CallerKind;
use crate::possession::Proven;
use crate::profile::Identity;
use crate::rejection::{Reason, Rejection};
use crate::strict_json::Object;

/// What is known about a token beside its claims.
pub(crate) struct Provenance<'a> {
    pub(crate) provider: &'a str,
    pub(crate) profile: &'static str,
    pub(crate) kind: CallerKind,
    pub(crate) issuer: &'a str,
    pub(crate) audience: &'a str,
    pub(crate) alg: &'a str,
    pub(crate) kid: Option<&'a str>,
    pub(crate) key_thumbprint: &'a str,
    pub(crate) keys_fetched: Time,
    pub(crate) token_sha256: &'a str,
    pub(crate) proven: Proven,
}

/// The actor that a verified token names: what set it going, itself, then whoever acts for it.
pub(crate) fn actor(
    claims: &Object,
    claimed: Claimed,
    identity: Identity,
    from: &Provenance<'_>,
) -> Result<Actor, Rejection> {
    let (kind, role) = match from.kind {
        CallerKind::Human => (ActorKind::Human, HopRole::Human),
        CallerKind::Workload => (ActorKind::Workload, HopRole::Workload),
    };
    let Proven { proof, key, certificate } = &from.proven;
    let level = proof.map_or(Level::VerifiedBearer, |_| Level::VerifiedPop);
    let before = identity.before.into_iter().map(|(role, id)| asserted(role, id, from));
    let mut chain: Vec<_> = before.collect();
    chain.push(Hop {
        evidence: Evidence {
            alg: Some(from.alg.to_owned()),
            aud: Some(from.audience.to_owned()),
            certificate: certificate.clone(),
            exp: Some(claimed.exp),
            iat: claimed.iat,
            iss: Some(from.issuer.to_owned()),
            jti: claimed.jti,
            key_thumbprint: Some(from.key_thumbprint.to_owned()),
            keys_fetched: Some(from.keys_fetched),
            kid: from.kid.map(str::to_owned),
            kind: EvidenceKind::Jwt,
            proof: *proof,
            proof_key: key.clone(),
            sub: (claimed.sub != identity.hop).then_some(claimed.sub),
            token_sha256: Some(from.token_sha256.to_owned()),
        },
        id: identity.hop,
        level,
        role,
    });
    chain.extend(delegates(claims, from)?);
    Ok(Actor {
        attributes: identity.attributes.into(),
        chain: chain.into(),
        development: false,
        id: identity.id,
        kind,
        level,
        profile: from.profile.to_owned(),
        provider: from.provider.to_owned(),
    })
}

/// A hop that the issuer of a verified token speaks of.
fn asserted(role: HopRole, id: String, from: &Provenance<'_>) -> Hop {
    let evidence = Evidence {
        iss: Some(from.issuer.to_owned()),
        token_sha256: Some(from.token_sha256.to_owned()),
        ..Evidence::new(EvidenceKind::Jwt)
    };
    Hop { evidence, id, level: Level::IssuerAsserted, role }
}

/// Who acts for the subject (RFC 8693 section 4.1). The outermost `act` is the current actor and each
/// one inside it an earlier one; here they stand in the order of time, the caller last.
fn delegates(claims: &Object, from: &Provenance<'_>) -> Result<Vec<Hop>, Rejection> {
    let malformed = |rule: &str| Rejection::at(Reason::MalformedClaim, "act").expected(rule);
    let mut hops = Vec::new();
    let mut next = claims.get("act");
    while let Some(act) = next {
        let act = act.as_object().ok_or_else(|| malformed("an object"))?;
        let sub = act.get("sub").and_then(Value::as_str).filter(|sub| is_identifier(sub));
        let sub = sub.ok_or_else(|| malformed(&format!("`sub` of {IDENTIFIER_RULE}")))?;
        let iss = match act.get("iss") {
            None => from.issuer,
            Some(Value::String(iss)) if is_identifier(iss) => iss,
            Some(_) => return Err(malformed(&format!("`iss` of {IDENTIFIER_RULE}"))),
        };
        if hops.len() == HOPS_MAX {
            return Err(malformed(&format!("at most {HOPS_MAX} levels")));
        }
        let mut hop = asserted(HopRole::Agent, sub.to_owned(), from);
        hop.evidence.iss = Some(iss.to_owned());
        hops.push(hop);
        next = act.get("act");
    }
    hops.reverse();
    Ok(hops)
}

/// Most hops of delegation in one token.
const HOPS_MAX: usize = 10;
