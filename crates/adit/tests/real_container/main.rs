//! The image of deploy/docker and its compose files, in a docker of each test's own: what the image is (G127), that a
//! mounted configuration does not switch host keys off (G126), the rsshd-like server (AT21 to AT26), and the two databases
//! of the guide (AT34, AT35, AT31).
//!
//! The program in it is the static one: `cargo xtask test build` makes it, or
//! `RUSTFLAGS="-C target-feature=+crt-static" cargo build --workspace --target x86_64-unknown-linux-gnu`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests in real time"
)]

mod files;
mod ground;
mod hostkeys;
mod image;
mod names;
mod replica;
mod rsshd;
