//! Names over HTTP, with visitors that speak byte by byte and upstreams that write down what they got.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

mod exchange;
mod faults;
mod floods;
mod http2;
mod place;
mod real;
mod tenants;
