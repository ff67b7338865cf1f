#![doc = include_str!("../README.md")]

mod error;
mod file;
mod source;
mod token;
mod uri;

pub use error::Error;
pub use file::{Secret, read, read_private, write};
pub use source::{Source, generate_in_token, load};
pub use uri::Uri;
