#![doc = include_str!("../README.md")]
//! This file only names the modules; it refuses to hold any code.

mod text;

pub use crate::text::{MISTAKES_MAX, Mistake, Text};
