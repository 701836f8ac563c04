//! Listeners as their visitors see them: requests over TCP, byte for byte.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests"
)]

mod answers;
mod guards;
mod limits;
mod support;
mod triggers;
mod wild;
