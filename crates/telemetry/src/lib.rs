#![doc = include_str!("../README.md")]

mod context;
mod export;
mod metrics;
mod observer;
mod trace;

pub use export::{BadEndpoint, Export, TraceConfig};
pub use metrics::{CertificateExpiry, LogDisk, Snapshot};
pub use observer::Telemetry;
