//! Visitors of raw listeners, from their first byte to their line in the access log.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;
mod descriptors;
mod proxy;
mod real;
mod serve;
