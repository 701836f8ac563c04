//! The end that dials out and offers local services.

pub mod backoff;
pub mod connect;
pub mod dial;
pub mod direct;
pub mod forward;
pub mod listen;
pub mod local;
pub mod login;
pub mod socks;
pub mod supervise;
