//! Object storage in memory, with faults, for the tests of this crate.

use super::copies::{Copies, CopyError, Listed, Listing, StoredCopy, Work};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

/// Versions of objects, under locks that nobody looks at.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) versions: Mutex<BTreeMap<String, Vec<(String, Bytes)>>>,
    /// After so many stores, storing fails; none: never.
    pub(crate) fails_after: Mutex<Option<u64>>,
    /// How often something was stored, the same again included.
    pub(crate) stores: Mutex<u64>,
}

impl Memory {
    pub(crate) fn fail_after(&self, stores: Option<u64>) {
        *self.fails_after.lock().unwrap() = stores;
    }

    pub(crate) fn stores(&self) -> u64 {
        std::mem::take(&mut *self.stores.lock().unwrap())
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.versions.lock().unwrap().keys().cloned().collect()
    }

    /// Lays a version over whatever is there, as Object Lock allows.
    pub(crate) fn lay_over(&self, key: &str, bytes: &'static [u8]) {
        let mut versions = self.versions.lock().unwrap();
        let versions = versions.entry(key.to_owned()).or_default();
        versions.push((format!("{key}#{}", versions.len()), Bytes::from_static(bytes)));
    }

    /// Alters a stored version, as only the storage itself can.
    pub(crate) fn alter(&self, key: &str, bytes: &[u8]) {
        let mut versions = self.versions.lock().unwrap();
        versions.get_mut(key).unwrap()[0].1 = Bytes::copy_from_slice(bytes);
    }

    fn put(&self, key: &str, bytes: &Bytes) -> Result<String, CopyError> {
        if let Some(left) = self.fails_after.lock().unwrap().as_mut() {
            *left =
                left.checked_sub(1).ok_or_else(|| CopyError("the network is down".to_owned()))?;
        }
        *self.stores.lock().unwrap() += 1;
        let mut versions = self.versions.lock().unwrap();
        let versions = versions.entry(key.to_owned()).or_default();
        match versions.last() {
            None => {
                versions.push((format!("{key}#0"), bytes.clone()));
                Ok(format!("{key}#0"))
            }
            Some((version, found)) if found == bytes => Ok(version.clone()),
            Some(_) => Err(CopyError(format!("`{key}` exists with other content"))),
        }
    }
}

impl Copies for Memory {
    fn store<'a>(
        &'a self,
        key: &'a str,
        bytes: Bytes,
        _retention: Duration,
        _now_unix_s: u64,
    ) -> Work<'a, StoredCopy> {
        Box::pin(async move {
            let version_id = self.put(key, &bytes)?;
            Ok(StoredCopy { version_id, locked_until_s: 1_800_000_000 })
        })
    }

    fn fetch<'a>(&'a self, key: &'a str, version_id: &'a str, _now_unix_s: u64) -> Work<'a, Bytes> {
        Box::pin(async move {
            let versions = self.versions.lock().unwrap();
            let found =
                versions.get(key).and_then(|all| all.iter().find(|(id, _)| id == version_id));
            found.map(|(_, bytes)| bytes.clone()).ok_or_else(|| CopyError(format!("no `{key}`")))
        })
    }

    fn list<'a>(&'a self, prefix: &'a str, _now_unix_s: u64) -> Listing<'a> {
        Box::pin(async move {
            let versions = self.versions.lock().unwrap();
            let below = versions.iter().filter(|(key, _)| key.starts_with(prefix));
            let listed = below.flat_map(|(key, versions)| {
                versions.iter().map(|(id, _)| Listed { key: key.clone(), version_id: id.clone() })
            });
            Ok(listed.collect())
        })
    }
}
