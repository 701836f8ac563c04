//! The table of an earlier life.

use std::collections::VecDeque;
use std::time::Duration;

use adit_model::lease::{Lease, LeaseState};
use jiff::Timestamp;

use super::{Entry, LEAST_RETURN, Now, Phase, Table};

impl Table {
    /// Takes stored leases in, into an empty table. What was held waits for its owner, and so does what
    /// waited already; what was in quarantine stays there for as long as it had left. No epoch from here on is
    /// below any of theirs.
    pub(crate) fn restore(&mut self, leases: Vec<Lease>, now: Now) {
        for lease in leases {
            self.last = self.last.max(lease.epoch);
            let known = self.entry(&lease.holding);
            if known.is_some_and(|known| known.epoch > lease.epoch) {
                continue;
            }
            let grace = self.rules.grace;
            let phase = match lease.state {
                LeaseState::Held => Phase::Grace(now.ticks.saturating_add(grace)),
                LeaseState::Grace(until) => {
                    let left = until_then(until, now).max(LEAST_RETURN).min(grace);
                    Phase::Grace(now.ticks.saturating_add(left))
                }
                LeaseState::Quarantine(until) => {
                    let left = until_then(until, now).min(self.quarantine_time(&lease.holding));
                    if left.is_zero() {
                        continue;
                    }
                    Phase::Quarantine(now.ticks.saturating_add(left))
                }
            };
            let Lease {
                id,
                holding,
                scope,
                principal,
                epoch,
                since,
                state: _,
                drawn,
            } = lease;
            let entry = Entry {
                id,
                principal,
                scope,
                epoch,
                since,
                phase,
                asked: None,
                drawn,
                claim: None,
                is_probed: false,
                takeovers: VecDeque::new(),
                heirs: VecDeque::new(),
                stopped_until: None,
            };
            self.insert(holding, entry);
        }
        self.check();
    }
}

fn until_then(then: Timestamp, now: Now) -> Duration {
    // A negative duration has come to its end.
    Duration::try_from(then.duration_since(now.wall)).unwrap_or_default()
}
