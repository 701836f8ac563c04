//! Whole runs: an engine over the text of a file, with a listener of its own and a server that it asks.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod callback;
mod close;
mod cost;
mod crowd;
mod fetch;
mod gateway;
mod http;
mod job;
mod limit;
mod person;
mod stand_in;
mod support;
