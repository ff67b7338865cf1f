//! What can go wrong with an object, in words for whoever runs the storage.
//!
//! Holds nothing a server wrote but status, error code and version ids: the texts of S3 errors repeat
//! access keys and what was signed.

use crate::key::BadKey;
use crate::lock::{Retention, date};

/// Why an operation on the storage did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// A name or the beginning of names cannot be used; nothing was sent.
    #[error(transparent)]
    BadKey(#[from] BadKey),
    /// The lock would be over before it begins, or a time is no date; nothing was sent.
    #[error("a lock until {} cannot be asked for at {}: the end must lie in the future, before \
             the year 9999", date(*.until_unix_s), date(*.now_unix_s))]
    BadRetention {
        /// The end that was asked for, in seconds since 1970.
        until_unix_s: u64,
        /// The time of asking, in seconds since 1970.
        now_unix_s: u64,
    },
    /// The clock that was given is beyond what a signature can say; nothing was sent.
    #[error("the time {now_unix_s} s since 1970 is no date: check the clock of this machine")]
    BadTime {
        /// The time that was given, in seconds since 1970.
        now_unix_s: u64,
    },
    /// More bytes than the operation may send or take; an answer is dropped, not cut.
    #[error("{doing}: more than {bytes_max} bytes")]
    TooLarge {
        /// The operation and its object.
        doing: String,
        /// The bound.
        bytes_max: u64,
    },
    /// There is no such object, or no such version of it.
    #[error("no object `{key}`{}{}", of_version(.version.as_deref()), if_deleted(*.deleted))]
    NotFound {
        /// Its name.
        key: String,
        /// The version asked for; none means the newest.
        version: Option<String>,
        /// The name carries a delete marker: locked versions may lie below it.
        deleted: bool,
    },
    /// The name is taken by other content. Nothing was written.
    #[error(
        "object `{key}` exists with other content, version `{version}`: nothing was written; \
             find out who wrote it, and compare it with what should be there"
    )]
    Differs {
        /// Its name.
        key: String,
        /// The version that is there.
        version: String,
    },
    /// The version is there, but not under the lock that was asked for.
    #[error("object `{key}`, version `{version}`, should be locked {wanted} but is {}: \
             check that the storage supports Object Lock and that the access key may read the lock \
             (`s3:GetObjectRetention`), or lengthen the lock", locked(.found.as_ref()))]
    NotLocked {
        /// Its name.
        key: String,
        /// The version that is there.
        version: String,
        /// The lock that was asked for.
        wanted: Retention,
        /// The lock that the storage shows; none, or none that may be seen.
        found: Option<Retention>,
    },
    /// The bucket keeps no versions, so that nothing in it can be locked.
    #[error("bucket `{bucket}` keeps no versions: Object Lock needs a bucket made with it enabled")]
    NotVersioned {
        /// The bucket.
        bucket: String,
    },
    /// The bucket has no Object Lock.
    #[error(
        "bucket `{bucket}` has no Object Lock, so that what is put there can be deleted: make \
             a bucket with Object Lock enabled (`aws s3api create-bucket \
             --object-lock-enabled-for-bucket`) and configure that one"
    )]
    NoObjectLock {
        /// The bucket.
        bucket: String,
    },
    /// The storage answered with another version than the one asked for.
    #[error(
        "object `{key}`: asked for version `{asked}`, was given `{given}`: do not trust this \
             storage with versions"
    )]
    OtherVersion {
        /// Its name.
        key: String,
        /// The version asked for.
        asked: String,
        /// The version in the answer; empty when it named none.
        given: String,
    },
    /// The bytes are not those whose checksum the storage keeps, or confirms.
    #[error(
        "object `{key}`, version `{version}`: the bytes do not match the SHA-256 checksum that \
             the storage gives for them"
    )]
    WrongBytes {
        /// Its name.
        key: String,
        /// The version; empty when the answer named none.
        version: String,
    },
    /// The storage refused for good; asking again will not help.
    #[error("{doing}: refused with status {status}{}{}", in_brackets(.code), .advice)]
    Refused {
        /// The operation and its object.
        doing: String,
        /// The HTTP status.
        status: u16,
        /// The S3 error code, empty when the answer had none.
        code: String,
        /// What to do about it, as a continuation of the sentence; may be empty.
        advice: String,
    },
    /// The storage could not be reached or was busy, as often as it was tried.
    #[error("{doing}: storage not available after {attempts} attempts: {cause}")]
    Unavailable {
        /// The operation and its object.
        doing: String,
        /// How often it was tried.
        attempts: u32,
        /// What happened the last time.
        cause: String,
    },
    /// The answer is none that an S3 server gives.
    #[error(
        "{doing}: the answer makes no sense: {reason}; check that the endpoint is an S3 server"
    )]
    Malformed {
        /// The operation and its object.
        doing: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What to do about a refusal, by its code or, without one, by its status.
pub(crate) fn advice(status: u16, code: &str, region: Option<&str>) -> String {
    let text = match (code, status) {
        ("SignatureDoesNotMatch", _) => "check the secret of the access key",
        ("InvalidAccessKeyId" | "InvalidToken", _) => "check the access key",
        ("ExpiredToken", _) => "the session of the access key is over: get a new one",
        ("RequestTimeTooSkewed", _) => "set the clock of this machine",
        ("NoSuchBucket", _) => "make the bucket, with Object Lock enabled",
        ("InvalidRequest", 400) => "check that the bucket has Object Lock enabled",
        ("NotImplemented", _) => "this storage cannot put once under a lock",
        ("BadDigest" | "XAmzContentSHA256Mismatch", _) => "the bytes changed on their way",
        ("PermanentRedirect" | "AuthorizationHeaderMalformed", _) | (_, 301 | 307 | 308) => {
            return region.map_or_else(
                || ": check region and endpoint".to_owned(),
                |region| format!(": the bucket is in region `{region}`"),
            );
        }
        ("AccessDenied", _) | ("", 401 | 403) => {
            "check the access key, its rights on the bucket, and the clock of this machine"
        }
        _ => return String::new(),
    };
    format!(": {text}")
}

fn of_version(version: Option<&str>) -> String {
    version.map_or_else(String::new, |version| format!(", version `{version}`"))
}

fn if_deleted(deleted: bool) -> &'static str {
    if deleted { ": its name carries a delete marker; ask for the recorded version" } else { "" }
}

