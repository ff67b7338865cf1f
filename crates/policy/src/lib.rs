#![doc = include_str!("../README.md")]

mod advice;
mod bundle;
mod check;
mod digest;
mod engine;
#[cfg(test)]
mod fixture;
mod load;
mod memory;
mod needs;
mod platform;
mod problem;
mod question;
mod statement;
mod verdict;
mod vocabulary;

pub use bundle::{
    BUNDLE_BYTES_MAX, BUNDLE_FILES_MAX, Bundle, FILE_BYTES_MAX, ID_BYTES_MAX, POLICIES_MAX, Source,
};
pub use check::{Report, check};
pub use engine::{Change, Engine, Reload};
pub use load::{Fingerprint, fingerprint};
pub use platform::platform_attributes;
pub use problem::{Problem, Severity};
pub use question::{Context, NAMES_MAX, Request};
pub use verdict::{Forbidden, Permit, Verdict};
pub use vocabulary::SCHEMA;

/// A commented first policy set: whoever is verified may open a session and see lists, servers may ask
/// the client, and tools, resources and prompts are permitted one by one.
pub const STARTER_POLICY: &str = include_str!("../examples/starter.cedar");
