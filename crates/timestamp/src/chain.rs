//! The path from the certificate of an authority to a trusted root, at the stamped time.
//!
//! The path is found and its signatures, periods and constraints are checked by `rustls-webpki`.
//! What it leaves to others is added here: the period of the root, the key usage of issuers, and the
//! certificates that the signature permits. Revocation is not asked for.

use crate::algorithm;
use crate::binding::Binding;
use crate::certificate::may_issue;
use crate::signed::Verified;
use der::Decode;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::time::Duration;
use webpki::{EndEntityCert, Error as PathError, KeyUsage, VerifiedPath, anchor_from_trusted_cert};
use x509_cert::Certificate;

/// Why a certificate is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Nothing is trusted.
    #[error("no trusted root was given")]
    NoRoots,
    /// A root cannot be used.
    #[error("trusted root {index} is not a certificate")]
    Root {
        /// Its place among those given, from 0.
        index: usize,
    },
    /// No path leads to a trusted root.
    #[error("no path leads to a trusted root: give the root of this authority")]
    UnknownIssuer,
    /// A certificate of the path had ended when the time was stamped.
    #[error(
        "a certificate had ended at the stamped time: ended {not_after_s}, stamped {time_s} \
         (seconds since 1970)"
    )]
    Expired {
        /// The stamped time, in seconds since 1970-01-01 UTC.
        time_s: u64,
        /// The end of the certificate, in seconds since 1970-01-01 UTC.
        not_after_s: u64,
    },
    /// A certificate of the path had not begun when the time was stamped.
    #[error(
        "a certificate had not begun at the stamped time: begins {not_before_s}, stamped {time_s} \
         (seconds since 1970)"
    )]
    NotYetValid {
        /// The stamped time, in seconds since 1970-01-01 UTC.
        time_s: u64,
        /// The beginning of the certificate, in seconds since 1970-01-01 UTC.
        not_before_s: u64,
    },
    /// A certificate of the path was not signed by the next.
    #[error("a certificate of the path is not signed by its issuer")]
    Signature,
    /// An algorithm that is not believed, or not known.
    #[error("a certificate of the path is signed with an algorithm that is not accepted")]
    Algorithm,
    /// A certificate of the path may not do what it does there.
    #[error("a certificate of the path may not be used so: {why}")]
    Constraint {
        /// What it may not.
        why: &'static str,
    },
    /// A certificate of the path cannot be parsed.
    #[error("a certificate of the path is malformed")]
    Malformed,
}

impl From<PathError> for ChainError {
    fn from(error: PathError) -> Self {
        let constraint = |why| Self::Constraint { why };
        match error {
            PathError::UnknownIssuer => Self::UnknownIssuer,
            PathError::CertExpired { time, not_after } => {
                Self::Expired { time_s: time.as_secs(), not_after_s: not_after.as_secs() }
            }
            PathError::CertNotValidYet { time, not_before } => {
                Self::NotYetValid { time_s: time.as_secs(), not_before_s: not_before.as_secs() }
            }
            PathError::InvalidSignatureForPublicKey => Self::Signature,
            PathError::UnsupportedSignatureAlgorithmContext(_)
            | PathError::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
            | PathError::SignatureAlgorithmMismatch => Self::Algorithm,
            PathError::CaUsedAsEndEntity => constraint("an issuer signed the time stamp itself"),
            PathError::EndEntityUsedAsCa => constraint("one that is no issuer has issued"),
            PathError::PathLenConstraintViolated => constraint("the path is too long for it"),
            PathError::NameConstraintViolation => constraint("its issuer may not give that name"),
            PathError::RequiredEkuNotFoundContext(_) | PathError::EmptyEkuExtension => {
                constraint("it is not for time stamping")
            }
            PathError::UnsupportedCriticalExtension => {
                constraint("it has a critical extension that is not known")
            }
            PathError::MaximumNameConstraintComparisonsExceeded
            | PathError::MaximumPathBuildCallsExceeded
            | PathError::MaximumPathDepthExceeded
            | PathError::MaximumSignatureChecksExceeded => constraint("there are too many to try"),
            _ => Self::Malformed,
        }
    }
}

/// Checks that a root vouches for the signer at a time since 1970-01-01 UTC.
pub(crate) fn verify(
    verified: &Verified,
    roots: &[Vec<u8>],
    time: Duration,
) -> Result<(), ChainError> {
    let time = UnixTime::since_unix_epoch(time);
    let roots: Vec<CertificateDer<'_>> =
        roots.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let trusted = trusted(&roots)?;
    let anchors: Vec<_> = trusted.iter().map(|root| root.anchor.clone()).collect();
    let others: Vec<_> =
        verified.others.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let der = CertificateDer::from(verified.signer.der.as_slice());
    let signer = EndEntityCert::try_from(&der)?;
    // That the signer has the purpose was checked; an issuer that limits purposes must allow it.
    let acceptable = |path: &VerifiedPath<'_>| check_path(path, &trusted, &verified.binding, time);
    signer
        .verify_for_usage(
            &algorithm::all(),
            &anchors,
            &others,
            time,
            KeyUsage::required_if_present(TIME_STAMPING),
            None,
            Some(&acceptable),
        )
        .map(|_| ())
        .map_err(ChainError::from)
}

struct Root<'a> {
    anchor: TrustAnchor<'a>,
    not_before: UnixTime,
    not_after: UnixTime,
}

fn trusted<'a>(roots: &'a [CertificateDer<'a>]) -> Result<Vec<Root<'a>>, ChainError> {
    if roots.is_empty() {
        return Err(ChainError::NoRoots);
    }
    let mut trusted = Vec::new();
    for (index, der) in roots.iter().enumerate() {
        let unusable = ChainError::Root { index };
        let anchor = anchor_from_trusted_cert(der).map_err(|_| unusable.clone())?;
        let certificate = Certificate::from_der(der).map_err(|_| unusable)?;
        let validity = certificate.tbs_certificate().validity();
        trusted.push(Root {
            anchor,
            not_before: UnixTime::since_unix_epoch(validity.not_before.to_unix_duration()),
            not_after: UnixTime::since_unix_epoch(validity.not_after.to_unix_duration()),
        });
    }
    Ok(trusted)
}

/// The rules that `rustls-webpki` does not have; if they refuse a path it looks for another.
fn check_path(
    path: &VerifiedPath<'_>,
    trusted: &[Root<'_>],
    binding: &Binding,
    time: UnixTime,
) -> Result<(), PathError> {
    for issuer in path.intermediate_certificates() {
        if !binding.permits(&issuer.der()) {
            return Err(PathError::UnknownIssuer);
        }
        if !may_issue(&issuer.der()) {
            return Err(PathError::EndEntityUsedAsCa);
        }
    }
    // The same root may have been given twice, with one period after the other.
    let mut outcome = Err(PathError::UnknownIssuer);
    for root in trusted.iter().filter(|root| root.anchor == *path.anchor()) {
        if time < root.not_before {
            outcome = Err(PathError::CertNotValidYet { time, not_before: root.not_before });
        } else if root.not_after < time {
            outcome = Err(PathError::CertExpired { time, not_after: root.not_after });
        } else {
            return Ok(());
        }
    }
    outcome
}

/// The value of `id-kp-timeStamping`, 1.3.6.1.5.5.7.3.8, as DER has it.
const TIME_STAMPING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08];
