//! Signatures that were seen: one is good once.

use std::collections::BTreeSet;

use super::limits;

/// The signatures of the last minutes, of all gates: who has the secret of two of them could
/// otherwise be repeated at the second.
#[derive(Debug, Default)]
pub struct Replays {
    seen: BTreeSet<[u8; 32]>,
    /// By the second from which their time is too old to be accepted anyway.
    by_end: BTreeSet<(u64, [u8; 32])>,
    /// Those that end until here may have been forgotten, even if the clock has gone back since.
    forgotten_until: u64,
}

/// What a signature is, next to those that were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recorded {
    /// Not seen; it is remembered now.
    New,
    /// Seen.
    Repeated,
    /// Perhaps seen and forgotten: the clock has gone back.
    Forgotten,
    /// There are [`limits::REPLAYS`]. Letting it pass would let it pass again.
    Full,
}

impl Replays {
    /// None was seen.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Remembers a good signature whose time is `signed_at`. Both times are in seconds since 1970.
    pub(super) fn record(&mut self, tag: [u8; 32], signed_at: u64, now: u64) -> Recorded {
        while let Some((end, tag)) = self.by_end.first().copied() {
            if end >= now {
                break;
            }
            self.by_end.remove(&(end, tag));
            self.seen.remove(&tag);
            self.forgotten_until = self.forgotten_until.max(end);
        }
        if self.seen.contains(&tag) {
            return Recorded::Repeated;
        }
        let end = signed_at.saturating_add(limits::WINDOW_SECONDS);
        if end <= self.forgotten_until {
            return Recorded::Forgotten;
        }
        if self.seen.len() >= limits::REPLAYS {
            return Recorded::Full;
        }
        self.seen.insert(tag);
        self.by_end.insert((end, tag));
        debug_assert_eq!(self.seen.len(), self.by_end.len());
        Recorded::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(number: usize) -> [u8; 32] {
        let mut tag = [0; 32];
        tag[..8].copy_from_slice(&number.to_be_bytes());
        tag
    }

    #[test]
    fn a_signature_is_remembered_for_as_long_as_its_time_is_good() {
        let mut replays = Replays::new();
        assert_eq!(replays.record(tag(1), 1000, 1000), Recorded::New);
        assert_eq!(replays.record(tag(1), 1000, 1300), Recorded::Repeated);
        assert_eq!(replays.record(tag(2), 1301, 1301), Recorded::New);
        assert_eq!(replays.len(), 1);
    }

    #[test]
    fn a_clock_that_goes_back_makes_no_signature_good_again() {
        let mut replays = Replays::new();
        assert_eq!(replays.record(tag(1), 1000, 1000), Recorded::New);
        assert_eq!(replays.record(tag(2), 1400, 1400), Recorded::New);
        assert_eq!(replays.record(tag(1), 1000, 1000), Recorded::Forgotten);
        assert_eq!(replays.record(tag(3), 1001, 1001), Recorded::New);
    }

    #[test]
    fn a_full_memory_refuses_until_there_is_room() {
        let mut replays = Replays::new();
        for number in 0..limits::REPLAYS {
            assert_eq!(replays.record(tag(number), 1000, 1000), Recorded::New);
        }
        let one_more = tag(limits::REPLAYS);
        assert_eq!(replays.record(one_more, 1000, 1000), Recorded::Full);
        assert_eq!(replays.record(tag(0), 1000, 1000), Recorded::Repeated);
        assert_eq!(replays.record(one_more, 1301, 1301), Recorded::New);
        assert_eq!(replays.len(), 1);
        assert!(!replays.is_empty());
    }
}
