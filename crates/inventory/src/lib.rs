#![doc = include_str!("../README.md")]
//! This file only names the modules; it refuses to hold any code.

mod definition;
mod diff;
mod inventory;
mod kind;
mod state;
mod store;
mod views;

pub use crate::definition::{Definition, Part};
pub use crate::diff::{differences, hidden_characters, visible};
pub use crate::inventory::{
    Approval, Change, Changed, Entry, Examined, Inventory, NotDeclared, Settings, Sighting, State,
};
pub use crate::kind::{kind_from_word, kind_word};
pub use crate::state::Unreadable;
pub use crate::store::{Approvals, Store, StoreError, Waiting};
