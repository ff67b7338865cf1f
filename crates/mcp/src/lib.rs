#![doc = include_str!("../README.md")]
//! This file only names the modules; it refuses to hold any code.

pub mod build;
pub mod code;
pub mod edit;
pub mod header;
pub mod id;
mod json;
pub mod limits;
pub mod listing;
pub mod malformed;
pub mod message;
pub mod method;
pub mod reply;
pub mod revision;
pub mod sse;

pub use crate::id::{ProgressToken, RequestId};
pub use crate::limits::{DuplicateKeys, Limits};
pub use crate::listing::{Item, ListKind, Listing};
pub use crate::malformed::{Fault, Malformed};
pub use crate::message::{Frame, Message, Notification, Outcome, Params, Request, Response, parse};
pub use crate::method::{Class, Method, Target};
pub use crate::revision::Revision;
