//! The ASN.1 of a time stamp, as the standards write it: RFC 3161 (time stamps), RFC 5652 (CMS) and
//! RFC 5035 (which certificate signed). The `der` crate derives from it all reading and writing.
//!
//! Knows no meaning: what a value must be is decided by whoever reads it. Certificates stay bytes
//! here, since a hash and a signature are over the bytes as they came.

use der::asn1::{BitString, Int, OctetString, SetOfVec, Uint};
use der::oid::ObjectIdentifier;
use der::{Any, Choice, Sequence, ValueOrd};
use std::cmp::Ordering;
use x509_cert::attr::Attributes;
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::SubjectKeyIdentifier;
use x509_cert::ext::pkix::name::{GeneralName, GeneralNames};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;

/// `TimeStampReq`, RFC 3161 section 2.4.1, with the fields that we send.
#[derive(Debug, Sequence)]
pub(crate) struct TimeStampReq {
    pub(crate) version: u8,
    pub(crate) message_imprint: MessageImprint,
    pub(crate) nonce: u64,
    pub(crate) cert_req: bool,
}

/// `MessageImprint`, RFC 3161 section 2.4.1.
#[derive(Debug, Sequence)]
pub(crate) struct MessageImprint {
    pub(crate) hash_algorithm: AlgorithmIdentifierOwned,
    pub(crate) hashed_message: OctetString,
}

/// `TimeStampResp`, RFC 3161 section 2.4.2.
#[derive(Debug, Sequence)]
pub(crate) struct TimeStampResp {
    pub(crate) status: PkiStatusInfo,
    #[asn1(optional = "true")]
    pub(crate) time_stamp_token: Option<ContentInfo>,
}

/// `PKIStatusInfo`, RFC 3161 section 2.4.2.
#[derive(Debug, Sequence)]
pub(crate) struct PkiStatusInfo {
    pub(crate) status: u8,
    #[asn1(optional = "true")]
    pub(crate) status_string: Option<Vec<String>>,
    #[asn1(optional = "true")]
    pub(crate) fail_info: Option<BitString>,
}

/// `TSTInfo`, RFC 3161 section 2.4.2. The time may have a fraction, which `der` does not read.
#[derive(Debug, Sequence)]
pub(crate) struct TstInfo {
    pub(crate) version: u8,
    pub(crate) policy: ObjectIdentifier,
    pub(crate) message_imprint: MessageImprint,
    pub(crate) serial_number: Uint,
    pub(crate) gen_time: Any,
    #[asn1(optional = "true")]
    pub(crate) accuracy: Option<Accuracy>,
    #[asn1(default = "unordered")]
    pub(crate) ordering: bool,
    #[asn1(optional = "true")]
    pub(crate) nonce: Option<Int>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) tsa: Option<GeneralName>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub(crate) extensions: Option<Extensions>,
}

/// `Accuracy`, RFC 3161 section 2.4.2.
#[derive(Debug, Sequence)]
pub(crate) struct Accuracy {
    #[asn1(optional = "true")]
    pub(crate) seconds: Option<u32>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) millis: Option<u16>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) micros: Option<u16>,
}

/// `ContentInfo`, RFC 5652 section 3.
#[derive(Debug, Sequence)]
pub(crate) struct ContentInfo {
    pub(crate) content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    pub(crate) content: Any,
}

/// `SignedData`, RFC 5652 section 5.1. A set may come unsorted, as OpenSSL writes it.
#[derive(Debug, Sequence)]
pub(crate) struct SignedData {
    pub(crate) version: u8,
    pub(crate) digest_algorithms: SetOfVec<AlgorithmIdentifierOwned>,
    pub(crate) encap_content_info: EncapsulatedContentInfo,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub(crate) certificates: Option<SetOfVec<Any>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub(crate) crls: Option<SetOfVec<Any>>,
    pub(crate) signer_infos: SetOfVec<SignerInfo>,
}

/// `EncapsulatedContentInfo`, RFC 5652 section 5.2.
#[derive(Debug, Sequence)]
pub(crate) struct EncapsulatedContentInfo {
    pub(crate) content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) content: Option<OctetString>,
}

