#![doc = include_str!("../README.md")]

mod answer;
mod config;
mod error;
mod key;
mod list;
mod lock;
mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod wire;

pub use config::{BadConfig, Config, Credentials, Limits};
pub use error::ObjectError;
pub use key::{BadKey, Key};
pub use list::{Continuation, Entry, Kind, Page};
pub use lock::{LockMode, Retention};
pub use store::{OBJECT_BYTES_MAX, Object, Put, Store, Stored};
