//! The directory: what is written is read back, and half a file never is.

use super::{Approvals, Store};
use crate::inventory::{Approval, Settings};
use event::Time;
use mcp::ListKind;

fn approvals() -> Approvals {
    let approval = Approval {
        server: "s".to_owned(),
        kind: ListKind::Prompts,
        name: "a/b".to_owned(),
        digest: "sha256:00".to_owned(),
        settled: vec!["sha256:01".to_owned()],
        beside: true,
    };
    Approvals { by: "local/me".to_owned(), at: Time::from_unix_us(7), approvals: vec![approval] }
}

#[test]
fn approvals_wait_until_they_are_taken_away() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path().join("inventory"));
    assert!(store.waiting().unwrap().is_empty());
    store.approve("2", &approvals()).unwrap();
    store.approve("1", &approvals()).unwrap();
    std::fs::write(directory.path().join("inventory/approvals/3.json"), "{}").unwrap();
    std::fs::write(directory.path().join("inventory/approvals/4.new"), "half").unwrap();
    let waiting = store.waiting().unwrap();
    let names: Vec<_> = waiting.iter().map(|file| file.path.file_name().unwrap()).collect();
    assert_eq!(names, ["1.json", "2.json", "3.json"]);
    assert_eq!(waiting[0].approvals.as_ref().unwrap(), &approvals());
    assert!(waiting[2].approvals.is_err());
    store.set_aside(&waiting[2].path).unwrap();
    store.take_away(&waiting[0].path).unwrap();
    assert_eq!(store.waiting().unwrap().len(), 1);
}

#[test]
fn a_state_is_there_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path().join("inventory"));
    store.create().unwrap();
    let empty = store.load(Settings::default()).unwrap();
    store.save(&empty.to_json()).unwrap();
    assert_eq!(store.load(Settings::default()).unwrap().to_json(), empty.to_json());
    store.save(b"{").unwrap();
    let error = store.load(Settings::default()).unwrap_err().to_string();
    assert!(error.contains("state.json"), "{error}");
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_or_approve() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path().join("inventory"));
    store.approve("1", &approvals()).unwrap();
    let mode = |path: &str| {
        let metadata = std::fs::metadata(directory.path().join(path)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode("inventory"), 0o700);
    assert_eq!(mode("inventory/approvals"), 0o700);
    assert_eq!(mode("inventory/approvals/1.json"), 0o600);
}
