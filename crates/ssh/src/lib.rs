//! The SSH protocol.
#![forbid(unsafe_code)]
