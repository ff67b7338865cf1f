//! Why a caller was not accepted: a stable code, a text for the caller, and what the record may hold.
//! It refuses to carry a token, a key or the value of a private claim.

use event::Proof;
use std::borrow::Cow;
use std::fmt;

use crate::config::Algorithm;

/// Why a caller was not accepted. The codes are part of the record's format and never change meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Possession of another key was shown than that which the token is bound to.
    BindingMismatch,
    /// `crit` in the header: an extension must be understood and none is (RFC 7515 section 4.1.11).
    CriticalHeader,
    /// The same member name twice in one object of the header or the claims.
    DuplicateKey,
    /// `exp` has passed.
    Expired,
    /// A header that offers its own key or changes the signing input (`jku`, `jwk`, `x5u`, `x5c`,
    /// `b64`, `zip`, `enc`).
    ForbiddenHeader,
    /// The signature does not belong to this content and key.
    InvalidSignature,
    /// The provider's key set could not be loaded, or is older than it may be.
    KeysUnavailable,
    /// From issue to expiry is longer than the provider allows.
    LifetimeTooLong,
    /// A claim has the wrong JSON type or a value that no issuer should write.
    MalformedClaim,
    /// A claim does not say what the provider's rules (`match`, or those of its profile) ask for.
    MatchRuleFailed,
    /// Not exactly one `Authorization` header with a `Bearer` credential in it.
    MalformedHeader,
    /// Not three base64url parts holding JSON objects within the limits.
    MalformedToken,
    /// No credential at all.
    Missing,
    /// A required claim is absent.
    MissingClaim,
    /// `nbf` or `iat` lies in the future.
    NotYetValid,
    /// A proof of possession that does not prove it, or not for this request; the attribute says which check
    /// failed (RFC 9449 section 4.3).
    ProofInvalid,
    /// The token is bound to a key (`cnf`) and possession of it was not shown, or it must be bound and is not.
    ProofMissing,
    /// The proof of possession was used before.
    Replayed,
    /// There is no room to remember that a proof was used, so that none can be accepted.
    ReplaysFull,
    /// Whoever vouches for the caller took it back, though the credential has not expired.
    Revoked,
    /// Longer than [`crate::TOKEN_BYTES_MAX`].
    TokenTooLarge,
    /// The key is none of the configured ones.
    UnknownApiKey,
    /// No configured provider has this issuer.
    UnknownIssuer,
    /// The provider's key set has no key with this id for this algorithm.
    UnknownKey,
    /// The token is bound to a key by a method that is not known here (RFC 7800 section 3.1).
    UnsupportedBinding,
    /// The algorithm is not one that the provider may use; symmetric ones and `none` never are.
    UnsupportedAlgorithm,
    /// The token was issued for somebody else.
    WrongAudience,
    /// The header's `typ` is not one that the provider may use.
    WrongType,
}

impl Reason {
    /// Every reason, in the order of their codes.
    pub const ALL: [Self; 28] = [
        Self::BindingMismatch,
        Self::CriticalHeader,
        Self::DuplicateKey,
        Self::Expired,
        Self::ForbiddenHeader,
        Self::InvalidSignature,
        Self::KeysUnavailable,
        Self::LifetimeTooLong,
        Self::MalformedClaim,
        Self::MalformedHeader,
        Self::MalformedToken,
        Self::MatchRuleFailed,
        Self::Missing,
        Self::MissingClaim,
        Self::NotYetValid,
        Self::ProofInvalid,
        Self::ProofMissing,
        Self::Replayed,
        Self::ReplaysFull,
        Self::Revoked,
        Self::TokenTooLarge,
        Self::UnknownApiKey,
        Self::UnknownIssuer,
        Self::UnknownKey,
        Self::UnsupportedAlgorithm,
        Self::UnsupportedBinding,
        Self::WrongAudience,
        Self::WrongType,
    ];

