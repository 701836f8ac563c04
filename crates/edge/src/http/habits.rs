//! What a visitor of HTTP/2 does with what it asks for.
//!
//! A stream that is taken back as soon as it was asked for frees its place, so that a cap on streams alone bounds no
//! work (CVE-2023-44487). h2 counts those that come back before they were looked at; here are the others.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// So many requests are asked before anything is held against a visitor (Envoy:
/// `overload.premature_reset_total_stream_count`).
const ENOUGH: u64 = 500;

/// One connection's.
#[derive(Debug, Default)]
pub(crate) struct Habits {
    asked: AtomicU64,
    kept: AtomicU64,
    bad: Notify,
}

impl Habits {
    /// A request has come, with so many at most that are not answered yet.
    pub(crate) fn asked(&self, streams: u32) {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let kept = self.kept.load(Ordering::Relaxed);
        let taken_back = asked.saturating_sub(kept).saturating_sub(streams.into());
        if asked >= ENOUGH && taken_back > asked / 2 {
            self.bad.notify_one();
        }
    }

    /// Requests that have come, in all.
    pub(crate) fn count(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// One was answered, or its visitor has waited for it.
    pub(crate) fn kept(&self) {
        self.kept.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends when most of what was asked was taken back at once.
    pub(crate) async fn are_bad(&self) {
        self.bad.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn are_bad(asked: u64, kept: u64) -> bool {
        let habits = Habits::default();
        for number in 0..asked {
            if number < kept {
                habits.kept();
            }
            habits.asked(100);
        }
        habits.are_bad().now_or_never().is_some()
    }

    #[test]
    fn who_takes_back_most_of_what_it_asks_is_known_by_it() {
        assert!(!are_bad(499, 0), "too few to tell");
        assert!(are_bad(500, 0));
        assert!(!are_bad(10_000, 10_000));
        assert!(!are_bad(1_000, 500), "a visitor may change its mind");
        assert!(are_bad(2_000, 500));
    }
}
