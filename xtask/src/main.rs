//! What people and CI run. `cargo xtask --help` lists it; it depends on no crate of ours.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people: what it prints is its product"
)]

mod arguments;
mod bench;
mod cli;
mod clock;
mod demo;
mod fuzz;
mod gate;
mod interop;
mod openssh;
mod process;
mod programs;
mod reference;
mod soak;
mod sshd;
mod stop;
mod workspace;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run(std::env::args().skip(1)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
