//! To which keys a token is bound, and whether its sender has shown that it holds them. It verifies no token
//! and knows no provider.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use event::{Proof, Time};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

use crate::bearer::Scheme;
use crate::certificate;
use crate::digest::Sha256;
use crate::dpop;
use crate::presented::Presented;
use crate::rejection::{Reason, Rejection};
use crate::replay::{Memory, NotFresh, Replays, Use};
use crate::strict_json::Object;

/// Which tokens of a provider need a proof of possession of the key that they are bound to (`cnf`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProofRule {
    /// Those that are bound to a key; whoever has another one can use it.
    #[default]
    IfBound,
    /// All: one that is bound to no key is refused.
    Required,
}

/// The keys that a token is bound to (`cnf`, RFC 7800 section 3.1); possession of all of them must be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Binding {
    /// Thumbprint of a key that signs proofs (RFC 9449 section 6.1).
    jkt: Option<String>,
    /// Digest of a certificate (RFC 8705 section 3.1).
    x5t: Option<Sha256>,
}

/// How possession was shown, for the record.
#[derive(Debug, Default)]
pub(crate) struct Proven {
    pub(crate) proof: Option<Proof>,
    pub(crate) key: Option<String>,
    pub(crate) certificate: Option<event::Certificate>,
}

/// A token as it was presented.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) scheme: Scheme,
    /// Digest of the token.
    pub(crate) token: &'a Sha256,
    /// All else that the request shows.
    pub(crate) request: &'a Presented<'a>,
}

impl Binding {
    /// What the claims of a token bind it to. A member that is not understood refuses the token, as its issuer
    /// wants something checked that would not be.
    pub(crate) fn read(claims: &Object) -> Result<Self, Rejection> {
        let Some(cnf) = claims.get("cnf") else { return Ok(Self::default()) };
        let malformed = |rule| Rejection::at(Reason::MalformedClaim, "cnf").expected(rule);
        let members = cnf.as_object().ok_or_else(|| malformed("an object"))?;
        let mut binding = Self::default();
        for (name, value) in members {
            let digest = || read_digest(value).ok_or_else(|| malformed("a SHA-256 in base64url"));
            match name.as_str() {
                "jkt" => binding.jkt = Some(URL_SAFE_NO_PAD.encode(digest()?)),
                "x5t#S256" => binding.x5t = Some(digest()?),
                other => {
                    return Err(Rejection::at(Reason::UnsupportedBinding, "cnf")
                        .expected("jkt, x5t#S256")
                        .actual(other));
                }
            }
        }
        if binding.is_none() { Err(malformed("a key")) } else { Ok(binding) }
    }

    /// Whether the token is bound to nothing, so that whoever has it can use it.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// What goes on record of a request that [`Possession::check`] was content with.
    pub(crate) fn proven(&self, presented: &Presented<'_>) -> Proven {
        let proof = match (&self.jkt, &self.x5t) {
            (Some(_), _) => Some(Proof::Dpop),
            (None, Some(_)) => Some(Proof::Mtls),
            (None, None) => None,
        };
        let shown = presented.certificates.filter(|_| self.x5t.is_some());
        Proven { proof, key: self.jkt.clone(), certificate: shown.map(certificate::evidence) }
    }
}

fn read_digest(value: &Value) -> Option<Sha256> {
    URL_SAFE_NO_PAD.decode(value.as_str()?).ok()?.try_into().ok()
}

/// Whether senders hold the keys of their tokens.
#[derive(Debug)]
pub(crate) struct Possession {
    /// How far a proof's time may be from ours, in seconds.
    age_max_s: i64,
    entries_max: usize,
    /// Shared with the verifiers before and after this one.
    replays: Arc<Replays>,
}

impl Possession {
    pub(crate) fn new(age_max_s: u64, entries_max: usize) -> Self {
        let age_max_s = i64::try_from(age_max_s).unwrap_or(i64::MAX);
        Self { age_max_s, entries_max, replays: Arc::default() }
    }

    /// Goes on with what another one remembers.
    pub(crate) fn remembering(self, before: &Self) -> Self {
        Self { replays: Arc::clone(&before.replays), ..self }
    }

