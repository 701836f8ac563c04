//! A gateway of ours and stock OpenSSH as its clients, as people type them.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod control;
mod forwards;
mod logins;
mod opens;
mod protocol;
mod sessions;
mod world;
