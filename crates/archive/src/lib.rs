#![doc = include_str!("../README.md")]

pub mod anchor;
pub mod client;
pub mod http;
mod notices;
pub mod receipt;
pub mod remote;
pub mod s3source;
pub mod stamp;

pub use notices::{Notices, Recording, Unrecorded};

#[cfg(test)]
mod sample;
