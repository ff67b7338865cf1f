//! What a certificate says, read by a parser of its own and never by hand. It trusts none.

use event::Certificate;
use x509_cert::der::Decode;

use crate::claims::ID_BYTES_MAX;
use crate::digest::hex;
use crate::presented::Certificates;
use crate::rejection::printable;

/// The own certificate of a chain, for the record: its digest, and what it says of itself where it can be read.
pub(crate) fn evidence(certificates: &Certificates) -> Certificate {
    let sha256 = hex(certificates.sha256());
    let Ok(read) = x509_cert::Certificate::from_der(certificates.own()) else {
        return Certificate { issuer: None, serial: None, sha256 };
    };
    let own = read.tbs_certificate();
    Certificate {
        issuer: Some(printable(&own.issuer().to_string())),
        serial: Some(serial(own.serial_number().as_bytes())),
        sha256,
    }
}

/// Lowercase hex, as many digits as RFC 5280 section 4.1.2.2 allows at most, and never without end.
fn serial(bytes: &[u8]) -> String {
    bytes.iter().take(ID_BYTES_MAX / 2).map(|byte| format!("{byte:02x}")).collect()
}
