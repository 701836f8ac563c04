//! The controller as its callers see it: bytes of answers, who is let in, the WebSocket, the page.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod answers;
mod chromium;
mod crowd;
mod fake;
mod guard;
mod http;
mod real;
mod served;
mod socket;
mod stop;
