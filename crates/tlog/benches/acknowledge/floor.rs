//! The floor: what any log on this disk pays. Entries behind each other in a file of zeros, one write
//! and one `fdatasync` for each batch; no checksum, no hash, no signature.

use crate::Outcome;
use crate::group::{Commit, Group, Submission};
use crate::load::{Load, Round};
use std::path::Path;
use std::sync::Arc;
use tlog::storage::{Access, Files, Storage as _, StoredFile};

/// One round on a new file.
pub(crate) fn round(dir: &Path, load: &Load) -> Outcome<Round> {
    let files = Files::new(dir);
    files.create_zeroed(FILE, load.file_bytes())?;
    files.sync_dir("")?;
    let file = files.open(FILE, Access::ReadWrite)?;
    let group =
        Arc::new(Group::start("floor-commit", Floor { file, offset: 0, buffer: Vec::new() })?);
    let round = load.run(&group);
    Arc::into_inner(group).ok_or("a writer is still there")?.end()?;
    round
}

struct Floor {
    file: Arc<dyn StoredFile>,
    offset: u64,
    buffer: Vec<u8>,
}

impl Commit for Floor {
    fn commit(&mut self, entries: &[Submission]) -> Outcome<()> {
        self.buffer.clear();
        for submission in entries {
            self.buffer.extend_from_slice(&submission.entry);
        }
        let written = self.file.write_at(&self.buffer, self.offset)?;
        if written != self.buffer.len() {
            return Err("not everything was written".into());
        }
        self.file.sync()?;
        self.offset += u64::try_from(written)?;
        Ok(())
    }
}

const FILE: &str = "floor";
