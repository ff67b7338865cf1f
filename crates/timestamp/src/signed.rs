//! The signature of a token: CMS signed data (RFC 5652) with exactly one signer.
//!
//! Does not know what was signed beyond its type, nor whether the signer is trusted.

use crate::algorithm;
use crate::asn1::{
    ContentInfo, ID_CONTENT_TYPE, ID_CT_TST_INFO, ID_MESSAGE_DIGEST, ID_SIGNED_DATA,
    ID_SIGNING_CERTIFICATE, ID_SIGNING_CERTIFICATE_V2, SignedData, SignerInfo,
};
use crate::binding::Binding;
use crate::certificate::Signer;
use crate::digest::Digest;
use crate::error::TimestampError;
use der::asn1::{ObjectIdentifier, OctetString};
use der::{Any, Encode, Tag, Tagged};
use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;
use x509_cert::attr::Attributes;

/// Content with its one signature, not verified yet.
#[derive(Debug)]
pub(crate) struct Signed {
    /// The DER of the `TSTInfo`, as it was signed.
    pub(crate) content: Vec<u8>,
    signature: SignerInfo,
    certificates: Vec<Vec<u8>>,
}

/// A signature that verified, and the certificates that came with it.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) signer: Signer,
    pub(crate) binding: Binding,
    pub(crate) others: Vec<Vec<u8>>,
}

impl Signed {
    pub(crate) fn open(token: &ContentInfo) -> Result<Self, TimestampError> {
        if token.content_type != ID_SIGNED_DATA {
            return Err(TimestampError::NotSigned { found: token.content_type.to_string() });
        }
        let signed: SignedData =
            token.content.decode_as().map_err(TimestampError::malformed("the signed data"))?;
        let inner = signed.encap_content_info;
        if inner.content_type != ID_CT_TST_INFO {
            return Err(TimestampError::ContentType { found: inner.content_type.to_string() });
        }
        let content = inner.content.ok_or(TimestampError::NoToken)?;
        let [signature] = signed.signer_infos.as_slice() else {
            return Err(TimestampError::Signers { found: signed.signer_infos.len() });
        };
        let certificates = match &signed.certificates {
            None => Vec::new(),
            Some(certificates) => bytes_of(certificates.as_slice())?,
        };
        Ok(Self {
            content: content.into_bytes().into(),
            signature: signature.clone(),
            certificates,
        })
    }

    /// The certificate of the signer, once its key has been found to have signed this content and
    /// the signature to name this certificate.
    pub(crate) fn verify(self) -> Result<Verified, TimestampError> {
        let none = TimestampError::Attribute { name: "contentType" };
        let attributes = self.signature.signed_attributes.as_ref().ok_or(none)?;
        self.check_attributes(attributes)?;
        let binding = Binding::new(
            only(attributes, ID_SIGNING_CERTIFICATE, "signingCertificate")?,
            only(attributes, ID_SIGNING_CERTIFICATE_V2, "signingCertificateV2")?,
        )?;
        let mut candidates: Vec<Signer> = self
            .certificates
            .iter()
            .filter_map(|der| Signer::from_der(der))
            .filter(|certificate| certificate.is(&self.signature.signer))
            .collect();
        if candidates.is_empty() {
            return Err(TimestampError::SignerMissing);
        }
        // Two certificates may have the same issuer and number; the signature means one of them.
        candidates.retain(|certificate| binding.names_signer(certificate));
        let signer = candidates.pop().ok_or(TimestampError::Binding)?;
        // RFC 5652 section 5.4: signed is the set as such, not the tagged field it came in.
        let message =
            attributes.to_der().map_err(TimestampError::malformed("a signed attribute"))?;
        self.check_signature(&signer, &message)?;
        let others = self.certificates.into_iter().filter(|der| *der != signer.der).collect();
        Ok(Verified { signer, binding, others })
    }

