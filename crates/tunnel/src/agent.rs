//! The end that dials out and offers local services.

pub mod backoff;
pub mod connect;
pub mod dial;
pub mod local;
pub mod login;
pub mod supervise;