    /// Checks that possession of every key was shown with this very request, and in the way that the token
    /// was presented.
    pub(crate) fn check(
        &self,
        binding: &Binding,
        shown: &Shown<'_>,
        now: Time,
    ) -> Result<(), Rejection> {
        match (shown.scheme, &binding.jkt) {
            // RFC 9449 section 7.2: as a bearer token it would work for whoever stole it.
            (Scheme::Bearer, Some(_)) => {
                let missing = Rejection::at(Reason::ProofMissing, "authorization");
                return Err(missing.for_proof(Proof::Dpop).expected("DPoP <token>"));
            }
            (Scheme::Dpop, None) => {
                return Err(Rejection::at(Reason::BindingMismatch, "cnf").expected("jkt"));
            }
            (Scheme::Bearer, None) | (Scheme::Dpop, Some(_)) => {}
        }
        if let Some(x5t) = &binding.x5t {
            check_certificate(x5t, shown.request)?;
        }
        match &binding.jkt {
            Some(jkt) => self.check_proof(jkt, shown, now),
            None => Ok(()),
        }
    }

    fn check_proof(&self, jkt: &str, shown: &Shown<'_>, now: Time) -> Result<(), Rejection> {
        let Presented { dpop, method, uri, .. } = *shown.request;
        let request = dpop::Request { method, uri, token: shown.token, jkt };
        let made = dpop::check(dpop, &request, (self.age_max_s, now))?;
        let used = Use { key: jkt, id: &made.jti, stamp_s: made.at_s };
        let memory = Memory { entries_max: self.entries_max, keep_s: self.age_max_s };
        self.replays.take(used, memory, now.unix_s()).map_err(|not| match not {
            NotFresh::Used => Rejection::at(Reason::Replayed, "jti"),
            NotFresh::Forgotten => Rejection::at(Reason::ProofInvalid, "iat"),
            NotFresh::Full => Rejection::new(Reason::ReplaysFull)
                .expected(&format!("at most {} proofs in use", self.entries_max)),
        })
    }
}

/// RFC 8705 section 3: the certificate of the connection is the one that the token is bound to.
fn check_certificate(x5t: &Sha256, presented: &Presented<'_>) -> Result<(), Rejection> {
    let Some(certificates) = presented.certificates else {
        return Err(Rejection::at(Reason::ProofMissing, "certificate").for_proof(Proof::Mtls));
    };
    if certificates.sha256() != x5t {
        return Err(Rejection::at(Reason::BindingMismatch, "certificate")
            .for_proof(Proof::Mtls)
            .expected(&URL_SAFE_NO_PAD.encode(x5t))
            .actual(&URL_SAFE_NO_PAD.encode(certificates.sha256())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Binding;
    use crate::rejection::Reason;
    use serde_json::{Value, json};

    fn read(cnf: &Value) -> Result<Binding, Reason> {
        let claims = json!({ "cnf": cnf });
        Binding::read(claims.as_object().unwrap()).map_err(|rejection| rejection.reason)
    }

    #[test]
    fn a_token_says_what_it_is_bound_to_or_is_refused() {
        // RFC 9449 section 6.1 and RFC 8705 section 3.1.
        let jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        let x5t = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg0";
        assert_eq!(read(&json!({ "jkt": jkt })).unwrap().jkt.as_deref(), Some(jkt));
        let both = read(&json!({"jkt": jkt, "x5t#S256": x5t})).unwrap();
        assert!(both.jkt.is_some() && both.x5t.is_some());
        for (cnf, reason) in [
            (json!({}), Reason::MalformedClaim),
            (json!(null), Reason::MalformedClaim),
            (json!(jkt), Reason::MalformedClaim),
            (json!([{ "jkt": jkt }]), Reason::MalformedClaim),
            (json!({"jkt": 5}), Reason::MalformedClaim),
            (json!({"jkt": ""}), Reason::MalformedClaim),
            (json!({"jkt": format!("{jkt}=")}), Reason::MalformedClaim),
            (json!({"jkt": jkt.replace("4I", "4J")}), Reason::MalformedClaim),
            (json!({"jkt": "AAAA"}), Reason::MalformedClaim),
            (json!({"x5t#S256": "AAAA"}), Reason::MalformedClaim),
            (json!({"x5t": x5t}), Reason::UnsupportedBinding),
            (json!({"x5t#s256": x5t}), Reason::UnsupportedBinding),
            (json!({"jwk": {}}), Reason::UnsupportedBinding),
            (json!({"kid": "k1"}), Reason::UnsupportedBinding),
            (json!({"jku": "https://x"}), Reason::UnsupportedBinding),
            (json!({"jkt": jkt, "kid": "k1"}), Reason::UnsupportedBinding),
            (json!({"jkt": jkt, "jwe": "x"}), Reason::UnsupportedBinding),
        ] {
            assert_eq!(read(&cnf), Err(reason), "{cnf}");
        }
        assert!(Binding::read(json!({}).as_object().unwrap()).unwrap().is_none());
    }
}
