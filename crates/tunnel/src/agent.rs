//! The end that dials out and offers local services.

pub mod backoff;
pub mod connect;
pub mod control;
pub mod dial;
pub mod direct;
pub mod errand;
pub mod forward;
mod haste;
pub mod health;
pub mod join;
pub mod listen;
pub mod local;
pub mod login;
pub mod meter;
pub mod network;
mod once;
pub mod probe;
pub mod socks;
pub mod supervise;
pub mod target;
pub mod visitors;

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // One that only passes on what it was caused by says the same twice.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// A number that nobody can guess; any will do if the system has none.
fn chance() -> u64 {
    let mut bytes = [0; 8];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_be_bytes(bytes),
        Err(_) => 0,
    }
}
