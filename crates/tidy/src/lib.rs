#![doc = include_str!("../README.md")]

pub mod edges;
pub mod layout;
pub mod links;
pub mod manifest;
pub mod source;
pub mod tree;
pub mod words;
