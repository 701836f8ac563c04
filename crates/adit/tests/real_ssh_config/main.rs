//! `adit ssh config`, `adit ssh copy-id` and `adit open`, with stock `ssh`, `scp` and `sshd`.
#![expect(clippy::unwrap_used, reason = "tests")]

mod copy_id;
mod file;
mod lab;
mod laptop;
mod seed;
mod ways;
