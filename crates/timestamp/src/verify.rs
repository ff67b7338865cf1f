//! A response, checked from the outside in: every rule of RFC 3161 in the order in which it is cheap.
//!
//! Knows no clock: certificates are judged at the stamped time, and whether that time is plausible
//! is for the caller, who knows what was stamped and when it came.

use crate::asn1::{ContentInfo, PkiStatusInfo, TimeStampResp, TstInfo, VERSION_1};
use crate::chain;
use crate::digest::Digest;
use crate::error::TimestampError;
use crate::signed::Signed;
use crate::time;
use der::{Decode, Encode};
use std::time::Duration;

/// What an authority that is trusted said of a hash: that it had it at this time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    /// The stamped time by the clock of the authority, in milliseconds since 1970-01-01 UTC. What
    /// is finer is cut off.
    pub time_unix_ms: u64,
    /// How far the clock may have been off, either way, if the authority says so.
    pub accuracy: Option<Duration>,
    /// The number of the time stamp, unique with this authority: hexadecimal, of even length.
    pub serial: String,
    /// The policy that the authority worked under: an object identifier, as in `1.3.6.1.4.1.4146.2`.
    pub policy: String,
    /// The subject of the certificate of the authority (RFC 4514).
    pub authority: String,
}

/// Verifies a response of a time stamping authority (RFC 3161 section 2.4.2): the DER of a
/// `TimeStampResp`, whatever it is that came.
///
/// * `sha256`: the hash of what was to be stamped.
/// * `nonce`: that of the request, when the answer to it has just come; `None` for a response that
///   was kept, where the nonce is no longer known and shows nothing.
/// * `roots`: certificates as DER, of which one must vouch for the authority at the stamped time.
///
/// # Errors
/// See [`TimestampError`]: one reason for each rule, the first that is broken.
pub fn verify(
    response_der: &[u8],
    sha256: [u8; 32],
    nonce: Option<u64>,
    roots: &[Vec<u8>],
) -> Result<Timestamp, TimestampError> {
    let signed = Signed::open(&token(response_der)?)?;
    let info = TstInfo::from_der(&signed.content)
        .map_err(TimestampError::malformed("the content of the time stamp"))?;
    check_content(&info, sha256, nonce)?;
    let time = time::since_1970(&info.gen_time)
        .map_err(TimestampError::malformed("the time in the time stamp"))?;
    let time_unix_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let verified = signed.verify()?;
    verified.signer.check_purpose()?;
    verified.signer.check_key_usage()?;
    if let Some(name) = &info.tsa {
        verified.signer.check_name(name)?;
    }
    chain::verify(&verified, roots, time)?;
    Ok(Timestamp {
        time_unix_ms,
        accuracy: info.accuracy.as_ref().map(|accuracy| {
            Duration::from_secs(accuracy.seconds.unwrap_or(0).into())
                + Duration::from_millis(accuracy.millis.unwrap_or(0).into())
                + Duration::from_micros(accuracy.micros.unwrap_or(0).into())
        }),
        serial: hexadecimal(info.serial_number.as_bytes()),
        policy: info.policy.to_string(),
        authority: verified.signer.certificate.tbs_certificate().subject().to_string(),
    })
}

/// The token of a response that was granted.
fn token(response_der: &[u8]) -> Result<ContentInfo, TimestampError> {
    if RESPONSE_BYTES_MAX < response_der.len() {
        let (bytes, max) = (response_der.len(), RESPONSE_BYTES_MAX);
        return Err(TimestampError::TooLong { bytes, max });
    }
    let response =
        TimeStampResp::from_der(response_der).map_err(TimestampError::malformed("the response"))?;
    // 1 is granted with changes, which the fields then show; what we ask for leaves no room.
    if 1 < response.status.status {
        return Err(refusal(&response.status));
    }
    response.time_stamp_token.ok_or(TimestampError::NoToken)
}

/// The rules on the content alone.
fn check_content(
    info: &TstInfo,
    sha256: [u8; 32],
    nonce: Option<u64>,
) -> Result<(), TimestampError> {
    if info.version != VERSION_1 {
        return Err(TimestampError::Version { found: info.version });
    }
    let hash = &info.message_imprint.hash_algorithm;
    if Digest::named_by(hash) != Some(Digest::Sha256) {
        return Err(TimestampError::ImprintAlgorithm { found: hash.oid.to_string() });
    }
    if info.message_imprint.hashed_message.as_bytes() != sha256 {
        return Err(TimestampError::Imprint);
    }
    if let Some(asked) = nonce {
        let answered = info.nonce.as_ref().ok_or(TimestampError::NonceMissing)?;
        let malformed = TimestampError::malformed("the nonce");
        let (answered, asked) = (answered.to_der(), asked.to_der());
        if answered.map_err(malformed)? != asked.map_err(TimestampError::malformed("the nonce"))? {
            return Err(TimestampError::Nonce);
        }
    }
    let extensions = info.extensions.iter().flatten();
    match extensions.into_iter().find(|extension| extension.critical) {
        Some(unknown) => {
            Err(TimestampError::CriticalExtension { oid: unknown.extn_id.to_string() })
        }
        None => Ok(()),
    }
}

/// What the authority said instead of a time: its own words, made harmless.
fn refusal(status: &PkiStatusInfo) -> TimestampError {
    let name = match status.status {
        2 => "rejection".to_owned(),
        3 => "waiting".to_owned(),
        4 => "revocation warning".to_owned(),
        5 => "revocation notification".to_owned(),
        other => other.to_string(),
    };
    let words = status.status_string.as_deref().unwrap_or_default().join(" ");
    let mut text: String =
        words.chars().take(TEXT_CHARS_MAX).flat_map(char::escape_debug).collect();
    if !text.is_empty() {
        text = format!(" (`{text}`)");
    }
    TimestampError::Refused { status: name, text }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The longest response that is read, in bytes: one with a chain of four large certificates has
/// about 8 KiB.
pub const RESPONSE_BYTES_MAX: usize = 64 * 1024;
/// Characters of the words of an authority that are shown.
const TEXT_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests;
