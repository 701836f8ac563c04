//! What visitors touch: sockets that they come in by, who is let in, and the way to whoever serves them.
//! Knows nothing of tunnels: where a visitor is led is behind the seam [`dial::Dial`].
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::as_conversions)
)]

pub mod access;
pub mod access_log;
mod copy;
pub mod dial;
pub mod error_page;
pub mod header;
pub mod host;
pub mod http;
pub mod listen;
mod pool;
pub mod proxy_protocol;
pub mod route;
pub mod rule;
pub mod sni;
pub mod stream;
pub mod tls;
pub mod visitor;
mod wire;
