//! The table, part by part.

use crate::case::Case;

pub(crate) mod binds;

/// All of it, in the order of the page.
pub(crate) fn all() -> Vec<(&'static str, Vec<Case>)> {
    vec![("Where forwards listen", binds::cases())]
}
