//! How an agent proves who it is, and makes the other end prove who that is.

pub mod known_hosts;
