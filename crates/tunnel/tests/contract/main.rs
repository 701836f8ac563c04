//! The contract of transports, kept by each of them.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod acceptor;
mod alive;
mod certificate;
mod doubt;
mod gateway;
mod login;
mod memory;
mod panic;
mod real;
mod reserve;
mod ssh;
mod suite;