    /// The stable code, in kebab case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BindingMismatch => "binding-mismatch",
            Self::CriticalHeader => "critical-header",
            Self::DuplicateKey => "duplicate-key",
            Self::Expired => "expired",
            Self::ForbiddenHeader => "forbidden-header",
            Self::InvalidSignature => "invalid-signature",
            Self::KeysUnavailable => "keys-unavailable",
            Self::LifetimeTooLong => "lifetime-too-long",
            Self::MalformedClaim => "malformed-claim",
            Self::MalformedHeader => "malformed-header",
            Self::MalformedToken => "malformed-token",
            Self::MatchRuleFailed => "match-rule-failed",
            Self::Missing => "missing",
            Self::MissingClaim => "missing-claim",
            Self::NotYetValid => "not-yet-valid",
            Self::ProofInvalid => "proof-invalid",
            Self::ProofMissing => "proof-missing",
            Self::Replayed => "replayed",
            Self::ReplaysFull => "replays-full",
            Self::Revoked => "revoked",
            Self::TokenTooLarge => "token-too-large",
            Self::UnknownApiKey => "unknown-api-key",
            Self::UnknownIssuer => "unknown-issuer",
            Self::UnknownKey => "unknown-key",
            Self::UnsupportedAlgorithm => "unsupported-algorithm",
            Self::UnsupportedBinding => "unsupported-binding",
            Self::WrongAudience => "wrong-audience",
            Self::WrongType => "wrong-type",
        }
    }

    /// A text for the caller: it helps an honest one to the next step and says nothing about the
    /// configuration.
    #[must_use]
    pub fn client_message(self) -> &'static str {
        match self {
            Self::BindingMismatch => "token is not bound to the key that was used with it",
            Self::CriticalHeader => {
                "token requires an extension (`crit`) that is not supported here"
            }
            Self::DuplicateKey => {
                "token names the same member twice; its issuer must write it once"
            }
            Self::Expired => "token has expired; get a new one",
            Self::ForbiddenHeader => "token header has a parameter that is not accepted here",
            Self::InvalidSignature => "token signature is not valid",
            Self::KeysUnavailable => "the issuer's keys cannot be loaded at the moment; try again",
            Self::LifetimeTooLong => "token lives too long; ask its issuer for a shorter lifetime",
            Self::MalformedClaim => "token has a claim of the wrong form",
            Self::MalformedHeader => {
                "send exactly one `Authorization` header of the form `Bearer <token>` or `DPoP <token>`"
            }
            Self::MalformedToken => "credential is not a well-formed token",
            Self::MatchRuleFailed => {
                "token is genuine, but its issuer is trusted here for other callers only; the record of \
                 this call says which claim is not as it must be"
            }
            Self::Missing => "no credential; send an `Authorization: Bearer <token>` header",
            Self::MissingClaim => {
                "token lacks a required claim (`iss`, `sub`, `aud`, `exp`, or one that its platform writes)"
            }
            Self::NotYetValid => "token is not valid yet; check the clocks",
            Self::ProofInvalid => {
                "proof of possession is not valid for this request; make a new one for every request"
            }
            Self::ProofMissing => {
                "token is not accepted without proof of possession of the key that it is bound to"
            }
            Self::Replayed => {
                "proof of possession was used before; make a new one for every request"
            }
            Self::ReplaysFull => "proofs of possession cannot be taken at the moment; try again",
            Self::Revoked => "credential was revoked; sign in again",
            Self::TokenTooLarge => "token is too large",
            Self::UnknownApiKey => "key is not known",
            Self::UnknownIssuer => "token issuer is not trusted here",
            Self::UnknownKey => "token is signed with a key that its issuer does not publish",
            Self::UnsupportedAlgorithm => "token signature algorithm is not accepted here",
            Self::UnsupportedBinding => {
                "token is bound to a key in a way that is not supported here; `jkt` and `x5t#S256` are"
            }
            Self::WrongAudience => {
                "token was issued for another audience; ask for one for this server"
            }
            Self::WrongType => "token type (`typ`) is not accepted here",
        }
    }

    /// Whether the fault is ours, so that the same credential may be accepted a moment later.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::KeysUnavailable | Self::ReplaysFull)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A caller that was not accepted.
///
/// `Display` and `Debug` are for operators: reason, provider, attribute, issuer, key id, algorithm.
/// What the token claimed beyond that is in [`Details::actual`], for the record only.
#[derive(Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Why.
    pub reason: Reason,
    /// What is known about the credential.
    pub details: Box<Details>,
}

/// What is known about a credential that was not accepted. Texts from the credential are unverified,
/// at most [`TEXT_BYTES_MAX`] bytes, and free of control characters.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// Name of the trust provider that its issuer belongs to.
    pub provider: Option<String>,
    /// The header parameter or claim that did not fit.
    pub attribute: Option<Cow<'static, str>>,
    /// What it should have been.
    pub expected: Option<String>,
    /// What it was; never the value of a private claim.
    pub actual: Option<String>,
    /// Issuer that the token names.
    pub iss: Option<String>,
    /// Key id that the token names.
    pub kid: Option<String>,
    /// The proof of possession that came with the token, or that it needs.
    pub proof: Option<Proof>,
    /// Algorithm that the token names.
    pub alg: Option<String>,
    /// SHA-256 of the credential as presented, lowercase hex.
    pub token_sha256: Option<String>,
}

