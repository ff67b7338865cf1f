//! Answers of S3 servers: a list says what was written into it, an answer what its headers say, and an
//! error repeats a word of it at the most.

use crate::script::{Script, patch};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use objects::testing::{Said, goes_on_after, lock_enabled, read_answer, read_page};
use objects::{Entry, Kind};

/// The first byte chooses what the rest is: a document, what a list holds, changes to a good one, or an
/// answer.
pub fn s3_listing(data: &[u8]) {
    let mut script = Script::new(data);
    match script.byte() % 4 {
        0 => check_document(script.rest()),
        1 => check_written(&mut script),
        2 => {
            let mut document = GOOD.as_bytes().to_vec();
            patch(&mut document, &mut script);
            check_document(&document);
        }
        _ => check_answer(&mut script),
    }
}

/// What is read of any document stands in it, as long as nothing in it stands for something else.
fn check_document(xml: &[u8]) {
    for prefix in ["", "log/"] {
        let read = read_page(xml, prefix);
        assert_eq!(read_page(xml, prefix), read, "the second time is another");
        let page = match read {
            Ok(page) => page,
            Err(reason) => {
                assert!(
                    reason.len() < 100 && reason.is_ascii(),
                    "it repeats the document: {reason}"
                );
                continue;
            }
        };
        let text = str::from_utf8(xml).expect("a list is UTF-8");
        let starts = |element: &str| text.matches(&format!("<{element}")).count();
        let body = text.strip_prefix("<?xml").unwrap_or(text);
        if ["&", "<!", "<?", "\r", ":"].iter().any(|sign| body.contains(sign)) {
            continue;
        }
        let markers = page.entries.iter().filter(|entry| entry.kind == Kind::DeleteMarker).count();
        assert!(markers <= starts("DeleteMarker"), "a marker that is not there");
        assert!(page.entries.len() - markers <= starts("Version"), "an object that is not there");
        let holds = |value: &str| value.is_empty() || text.contains(&format!(">{value}<"));
        for entry in &page.entries {
            let key = format!("{prefix}{}", entry.key);
            assert!(holds(&key) && holds(&entry.version_id), "it does not stand there: {entry:?}");
        }
        if let Some(next) = &page.next {
            let (key, version) = goes_on_after(next);
            assert!(holds(key) && version.is_none_or(holds) && text.contains("NextKeyMarker"));
        }
    }
    if lock_enabled(xml) == Ok(true) {
        let text = str::from_utf8(xml).expect("a configuration is UTF-8");
        assert!(text.contains("ObjectLockEnabled"), "nobody enabled it");
    }
}

/// A list is read as it was written, however its texts are spelled.
fn check_written(script: &mut Script<'_>) {
    let prefix = *script.choose(&["", "log/"]);
    let next = (script.byte() & 1 == 1).then(|| (text(script), text(script)));
    let mut rows = String::new();
    let (mut objects, mut markers) = (Vec::new(), Vec::new());
    while !script.is_at_end() {
        let flags = script.byte();
        let entry = Entry {
            key: text(script),
            version_id: text(script),
            latest: flags & 2 == 2,
            kind: match flags & 1 {
                0 => Kind::DeleteMarker,
                _ => Kind::Object { size: u64::from(script.number()) << (flags & 48) },
            },
        };
        let (element, size) = match entry.kind {
            Kind::DeleteMarker => ("DeleteMarker", String::new()),
            Kind::Object { size } => ("Version", format!("<Size>{size}</Size>")),
        };
        let key = spell(&format!("{prefix}{}", entry.key), flags >> 2);
        let version = spell(&entry.version_id, flags >> 3);
        rows.push_str(&format!(
            "<{element}><Key>{key}</Key><VersionId>{version}</VersionId><IsLatest>{}</IsLatest>\
             {size}</{element}>\n",
            entry.latest
        ));
        if entry.kind == Kind::DeleteMarker { &mut markers } else { &mut objects }.push(entry);
    }
    let (truncated, from) = match &next {
        None => (false, String::new()),
        Some((key, version)) => (
            true,
            format!(
                "<NextKeyMarker>{}</NextKeyMarker><NextVersionIdMarker>{}</NextVersionIdMarker>",
                spell(key, 0),
                spell(version, 1)
            ),
        ),
    };
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListVersionsResult \
         xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><IsTruncated>{truncated}</IsTruncated>\
         {from}{rows}</ListVersionsResult>"
    );
    let page = read_page(xml.as_bytes(), prefix).unwrap_or_else(|reason| panic!("{reason}: {xml}"));
    objects.append(&mut markers);
    assert_eq!(page.entries, objects, "read otherwise than written: {xml}");
    let found = page.next.as_ref().map(goes_on_after);
    let wanted = next.as_ref().map(|(key, version)| (key.as_str(), Some(version.as_str())));
    assert_eq!(found, wanted);
}

