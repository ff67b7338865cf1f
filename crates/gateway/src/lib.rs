#![doc = include_str!("../README.md")]

mod array;
mod asked;
mod backend;
mod batch;
mod beside;
mod body;
mod call;
mod carry;
mod client;
pub mod config;
mod connection;
mod delegate;
mod event_stream;
mod exchange;
mod gateway;
mod headers;
mod inbound;
mod listener;
mod pipeline;
mod proof;
mod question;
mod refusal;
mod relay;
mod session;
mod source;
mod table;
pub mod tls;
mod upstream;
mod withheld;
mod wrap;

pub use beside::{Answering, Beside, RequestHead};
pub use gateway::{Gateway, Parts};
pub use upstream::http::BadUpstream;
pub use upstream::process::SpawnError;
pub use wrap::{WrapEnd, WrapParts, wrap};
