//! Certificates: for which names there are some, how uploaded ones are read, and an authority of our own for names
//! that have none yet. Knows no TLS: what it gives are chains and keys as bytes.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::as_conversions)
)]

pub mod development;
pub mod import;
pub mod table;
