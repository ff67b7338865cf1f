//! A broker with one server, a ledger that remembers, and callers.

use broker::{Borrower, Broker, Config, Entry, Ledger, Lender, Lent, Recording, Refused, Secret};
use event::{Actor, ActorKind, CallId, Evidence, EvidenceKind, Hop, HopRole, Kind, Level, Time};
use http::HeaderMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// What must show nowhere but on the wire.
pub(crate) const CANARY: &str = "canary7c1b";

pub(crate) const NOW_S: i64 = 1_795_336_620;

pub(crate) fn at(seconds: i64) -> Time {
    Time::from_unix_us((NOW_S + seconds) * 1_000_000)
}

/// What was put on record.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    entries: Mutex<Vec<Entry>>,
    /// Nothing can be put on record any more.
    pub(crate) full: Mutex<bool>,
}

impl Ledger for Noted {
    fn record(&self, entry: Entry) -> Recording<'_> {
        Box::pin(async move {
            if *self.full.lock().unwrap() {
                return Err("the log is full".to_owned());
            }
            self.entries.lock().unwrap().push(entry);
            Ok(())
        })
    }
}

/// A server's credentials.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) broker: Broker,
    pub(crate) lender: Arc<Lender>,
    pub(crate) noted: Arc<Noted>,
    /// Everything that goes with it; files are made here.
    pub(crate) directory: TempDir,
}

impl Scene {
    /// Of a table. `DIR` in it is the directory, in which there is `secret` with the canary.
    pub(crate) fn new(table: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        put(directory.path().join("secret"), CANARY);
        Self::within(directory, table)
    }

    pub(crate) fn within(directory: TempDir, table: &str) -> Self {
        let config = config(&directory, table);
        let broker = Broker::new([("srv", &config)], &environment).unwrap();
        let lender = broker.lender("srv").unwrap();
        Self { broker, lender, noted: Arc::default(), directory }
    }

    pub(crate) async fn lend(&self, borrower: &Borrower, now: Time) -> Result<Lent, Refused> {
        let ledger: Arc<dyn Ledger> = Arc::clone(&self.noted) as Arc<dyn Ledger>;
        self.lender.lend(borrower, &ledger, now).await
    }

    /// For a call of `alice`; the headers of the request.
    pub(crate) async fn dressed(&self, now: Time) -> Result<HeaderMap, Refused> {
        let lent = self.lend(&alice(), now).await?;
        let mut headers = HeaderMap::new();
        lent.dress(&mut headers);
        Ok(headers)
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.noted.entries.lock().unwrap().clone()
    }

    pub(crate) fn kinds(&self) -> Vec<Kind> {
        self.entries().iter().map(|entry| entry.kind).collect()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

pub(crate) fn config(directory: &TempDir, table: &str) -> Config {
    let directory = directory.path().to_str().unwrap();
    toml::from_str(&table.replace("DIR", directory)).unwrap()
}

pub(crate) fn environment(name: &str) -> Option<Secret> {
    (name == "TOKEN").then(|| Secret::new(CANARY.to_owned()))
}

/// A file for its owner.
pub(crate) fn put(path: impl AsRef<Path>, text: &str) {
    let path = path.as_ref();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

pub(crate) fn alice() -> Borrower {
    borrower("alice", Some(at(600)))
}

/// A call of somebody whose proof expires then.
pub(crate) fn borrower(id: &str, proof: Option<Time>) -> Borrower {
    let evidence = Evidence { exp: proof, ..Evidence::new(EvidenceKind::Jwt) };
    let hop =
        Hop { evidence, id: id.to_owned(), level: Level::VerifiedBearer, role: HopRole::Workload };
    let actor = Actor {
        chain: [hop].into(),
        id: id.to_owned(),
        kind: ActorKind::Workload,
        level: Level::VerifiedBearer,
        provider: "ci".to_owned(),
        ..Actor::anonymous()
    };
    Borrower { call: call(7), actor, policy_set: "sha256:aa".to_owned() }
}

pub(crate) fn call(n: u128) -> CallId {
    serde_json::from_value(serde_json::json!(format!("00000000-0000-0000-0000-{n:012}"))).unwrap()
}
