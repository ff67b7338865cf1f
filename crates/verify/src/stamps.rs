//! The timestamps over checkpoints: `timestamps/<size>.note` is what was
//! stamped, `timestamps/<size>.tsr` the answer of the authority (RFC 3161).

use crate::check::{Check, Checks};
use crate::event::Facts;
use crate::failure::{Failure, Verdict};
use crate::keys::{Ring, read, refused};
use crate::log::Verification;
use crate::marks::Mark;
use crate::report::{Report, StampReport};
use crate::source::{Source, SourceError};
use crate::walk::{STAMPS, parse_stamp_path, stamp_path, stamped_path};
use note::Hash;
use std::collections::BTreeMap;
use timestamp::roots_from_pem;

/// Verifies what can be verified of the timestamps, as far as the source can
/// tell which there are. Each is a promise of a root.
pub(crate) fn read_all(
    verification: &Verification<'_>,
    ring: &Ring,
    report: &mut Report,
) -> Result<Vec<Mark>, Failure> {
    let (source, checks) = (verification.source, verification.checks);
    let roots = given_roots(verification.options.tsa_roots.as_deref())?;
    let listed = source.list(STAMPS).map_err(|error| refused(STAMPS, &error))?;
    let mut sizes: BTreeMap<u64, (bool, bool)> = BTreeMap::new();
    for name in listed.iter().flatten() {
        let path = format!("{STAMPS}/{name}");
        if let Some(size) = parse_stamp_path(&path) {
            let (stamped, stamp) = sizes.entry(size).or_default();
            *stamped |= path == stamped_path(size);
            *stamp |= path == stamp_path(size);
        }
    }
    let mut marks = Vec::new();
    for (size, (stamped, stamp)) in sizes {
        checks.require(Check::StampPair, stamped, || {
            let what = "the checkpoint that the timestamp is over is missing";
            Failure::new(Check::StampPair, &stamped_path(size), what)
        })?;
        if !stamp {
            // The writer was stopped in between; the next timestamp has another name.
            report
                .remark(format!("the checkpoint of {size} entries was to be stamped, and was not"));
        }
        if !stamped || !stamp {
            continue;
        }
        let path = stamped_path(size);
        let note = read(source, &path)?;
        let kinds = (Check::StampRoot, Check::StampSize);
        let mark = verification.signed_mark(ring, &note, (&path, Check::StampSigner, kinds))?;
        if let Some(mark) = mark {
            checks.require(Check::StampSigner, mark.size == size, || {
                let what = "the checkpoint has another size than its name";
                Failure::new(Check::StampSigner, &path, what)
            })?;
            marks.push(mark);
        }
        let token = read(source, &stamp_path(size))?;
        match judge(size, (&note, &token), roots.as_deref()) {
            Ok(stamp) => report.stamps.push(stamp),
            Err(failure) => checks.fail(failure)?,
        }
    }
    Ok(marks)
}

/// Looks for the timestamp that an event tells of; judges it when nobody did, as the source could
/// not tell which there are.
pub(crate) fn told(
    (source, checks): (&dyn Source, Checks),
    facts: &Facts,
    (path, index): (&str, u64),
    roots: Option<&[Vec<u8>]>,
) -> Result<Option<StampReport>, Failure> {
    let size = facts.detail("size").and_then(|text| text.parse::<u64>().ok());
    let (Some(size), Some(sha256)) = (size, facts.detail("sha256")) else { return Ok(None) };
    let read = |path: String| match source.read(&path) {
        Err(SourceError::NotFound) => Ok(None),
        read => read.map(Some).map_err(|error| refused(&path, &error)),
    };
    let (note, token) = (read(stamped_path(size))?, read(stamp_path(size))?);
    let same = note.as_ref().is_some_and(|note| Hash::of(note).to_string() == sha256);
    checks.require(Check::StampEvents, same && token.is_some(), || {
        let what = "the timestamp that the event tells of is not there as it was";
        Failure::new(Check::StampEvents, path, what).entry(index)
    })?;
    let (Some(note), Some(token)) = (note, token) else { return Ok(None) };
    match judge(size, (&note, &token), roots) {
        Ok(stamp) => Ok(Some(stamp)),
        Err(failure) => checks.fail(failure).map(|()| None),
    }
}

/// The roots that are given, as DER.
pub(crate) fn given_roots(pem: Option<&[u8]>) -> Result<Option<Vec<Vec<u8>>>, Failure> {
    let Some(pem) = pem else { return Ok(None) };
    let unusable = |what: String| Failure::needed(Verdict::Unreadable, ROOTS, what);
    let text = str::from_utf8(pem).map_err(|_| unusable("they are not text".to_owned()))?;
    roots_from_pem(text).map(Some).map_err(|error| unusable(error.to_string()))
}

/// Judges one answer of an authority, over these bytes.
fn judge(
    size: u64,
    (note, token): (&[u8], &[u8]),
    roots: Option<&[Vec<u8>]>,
) -> Result<StampReport, Failure> {
    let Some(roots) = roots else {
        return Ok(StampReport { size, time_ms: None, authority: None });
    };
    let stamp = timestamp::verify(token, *Hash::of(note).as_bytes(), None, roots);
    let stamp = stamp
        .map_err(|error| Failure::new(Check::StampToken, &stamp_path(size), error.to_string()))?;
    let (time_ms, authority) = (Some(stamp.time_unix_ms), Some(stamp.authority));
    Ok(StampReport { size, time_ms, authority })
}

/// How a failure names the roots that the auditor gave.
const ROOTS: &str = "the given roots";

#[cfg(test)]
mod tests {
    use super::{given_roots, judge};
    use crate::check::Check;

    const NOTE: &[u8] = include_bytes!("../tests/golden/stamped.note");
    const TOKEN: &[u8] = include_bytes!("../tests/golden/stamped.tsr");
    const ROOT: &[u8] = include_bytes!("../tests/golden/tsa-root.pem");

    #[test]
    fn a_timestamp_is_over_its_checkpoint_and_by_a_trusted_authority() {
        let roots = given_roots(Some(ROOT)).unwrap();
        let stamp = judge(3, (NOTE, TOKEN), roots.as_deref()).unwrap();
        assert!(stamp.time_ms.is_some() && stamp.authority.is_some());
        let other = [NOTE, b"x"].concat();
        let failure = judge(3, (&other, TOKEN), roots.as_deref()).unwrap_err();
        assert_eq!(failure.check, Some(Check::StampToken));
        assert!(judge(3, (NOTE, TOKEN), Some(&[])).is_err());
        assert_eq!(judge(3, (&other, TOKEN), None).unwrap().time_ms, None);
        assert!(given_roots(Some(b"no roots")).is_err());
    }
}
