//! Names through tunnels: what visitors and services say to each other over HTTP comes through stock `ssh` and through
//! an agent alike, and no name's visitors ever get another's answers.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests; real programs live in real time, and what was measured is printed"
)]

mod crowd;
mod protocols;
mod site;
mod twins;
#[path = "../real_serve/world.rs"]
#[expect(dead_code, reason = "what other tests need of it")]
mod world;
