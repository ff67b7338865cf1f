//! Manifests: which file of the log is which version of which object.
//!
//! A format of this product, described in `docs/log-format.md`: one JSON object, read strictly. Knows no
//! storage.

use super::copies::StoredCopy;
use note::Hash;
use serde::{Deserialize, Serialize};

/// The copies of a range of full blocks, and, in the manifest of a whole round, of all else that a checkpoint
/// needs. The blocks before are in parts, each of which names the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The first block of 256 entries whose bundle and full tiles are named here.
    pub blocks_from: u64,
    /// The block after the last.
    pub blocks_to: u64,
    /// The objects, in the order in which the log grows.
    pub objects: Vec<ObjectRef>,
    /// The name of the log.
    pub origin: String,
    /// The part with the blocks before; none when there are none.
    pub part: Option<ManifestRef>,
    /// The manifest of the whole round before; none in a part.
    pub previous: Option<ManifestRef>,
    /// The size of the checkpoint that is named here with everything it needs; none in a part.
    pub size: Option<u64>,
    /// Version of the format: 1.
    pub v: u32,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectRef {
    /// Its length in bytes.
    pub bytes: u64,
    /// Its name in the storage, below the prefix.
    pub key: String,
    /// When its lock ends, in seconds since 1970.
    pub locked_until_s: u64,
    /// The file of the log that it is.
    pub path: String,
    /// SHA-256 of its content, 64 hexadecimal digits.
    pub sha256: String,
    /// Its version.
    pub version_id: String,
}

/// Names a manifest for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestRef {
    /// Its name in the storage, below the prefix.
    pub key: String,
    /// SHA-256 of its content, 64 hexadecimal digits.
    pub sha256: String,
    /// Its version.
    pub version_id: String,
}

/// Why bytes are no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is no manifest: {reason}")]
pub struct BadManifest {
    /// The name of the object.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Manifest {
    /// Its name: of a whole round by the size, of a part by the block before which it ends.
    #[must_use]
    pub fn key(&self) -> String {
        match self.size {
            Some(size) => format!("{WHOLES}{size:020}.json"),
            None => format!("{PARTS}{:020}.json", self.blocks_to),
        }
    }

    /// The bytes that are stored: JSON with sorted keys and a final newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings and numbers always become JSON.
        let text = serde_json::to_string(self).unwrap_or_default();
        format!("{text}\n")
    }

    /// Reads the content of the object `key`.
    ///
    /// # Errors
    /// [`BadManifest`] for anything but what [`Manifest::to_json`] writes under this name.
    pub fn parse(key: &str, bytes: &[u8]) -> Result<Self, BadManifest> {
        let bad = |reason: String| BadManifest { key: key.to_owned(), reason };
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
        if manifest.v != VERSION {
            return Err(bad(format!("version {} is not known", manifest.v)));
        }
        if manifest.key() != key || manifest.to_json().as_bytes() != bytes {
            return Err(bad("it is not what is written under this name".to_owned()));
        }
        Ok(manifest)
    }
}

impl ObjectRef {
    pub(crate) fn new(
        path: String,
        key: String,
        sha256: Hash,
        bytes: u64,
        copy: StoredCopy,
    ) -> Self {
        let StoredCopy { version_id, locked_until_s } = copy;
        Self { bytes, key, locked_until_s, path, sha256: sha256.to_string(), version_id }
    }
}

/// What the names of manifests of whole rounds begin with.
pub const WHOLES: &str = "manifests/";
/// What the names of manifests of parts begin with.
pub const PARTS: &str = "parts/";
/// The version of the format.
pub(crate) const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::{Manifest, ManifestRef, ObjectRef};

    fn manifest() -> Manifest {
        Manifest {
            blocks_from: 1,
            blocks_to: 2,
            objects: vec![ObjectRef {
                bytes: 8_192,
                key: "tile/0/001".to_owned(),
                locked_until_s: 1_795_347_971,
                path: "tile/0/001".to_owned(),
                sha256: "ab".repeat(32),
                version_id: "v1".to_owned(),
            }],
            origin: "example.com/log".to_owned(),
            part: Some(ManifestRef {
                key: "parts/00000000000000000001.json".to_owned(),
                sha256: "cd".repeat(32),
                version_id: "v0".to_owned(),
            }),
            previous: None,
            size: Some(600),
            v: 1,
        }
    }

    #[test]
    fn golden() {
        let manifest = manifest();
        let golden = include_str!("../../tests/golden/manifest.json");
        assert_eq!(manifest.to_json(), golden);
        assert_eq!(manifest.key(), "manifests/00000000000000000600.json");
        assert_eq!(Manifest::parse(&manifest.key(), golden.as_bytes()), Ok(manifest));
    }

    #[test]
    fn only_the_one_form_under_its_own_name_is_read() {
        let manifest = manifest();
        let (key, text) = (manifest.key(), manifest.to_json());
        assert!(Manifest::parse("manifests/00000000000000000601.json", text.as_bytes()).is_err());
        for altered in [
            text.trim_end().to_owned(),
            text.replacen("\"v\":1", "\"v\":2", 1),
            text.replacen("\"v\":1", "\"v\":1,\"more\":1", 1),
            text.replacen("\"size\":600", "\"size\":601", 1),
            text.replacen(":", ": ", 1),
            "{}".to_owned(),
        ] {
            assert!(Manifest::parse(&key, altered.as_bytes()).is_err(), "{altered}");
        }
    }
}
