//! Credentials from fakes that are as strict as the public documents let them be. They stand on loopback;
//! what they were written from is named where they are.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set itself up has failed"
)]

mod clients;
mod fixture;
mod issuer;
mod secrets;
mod statics;
