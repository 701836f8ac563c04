//! How much to seal ahead of the socket.

use std::time::{Duration, Instant};

/// Measures how fast a socket takes bytes, and from that how much may wait sealed: 5 ms' worth, at
/// most [`MOST`]. What is sealed cannot be overtaken, so more of it would only be delay for others.
#[derive(Debug)]
pub(super) struct Drain {
    /// Bytes a second; `None` until the socket was first full.
    rate: Option<u64>,
    /// Since when the socket has been full, and what it has taken since.
    busy: Option<(Instant, u64)>,
}

/// Most bytes that wait sealed.
const MOST: usize = 262_144;
/// Time's worth of bytes that may wait sealed.
const AHEAD: Duration = Duration::from_millis(5);
const NANOS_PER_SECOND: u128 = 1_000_000_000;
/// Least time over which a rate is measured.
const SAMPLE: Duration = Duration::from_millis(2);

impl Drain {
    pub(super) const fn new() -> Self {
        Self {
            rate: None,
            busy: None,
        }
    }

    /// What may wait, in bytes. At least 1, which lets one packet through.
    pub(super) fn most(&self) -> usize {
        let Some(rate) = self.rate else { return MOST };
        let ahead = u128::from(rate).saturating_mul(AHEAD.as_nanos()) / NANOS_PER_SECOND;
        usize::try_from(ahead).unwrap_or(MOST).clamp(1, MOST)
    }

    /// The socket took bytes.
    pub(super) fn wrote(&mut self, bytes: usize) {
        if let Some((_, taken)) = &mut self.busy {
            *taken = taken.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
    }

    /// The socket takes no more for now.
    pub(super) fn is_full(&mut self, now: Instant) {
        let Some((since, taken)) = self.busy else {
            self.busy = Some((now, 0));
            return;
        };
        let time = now.saturating_duration_since(since);
        if time >= SAMPLE {
            let nanos = time.as_nanos().max(1);
            let rate = u128::from(taken).saturating_mul(NANOS_PER_SECOND);
            let rate = rate.checked_div(nanos).unwrap_or(rate);
            let rate = u64::try_from(rate).unwrap_or(u64::MAX);
            self.rate = Some(self.rate.map_or(rate, |old| {
                (old / 4).saturating_mul(3).saturating_add(rate / 4)
            }));
            self.busy = Some((now, 0));
        }
    }

    /// Nothing waits: a rate measured now would be ours, not the socket's.
    pub(super) const fn is_idle(&mut self) {
        self.busy = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_socket_gets_five_milliseconds_and_a_fast_one_the_most() {
        let start = tokio::time::Instant::now().into_std();
        for (bytes_a_second, most) in [(125_000_u64, 625), (1_000_000_000, MOST), (0, 1)] {
            let mut drain = Drain::new();
            assert_eq!(drain.most(), MOST);
            for step in 0..200_u32 {
                drain.is_full(start + Duration::from_millis(10) * step);
                drain.wrote(usize::try_from(bytes_a_second / 100).unwrap());
            }
            let got = drain.most();
            assert!(
                got.abs_diff(most) <= most / 50,
                "{got} for {bytes_a_second}"
            );
        }
    }
}
