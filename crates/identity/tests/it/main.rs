//! The verifier from outside: tokens in, actors and reasons out. Nothing here knows how it works inside.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be set up is a failed test")]

mod accepted;
mod attacks;
mod fixture;
mod keys;
mod laws;
mod profiles;
mod proofs;
mod secrets;
mod web;
