//! `adit serve` under those who watch it: Prometheus, systemd, and who reads the audit afterwards.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod activation;
mod audit;
mod gateway;
mod guide;
mod metrics;
mod notify;
mod privilege;
mod unit;
