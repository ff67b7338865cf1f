#![doc = include_str!("../README.md")]

mod clock;
mod follower;
mod pairing;
mod recorder;
mod verify;

pub use clock::Clock;
pub use follower::{FollowError, Follower, Row};
pub use recorder::{Place, Receipt, Recorder, Unavailable};
pub use verify::{EventCounts, Verified, verify};
