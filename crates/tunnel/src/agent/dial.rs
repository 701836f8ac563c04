//! Ways to reach a peer.

pub mod tcp;
