//! How often a peer's key exchange is answered at once.
//!
//! An exchange is paid for by bytes that were moved under the keys before it, or by time. Who cannot pay waits,
//! and may send nothing meanwhile (RFC 4253 section 7.1), so a flood of KEXINITs costs no more than its pace, and an
//! `ssh` that renews its keys before every packet is slow and goes on (attack S45).

use std::time::{Duration, Instant};

use crate::limits;

/// A bucket of bytes, [`limits::REKEY_EARNED`] for an exchange: full it pays for [`limits::REKEY_BURST`], and each
/// [`limits::REKEY_REFILL`] is worth one.
#[derive(Debug)]
pub(super) struct Tokens {
    bytes: u64,
    filled_at: Option<Instant>,
}

/// What pays for the burst.
fn full() -> u64 {
    limits::REKEY_EARNED.saturating_mul(limits::REKEY_BURST.into())
}

impl Tokens {
    pub(super) fn new() -> Self {
        Self {
            bytes: full(),
            filled_at: None,
        }
    }

    /// The peer has moved so many bytes under the keys that it wants to renew. More than pays for this one exchange
    /// is not kept: with `RekeyLimit 1M` a fast one renews them a hundred times a second, and saves nothing up.
    pub(super) fn earn(&mut self, bytes: u64) {
        self.add(bytes.min(limits::REKEY_EARNED));
    }

    /// Pays for one, or says when time will have done so.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        self.fill(now);
        match self.bytes.checked_sub(limits::REKEY_EARNED) {
            Some(left) => {
                self.bytes = left;
                Ok(())
            }
            None => Err(now.checked_add(self.missing()).unwrap_or(now)),
        }
    }

    /// Pays for one whose time has come.
    pub(super) fn pay(&mut self, now: Instant) {
        self.fill(now);
        self.bytes = self.bytes.saturating_sub(limits::REKEY_EARNED);
    }

    /// What the time since it was filled last is worth.
    fn fill(&mut self, now: Instant) {
        let filled_at = *self.filled_at.get_or_insert(now);
        let age = now.saturating_duration_since(filled_at);
        let worth = u128::from(limits::REKEY_EARNED)
            .saturating_mul(age.as_nanos())
            .checked_div(limits::REKEY_REFILL.as_nanos())
            .unwrap_or(0);
        let worth = u64::try_from(worth).unwrap_or(u64::MAX);
        if worth > 0 {
            self.add(worth);
            self.filled_at = Some(now);
        }
    }

    /// How long it takes until it pays for one.
    fn missing(&self) -> Duration {
        let missing = limits::REKEY_EARNED.saturating_sub(self.bytes);
        let nanos = u128::from(missing)
            .saturating_mul(limits::REKEY_REFILL.as_nanos())
            .div_ceil(u128::from(limits::REKEY_EARNED));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes).min(full());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_runs_dry_and_is_told_when_time_has_paid_for_the_next() {
        let mut now = crate::test_clock();
        let mut tokens = Tokens::new();
        for _ in 0..limits::REKEY_BURST {
            assert_eq!(tokens.take(now), Ok(()));
        }
        assert_eq!(tokens.take(now), Err(now + limits::REKEY_REFILL));
        now += limits::REKEY_REFILL;
        assert_eq!(tokens.take(now), Ok(()));
        assert!(tokens.take(now).is_err());
    }

    #[test]
    fn bytes_pay_for_a_part_and_are_not_saved_up() {
        let now = crate::test_clock();
        let mut tokens = Tokens::new();
        while tokens.take(now).is_ok() {}
        tokens.earn(limits::REKEY_EARNED / 4);
        assert_eq!(tokens.take(now), Err(now + limits::REKEY_REFILL * 3 / 4));
        tokens.earn(u64::MAX);
        assert_eq!(tokens.take(now), Ok(()));
        assert!(tokens.take(now).is_err());
    }
}
