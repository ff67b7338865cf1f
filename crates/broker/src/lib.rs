#![doc = include_str!("../README.md")]

mod broker;
mod cache;
mod config;
mod digest;
mod key;
mod ledger;
mod lent;
mod oauth;
mod provider;
mod refused;
mod secret;
mod source;
mod wire;

pub use broker::{BadCredential, Broker, Lender};
pub use config::{ClientAuth, Config, Problem, ProviderType, Target};
pub use ledger::{Borrower, Entry, Ledger, Recording};
pub use lent::Lent;
pub use refused::{Reason, Refused};
pub use secret::Secret;
