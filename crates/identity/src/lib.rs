#![doc = include_str!("../README.md")]

mod actor;
mod api_key;
mod bearer;
mod cache;
mod claims;
mod config;
pub mod dev;
mod digest;
mod fetch;
mod jwk;
mod jwt;
mod key_ring;
pub mod local;
mod presented;
mod rejection;
mod revocation;
mod source;
pub mod statement;
mod strict_json;
mod verifier;

pub use api_key::{ApiKey, NoRandomness};
pub use bearer::TOKEN_BYTES_MAX;
pub use claims::LEEWAY_S;
pub use config::{Algorithm, ApiKeyConfig, CallerKind, Config, Problem, ProviderConfig};
pub use presented::{Certificates, Presented};
pub use rejection::{Details, Reason, Rejection, TEXT_BYTES_MAX};
pub use revocation::{Full, Revocations, Subject};
pub use source::{JWKS_BYTES_MAX, KeyError, KeySource, Loading};
pub use verifier::{ConfigError, Verifier};
