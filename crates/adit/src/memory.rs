//! Keeps this process's memory to itself: it holds private keys and passphrases.

use anyhow::Context as _;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids core dumps, and other processes of the same user to read this one's memory. To be called
/// before the first key is read.
///
/// It takes both: a `core_pattern` that names a program does not heed the limit (core(5)), and the
/// limit is what children inherit. Debuggers and profilers need root from here on.
///
/// # Errors
///
/// The system refuses; no key should be read then.
pub(crate) fn withhold() -> anyhow::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .context("cannot keep other processes from this one's memory")?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).context("cannot forbid core dumps")
}
