//! The end that dials out and offers local services.

pub mod login;
