//! `adit __keeper`: what stands between an adit and each program that it runs.
//!
//! adit alone calls it, so it is no command of the command line: it is neither in its help nor in manuals
//! and completions.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use adit_flow::process::keeper;

/// Keeps a program, if that is what this process is for: `adit __keeper FILES PROGRAM -- ARGUMENT...`.
pub(crate) fn run_if_meant() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    words.next().filter(|word| word == NAME)?;
    let open_files = words.next()?;
    let open_files = match open_files.to_str()? {
        keeper::SAME => None,
        number => Some(number.parse().ok()?),
    };
    let program = words.next()?;
    words.next().filter(|word| word == "--")?;
    let argv: Vec<OsString> = words.collect();
    Some(keeper::keep(Path::new(&program), &argv, open_files))
}

/// As [`Keeper::of_this_program`](adit_flow::process::Keeper::of_this_program) has it.
const NAME: &str = "__keeper";
