//! The commands that look after a gateway, with the program itself and stock ssh.
#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod gateway;
mod hosts;
mod limits;
mod names;
mod orders;
mod trust;
mod withdrawn;
