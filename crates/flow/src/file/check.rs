//! What only the whole shows: names that lead nowhere, graphs that never run, ports that are taken,
//! doors that stand open.

use adit_text::Problems;

use super::Read;

mod effect;
mod exposure;
mod graph;
mod interpreter;
mod port;
mod reference;
mod variable;

pub use exposure::check_public;

/// Checks everything, and adds what is wrong.
pub(super) fn all(read: &Read, problems: &mut Problems) {
    reference::check(read, problems);
    for workflow in &read.compose.workflows {
        graph::check(workflow, problems);
    }
    port::check(&read.compose, problems);
    variable::check(read, problems);
    exposure::check(&read.compose, problems);
    interpreter::check(read, problems);
    effect::check(&read.compose, problems);
}
