//! What this machine lets a gateway have, held against what its settings promise: said once, at the start.

use adit_tunnel::budget::Budget;
use rustix::process::{Resource, getrlimit};
use tracing::{info, warn};

use super::settings::Caps;

/// Descriptors that are nobody's: host keys and locks, the database, logs, listeners of a few dozen forwards on
/// two families each.
const OWN: u64 = 256;

/// Logs the limits, and whether they are below what is promised.
pub(super) fn report(caps: Caps, visitors: usize, budget: &Budget) {
    let descriptors = getrlimit(Resource::Nofile).current;
    info!(
        connections = caps.connections,
        visitors,
        descriptors,
        window_bytes = budget.total(),
        "limits of this gateway"
    );
    if let Some(complaint) = descriptors.and_then(|have| complaint(have, caps)) {
        warn!("{complaint}");
    }
}

/// What is to be said of so many descriptors.
fn complaint(have: u64, caps: Caps) -> Option<String> {
    let Caps {
        connections,
        visitors,
    } = caps;
    let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let needed = OWN
        .saturating_add(wide(connections))
        .saturating_add(wide(visitors));
    (needed > have).then(|| {
        format!(
            "{have} files may be open at once, and {connections} connections and {visitors} visitors want {needed}: \
             the last to come will find no room. Raise the limit (systemd's LimitNOFILE=, ulimit -Hn) or lower caps: \
             in the settings"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_that_do_not_fit_are_told_of() {
        let caps = Caps {
            connections: 1_000,
            visitors: 500,
        };
        assert_eq!(complaint(1_756, caps), None);
        let words = complaint(1_755, caps).unwrap();
        assert!(words.contains("want 1756"), "{words}");
    }
}
