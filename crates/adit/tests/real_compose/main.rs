//! The commands for compose files, with everything real: sshd, sockets, processes.
#![expect(clippy::unwrap_used, reason = "tests")]

mod cancel;
mod children;
mod commands;
mod ends;
mod lab;
mod logs;
mod others;
mod owners;
mod stand_in;
mod strangers;
mod streams;
mod terms;
