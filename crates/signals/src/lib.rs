#![doc = include_str!("../README.md")]

mod book;
mod receiver;
mod token;

pub use book::{Book, BookError};
pub use receiver::{
    Answer, BODY_BYTES_MAX, CONTENT_TYPE, Effect, Keeper, NotKept, Receiver, Signal, Transmitter,
};
pub use token::Event;
