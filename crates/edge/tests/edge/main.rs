//! Visitors of raw listeners, from their first byte to their line in the access log.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod cut;
mod descriptors;
mod lab;
mod lend;
mod proxy;
mod real;
mod serve;
