//! The operations on objects, each from request to checked answer.
//!
//! Deletes nothing, shortens no lock, and knows nothing of what the objects hold.

use crate::answer::{Answer, BadHeader, LOCK_MODE, LOCK_UNTIL, SHA256, checksum};
use crate::config::{BadConfig, Config, Place};
use crate::error::ObjectError;
use crate::key::{Key, check_beginning};
use crate::list::{Continuation, Page, lock_enabled, page};
use crate::lock::{Retention, UNIX_S_MAX, date};
use crate::wire::{Ask, Clock, Wire};
use aws_lc_rs::digest;
use bytes::Bytes;
use http::{Method, StatusCode};
use std::fmt;
use url::form_urlencoded::Serializer;

/// A bucket under Object Lock, or the part of it below a prefix.
///
/// Every operation repeats itself while the storage is not available, within the limits of the
/// configuration, and takes the present time (`now_unix_s`, seconds since 1970), which signatures hold.
pub struct Store {
    wire: Wire,
    place: Place,
    bucket: String,
}

/// An object that is stored under its lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The version to record, and to ask for when the copy is checked.
    pub version_id: String,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
    /// The lock as the storage shows it: at least the one asked for.
    pub retention: Retention,
    /// Whether the object was there before, with the same content and a lock that suffices.
    pub existed: bool,
}

/// What the storage says of a version without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The version; none in buckets without versions.
    pub version_id: Option<String>,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 that the storage keeps; none when it keeps none of the whole object.
    pub sha256: Option<[u8; 32]>,
    /// Its lock; none when there is none, or the access key may not see it.
    pub retention: Option<Retention>,
    /// Whether a legal hold keeps it beyond its lock.
    pub held: bool,
}

/// A version with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The content.
    pub bytes: Bytes,
    /// SHA-256 of these bytes, computed here.
    pub sha256: [u8; 32],
    /// What the storage says of them.
    pub stored: Stored,
}

/// Bytes that one put may send. Source: S3 API, `PutObject`.
pub const OBJECT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// What a put wants to be there at the end.
struct Wanted<'a> {
    key: &'a Key,
    size: u64,
    sha256: [u8; 32],
    retention: Retention,
}

impl Store {
    /// A store at the configured place; connects when first used.
    ///
    /// # Errors
    /// [`BadConfig`] names the setting that cannot be used.
    pub fn new(config: &Config) -> Result<Self, BadConfig> {
        let place = Place::new(config)?;
        let wire = Wire::new(config, &place)?;
        Ok(Self { wire, place, bucket: config.bucket.clone() })
    }

