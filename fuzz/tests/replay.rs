//! Every input that is kept is run through every target, on a stable compiler.
//!
//! Each input goes through all of them: what was found for one is a strange input for the others.

use fuzz::TARGETS;
use std::fs;
use std::path::{Path, PathBuf};

/// The inputs of one target, in order.
fn inputs(target: &str) -> Vec<PathBuf> {
    let dir = Path::new("corpus").join(target);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_target_has_inputs_and_an_executable() {
    let manifest = include_str!("../Cargo.toml");
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        assert!(10 < inputs(name).len(), "{name} has hardly any inputs");
    }
}

#[test]
fn no_input_is_large() {
    let paths = TARGETS.iter().flat_map(|(name, _)| inputs(name));
    let bytes: u64 = paths.map(|path| fs::metadata(path).map_or(0, |file| file.len())).sum();
    assert!(bytes < 1_000_000, "{bytes} bytes of inputs: minimise them");
}

/// A test for each target, so that they run side by side and the one that fails is named.
macro_rules! replay {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                for (name, _) in TARGETS {
                    for path in inputs(name) {
                        let input = fs::read(&path).unwrap();
                        if std::panic::catch_unwind(|| fuzz::$target(&input)).is_err() {
                            panic!("`{}` breaks a law of {}", path.display(), stringify!($target));
                        }
                    }
                }
            }
        )*

        #[test]
        fn every_target_is_replayed() {
            let replayed = [$(stringify!($target)),*];
            assert!(TARGETS.iter().map(|(name, _)| *name).eq(replayed));
        }
    };
}

replay! {
    archive_request
    client_file
    event_decode
    gateway_endpoint
    gateway_head
    identity_bearer
    inventory_state
    mcp_header
    mcp_listing
    mcp_parse
    mcp_sse
    note_formats
    policy_files
    s3_listing
    settings_text
    timestamp_response
    tlog_checkpoint
    tlog_open
    tlog_verify
    verify_receipt
    witness_request
}
