//! Pages of what lies under a prefix: every version and every delete marker.
//!
//! Reads XML (S3 API, `ListObjectVersions`); knows nothing of what the objects hold.

use serde::Deserialize;

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In no promised order. At most 1000.
    pub entries: Vec<Entry>,
    /// Where the next page begins; none after the last.
    pub next: Option<Continuation>,
}

/// A version of an object, or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, without the prefix of the store. Others may have put names here that no
    /// [`crate::Key`] can have.
    pub key: String,
    /// The version, `null` in buckets without versions.
    pub version_id: String,
    /// Whether a read without a version meets this one.
    pub latest: bool,
    /// What it is.
    pub kind: Kind,
}

/// What a version of a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Content.
    Object {
        /// Its size in bytes.
        size: u64,
    },
    /// The name was deleted; the versions below remain.
    DeleteMarker,
}

/// Where a listing goes on. Means something to the storage only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    pub(crate) key: String,
    pub(crate) version: Option<String>,
}

/// Reads a page whose names begin with `prefix`, which is taken off. The error says what is wrong.
pub(crate) fn page(xml: &[u8], prefix: &str) -> Result<Page, String> {
    let text = str::from_utf8(xml).map_err(|_| "it is not UTF-8".to_owned())?;
    let document: Document =
        quick_xml::de::from_str(text).map_err(|_| "it is no list of versions".to_owned())?;
    let next = match (document.truncated, document.next_key) {
        (false, _) => None,
        (true, Some(key)) => Some(Continuation { key, version: document.next_version }),
        (true, None) => return Err("the list goes on, but not from where".to_owned()),
    };
    let objects = document.versions.into_iter().map(|row| {
        let kind = row.size.map(|size| Kind::Object { size });
        (row, kind)
    });
    let markers = document.markers.into_iter().map(|row| (row, Some(Kind::DeleteMarker)));
    let entry = |(row, kind): (Row, Option<Kind>)| {
        let kind = kind.ok_or_else(|| "an object has no size".to_owned())?;
        let key = row.key.strip_prefix(prefix);
        let key = key.ok_or_else(|| "it lists what was not asked for".to_owned())?.to_owned();
        Ok(Entry { key, version_id: row.version_id, latest: row.latest, kind })
    };
    Ok(Page { entries: objects.chain(markers).map(entry).collect::<Result<_, String>>()?, next })
}

/// Whether a bucket's Object Lock configuration says that it is enabled.
pub(crate) fn lock_enabled(xml: &[u8]) -> Result<bool, String> {
    let text = str::from_utf8(xml).map_err(|_| "it is not UTF-8".to_owned())?;
    let document: LockDocument = quick_xml::de::from_str(text)
        .map_err(|_| "it is no Object Lock configuration".to_owned())?;
    Ok(document.enabled == "Enabled")
}

#[derive(Debug, Deserialize)]
struct Document {
    #[serde(rename = "IsTruncated")]
    truncated: bool,
    #[serde(rename = "NextKeyMarker")]
    next_key: Option<String>,
    #[serde(rename = "NextVersionIdMarker")]
    next_version: Option<String>,
    #[serde(rename = "Version", default)]
    versions: Vec<Row>,
    #[serde(rename = "DeleteMarker", default)]
    markers: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "VersionId")]
    version_id: String,
    #[serde(rename = "IsLatest")]
    latest: bool,
    #[serde(rename = "Size")]
    size: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct LockDocument {
    #[serde(rename = "ObjectLockEnabled")]
    enabled: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After the example in the S3 API reference, with kinds interleaved.
    const PAGE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
  <Name>bucket</Name><Prefix>log/</Prefix><KeyMarker/><VersionIdMarker/><MaxKeys>5</MaxKeys>
  <IsTruncated>true</IsTruncated>
  <NextKeyMarker>log/b</NextKeyMarker><NextVersionIdMarker>v3</NextVersionIdMarker>
  <Version><Key>log/a&amp;b</Key><VersionId>v1</VersionId><IsLatest>false</IsLatest>
    <LastModified>2026-11-22T00:00:00.000Z</LastModified><ETag>"x"</ETag><Size>434234</Size>
    <StorageClass>STANDARD</StorageClass><Owner><ID>i</ID><DisplayName>d</DisplayName></Owner>
  </Version>
  <DeleteMarker><Key>log/a&amp;b</Key><VersionId>v2</VersionId><IsLatest>true</IsLatest>
    <Owner><ID>i</ID></Owner></DeleteMarker>
  <Version><Key>log/b</Key><VersionId>v3</VersionId><IsLatest>true</IsLatest><Size>0</Size></Version>
</ListVersionsResult>"#;

    fn entry(key: &str, version_id: &str, latest: bool, kind: Kind) -> Entry {
        Entry { key: key.to_owned(), version_id: version_id.to_owned(), latest, kind }
    }

    #[test]
    fn versions_and_delete_markers_are_read() {
        let page = page(PAGE.as_bytes(), "log/").unwrap();
        assert_eq!(
            page.entries,
            [
                entry("a&b", "v1", false, Kind::Object { size: 434_234 }),
                entry("b", "v3", true, Kind::Object { size: 0 }),
                entry("a&b", "v2", true, Kind::DeleteMarker),
            ]
        );
        let next = Continuation { key: "log/b".to_owned(), version: Some("v3".to_owned()) };
        assert_eq!(page.next, Some(next));
    }

    #[test]
    fn an_empty_page_is_the_last() {
        let xml = b"<ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>";
        assert_eq!(page(xml, "log/"), Ok(Page { entries: Vec::new(), next: None }));
    }

    #[test]
    fn what_is_no_page_is_refused() {
        let truncated = PAGE.replace("<NextKeyMarker>log/b</NextKeyMarker>", "");
        let unsized_object = PAGE.replace("<Size>0</Size>", "");
        let unversioned = PAGE.replace("<VersionId>v1</VersionId>", "");
        let entity = PAGE.replace("a&amp;b", "a&x;b");
        let (cut, _) = PAGE.split_at(PAGE.len() / 2);
        for text in [&truncated, &unsized_object, &unversioned, &entity, cut, "", "<html/>", "{}"] {
            assert!(page(text.as_bytes(), "log/").is_err(), "{text}");
        }
        assert!(page(PAGE.as_bytes(), "other/").is_err());
        assert!(page(b"\xff", "").is_err());
    }

    #[test]
    fn the_lock_of_a_bucket_is_read() {
        let xml = "<?xml version=\"1.0\"?><ObjectLockConfiguration xmlns=\"http://s3.amazonaws.com/doc/\
                   2006-03-01/\"><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
                   <Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention></Rule>\
                   </ObjectLockConfiguration>";
        assert_eq!(lock_enabled(xml.as_bytes()), Ok(true));
        assert_eq!(lock_enabled(xml.replace("Enabled<", "<").as_bytes()), Ok(false));
        assert!(lock_enabled(b"<html/>").is_err());
    }
}
