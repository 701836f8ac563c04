//! How long until what has ended is started again: pure, times are arguments.

use std::time::Duration;

use super::limits::{FIRST_PAUSE, LONGEST_PAUSE, WELL_AFTER};

/// The pauses of one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pause(Duration);

impl Pause {
    pub(crate) fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    /// The next one, for a program that was up for that long, or never.
    pub(crate) fn next(&mut self, up_for: Duration) -> Duration {
        if up_for >= WELL_AFTER {
            self.0 = FIRST_PAUSE;
        }
        let pause = self.0;
        self.0 = LONGEST_PAUSE.min(2 * pause);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_it_was_well_for_a_while() {
        let mut pause = Pause::new();
        let mut next = |up_for| pause.next(Duration::from_secs(up_for)).as_secs();
        let grown: Vec<_> = [0, 59, 0, 0, 0, 0, 0].into_iter().map(&mut next).collect();
        assert_eq!(grown, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!([next(60), next(0)], [1, 2]);
    }
}
