//! Seed 003: a laptop, a manager on the wireless network, and workers that only the manager reaches, each with a
//! stock sshd.
#![expect(clippy::unwrap_used, reason = "tests")]

mod lab;
mod tunnels;
