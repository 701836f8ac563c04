//! Nouns and rules that every crate shares: who somebody is, what is held, who may have it. Pure: no
//! clock, no socket, no database.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::as_conversions)
)]

pub mod address;
pub mod grant;
pub mod host;
pub mod id;
pub mod lease;
pub mod month;
pub mod name;
pub mod port;
pub mod prefix;
pub mod source;
