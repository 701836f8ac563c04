//! Tunnels, both ends: what carries them, how they log in, and how they come back.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::as_conversions)
)]

pub mod agent;
pub mod budget;
pub mod control;
pub mod copy;
pub mod enroll;
pub mod gateway;
mod pattern;
pub mod provider;
pub mod ssh_config;
pub mod transport;
