//! Logins against the stock programs: our client at a real sshd, the real ssh at our server, and
//! the real ssh-agent in between.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "tests stop where something is not as it should be"
)]

mod agent;
mod at_our_server;
mod at_sshd;
mod end;
mod ssh_agent;
