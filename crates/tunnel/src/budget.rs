//! The memory that all connections together may promise to their peers.
//!
//! An SSH window is a promise that cannot be taken back, so what counts is what was promised, not
//! what is in use: a peer may use all of it in one instant.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes shared by its clones.
#[derive(Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

struct Shared {
    left: AtomicUsize,
    total: usize,
}

/// Bytes taken from a [`Budget`]. Given back when dropped.
pub struct Grant {
    budget: Budget,
    bytes: usize,
}

/// Most bytes that the default takes: what 128 streams at our largest window need.
const DEFAULT_MOST: usize = 1 << 30;
/// Of all, one part of so many is the reserve: of 1 GiB, 4,096 least windows (64 KiB).
const RESERVE_PART: usize = 4;
/// What the default takes where the system does not tell its memory.
const DEFAULT_UNKNOWN: usize = 256 << 20;

impl Budget {
    /// A budget of `total` bytes.
    pub fn new(total: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                left: AtomicUsize::new(total),
                total,
            }),
        }
    }

    /// A quarter of this machine's memory, at most 1 GiB.
    pub fn of_this_machine() -> Self {
        Self::new(Self::default_for(memory_bytes()))
    }

    fn default_for(memory: Option<u64>) -> usize {
        let quarter = memory.map(|bytes| usize::try_from(bytes / 4).unwrap_or(DEFAULT_MOST));
        quarter.unwrap_or(DEFAULT_UNKNOWN).min(DEFAULT_MOST)
    }

    /// Takes `bytes`, or what is left if that is less; maybe nothing.
    pub fn take(&self, bytes: usize) -> Grant {
        let mut taken = 0;
        // Never fails: the closure always gives a value.
        let _before = self
            .shared
            .left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                taken = bytes.min(left);
                Some(left.saturating_sub(taken))
            });
        Grant {
            budget: self.clone(),
            bytes: taken,
        }
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.shared.left.load(Ordering::Acquire)
    }

    /// Bytes that are left beside the reserve: what large windows are made of. The rest, a quarter of all, is for
    /// the least windows of streams, so that who has come first and grown leaves some to everybody else.
    pub fn spare(&self) -> usize {
        self.left().saturating_sub(self.shared.total / RESERVE_PART)
    }

    /// Bytes in all.
    pub fn total(&self) -> usize {
        self.shared.total
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({} of {})", self.left(), self.total())
    }
}

impl Grant {
    /// Bytes in it.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes more; says how many came.
    pub fn grow(&mut self, bytes: usize) -> usize {
        let mut more = self.budget.take(bytes);
        let count = std::mem::take(&mut more.bytes);
        self.bytes = self.bytes.saturating_add(count);
        count
    }

    /// Gives `bytes` back; all if it has less.
    pub fn give_back(&mut self, bytes: usize) {
        let count = bytes.min(self.bytes);
        self.bytes = self.bytes.saturating_sub(count);
        self.budget.shared.left.fetch_add(count, Ordering::AcqRel);
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grant({})", self.bytes)
    }
}

/// This machine's memory, or that of the container if it is told by the control group to have less.
fn memory_bytes() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok();
    let machine = info.as_deref().and_then(total_of_meminfo);
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    // "max" stands for no limit.
    let limit = limit.and_then(|text| text.trim().parse().ok());
    match (machine, limit) {
        (Some(machine), Some(limit)) => Some(machine.min(limit)),
        (machine, limit) => machine.or(limit),
    }
}

/// Bytes of the line `MemTotal:  N kB`.
fn total_of_meminfo(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_grant_is_partial_when_little_is_left() {
        let budget = Budget::new(100);
        let first = budget.take(70);
        let second = budget.take(70);
        assert_eq!((first.bytes(), second.bytes(), budget.left()), (70, 30, 0));
        assert_eq!(budget.take(1).bytes(), 0);
        assert_eq!(budget.spare(), 0);
        drop(first);
        assert_eq!((budget.left(), budget.spare()), (70, 45));
    }

    #[test]
    fn the_default_is_a_quarter_of_memory_and_a_gibibyte_at_most() {
        for (memory, expected) in [
            (Some(1 << 20), 1 << 18),
            (Some(1 << 40), 1 << 30),
            (Some(u64::MAX), 1 << 30),
            (None, 256 << 20),
        ] {
            assert_eq!(Budget::default_for(memory), expected, "of {memory:?}");
        }
        assert!(Budget::of_this_machine().total() > 0);
    }

    #[test]
    fn memory_is_read_as_linux_writes_it() {
        let text = "MemTotal:       24604712 kB\nMemFree:         123 kB\n";
        assert_eq!(total_of_meminfo(text), Some(24_604_712 * 1_024));
        for wrong in ["", "MemTotal: kB", "MemTotal: 12 MB", "MemFree: 12 kB"] {
            assert_eq!(total_of_meminfo(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_granted_and_what_is_left_is_always_the_whole(
            steps in proptest::collection::vec((0_usize..4, 0_usize..300), 1..100),
        ) {
            let budget = Budget::new(1_000);
            let mut grants: Vec<Grant> = Vec::new();
            for (step, bytes) in steps {
                match (step, grants.last_mut()) {
                    (0, Some(grant)) => { grant.grow(bytes); }
                    (1, Some(grant)) => grant.give_back(bytes),
                    (2, Some(_)) => drop(grants.swap_remove(bytes % grants.len())),
                    _ => grants.push(budget.take(bytes)),
                }
                let granted: usize = grants.iter().map(Grant::bytes).sum();
                prop_assert_eq!(granted + budget.left(), budget.total());
            }
        }
    }
}
