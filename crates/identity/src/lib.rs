#![doc = include_str!("../README.md")]

mod actor;
mod api_key;
mod bearer;
mod cache;
mod certificate;
mod claims;
mod config;
pub mod dev;
mod digest;
mod dpop;
mod fetch;
mod jwk;
mod jwt;
mod key_ring;
pub mod local;
mod possession;
mod presented;
mod rejection;
mod replay;
mod revocation;
mod source;
pub mod statement;
mod strict_json;
mod uri;
mod verifier;

pub use api_key::{ApiKey, NoRandomness};
pub use bearer::TOKEN_BYTES_MAX;
pub use claims::LEEWAY_S;
pub use config::{Algorithm, ApiKeyConfig, CallerKind, Config, Problem, ProofRule, ProviderConfig};
pub use presented::{Certificates, Presented};
pub use rejection::{Details, Reason, Rejection, TEXT_BYTES_MAX};
pub use revocation::{Full, Revocations, Subject};
pub use source::{JWKS_BYTES_MAX, KeyError, KeySource, Loading};
pub use verifier::{ConfigError, Verifier};