/// A text that XML can hold (XML 1.0, section 2.2).
fn text(script: &mut Script<'_>) -> String {
    let text = String::from_utf8_lossy(script.piece());
    let holds = |c: &char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().filter(holds).collect()
}

/// One of the spellings of a text.
fn spell(text: &str, how: u8) -> String {
    let escape = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '\r' => "&#13;".to_owned(),
        '"' if how & 1 == 1 => "&quot;".to_owned(),
        c if how & 2 == 2 => format!("&#x{:x};", u32::from(c)),
        c => c.to_string(),
    };
    if how & 3 == 3 && !text.contains("]]>") && !text.contains('\r') {
        return format!("<![CDATA[{text}]]>");
    }
    text.chars().map(escape).collect()
}

/// A status, lines of headers up to an empty one, and a body.
fn check_answer(script: &mut Script<'_>) {
    let status = StatusCode::from_u16(script.number()).unwrap_or(StatusCode::FORBIDDEN);
    let mut map = HeaderMap::new();
    let mut rest = script.rest();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, more) = (&rest[..end], &rest[end + 1..]);
        rest = more;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { break };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            map.insert(name, value);
        }
    }
    let said = read_answer(status, map.clone(), Bytes::copy_from_slice(rest));
    let header = |name: &str| map.get(name).and_then(|value| value.to_str().ok());
    let version = header("x-amz-version-id").filter(|id| !matches!(*id, "" | "null"));
    assert_eq!(said.version.as_deref(), version.filter(|id| id.len() <= 1_024));
    if let Some(sha256) = said.sha256 {
        assert_eq!(header("x-amz-checksum-sha256"), Some(STANDARD.encode(sha256).as_str()));
    }
    if let Some(size) = said.size {
        assert_eq!(header("content-length").and_then(|text| text.parse().ok()), Some(size));
    }
    if let Some(retention) = said.retention {
        assert_eq!(header("x-amz-object-lock-mode"), Some(retention.mode.as_str()));
        let until = header("x-amz-object-lock-retain-until-date").unwrap_or_default();
        let shown = retention.to_string();
        assert!(!is_plain_date(until) || shown.ends_with(until), "{shown}, not {until}");
    }
    assert_eq!(said.deleted, header("x-amz-delete-marker") == Some("true"));
    check_refusal(&said, &String::from_utf8_lossy(rest));
}

/// One word of a body is repeated at the most.
fn check_refusal(said: &Said, body: &str) {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    assert!(
        said.code.len() <= 64 && said.code.chars().all(word),
        "more than a word: {}",
        said.code
    );
    assert!(said.code.is_empty() || body.contains("Code"), "a code that is not there");
    assert!(said.refusal.len() < 400 && said.refusal.is_ascii(), "{}", said.refusal);
    assert!(!said.refusal.contains(SECRET), "it repeats what was signed");
}

/// Whether a date is as S3 writes it; a leap second has no number of its own.
fn is_plain_date(text: &str) -> bool {
    let fits = |(byte, form): (u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        _ => byte == *form,
    };
    text.len() == PLAIN_DATE.len()
        && text.bytes().zip(PLAIN_DATE).all(fits)
        && !text.contains(":60Z")
}

/// As S3 writes dates, with a nought for every digit.
const PLAIN_DATE: &[u8] = b"0000-00-00T00:00:00Z";

/// Stands in bodies of the corpus beside the code; it is no word.
const SECRET: &str = "AKID/EXAMPLE";

/// After the example of the S3 API reference.
const GOOD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
  <Name>bucket</Name><Prefix>log/</Prefix><KeyMarker/><VersionIdMarker/><MaxKeys>5</MaxKeys>
  <IsTruncated>true</IsTruncated>
  <NextKeyMarker>log/b</NextKeyMarker><NextVersionIdMarker>v3</NextVersionIdMarker>
  <Version><Key>log/a</Key><VersionId>v1</VersionId><IsLatest>false</IsLatest>
    <ETag>"x"</ETag><Size>434234</Size><Owner><ID>i</ID></Owner></Version>
  <DeleteMarker><Key>log/a</Key><VersionId>v2</VersionId><IsLatest>true</IsLatest></DeleteMarker>
  <Version><Key>log/b</Key><VersionId>v3</VersionId><IsLatest>true</IsLatest><Size>0</Size></Version>
</ListVersionsResult>"#;
