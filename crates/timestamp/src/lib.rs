#![doc = include_str!("../README.md")]

mod algorithm;
mod asn1;
mod binding;
mod certificate;
mod chain;
mod digest;
mod error;
mod request;
mod roots;
mod signed;
mod time;
mod verify;

pub use chain::ChainError;
pub use error::TimestampError;
pub use request::Request;
pub use roots::{ROOTS_MAX, RootsError, roots_from_pem};
pub use signed::CERTIFICATES_MAX;
pub use verify::{RESPONSE_BYTES_MAX, Timestamp, verify};