/// `SignerInfo`, RFC 5652 section 5.3.
#[derive(Debug, Clone, Sequence, ValueOrd)]
pub(crate) struct SignerInfo {
    pub(crate) version: u8,
    pub(crate) signer: SignerIdentifier,
    pub(crate) digest_algorithm: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub(crate) signed_attributes: Option<Attributes>,
    pub(crate) signature_algorithm: AlgorithmIdentifierOwned,
    pub(crate) signature: OctetString,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub(crate) unsigned_attributes: Option<Attributes>,
}

/// `SignerIdentifier`, RFC 5652 section 5.3.
#[derive(Debug, Clone, Choice)]
pub(crate) enum SignerIdentifier {
    IssuerAndSerial(IssuerAndSerial),
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    KeyIdentifier(SubjectKeyIdentifier),
}

/// `der` derives no order for a choice; a set of signers needs one to be written.
impl ValueOrd for SignerIdentifier {
    fn value_cmp(&self, other: &Self) -> der::Result<Ordering> {
        use der::{DerOrd, Encode};
        self.to_der()?.der_cmp(&other.to_der()?)
    }
}

/// `IssuerAndSerialNumber`, RFC 5652 section 10.2.4.
#[derive(Debug, Clone, Sequence)]
pub(crate) struct IssuerAndSerial {
    pub(crate) issuer: Name,
    pub(crate) serial: SerialNumber,
}

/// `SigningCertificate`, RFC 2634 section 5.4 (SHA-1).
#[derive(Debug, Sequence)]
pub(crate) struct SigningCertificate {
    pub(crate) certificates: Vec<EssCertId>,
    #[asn1(optional = "true")]
    pub(crate) policies: Option<Vec<Any>>,
}

/// `ESSCertID`, RFC 2634 section 5.4.1.
#[derive(Debug, Sequence)]
pub(crate) struct EssCertId {
    pub(crate) hash: OctetString,
    #[asn1(optional = "true")]
    pub(crate) issuer_serial: Option<IssuerSerial>,
}

/// `SigningCertificateV2`, RFC 5035 section 3.
#[derive(Debug, Sequence)]
pub(crate) struct SigningCertificateV2 {
    pub(crate) certificates: Vec<EssCertIdV2>,
    #[asn1(optional = "true")]
    pub(crate) policies: Option<Vec<Any>>,
}

/// `ESSCertIDv2`, RFC 5035 section 4. An algorithm left out is SHA-256.
#[derive(Debug, Sequence)]
pub(crate) struct EssCertIdV2 {
    #[asn1(optional = "true")]
    pub(crate) hash_algorithm: Option<AlgorithmIdentifierOwned>,
    pub(crate) hash: OctetString,
    #[asn1(optional = "true")]
    pub(crate) issuer_serial: Option<IssuerSerial>,
}

/// `IssuerSerial`, RFC 5035 section 4.
#[derive(Debug, Sequence)]
pub(crate) struct IssuerSerial {
    pub(crate) issuer: GeneralNames,
    pub(crate) serial: SerialNumber,
}

const fn unordered() -> bool {
    false
}

/// The only version of requests and of stamped content, RFC 3161 section 2.4.
pub(crate) const VERSION_1: u8 = 1;

/// `id-signedData`, RFC 5652 section 5.1.
pub(crate) const ID_SIGNED_DATA: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// `id-ct-TSTInfo`, RFC 3161 section 2.4.2.
pub(crate) const ID_CT_TST_INFO: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
/// `id-contentType`, RFC 5652 section 11.1.
pub(crate) const ID_CONTENT_TYPE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
/// `id-messageDigest`, RFC 5652 section 11.2.
pub(crate) const ID_MESSAGE_DIGEST: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
/// `id-aa-signingCertificate`, RFC 2634 section 5.4.
pub(crate) const ID_SIGNING_CERTIFICATE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
/// `id-aa-signingCertificateV2`, RFC 5035 section 3.
pub(crate) const ID_SIGNING_CERTIFICATE_V2: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
/// `id-kp-timeStamping`, RFC 5280 section 4.2.1.12.
pub(crate) const ID_KP_TIME_STAMPING: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
