#![doc = include_str!("../README.md")]

mod clock;
mod follower;
mod ledger;
mod pairing;
mod recorder;
mod recovery;
mod sequencer;

pub use clock::Clock;
pub use follower::{FollowError, Follower, Row};
pub use recorder::{Place, Receipt, Recorder, Unavailable};
