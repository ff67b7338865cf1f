//! The verification of a whole log, from its keys to its verdict.

use crate::check::{Check, Checks};
use crate::directory::is_live;
use crate::failure::{Failure, Verdict};
use crate::keys::{Ring, read, refused};
use crate::marks::{Mark, Marks};
use crate::options::{Observer, Options};
use crate::pass::Pass;
use crate::report::{LooksAt, Report};
use crate::source::{Source, SourceError};
use crate::walk::{CHECKPOINT, LOCK, PRUNED, SEGMENTS};
use crate::{sample, stamps, tiles};
use note::{Action, Checkpoint, Note, Pruned, Seen, Statement, Verifier, cosigned};
use std::collections::BTreeSet;
use std::path::Path;

/// Verifies a log. It is never changed.
///
/// # Errors
/// The first thing that is wrong, as a [`Failure`]. Too few witnesses are told
/// only of a log in which nothing else is wrong.
pub fn verify(
    source: &dyn Source,
    options: &Options<'_>,
    observer: &mut dyn Observer,
) -> Result<Report, Failure> {
    verify_with(source, options, observer, Checks::default())
}

/// [`verify`] with the checks that are made.
pub(crate) fn verify_with(
    source: &dyn Source,
    options: &Options<'_>,
    observer: &mut dyn Observer,
    checks: Checks,
) -> Result<Report, Failure> {
    let live = source.directory().map_or(Ok(false), is_live)?;
    let verified = Verification { source, options, checks, live }.run(observer);
    verified.map_err(|mut failure| {
        let now = source.directory().is_some_and(|dir| is_live(dir).is_ok_and(|live| live));
        if !live && now {
            failure.what.push_str("; a writer opened the log meanwhile, so verify it again");
        }
        failure
    })
}

/// What a log says of itself, verified: where a pass over it begins.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(crate) ring: Ring,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) marks: Marks,
    /// The smallest index that is kept.
    pub(crate) minimum: u64,
}

/// One verification.
pub(crate) struct Verification<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) options: &'a Options<'a>,
    pub(crate) checks: Checks,
    pub(crate) live: bool,
}