    /// Content, signed attributes (with the tag of a set) and signature, for tests that alter them.
    #[cfg(test)]
    pub(crate) fn parts(&self) -> (&[u8], Vec<u8>, &[u8]) {
        let attributes = self.signature.signed_attributes.as_ref();
        let attributes = attributes.and_then(|set| set.to_der().ok()).unwrap_or_default();
        (&self.content, attributes, self.signature.signature.as_bytes())
    }

    /// Type and hash of the content, which are what the signature is over (RFC 5652 section 11).
    fn check_attributes(&self, attributes: &Attributes) -> Result<(), TimestampError> {
        let name = "contentType";
        let content_type: ObjectIdentifier = only(attributes, ID_CONTENT_TYPE, name)?
            .ok_or(TimestampError::Attribute { name })?
            .decode_as()
            .map_err(TimestampError::malformed("the attribute `contentType`"))?;
        if content_type != ID_CT_TST_INFO {
            return Err(TimestampError::ContentTypeAttribute);
        }
        let name = "messageDigest";
        let hash: OctetString = only(attributes, ID_MESSAGE_DIGEST, name)?
            .ok_or(TimestampError::Attribute { name })?
            .decode_as()
            .map_err(TimestampError::malformed("the attribute `messageDigest`"))?;
        if hash.as_bytes() == self.digest()?.of(&self.content) {
            Ok(())
        } else {
            Err(TimestampError::MessageDigest)
        }
    }

    fn check_signature(&self, signer: &Signer, message: &[u8]) -> Result<(), TimestampError> {
        let found = || self.signature.signature_algorithm.oid.to_string();
        let algorithms = algorithm::of_signer(&self.signature.signature_algorithm, self.digest()?)
            .map_err(TimestampError::malformed("the signature algorithm"))?;
        let der = CertificateDer::from(signer.der.as_slice());
        let key = EndEntityCert::try_from(&der).map_err(crate::ChainError::from)?;
        let signature = self.signature.signature.as_bytes();
        // At most one algorithm goes with the key; the others only say that they do not.
        let tried: Vec<_> = algorithms
            .into_iter()
            .map(|algorithm| key.verify_signature(algorithm, message, signature))
            .collect();
        if tried.iter().any(Result::is_ok) {
            Ok(())
        } else if tried.contains(&Err(webpki::Error::InvalidSignatureForPublicKey)) {
            Err(TimestampError::Signature)
        } else {
            Err(TimestampError::SignatureAlgorithm { found: found() })
        }
    }

    fn digest(&self) -> Result<Digest, TimestampError> {
        let named = &self.signature.digest_algorithm;
        Digest::named_by(named).ok_or_else(|| TimestampError::DigestAlgorithm {
            what: "the signature",
            found: named.oid.to_string(),
        })
    }
}

/// The value of an attribute that must not be there twice (RFC 5652 section 11, RFC 5035 section 3).
fn only<'a>(
    attributes: &'a Attributes,
    oid: ObjectIdentifier,
    name: &'static str,
) -> Result<Option<&'a Any>, TimestampError> {
    let mut found = attributes.iter().filter(|attribute| attribute.oid == oid);
    let Some(attribute) = found.next() else { return Ok(None) };
    match (attribute.values.as_slice(), found.next()) {
        ([value], None) => Ok(Some(value)),
        _ => Err(TimestampError::Attribute { name }),
    }
}

/// The bytes of the plain certificates; attribute certificates and the like are passed over.
fn bytes_of(certificates: &[Any]) -> Result<Vec<Vec<u8>>, TimestampError> {
    if CERTIFICATES_MAX < certificates.len() {
        return Err(TimestampError::TooManyCertificates {
            found: certificates.len(),
            max: CERTIFICATES_MAX,
        });
    }
    certificates
        .iter()
        .filter(|certificate| certificate.tag() == Tag::Sequence)
        .map(|certificate| {
            certificate.to_der().map_err(TimestampError::malformed("a certificate of the token"))
        })
        .collect()
}

/// The most certificates of one token that are looked at: a chain has three or four.
pub const CERTIFICATES_MAX: usize = 16;
