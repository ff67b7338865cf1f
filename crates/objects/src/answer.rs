//! What an answer of the storage says. Reads headers and small XML documents, trusts neither.
//!
//! Knows no request; what an answer means for an operation is for `store`.

use crate::error::{ObjectError, advice};
use crate::lock::{LockMode, Retention, parse_date};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A header whose value is not what the API says it is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("header `{0}` cannot be read")]
pub(crate) struct BadHeader(pub(crate) &'static str);

impl Answer {
    /// A header; absent when it is missing or empty.
    pub(crate) fn header(&self, name: &'static str) -> Result<Option<&str>, BadHeader> {
        match self.headers.get(name) {
            None => Ok(None),
            Some(value) => match value.to_str().map_err(|_| BadHeader(name))? {
                "" => Ok(None),
                text if TOKEN_BYTES_MAX < text.len() => Err(BadHeader(name)),
                text => Ok(Some(text)),
            },
        }
    }

    /// The version the answer is about. Buckets without versions name none, or `null`.
    pub(crate) fn version(&self) -> Result<Option<&str>, BadHeader> {
        Ok(self.header(VERSION)?.filter(|version| *version != "null"))
    }

    /// The SHA-256 that the storage keeps of the whole object; none when it keeps none, or only one
    /// made of the checksums of parts (`…-3`).
    pub(crate) fn sha256(&self) -> Result<Option<[u8; 32]>, BadHeader> {
        let Some(text) = self.header(SHA256)? else { return Ok(None) };
        if text.contains('-') {
            return Ok(None);
        }
        let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Some).ok_or(BadHeader(SHA256))
    }

    /// The lock on the version; none when there is none, or none that the access key may see.
    pub(crate) fn retention(&self) -> Result<Option<Retention>, BadHeader> {
        let Some(mode) = self.header(LOCK_MODE)? else { return Ok(None) };
        let mode = LockMode::parse(mode).ok_or(BadHeader(LOCK_MODE))?;
        let until = self.header(LOCK_UNTIL)?.and_then(parse_date);
        Ok(Some(Retention { mode, until_unix_s: until.ok_or(BadHeader(LOCK_UNTIL))? }))
    }

    /// Whether somebody has put a legal hold on the version.
    pub(crate) fn held(&self) -> Result<bool, BadHeader> {
        Ok(self.header(LEGAL_HOLD)? == Some("ON"))
    }

    /// Whether what was asked for is, or lies below, a delete marker.
    pub(crate) fn deleted(&self) -> bool {
        self.header(DELETE_MARKER) == Ok(Some("true"))
    }

    /// The size that a HEAD answer announces, in bytes.
    pub(crate) fn size(&self) -> Result<u64, BadHeader> {
        let text = self.header(LENGTH)?.ok_or(BadHeader(LENGTH))?;
        text.parse().map_err(|_| BadHeader(LENGTH))
    }

    /// The S3 error code; empty when the answer has none, as answers to HEAD.
    pub(crate) fn code(&self) -> String {
        #[derive(Deserialize)]
        struct Document {
            #[serde(rename = "Code", default)]
            code: String,
        }
        let text = str::from_utf8(&self.body).unwrap_or_default();
        let document = quick_xml::de::from_str::<Document>(text).ok();
        document.map(|document| word(&document.code)).unwrap_or_default()
    }

    /// This answer as a refusal.
    pub(crate) fn refusal(&self, doing: &str) -> ObjectError {
        let (status, code) = (self.status.as_u16(), self.code());
        let region = self.header(REGION).ok().flatten().map(word);
        let advice = advice(status, &code, region.as_deref().filter(|region| !region.is_empty()));
        ObjectError::Refused { doing: doing.to_owned(), status, code, advice }
    }
}

/// A value for the checksum header.
pub(crate) fn checksum(sha256: &[u8; 32]) -> String {
    STANDARD.encode(sha256)
}

/// Lower-case hexadecimal, as signatures write a hash.
pub(crate) fn hex(sha256: &[u8; 32]) -> String {
    sha256.iter().fold(String::with_capacity(64), |mut text, byte| {
        for nibble in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(nibble), 16));
        }
        text
    })
}