impl Verification<'_> {
    fn run(&self, observer: &mut dyn Observer) -> Result<Report, Failure> {
        let mut report = Report::default();
        let mut ring = Ring::read(self.source, self.checks)?;
        ring.trust(&self.pins(&ring), self.checks)?;
        // The checkpoint before everything it speaks of: what a writer adds
        // meanwhile is then never missing.
        let note = read(self.source, CHECKPOINT)?;
        let checkpoint = self.checkpoint(&ring, &note, &mut report)?;
        let minimum = self.minimum(&ring, &checkpoint)?;
        let quorum = self.witnesses(&note, &mut report)?;
        let mut marks = self.marks(&ring, &checkpoint, &note)?;
        if let Some(other) = self.options.compare {
            marks.extend(self.compare(other, &ring, &checkpoint, &note)?);
            report.compared = Some(other.name());
        }
        marks.extend(stamps::read_all(self, &ring, &mut report)?);
        report.describe(self.source, &ring, &checkpoint, minimum);
        report.given_sizes = self.given_sizes();
        report.live = self.live;
        let marks = Marks::new(marks, &note, self.checks);
        let mut claims = Claims { ring, checkpoint, marks, minimum };
        match (self.options.sample, self.source.directory()) {
            (Some(chosen), _) => sample::verify(self, chosen, &mut claims, &mut report)?,
            (None, Some(dir)) if self.has_segments(dir) => {
                report.looks_at = LooksAt::Segments;
                Pass::new(self, &mut claims, observer).segments(dir, &mut report)?;
            }
            (None, _) => {
                report.looks_at = LooksAt::Published;
                Pass::new(self, &mut claims, observer).published(&mut report)?;
            }
        }
        self.checks.require(Check::Quorum, quorum, || {
            let what = format!(
                "{} witnesses of the policy cosigned it, which is not enough",
                report.witnesses.len()
            );
            Failure::new(Check::Quorum, CHECKPOINT, what)
        })?;
        report.verdict = self.verdict();
        Ok(report)
    }

    fn verdict(&self) -> Verdict {
        let options = self.options;
        let pinned = !options.keys.is_empty()
            || !options.checkpoints.is_empty()
            || options.policy.as_ref().is_some_and(|policy| !policy.logs().is_empty());
        if options.policy.as_ref().is_some_and(note::Policy::needs_witnesses) {
            Verdict::Witnessed
        } else if pinned {
            Verdict::Valid
        } else {
            Verdict::Unproven
        }
    }

    fn has_segments(&self, dir: &Path) -> bool {
        dir.join(SEGMENTS).exists() || dir.join(LOCK).exists()
    }

    /// The keys that are known from elsewhere. A checkpoint that was kept
    /// stands for the keys that signed it.
    fn pins(&self, ring: &Ring) -> Vec<Verifier> {
        let mut pins = self.options.keys.clone();
        let logs = self.options.policy.iter().flat_map(|policy| policy.logs());
        // A policy may speak of other logs as well.
        let of_policy: Vec<Verifier> = logs.map(|(key, _)| key.clone()).collect();
        let (same, other): (Vec<_>, Vec<_>) =
            of_policy.into_iter().partition(|key| key.name() == ring.origin);
        if same.is_empty() && pins.is_empty() {
            pins.extend(other);
        }
        pins.extend(same);
        if pins.is_empty() {
            for note in &self.options.checkpoints {
                if let Some((note, checkpoint)) = parse_checkpoint(note) {
                    pins.extend(ring.signers(&note, checkpoint.size));
                }
            }
        }
        pins
    }

    /// The published checkpoint.
    fn checkpoint(
        &self,
        ring: &Ring,
        bytes: &[u8],
        report: &mut Report,
    ) -> Result<Checkpoint, Failure> {
        let checks = self.checks;
        let fail = |check, what: String| Failure::new(check, CHECKPOINT, what);
        let (note, checkpoint) = parse_checkpoint(bytes).ok_or_else(|| {
            let what = "this is not a signed checkpoint in its one form";
            Failure::needed(Verdict::Altered, CHECKPOINT, what)
        })?;
        checks.require(Check::CheckpointOrigin, checkpoint.origin == ring.origin, || {
            let what =
                format!("it is of the log `{}`, not of `{}`", checkpoint.origin, ring.origin);
            fail(Check::CheckpointOrigin, what)
        })?;
        let found = ring.signatures(&note, checkpoint.size);
        checks.require(Check::CheckpointSignature, found.wrong.is_none(), || {
            let id = found.wrong.as_deref().unwrap_or_default();
            fail(Check::CheckpointSignature, format!("its signature by the key {id} is wrong"))
        })?;
        checks.require(Check::CheckpointKey, found.trusted, || {
            let what = match (&found.outdated, found.valid.is_empty()) {
                (Some(id), true) => {
                    format!("it is signed by the key {id}, which is not valid at its size")
                }
                (None, true) => "it is not signed by a key of the log".to_owned(),
                (_, false) => {
                    "it is signed only by keys that the given key does not lead to".to_owned()
                }
            };
            fail(Check::CheckpointKey, what)
        })?;
        for id in &found.silent {
            report.remark(format!("the key {id} is valid and did not sign the checkpoint"));
        }
        report.checkpoint_signers = found.valid;
        report.other_lines = found.others;
        Ok(checkpoint)
    }

    /// The smallest index that is kept.
    fn minimum(&self, ring: &Ring, checkpoint: &Checkpoint) -> Result<u64, Failure> {
        let checks = self.checks;
        let bytes = match self.source.read(PRUNED) {
            Err(SourceError::NotFound) => return Ok(0),
            read => read.map_err(|error| refused(PRUNED, &error))?,
        };
        let fail = |check, what: &str| Failure::new(check, PRUNED, what);
        let parsed = Pruned::parse(&bytes).ok();
        let parsed = parsed.filter(|(pruned, _)| pruned.origin == ring.origin);
        let Some((pruned, note)) = parsed else {
            let what = "it does not say, in its one form, what this log pruned";
            checks.fail(fail(Check::PrunedForm, what))?;
            return Ok(0);
        };
        // It was signed at some size from there on.
        let last = checkpoint.size.max(pruned.minimum);
        let signed = ring.signed_between(&note, pruned.minimum, last);
        checks.require(Check::PrunedSigner, signed && note.signatures().len() == 1, || {
            fail(Check::PrunedSigner, "it is not signed by a key of the log")
        })?;
        checks.require(Check::PrunedSize, pruned.minimum <= checkpoint.size, || {
            fail(Check::PrunedSize, "it prunes entries that no checkpoint covers")
        })?;
        Ok(pruned.minimum.min(checkpoint.size))
    }

    /// Who cosigned; whether they are enough.
    fn witnesses(&self, bytes: &[u8], report: &mut Report) -> Result<bool, Failure> {
        let Some(policy) = &self.options.policy else { return Ok(true) };
        let Ok(note) = Note::parse(bytes) else { return Ok(false) };
        for witness in policy.witnesses() {
            match cosigned(&note, &witness.key) {
                Ok(Some(time_s)) => {
                    report.other_lines = report.other_lines.saturating_sub(1);
                    report.witnesses.push(Seen { witness: witness.name.clone(), time_s });
                }
                Ok(None) => {}
                Err(_) => {
                    let what = format!("the cosignature of `{}` is wrong", witness.name);
                    let failure = Failure::new(Check::Cosignature, CHECKPOINT, what);
                    self.checks.fail(failure)?;
                }
            }
        }
        let names: BTreeSet<&str> =
            report.witnesses.iter().map(|seen| seen.witness.as_str()).collect();
        Ok(policy.satisfied_by(&names))
    }

    /// The roots that the log's own notes and the given ones promise.
    fn marks(
        &self,
        ring: &Ring,
        checkpoint: &Checkpoint,
        note: &[u8],
    ) -> Result<Vec<Mark>, Failure> {
        let checks = (Check::CheckpointRoot, Check::CheckpointSize);
        let Checkpoint { size, root, .. } = *checkpoint;
        let path = CHECKPOINT.to_owned();
        let mut marks = vec![Mark { size, root, checks, path, note: note.to_vec() }];
        for made in &ring.statements {
            if let Action::Revoke { size, root, .. } = made.statement.action {
                let checks = (Check::RevokedRoot, Check::RevokedSize);
                let path = Statement::path(made.statement.ordinal);
                marks.push(Mark { size, root, checks, path, note: made.bytes.clone() });
            }
        }
        for bytes in &self.options.checkpoints {
            let checks = (Check::GivenRoot, Check::GivenSize);
            let mark = self.signed_mark(ring, bytes, (GIVEN, Check::GivenSigner, checks))?;
            marks.extend(mark);
        }
        Ok(marks)
    }

    /// A mark from a checkpoint that some key of the log signed.
    pub(crate) fn signed_mark(
        &self,
        ring: &Ring,
        bytes: &[u8],
        (path, signer, checks): (&str, Check, (Check, Check)),
    ) -> Result<Option<Mark>, Failure> {
        let fail = |what: &str| self.checks.fail(Failure::new(signer, path, what));
        let Some((note, checkpoint)) = parse_checkpoint(bytes) else {
            let what = "this is not a signed checkpoint in its one form";
            let failure = Failure::new(signer, path, what).verdict(Verdict::Altered);
            self.checks.fail(failure)?;
            return Ok(None);
        };
        if checkpoint.origin != ring.origin {
            fail("it is of another log")?;
        } else if ring.signatures(&note, checkpoint.size).valid.is_empty() {
            fail("it is not signed by a key of the log that is valid at its size")?;
        }
        let Checkpoint { size, root, .. } = checkpoint;
        let (path, note) = (path.to_owned(), bytes.to_vec());
        Ok(Some(Mark { size, root, checks, path, note }))
    }

    /// Holds another copy against this one. One that is not longer becomes a
    /// mark; of a longer one, its tiles show whether it continues this log.
    fn compare(
        &self,
        other: &dyn Source,
        ring: &Ring,
        checkpoint: &Checkpoint,
        note: &[u8],
    ) -> Result<Option<Mark>, Failure> {
        let bytes = read(other, CHECKPOINT)?;
        // The other copy may have newer keys; they count as far as they lead
        // back to the same ones.
        let mut theirs = Ring::read(other, self.checks)?;
        let trusted: Vec<Verifier> =
            ring.held().iter().filter(|held| held.trusted).map(|held| held.key.clone()).collect();
        let related = theirs.trust(&trusted, Checks::default());
        let path = format!("{}/{CHECKPOINT}", other.name());
        self.checks.require(Check::ComparedSigner, related.is_ok(), || {
            Failure::new(Check::ComparedSigner, &path, "it is of a log with other keys")
        })?;
        let checks = (Check::ComparedRoot, Check::ComparedRoot);
        let mark = self.signed_mark(&theirs, &bytes, (&path, Check::ComparedSigner, checks))?;
        let Some(mark) = mark else { return Ok(None) };
        if mark.size <= checkpoint.size {
            return Ok(Some(mark));
        }
        let mut tiles = tiles::Reader::new(other, mark.size);
        let roots = crate::tree::roots(mark.size, checkpoint.size, &mut |level, index| {
            tiles.node(level, index)
        })?;
        self.checks.require(Check::ComparedTiles, roots.new == mark.root, || {
            Failure::new(Check::ComparedTiles, &path, "its tiles do not have its root")
        })?;
        let root = roots.old.unwrap_or(note::Hash::EMPTY_ROOT);
        let (size, checks) = (checkpoint.size, mark.checks);
        // What the other copy says of our size: the mark is its word on it.
        let mark = Mark { size, root, checks, path: mark.path, note: mark.note };
        let _ = note;
        Ok(Some(mark))
    }

    fn given_sizes(&self) -> Vec<u64> {
        let notes = self.options.checkpoints.iter();
        notes.filter_map(|note| parse_checkpoint(note)).map(|(_, given)| given.size).collect()
    }
}

/// Reads a checkpoint without checking who signed it.
pub(crate) fn parse_checkpoint(bytes: &[u8]) -> Option<(Note<'_>, Checkpoint)> {
    let note = Note::parse(bytes).ok()?;
    let checkpoint = Checkpoint::parse(note.text()).ok()?;
    Some((note, checkpoint))
}

/// How a failure names the checkpoint that the auditor gave.
pub(crate) const GIVEN: &str = "the given checkpoint";
