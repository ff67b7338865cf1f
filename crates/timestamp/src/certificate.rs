//! What the certificate of a time stamping authority must say of itself (RFC 3161 section 2.3).
//!
//! Knows no chain: who vouches for the certificate is asked in `chain.rs`.

use crate::asn1::{ID_KP_TIME_STAMPING, SignerIdentifier};
use crate::error::TimestampError;
use der::Decode;
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage, SubjectAltName, SubjectKeyIdentifier};
use x509_cert::name::Name;

/// A certificate of a token: its bytes as they came, and what they say.
#[derive(Debug)]
pub(crate) struct Signer {
    pub(crate) der: Vec<u8>,
    pub(crate) certificate: Certificate,
}

impl Signer {
    /// `None` when the bytes are not a certificate: a token may carry other things.
    pub(crate) fn from_der(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        Some(Self { der: der.to_vec(), certificate })
    }

    /// Whether a signature with this identifier says to be made with this certificate.
    pub(crate) fn is(&self, identifier: &SignerIdentifier) -> bool {
        let subject = self.certificate.tbs_certificate();
        match identifier {
            SignerIdentifier::IssuerAndSerial(named) => {
                named.issuer == *subject.issuer() && named.serial == *subject.serial_number()
            }
            SignerIdentifier::KeyIdentifier(named) => matches!(
                subject.get_extension::<SubjectKeyIdentifier>(),
                Ok(Some((_, own))) if own == *named
            ),
        }
    }

    /// Its only purpose is time stamping, and whoever does not know that purpose must refuse it.
    pub(crate) fn check_purpose(&self) -> Result<(), TimestampError> {
        let refused = |why| Err(TimestampError::Purpose { why });
        let subject = self.certificate.tbs_certificate();
        let found = subject
            .get_extension::<ExtendedKeyUsage>()
            .map_err(TimestampError::malformed("the extended key usage of the signer"))?;
        let Some((critical, ExtendedKeyUsage(purposes))) = found else {
            return refused("it has none");
        };
        if !purposes.contains(&ID_KP_TIME_STAMPING) {
            return refused("it has another");
        }
        if purposes.len() != 1 {
            return refused("it has further ones");
        }
        if !critical {
            return refused("it is not critical");
        }
        Ok(())
    }

    /// If the use of the key is limited (RFC 5280 section 4.2.1.3), then to signing content.
    pub(crate) fn check_key_usage(&self) -> Result<(), TimestampError> {
        let subject = self.certificate.tbs_certificate();
        let found = subject
            .get_extension::<KeyUsage>()
            .map_err(TimestampError::malformed("the key usage of the signer"))?;
        let Some((_, usage)) = found else { return Ok(()) };
        let signs = usage.digital_signature() || usage.non_repudiation();
        let more = usage.key_encipherment()
            || usage.data_encipherment()
            || usage.key_agreement()
            || usage.key_cert_sign()
            || usage.crl_sign();
        if signs && !more { Ok(()) } else { Err(TimestampError::KeyUsage) }
    }

    /// The authority that a time stamp names must be a name of the certificate (RFC 3161 section
    /// 2.4.2, field `tsa`).
    pub(crate) fn check_name(&self, named: &GeneralName) -> Result<(), TimestampError> {
        let subject = self.certificate.tbs_certificate();
        let is_subject = match named {
            GeneralName::DirectoryName(name) => same(name, subject.subject()),
            _ => false,
        };
        let is_alternative = || {
            let names = subject.get_extension::<SubjectAltName>();
            matches!(names, Ok(Some((_, SubjectAltName(names)))) if names.contains(named))
        };
        if is_subject || is_alternative() { Ok(()) } else { Err(TimestampError::Authority) }
    }
}

/// Whether an issuer may sign certificates. `rustls-webpki` asks for the basic constraint only.
pub(crate) fn may_issue(der: &[u8]) -> bool {
    let Ok(certificate) = Certificate::from_der(der) else { return false };
    match certificate.tbs_certificate().get_extension::<KeyUsage>() {
        Ok(None) => true,
        Ok(Some((_, usage))) => usage.key_cert_sign(),
        Err(_) => false,
    }
}

/// The same name, whatever kind of string the two encoders chose for it.
fn same(one: &Name, other: &Name) -> bool {
    one == other || one.to_string() == other.to_string()
}