/// Codes and regions are words; anything else that stands in their place is not repeated.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if text.len() <= WORD_BYTES_MAX && text.chars().all(plain) {
        text.to_owned()
    } else {
        String::new()
    }
}

pub(crate) const VERSION: &str = "x-amz-version-id";
pub(crate) const SHA256: &str = "x-amz-checksum-sha256";
pub(crate) const LOCK_MODE: &str = "x-amz-object-lock-mode";
pub(crate) const LOCK_UNTIL: &str = "x-amz-object-lock-retain-until-date";
const LEGAL_HOLD: &str = "x-amz-object-lock-legal-hold";
const DELETE_MARKER: &str = "x-amz-delete-marker";
const REGION: &str = "x-amz-bucket-region";
const LENGTH: &str = "content-length";

/// Bytes of a header value that is read. Version ids are documented as at most 1024.
const TOKEN_BYTES_MAX: usize = 1024;
/// Bytes of an error code or region that is repeated in an error.
const WORD_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &'static str) -> Answer {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.collect(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn headers_are_read() {
        let sum = checksum(&[7; 32]);
        let answer = answer(
            200,
            &[
                (VERSION, "v1"),
                (SHA256, &sum),
                (LOCK_MODE, "COMPLIANCE"),
                (LOCK_UNTIL, "2026-11-22T12:26:11.000Z"),
                (LEGAL_HOLD, "ON"),
                (LENGTH, "5"),
            ],
            "",
        );
        assert_eq!(answer.version(), Ok(Some("v1")));
        assert_eq!(answer.sha256(), Ok(Some([7; 32])));
        let retention = answer.retention().unwrap().unwrap();
        assert_eq!(
            retention,
            Retention { mode: LockMode::Compliance, until_unix_s: 1_795_350_371 }
        );
        assert_eq!((answer.held(), answer.size(), answer.deleted()), (Ok(true), Ok(5), false));
    }

    #[test]
    fn what_is_missing_is_none_and_what_is_wrong_is_an_error() {
        let none = answer(200, &[(VERSION, "null"), (SHA256, "")], "");
        assert_eq!((none.version(), none.sha256(), none.held()), (Ok(None), Ok(None), Ok(false)));
        assert_eq!(none.retention(), Ok(None));
        assert_eq!(none.size(), Err(BadHeader(LENGTH)));
        assert_eq!(answer(200, &[(SHA256, "AAAA-3")], "").sha256(), Ok(None));
        assert_eq!(answer(200, &[(SHA256, "AAAA")], "").sha256(), Err(BadHeader(SHA256)));
        assert!(answer(200, &[(LOCK_MODE, "SOFT")], "").retention().is_err());
        assert!(answer(200, &[(LOCK_MODE, "COMPLIANCE")], "").retention().is_err());
        let undated = [(LOCK_MODE, "COMPLIANCE"), (LOCK_UNTIL, "soon")];
        assert_eq!(answer(200, &undated, "").retention(), Err(BadHeader(LOCK_UNTIL)));
        let long = "v".repeat(1025);
        assert_eq!(answer(200, &[(VERSION, &long)], "").version(), Err(BadHeader(VERSION)));
    }

    #[test]
    fn a_refusal_repeats_the_code_and_nothing_else() {
        let text = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>key AKIDEXAMPLE\
                    </Message><AWSAccessKeyId>AKIDEXAMPLE</AWSAccessKeyId></Error>";
        let error = answer(403, &[], text).refusal("put of `a`").to_string();
        assert!(error.contains("403 (`AccessDenied`)") && !error.contains("AKID"), "{error}");
        for odd in ["<Error><Code>a b</Code></Error>", "<html>", "", "Code", "<a><Code/></a>"] {
            assert_eq!(answer(403, &[], odd).code(), "", "{odd}");
        }
        let moved = answer(301, &[(REGION, "eu-west-1")], "").refusal("list");
        assert!(moved.to_string().contains("region `eu-west-1`"));
    }

    #[test]
    fn hashes_are_written_in_hexadecimal() {
        let mut sha256 = [0; 32];
        sha256[0] = 0x0f;
        sha256[31] = 0xa0;
        assert_eq!(hex(&sha256), format!("0f{}a0", "00".repeat(30)));
    }
}
