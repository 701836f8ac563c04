//! How many files this process may have open: as many as the system lets it.
//!
//! Each visitor, run and connection is one. Most systems start programs with a soft limit of 1,024, for the
//! sake of those that wait with select(2), and a hard one that is far higher; who knows better raises
//! the soft one for himself. Programs that are started get back what this one was given.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, warn};

/// The soft limit that this process was started with, once it was raised.
static BEFORE: OnceLock<Option<u64>> = OnceLock::new();

/// Raises the soft limit to the hard one, within [`MOST`]. Gives the soft limit that programs are to have
/// which are started from now on, None for the one that stands. A second call changes nothing and gives
/// the same.
pub(crate) fn raise() -> Option<u64> {
    *BEFORE.get_or_init(|| {
        let limit = getrlimit(Resource::Nofile);
        if let Some(few) = few(limit) {
            warn!("{few}");
        }
        let (before, raised) = (limit.current?, raised(limit)?);
        let limit = Rlimit {
            current: Some(raised),
            ..limit
        };
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            debug!(%error, "the limit of open files stays");
            return None;
        }
        Some(before)
    })
}

/// What is to be said of a hard limit that is low. [`raise`] logs it.
pub(crate) fn complaint() -> Option<String> {
    few(getrlimit(Resource::Nofile))
}

/// What the soft limit becomes, if it is to be raised.
fn raised(limit: Rlimit) -> Option<u64> {
    let wanted = limit.maximum.map_or(MOST, |maximum| maximum.min(MOST));
    (limit.current? < wanted).then_some(wanted)
}

fn few(limit: Rlimit) -> Option<String> {
    let maximum = limit.maximum.filter(|maximum| *maximum < FEW)?;
    Some(format!(
        "only {maximum} files may be open at once, one for each visitor and request: see ulimit -Hn, or systemd's \
         LimitNOFILE="
    ))
}

/// The highest limit that is asked for: thrice the 20,000 runs that may wait, each for a request of its own.
/// More serves nobody, and a runaway use of files should meet an end.
const MOST: u64 = 65_536;

/// The lowest hard limit about which nothing is said: that of most systems without systemd.
const FEW: u64 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one_within_reason_and_is_never_lowered() {
        for (current, maximum, wanted) in [
            (Some(1_024), Some(4_096), Some(4_096)),
            (Some(1_024), Some(1 << 30), Some(MOST)),
            (Some(1_024), None, Some(MOST)),
            (Some(4_096), Some(4_096), None),
            (Some(100_000), Some(1 << 30), None),
            (None, None, None),
        ] {
            let limit = Rlimit { current, maximum };
            assert_eq!(raised(limit), wanted, "{limit:?}");
        }
    }
}