    /// Stores an object once, under a lock, and sees that both hold.
    ///
    /// When the name is taken by the same content under a lock at least as firm and long, that is
    /// success as well, so that an interrupted put is simply made again.
    ///
    /// # Errors
    /// [`ObjectError::Differs`] when the name is taken by other content; [`ObjectError::NotLocked`]
    /// when the content is there but not locked as wanted; [`ObjectError::NotVersioned`] when the bucket
    /// cannot lock; [`ObjectError::BadRetention`], [`ObjectError::TooLarge`] before anything is sent;
    /// otherwise as the storage refuses or fails.
    pub async fn put(
        &self,
        key: &Key,
        bytes: Bytes,
        retention: Retention,
        now_unix_s: u64,
    ) -> Result<Put, ObjectError> {
        let clock = Clock::start(now_unix_s)?;
        let until_unix_s = retention.until_unix_s;
        if until_unix_s <= now_unix_s || UNIX_S_MAX < until_unix_s {
            return Err(ObjectError::BadRetention { until_unix_s, now_unix_s });
        }
        let doing = format!("put of `{key}`");
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if OBJECT_BYTES_MAX < size {
            return Err(ObjectError::TooLarge { doing, bytes_max: OBJECT_BYTES_MAX });
        }
        let sha256 = sha256(&bytes).await;
        let wanted = Wanted { key, size, sha256, retention };
        let ask = Ask {
            doing,
            method: Method::PUT,
            target: self.target(key, None),
            headers: vec![
                ("if-none-match", "*".to_owned()),
                (SHA256, checksum(&sha256)),
                // Amazon goes by the checksum alone; others look for its name.
                (ALGORITHM, "SHA256".to_owned()),
                (LOCK_MODE, retention.mode.as_str().to_owned()),
                (LOCK_UNTIL, date(until_unix_s)),
            ],
            body: bytes,
            body_sha256: sha256,
            answer_bytes_max: PAGE_BYTES_MAX,
        };
        match self.wire.ask(&ask, clock).await {
            Ok(answer) if answer.status.is_success() => {
                self.written(&wanted, &ask.doing, &answer, clock).await
            }
            Ok(answer) if answer.status == StatusCode::PRECONDITION_FAILED => {
                self.existing(&wanted, clock).await
            }
            Ok(answer) => Err(answer.refusal(&ask.doing)),
            // The answer may have been lost on its way, or the storage, which knew the name to be
            // taken, did not take the bytes to the end. What is there tells.
            Err(lost @ ObjectError::Unavailable { .. }) => {
                match self.existing(&wanted, clock).await {
                    Ok(put) => Ok(put),
                    Err(found @ (ObjectError::Differs { .. } | ObjectError::NotLocked { .. })) => {
                        Err(found)
                    }
                    Err(_) => Err(lost),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Reads an object: the recorded version, or the newest without one.
    ///
    /// # Errors
    /// [`ObjectError::NotFound`]; [`ObjectError::OtherVersion`]; [`ObjectError::WrongBytes`] when the
    /// bytes do not match the checksum the storage gives; [`ObjectError::TooLarge`] when there are
    /// more than `bytes_max`; otherwise as the storage refuses or fails.
    pub async fn get(
        &self,
        key: &Key,
        version: Option<&str>,
        bytes_max: u64,
        now_unix_s: u64,
    ) -> Result<Object, ObjectError> {
        self.read(key, version, bytes_max, Clock::start(now_unix_s)?).await
    }

    /// Reads what the storage says of an object: of the recorded version, or of the newest without
    /// one.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn head(
        &self,
        key: &Key,
        version: Option<&str>,
        now_unix_s: u64,
    ) -> Result<Stored, ObjectError> {
        self.look(key, version, Clock::start(now_unix_s)?).await
    }

    /// A page of all versions and delete markers whose names begin with `prefix` (below the prefix of
    /// the store), from the beginning or from where the page before ended.
    ///
    /// # Errors
    /// As the storage refuses or fails, or [`ObjectError::BadKey`] for the prefix.
    pub async fn list(
        &self,
        prefix: &str,
        from: Option<&Continuation>,
        now_unix_s: u64,
    ) -> Result<Page, ObjectError> {
        check_beginning(prefix)?;
        // Apart, since the serializer must not be held while waiting.
        let query = self.versions_query(prefix, from);
        let doing = format!("list of `{prefix}`");
        let ask = self.question(doing, Method::GET, format!("{}?{query}", self.root()));
        let answer = self.wire.ask(&ask, Clock::start(now_unix_s)?).await?;
        if answer.status != StatusCode::OK {
            return Err(answer.refusal(&ask.doing));
        }
        let malformed = |reason| ObjectError::Malformed { doing: ask.doing.clone(), reason };
        let page = page(&answer.body, &self.place.prefix).map_err(malformed)?;
        if from.is_some() && page.next.as_ref() == from {
            return Err(malformed("the list goes round in a circle".to_owned()));
        }
        Ok(page)
    }

    /// The query of a list: all versions below a prefix, from one on.
    fn versions_query(&self, prefix: &str, from: Option<&Continuation>) -> String {
        let mut query = Serializer::new(String::new());
        query.append_key_only("versions");
        if let Some(from) = from {
            query.append_pair("key-marker", &from.key);
            if let Some(version) = &from.version {
                query.append_pair("version-id-marker", version);
            }
        }
        query.append_pair("prefix", &format!("{}{prefix}", self.place.prefix));
        query.finish()
    }

    /// Sees that the bucket has Object Lock.
    ///
    /// # Errors
    /// [`ObjectError::NoObjectLock`], which says what to do; otherwise as the storage refuses or fails.
    pub async fn require_lock(&self, now_unix_s: u64) -> Result<(), ObjectError> {
        let doing = format!("look at the Object Lock of bucket `{}`", self.bucket);
        let ask = self.question(doing, Method::GET, format!("{}?object-lock", self.root()));
        let answer = self.wire.ask(&ask, Clock::start(now_unix_s)?).await?;
        let enabled = match answer.status {
            StatusCode::OK => lock_enabled(&answer.body)
                .map_err(|reason| ObjectError::Malformed { doing: ask.doing, reason })?,
            StatusCode::NOT_FOUND if answer.code() == NO_LOCK => false,
            _ => return Err(answer.refusal(&ask.doing)),
        };
        if enabled {
            Ok(())
        } else {
            Err(ObjectError::NoObjectLock { bucket: self.bucket.clone() })
        }
    }

    /// After an accepted put: the version exists, and the lock is seen to hold.
    async fn written(
        &self,
        wanted: &Wanted<'_>,
        doing: &str,
        answer: &Answer,
        clock: Clock,
    ) -> Result<Put, ObjectError> {
        let key = wanted.key;
        let malformed = |bad: BadHeader| malformed(doing, &bad);
        let version = answer.version().map_err(malformed)?.map(str::to_owned);
        let version =
            version.ok_or_else(|| ObjectError::NotVersioned { bucket: self.bucket.clone() })?;
        if answer.sha256().map_err(malformed)?.is_some_and(|sha256| sha256 != wanted.sha256) {
            return Err(ObjectError::WrongBytes { key: key.to_string(), version });
        }
        let stored = self.look(key, Some(&version), clock).await?;
        let same = stored.sha256.is_none_or(|sha256| sha256 == wanted.sha256);
        if stored.size != wanted.size || !same {
            return Err(ObjectError::WrongBytes { key: key.to_string(), version });
        }
        wanted.put(version, stored.retention, false)
    }

    /// When the name is taken: the same content under a lock that suffices is what was wanted.
    async fn existing(&self, wanted: &Wanted<'_>, clock: Clock) -> Result<Put, ObjectError> {
        let key = wanted.key;
        let mut stored = self.look(key, None, clock).await?;
        let version = stored
            .version_id
            .take()
            .ok_or_else(|| ObjectError::NotVersioned { bucket: self.bucket.clone() })?;
        let differs = |version| ObjectError::Differs { key: key.to_string(), version };
        if stored.size != wanted.size {
            return Err(differs(version));
        }
        let sha256 = match stored.sha256 {
            Some(sha256) => sha256,
            None => self.read(key, Some(&version), wanted.size, clock).await?.sha256,
        };
        if sha256 != wanted.sha256 {
            return Err(differs(version));
        }
        wanted.put(version, stored.retention, true)
    }

    async fn look(
        &self,
        key: &Key,
        version: Option<&str>,
        clock: Clock,
    ) -> Result<Stored, ObjectError> {
        let doing = format!("look at `{key}`");
        let mut ask = self.question(doing, Method::HEAD, self.target(key, version));
        ask.headers.push((CHECKSUM_MODE, "ENABLED".to_owned()));
        let answer = self.wire.ask(&ask, clock).await?;
        let found = found(key, version, &ask.doing, &answer)?;
        let size = answer.size().map_err(|bad| malformed(&ask.doing, &bad))?;
        Ok(Stored { size, ..found })
    }

    async fn read(
        &self,
        key: &Key,
        version: Option<&str>,
        bytes_max: u64,
        clock: Clock,
    ) -> Result<Object, ObjectError> {
        let doing = format!("read of `{key}`");
        let mut ask = self.question(doing, Method::GET, self.target(key, version));
        ask.headers.push((CHECKSUM_MODE, "ENABLED".to_owned()));
        ask.answer_bytes_max = bytes_max;
        let answer = self.wire.ask(&ask, clock).await?;
        let stored = found(key, version, &ask.doing, &answer)?;
        let sha256 = sha256(&answer.body).await;
        if stored.sha256.is_some_and(|kept| kept != sha256) {
            let version = stored.version_id.unwrap_or_default();
            return Err(ObjectError::WrongBytes { key: key.to_string(), version });
        }
        Ok(Object { bytes: answer.body, sha256, stored })
    }

    /// A request without a body.
    fn question(&self, doing: String, method: Method, target: String) -> Ask {
        Ask {
            doing,
            method,
            target,
            headers: Vec::new(),
            body: Bytes::new(),
            body_sha256: array(&digest::digest(&digest::SHA256, &[])),
            answer_bytes_max: PAGE_BYTES_MAX,
        }
    }
}

impl Store {
    /// Path and query of an object.
    fn target(&self, key: &Key, version: Option<&str>) -> String {
        let path = format!("{}{}{key}", self.place.root, self.place.prefix);
        match version {
            None => path,
            Some(version) => {
                let mut query = Serializer::new(String::new());
                query.append_pair("versionId", version);
                format!("{path}?{}", query.finish())
            }
        }
    }

    /// Path of the bucket itself.
    fn root(&self) -> &str {
        match self.place.root.trim_end_matches('/') {
            "" => "/",
            bucket => bucket,
        }
    }
}

impl Wanted<'_> {
    /// The version that has the content, if its lock suffices.
    fn put(
        &self,
        version: String,
        found: Option<Retention>,
        existed: bool,
    ) -> Result<Put, ObjectError> {
        match found {
            Some(retention) if retention.covers(self.retention) => {
                Ok(Put { version_id: version, sha256: self.sha256, retention, existed })
            }
            found => Err(ObjectError::NotLocked {
                key: self.key.to_string(),
                version,
                wanted: self.retention,
                found,
            }),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("place", &self.place).finish_non_exhaustive()
    }
}

/// What an answer says of the object that was asked for; its size is that of the answer's body.
fn found(
    key: &Key,
    version: Option<&str>,
    doing: &str,
    answer: &Answer,
) -> Result<Stored, ObjectError> {
    if answer.status != StatusCode::OK {
        return Err(missing(key, version, answer).unwrap_or_else(|| answer.refusal(doing)));
    }
    let malformed = |bad: BadHeader| malformed(doing, &bad);
    let version_id = answer.version().map_err(malformed)?.map(str::to_owned);
    if let Some(asked) = version
        && version_id.as_deref() != Some(asked)
    {
        return Err(ObjectError::OtherVersion {
            key: key.to_string(),
            asked: asked.to_owned(),
            given: version_id.unwrap_or_default(),
        });
    }
    Ok(Stored {
        version_id,
        size: u64::try_from(answer.body.len()).unwrap_or(u64::MAX),
        sha256: answer.sha256().map_err(malformed)?,
        retention: answer.retention().map_err(malformed)?,
        held: answer.held().map_err(malformed)?,
    })
}

/// Whether an answer says that there is no such object: no such name or version, or a delete marker
/// in its place.
fn missing(key: &Key, version: Option<&str>, answer: &Answer) -> Option<ObjectError> {
    let deleted = answer.deleted();
    let code = answer.code();
    let none = match answer.status {
        StatusCode::NOT_FOUND => code != NO_BUCKET,
        StatusCode::METHOD_NOT_ALLOWED => deleted,
        _ => false,
    };
    none.then(|| ObjectError::NotFound {
        key: key.to_string(),
        version: version.map(str::to_owned),
        deleted,
    })
}

fn malformed(doing: &str, bad: &BadHeader) -> ObjectError {
    ObjectError::Malformed { doing: doing.to_owned(), reason: bad.to_string() }
}

/// The hash of content of any size, without keeping other tasks of the thread waiting for long.
async fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    for chunk in bytes.chunks(HASH_BYTES_AT_ONCE) {
        hash.update(chunk);
        tokio::task::yield_now().await;
    }
    array(&hash.finish())
}

fn array(digest: &digest::Digest) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

const ALGORITHM: &str = "x-amz-sdk-checksum-algorithm";
const CHECKSUM_MODE: &str = "x-amz-checksum-mode";
/// S3 error codes. Source: S3 API, list of error codes.
const NO_LOCK: &str = "ObjectLockConfigurationNotFoundError";
const NO_BUCKET: &str = "NoSuchBucket";

/// Bytes of an answer other than the content of an object. A page of 1000 names of 1024 bytes, each
/// byte written as an entity of 6, with 500 bytes about each, is less.
const PAGE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Bytes hashed before other tasks get their turn.
const HASH_BYTES_AT_ONCE: usize = 1024 * 1024;
