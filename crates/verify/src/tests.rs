//! Logs made by a small writer of their own, altered in every way, and what the verifier says of them.

mod completeness;
mod fixture;
mod flips;
mod forks;
mod keys;
mod published;
mod receipts;
mod table;
mod tail;
