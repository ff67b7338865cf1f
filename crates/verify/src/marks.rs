//! The sizes at which somebody signed what the root of the log is.
//!
//! Knows nothing of who signs; the marks were verified before.

use crate::check::{Check, Checks};
use crate::failure::{Evidence, Failure};
use crate::tree::Tree;
use note::Hash;

/// One promise: at this size the log has this root.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) size: u64,
    pub(crate) root: Hash,
    /// The checks of the root and of the size.
    pub(crate) checks: (Check, Check),
    /// How a failure names it.
    pub(crate) path: String,
    /// The note that says so.
    pub(crate) note: Vec<u8>,
}

/// All promises, by size, and how many were passed.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    list: Vec<Mark>,
    passed: usize,
    /// A contradiction between two notes. It is one only if the entries are
    /// those of the checkpoint, which shows later.
    fork: Option<Failure>,
    /// The checkpoint of the log: what a fork contradicts.
    published: Vec<u8>,
    checks: Checks,
}

impl Marks {
    pub(crate) fn new(mut list: Vec<Mark>, published: &[u8], checks: Checks) -> Self {
        list.sort_by_key(|mark| mark.size);
        Self { list, passed: 0, fork: None, published: published.to_vec(), checks }
    }

    /// The largest size that was promised.
    pub(crate) fn promised(&self) -> u64 {
        self.list.last().map_or(0, |mark| mark.size)
    }

    /// Compares the tree with what was promised of its present size.
    pub(crate) fn compare(&mut self, tree: &Tree) -> Result<(), Failure> {
        while let Some(mark) = self.list.get(self.passed) {
            if mark.size != tree.size() {
                return Ok(());
            }
            self.passed += 1;
            self.judge(self.passed - 1, tree.root())?;
        }
        Ok(())
    }

    /// The marks that were not passed, for who looks at them another way.
    pub(crate) fn list(&self) -> &[Mark] {
        &self.list
    }

    /// Judges the mark at this place of the list by the root found.
    pub(crate) fn judge(&mut self, at: usize, root: Hash) -> Result<(), Failure> {
        let Some(mark) = self.list.get(at).filter(|mark| mark.root != root) else { return Ok(()) };
        let (check, size) = (mark.checks.0, mark.size);
        if check == Check::CheckpointRoot {
            let what = format!("the first {size} entries are not those it was signed for");
            return self.checks.fail(Failure::new(check, &mark.path, what));
        }
        let what = format!(
            "it was signed for {size} entries with another root: the log signed two histories"
        );
        let failure = Failure::new(check, &mark.path, what).evidence(vec![
            Evidence { name: format!("{size}.note"), bytes: mark.note.clone() },
            Evidence { name: "checkpoint".to_owned(), bytes: self.published.clone() },
        ]);
        if !self.checks.skips(check) && self.fork.is_none() {
            self.fork = Some(failure);
        }
        Ok(())
    }

    /// At the end of the log everything that was promised must have come by.
    pub(crate) fn end(&mut self, size: u64) -> Result<(), Failure> {
        for mark in self.list.iter().filter(|mark| size < mark.size) {
            let what = format!(
                "it covers {} entries, and the log holds {size}: entries were removed, or an older \
                 copy was put in place",
                mark.size
            );
            self.checks.fail(Failure::new(mark.checks.1, &mark.path, what).entry(size))?;
        }
        self.fork.take().map_or(Ok(()), Err)
    }
}
