//! Tunnels.
#![forbid(unsafe_code)]
