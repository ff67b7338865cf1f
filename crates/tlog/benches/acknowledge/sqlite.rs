//! SQLite as a log: one table, a write-ahead log that is synced at every commit, one transaction for
//! each batch, and its own checkpoints where it puts them.

use crate::Outcome;
use crate::group::{Commit, Group, Submission};
use crate::load::{Append as _, Load, Round};
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;

/// One round on a new database.
pub(crate) fn round(dir: &Path, load: &Load) -> Outcome<Round> {
    let path = dir.join("log.db");
    let connection = Connection::open(&path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE entry (position INTEGER PRIMARY KEY, bytes BLOB NOT NULL);",
    )?;
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    let synchronous: u8 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
    if (mode.as_str(), synchronous) != ("wal", FULL) {
        return Err(format!("SQLite is in mode {mode}, {synchronous}").into());
    }
    let group = Arc::new(Group::start("sqlite-commit", Database(connection))?);
    let round = load.run(&group);
    let appended = group.appended()?;
    Arc::into_inner(group).ok_or("a writer is still there")?.end()?;
    let count: i64 =
        Connection::open(&path)?.query_row("SELECT count(*) FROM entry", [], |row| row.get(0))?;
    if count != i64::try_from(appended)? {
        return Err(format!("{appended} entries were committed, {count} are there").into());
    }
    round
}

struct Database(Connection);

impl Commit for Database {
    fn commit(&mut self, entries: &[Submission]) -> Outcome<()> {
        let transaction = self.0.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO entry (bytes) VALUES (?1)")?;
            for submission in entries {
                insert.execute([&submission.entry])?;
            }
        }
        Ok(transaction.commit()?)
    }
}

/// What `PRAGMA synchronous` says.
const FULL: u8 = 2;
