//! How often a peer may start a key exchange: each costs us far more than it.

use std::time::Instant;

use crate::limits;

/// A token bucket: [`limits::REKEY_BURST`] at once, one more each [`limits::REKEY_REFILL`].
#[derive(Debug)]
pub(super) struct Tokens {
    left: u32,
    filled_at: Option<Instant>,
}

impl Tokens {
    pub(super) const fn new() -> Self {
        Self {
            left: limits::REKEY_BURST,
            filled_at: None,
        }
    }

    /// One more, for a peer that has moved so much data under these keys that an exchange costs next to
    /// nothing beside it: with `RekeyLimit 256M` a fast one renews its keys several times a second.
    pub(super) fn earn(&mut self) {
        self.left = self.left.saturating_add(1).min(limits::REKEY_BURST);
    }

    /// Takes one; `false` if none is left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let filled_at = *self.filled_at.get_or_insert(now);
        let age = now.saturating_duration_since(filled_at);
        let refill_millis = limits::REKEY_REFILL.as_millis();
        let new = u32::try_from(age.as_millis().checked_div(refill_millis).unwrap_or(0))
            .unwrap_or(u32::MAX);
        if new > 0 {
            self.left = self.left.saturating_add(new).min(limits::REKEY_BURST);
            self.filled_at = Some(now);
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_runs_dry_and_a_second_brings_one_more() {
        let mut now = crate::test_clock();
        let mut tokens = Tokens::new();
        for _ in 0..limits::REKEY_BURST {
            assert!(tokens.take(now));
        }
        assert!(!tokens.take(now));
        now += limits::REKEY_REFILL;
        assert!(tokens.take(now));
        assert!(!tokens.take(now));
        tokens.earn();
        assert!(tokens.take(now));
        assert!(!tokens.take(now));
    }
}
