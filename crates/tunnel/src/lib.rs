//! Tunnels, both ends: what carries them, how they log in, and how they come back.
#![forbid(unsafe_code)]

pub mod agent;
pub mod budget;
pub mod copy;
mod pattern;
pub mod transport;