fn locked(found: Option<&Retention>) -> String {
    found.map_or_else(|| "not".to_owned(), |found| format!("locked {found}"))
}

fn in_brackets(code: &str) -> String {
    if code.is_empty() { String::new() } else { format!(" (`{code}`)") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::LockMode;

    #[test]
    fn messages_say_what_where_and_what_to_do() {
        let refused = |status, code: &str, region| ObjectError::Refused {
            doing: "put of `a`".to_owned(),
            status,
            code: code.to_owned(),
            advice: advice(status, code, region),
        };
        let wanted = Retention { mode: LockMode::Compliance, until_unix_s: 1_795_350_371 };
        let not_locked = |found| ObjectError::NotLocked {
            key: "a".to_owned(),
            version: "v1".to_owned(),
            wanted,
            found,
        };
        let table = [
            (
                refused(403, "", None),
                "put of `a`: refused with status 403: check the access key, its rights on the \
                 bucket, and the clock of this machine",
            ),
            (
                refused(403, "SignatureDoesNotMatch", None),
                "put of `a`: refused with status 403 (`SignatureDoesNotMatch`): check the secret \
                 of the access key",
            ),
            (
                refused(301, "", Some("eu-west-1")),
                "put of `a`: refused with status 301: the bucket is in region `eu-west-1`",
            ),
            (refused(418, "", None), "put of `a`: refused with status 418"),
            (
                ObjectError::NotFound { key: "a".to_owned(), version: None, deleted: true },
                "no object `a`: its name carries a delete marker; ask for the recorded version",
            ),
            (
                ObjectError::NotFound {
                    key: "a".to_owned(),
                    version: Some("v1".to_owned()),
                    deleted: false,
                },
                "no object `a`, version `v1`",
            ),
            (
                not_locked(Some(Retention { mode: LockMode::Governance, ..wanted })),
                "object `a`, version `v1`, should be locked COMPLIANCE until 2026-11-22T12:26:11Z \
                 but is locked GOVERNANCE until 2026-11-22T12:26:11Z: check that the storage \
                 supports Object Lock and that the access key may read the lock \
                 (`s3:GetObjectRetention`), or lengthen the lock",
            ),
        ];
        for (error, message) in table {
            assert_eq!(error.to_string(), message);
        }
        assert!(not_locked(None).to_string().contains("but is not:"));
    }
}
