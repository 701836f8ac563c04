//! How much of a window is worth using where the peer is near.
//!
//! A sender that is faster than its peer moves every byte of the peer's window into the queue in
//! front of it, and all other streams of the connection wait behind that: 2 MiB are 2 to 4 ms at what a
//! core decrypts, twenty times the round trip of a loopback (docs/decision/0007). So what one
//! channel has in flight, sent and not yet taken by the peer's application, is kept to what the way
//! there needs. The window remains the peer's word and is never exceeded.

use std::time::{Duration, Instant};

use crate::limits;

/// What a channel may have in flight, in bytes, over a way with these round trips, the least ever
/// measured and the latest. Without a measurement, or where the latest is no longer that of a
/// near peer, only the window counts.
pub(crate) fn most_in_flight(least: Duration, latest: Duration) -> u64 {
    if latest >= limits::WINDOW_GROWTH_ROUND_TRIP {
        return u64::MAX;
    }
    let way = least.as_micros().saturating_mul(limits::FLIGHT_RATE.into());
    u64::try_from(way)
        .unwrap_or(u64::MAX)
        .max(limits::FLIGHT_MIN)
}

/// What of a channel is in flight.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    /// Sent, and not credited by a window adjust. A window that grows credits more than was taken;
    /// then less seems to be in flight than is, and the window alone counts for a while.
    bytes: u64,
    /// The smallest window adjust that came. Some peers give credit for half a window at a time and
    /// for nothing before that, so half as much again may always be in flight; nothing is known
    /// before the first.
    lump: Option<u64>,
    /// Since when there is something to send that only the flight keeps back.
    held: Option<Instant>,
}

impl Flight {
    /// What may be sent now, in bytes, if at most `most` may be in flight.
    pub(crate) fn room(&self, most: u64) -> u64 {
        self.lump.map_or(u64::MAX, |lump| {
            most.max(lump.saturating_add(lump >> 1))
                .saturating_sub(self.bytes)
        })
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    pub(crate) fn credited(&mut self, bytes: u32) {
        let bytes = u64::from(bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.lump = Some(self.lump.map_or(bytes, |least| least.min(bytes)));
        self.held = None;
    }

    /// Something waits for the flight alone.
    pub(crate) fn hold(&mut self, now: Instant) {
        self.held.get_or_insert(now);
    }

    /// When waiting has been in vain, if it goes on until then.
    pub(crate) fn release_at(&self) -> Option<Instant> {
        self.held?.checked_add(limits::FLIGHT_STALL)
    }

    /// Waiting has been in vain: the peer may give no credit before it has received more. From here on
    /// only the window counts, until it does.
    pub(crate) fn release(&mut self) {
        self.held = None;
        self.lump = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_peer_gets_what_the_way_needs_and_a_far_one_its_window() {
        let micros = Duration::from_micros;
        for (least, latest, most) in [
            (0, 0, limits::FLIGHT_MIN),
            (40, 90, limits::FLIGHT_MIN),
            (500, 500, 1_250_000),
            (4_999, 4_999, 12_497_500),
            (40, 5_000, u64::MAX),
            (50_000, 50_000, u64::MAX),
        ] {
            assert_eq!(most_in_flight(micros(least), micros(latest)), most);
        }
    }

    #[test]
    fn credit_in_large_lumps_never_starves() {
        // A peer that gives credit for half of its 2 MiB at once, as some libraries do.
        let (window, lump, most) = (2 << 20, 1 << 20, limits::FLIGHT_MIN);
        let mut flight = Flight::default();
        let (mut left, mut taken, mut total) = (window, 0_u64, 0_u64);
        while total < 1 << 30 {
            let bytes = flight.room(most).min(left).min(32_768);
            assert!(bytes > 0, "held after {total} bytes");
            flight.sent(usize::try_from(bytes).unwrap());
            (left, taken, total) = (left - bytes, taken + bytes, total + bytes);
            if taken >= lump {
                flight.credited(u32::try_from(taken).unwrap());
                (left, taken) = (left + taken, 0);
            }
        }
    }

    #[test]
    fn a_peer_that_changes_its_lumps_is_waited_for_once() {
        let now = crate::test_clock();
        let mut flight = Flight::default();
        flight.sent(1_000);
        flight.credited(1_000);
        flight.sent(usize::try_from(limits::FLIGHT_MIN).unwrap());
        assert_eq!(flight.room(limits::FLIGHT_MIN), 0);
        assert_eq!(flight.release_at(), None);
        flight.hold(now);
        flight.hold(now + Duration::from_millis(10));
        assert_eq!(flight.release_at(), Some(now + limits::FLIGHT_STALL));
        flight.release();
        assert_eq!(flight.room(limits::FLIGHT_MIN), u64::MAX);
        flight.sent(1 << 20);
        flight.credited(1 << 20);
        flight.sent(1 << 20);
        assert!(flight.room(limits::FLIGHT_MIN) > 0);
    }

    #[test]
    fn a_window_that_grows_is_no_debt() {
        let mut flight = Flight::default();
        flight.sent(100);
        flight.credited(1_000_000);
        assert_eq!(flight.room(10), 1_500_000);
        flight.sent(1_500_000);
        assert_eq!(flight.room(10), 0);
    }
}
