//! The seam to object storage, with its contract. Two implementations: the store of crate `objects`, and the
//! one in memory that the tests break.

use bytes::Bytes;
use objects::{Continuation, Key, LockMode, ObjectError, Retention, Store};
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// Something that the storage does.
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, CopyError>> + Send + 'a>>;

/// A listing in the making. It stays on the task that began it.
pub type Listing<'a> = Pin<Box<dyn Future<Output = Result<Vec<Listed>, CopyError>> + 'a>>;

/// Storage in which what was stored stays.
///
/// **Durability.** When a store returns, the version it names is stored and locked. **Repetition.** Storing
/// the same content under the same name again is success and names a version with this content.
/// **Identity.** A fetch with a version gives that version or fails. `now_unix_s` is the time now, in
/// seconds since 1970.
pub trait Copies: Debug + Send + Sync {
    /// Stores an object under a lock of this length.
    fn store<'a>(
        &'a self,
        key: &'a str,
        bytes: Bytes,
        retention: Duration,
        now_unix_s: u64,
    ) -> Work<'a, StoredCopy>;

    /// The bytes of a version.
    fn fetch<'a>(&'a self, key: &'a str, version_id: &'a str, now_unix_s: u64) -> Work<'a, Bytes>;

    /// All versions of objects whose names begin so; delete markers are passed over.
    fn list<'a>(&'a self, prefix: &'a str, now_unix_s: u64) -> Listing<'a>;
}

/// A version that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCopy {
    /// The version.
    pub version_id: String,
    /// When its lock ends, in seconds since 1970.
    pub locked_until_s: u64,
}

/// A version in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name.
    pub key: String,
    /// The version.
    pub version_id: String,
}

/// The storage refused or failed.
#[derive(Debug, thiserror::Error)]
#[error("object storage: {0}")]
pub struct CopyError(pub String);

impl From<ObjectError> for CopyError {
    fn from(error: ObjectError) -> Self {
        Self(error.to_string())
    }
}

impl Copies for Store {
    fn store<'a>(
        &'a self,
        key: &'a str,
        bytes: Bytes,
        retention: Duration,
        now_unix_s: u64,
    ) -> Work<'a, StoredCopy> {
        Box::pin(async move {
            let key = Key::new(key).map_err(ObjectError::from)?;
            let until_unix_s = now_unix_s.saturating_add(retention.as_secs());
            let wanted = Retention { mode: LockMode::Compliance, until_unix_s };
            match self.put(&key, bytes, wanted, now_unix_s).await {
                Ok(put) => Ok(StoredCopy {
                    version_id: put.version_id,
                    locked_until_s: put.retention.until_unix_s,
                }),
                // The same content is there from an earlier try, whose lock ends that much earlier.
                Err(ObjectError::NotLocked { version, found: Some(found), .. })
                    if suffices(found, wanted, retention) =>
                {
                    Ok(StoredCopy { version_id: version, locked_until_s: found.until_unix_s })
                }
                Err(error) => Err(error.into()),
            }
        })
    }

    fn fetch<'a>(&'a self, key: &'a str, version_id: &'a str, now_unix_s: u64) -> Work<'a, Bytes> {
        Box::pin(async move {
            let key = Key::new(key).map_err(ObjectError::from)?;
            let object = self.get(&key, Some(version_id), COPY_BYTES_MAX, now_unix_s).await?;
            Ok(object.bytes)
        })
    }

    fn list<'a>(&'a self, prefix: &'a str, now_unix_s: u64) -> Listing<'a> {
        Box::pin(async move {
            let mut listed = Vec::new();
            let mut from: Option<Continuation> = None;
            loop {
                let page = Self::list(self, prefix, from.as_ref(), now_unix_s).await?;
                let objects = page
                    .entries
                    .into_iter()
                    .filter(|entry| matches!(entry.kind, objects::Kind::Object { .. }));
                listed.extend(objects.map(|e| Listed { key: e.key, version_id: e.version_id }));
                if LISTED_MAX < listed.len() {
                    let text = format!("more than {LISTED_MAX} versions begin with `{prefix}`");
                    return Err(CopyError(text));
                }
                match page.next {
                    Some(next) => from = Some(next),
                    None => return Ok(listed),
                }
            }
        })
    }
}

/// Whether a lock from an earlier try will do: as firm, and with half of its time still to go.
fn suffices(found: Retention, wanted: Retention, retention: Duration) -> bool {
    let least = wanted.until_unix_s.saturating_sub(retention.as_secs() / 2);
    wanted.mode <= found.mode && least <= found.until_unix_s
}

/// Bytes of the largest copy: a bundle of 256 entries of the greatest length.
const COPY_BYTES_MAX: u64 = 256 * (65_535 + 2);
/// Versions in one listing.
const LISTED_MAX: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::suffices;
    use objects::{LockMode, Retention};
    use std::time::Duration;

    #[test]
    fn an_earlier_lock_will_do_for_half_its_time() {
        let day = Duration::from_secs(86_400);
        let until = |until_unix_s| Retention { mode: LockMode::Compliance, until_unix_s };
        let wanted = until(1_000_000);
        for (found, good) in [
            (until(1_000_000), true),
            (until(1_000_000 - 43_200), true),
            (until(1_000_000 - 43_201), false),
            (Retention { mode: LockMode::Governance, ..wanted }, false),
        ] {
            assert_eq!(suffices(found, wanted, day), good, "{found}");
        }
    }
}
