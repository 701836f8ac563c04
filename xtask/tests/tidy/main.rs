//! The tree and its documents hold each other: what one says, the other has.
//!
//! These tests read files as text. Each that walks the tree asserts how much it found, so that a
//! test which looks in the wrong place fails instead of passing.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "all of this is test code: what is wrong ends the test"
)]

mod commands;
mod dependencies;
mod documents;
mod edges;
mod engine;
mod sources;
mod threats;
mod tree;
mod words;