impl Rejection {
    pub(crate) fn new(reason: Reason) -> Self {
        Self { reason, details: Box::default() }
    }

    pub(crate) fn at(reason: Reason, attribute: impl Into<Cow<'static, str>>) -> Self {
        let mut rejection = Self::new(reason);
        rejection.details.attribute = Some(attribute.into());
        rejection
    }

    pub(crate) fn for_proof(mut self, proof: Proof) -> Self {
        self.details.proof = Some(proof);
        self
    }

    pub(crate) fn expected(mut self, text: &str) -> Self {
        self.details.expected = Some(printable(text));
        self
    }

    pub(crate) fn actual(mut self, text: &str) -> Self {
        self.details.actual = Some(printable(text));
        self
    }

    /// What `WWW-Authenticate` says to a caller that has used `DPoP`, or has to (RFC 9449 section 7.1).
    #[must_use]
    pub fn dpop_challenge(&self) -> Option<String> {
        if self.details.proof != Some(Proof::Dpop) {
            return None;
        }
        let error = match (self.reason, self.details.attribute.as_deref()) {
            (Reason::Missing, _) => "",
            (Reason::ProofInvalid | Reason::Replayed, _) | (Reason::ProofMissing, Some("dpop")) => {
                "error=\"invalid_dpop_proof\", "
            }
            _ => "error=\"invalid_token\", ",
        };
        let algorithms = Algorithm::ALL.map(Algorithm::as_str).join(" ");
        Some(format!("DPoP {error}algs=\"{algorithms}\""))
    }

    /// A text for the caller; see [`Reason::client_message`].
    #[must_use]
    pub fn client_message(&self) -> &'static str {
        self.reason.client_message()
    }

    /// Whether the same credential may be accepted a moment later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.reason.is_retryable()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "caller not accepted: {}", self.reason)?;
        let named = [
            ("at", self.details.attribute.as_deref()),
            ("provider", self.details.provider.as_deref()),
            ("iss", self.details.iss.as_deref()),
            ("kid", self.details.kid.as_deref()),
            ("alg", self.details.alg.as_deref()),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                write!(f, ", {name} `{value}`")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rejection({self})")
    }
}

impl fmt::Debug for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Details")
            .field("provider", &self.provider)
            .field("attribute", &self.attribute)
            .field("iss", &self.iss)
            .field("kid", &self.kid)
            .field("alg", &self.alg)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Rejection {}

/// Text from outside, fit for a record: bounded, and control characters replaced.
pub(crate) fn printable(text: &str) -> String {
    let clean: String = text
        .chars()
        .take(TEXT_BYTES_MAX)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    // The characters beyond the cut above still have to show as a cut.
    let cut = text.chars().nth(TEXT_BYTES_MAX).is_some();
    event::bounded(&if cut { clean + "…" } else { clean }, TEXT_BYTES_MAX)
}

/// Most bytes of a text from the credential in a [`Details`].
pub const TEXT_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::{Reason, Rejection, TEXT_BYTES_MAX, printable};
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_kebab_case_and_complete() {
        let codes: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        assert!(Reason::ALL.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()));
        for reason in Reason::ALL {
            assert!(reason.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
            assert!(!reason.client_message().is_empty());
        }
    }

    #[test]
    fn texts_from_outside_are_bounded_and_printable() {
        assert_eq!(printable("a\n\u{1b}[31mb"), "a\u{fffd}\u{fffd}[31mb");
        let long = printable(&"é".repeat(5_000));
        assert!(long.len() <= TEXT_BYTES_MAX && long.ends_with('…'), "{long}");
        assert_eq!(printable(&"x".repeat(TEXT_BYTES_MAX)).len(), TEXT_BYTES_MAX);
        assert!(printable(&"x".repeat(TEXT_BYTES_MAX + 1)).ends_with('…'));
    }

    #[test]
    fn operators_do_not_see_what_the_token_claimed() {
        let rejection =
            Rejection::at(Reason::WrongAudience, "aud").expected("gateway").actual("canary");
        assert_eq!(rejection.to_string(), "caller not accepted: wrong-audience, at `aud`");
        assert!(!format!("{rejection:?} {:?}", rejection.details).contains("canary"));
        assert_eq!(rejection.details.actual.as_deref(), Some("canary"));
    }
}
