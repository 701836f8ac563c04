//! The gateway as people run it, `adit serve`, on lines that fail, killed at any moment, and short of everything.
//!
//! Stock `ssh` and adit agents are its clients. How long things took is printed. The tests that are ignored are
//! the long ones of `cargo xtask soak`.
#![expect(clippy::unwrap_used, reason = "tests")]

mod faults;
mod flood;
mod kills;
mod lab;
mod slow;
mod takeover;
mod twins;
