#![doc = include_str!("../README.md")]
//! This file only names the modules; it refuses to hold any code.

mod difference;
mod reading;
mod rewriting;
mod tables;
#[cfg(test)]
mod tests;
mod undoing;

pub use crate::difference::difference;
pub use crate::reading::{Entry, Local, Remote, Server, Transport, Unreadable, masked, read};
pub use crate::rewriting::{HeaderFile, Ours, Outcome, Way, installed, ours, string_at};
pub use crate::tables::{Plan, added, named_servers, tables};
pub use crate::undoing::{ReadHeader, header_files, undone};
