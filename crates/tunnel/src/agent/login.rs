//! How an agent proves who it is, and makes the other end prove who that is.

pub mod algorithms;
pub mod credentials;
pub(crate) mod host;
pub mod keys;
pub mod known_hosts;
pub mod prompt;
pub mod ssh_agent;
