//! A store against a storage on loopback that answers by script. Every test looks at both sides: what
//! the caller is told, and what the storage was asked.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set itself up has failed"
)]

mod lists;
mod outages;
mod puts;
mod reads;
mod storage;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use objects::{Config, Credentials, Key, Limits, LockMode, Retention, Store};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;
use storage::Turn;

/// A store in the bucket `locked` at this address, below `log/`, that tries three times.
fn store(address: SocketAddr) -> Store {
    Store::new(&config(address)).unwrap()
}

fn config(address: SocketAddr) -> Config {
    let token = Some("TOKENTOKEN".to_owned());
    Config {
        endpoint: Some(format!("http://{address}").parse().unwrap()),
        region: "us-east-1".to_owned(),
        bucket: "locked".to_owned(),
        prefix: "log".to_owned(),
        credentials: Credentials::new("AKIDEXAMPLE".to_owned(), "HUNTER2SECRET".to_owned(), token),
        path_style: true,
        allow_insecure_http_loopback: true,
        authorities_pem: None,
        limits: Limits {
            attempts_max: NonZeroU32::new(3).unwrap(),
            backoff_first: Duration::from_millis(1),
            ..Limits::default()
        },
    }
}

fn key() -> Key {
    Key::new("segment/1").unwrap()
}

fn hello() -> Bytes {
    Bytes::from_static(b"hello")
}

/// A whole answer to a HEAD or GET of `hello`, as Amazon gives it; tests change lines of it.
fn stored() -> Turn {
    Turn::ok()
        .header("content-length", "5")
        .header("x-amz-version-id", "v1")
        .header("x-amz-checksum-sha256", &STANDARD.encode(HELLO_SHA256))
        .header("x-amz-object-lock-mode", "COMPLIANCE")
        .header("x-amz-object-lock-retain-until-date", "2026-12-01T00:00:00.000Z")
}

/// SHA-256 of `hello`.
const HELLO_SHA256: [u8; 32] = [
    0x2c, 0xf2, 0x4d, 0xba, 0x5f, 0xb0, 0xa3, 0x0e, 0x26, 0xe8, 0x3b, 0x2a, 0xc5, 0xb9, 0xe2, 0x9e,
    0x1b, 0x16, 0x1e, 0x5c, 0x1f, 0xa7, 0x42, 0x5e, 0x73, 0x04, 0x33, 0x62, 0x93, 0x8b, 0x98, 0x24,
];
/// 2026-11-22T00:00:00Z.
const NOW: u64 = 1_795_305_600;
/// Until 2026-12-01T00:00:00Z.
const LOCK: Retention = Retention { mode: LockMode::Compliance, until_unix_s: 1_796_083_200 };
