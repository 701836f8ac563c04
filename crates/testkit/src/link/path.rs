//! What one direction of a link does to a packet: pure, with the time as an argument and randomness from a seed.

use std::time::{Duration, Instant};

use crate::seeded::SeededRandom;

/// How bad a direction is; the default is a perfect one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Impairment {
    /// How long a packet is underway.
    pub delay: Duration,
    /// How much longer at most, drawn for each packet. Packets never overtake each other, so one that is late holds up
    /// those after it.
    pub jitter: Duration,
    /// How many packets of a million are lost, drawn for each.
    pub loss_per_million: u32,
    /// The narrowest place on the way, if there is one.
    pub rate: Option<Rate>,
}

/// A narrow place: a queue that drops what does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many bytes a second pass, counted with IP headers. Zero is taken as one.
    pub bytes_per_second: u64,
    /// How many bytes wait at most.
    pub queue_bytes: u64,
}

/// What became of the packets of a direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// They arrived.
    pub delivered: u64,
    /// They were lost by chance.
    pub lost: u64,
    /// They found a queue full.
    pub dropped: u64,
    /// A blackout swallowed them.
    pub darkened: u64,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Path {
    impairment: Impairment,
    dark: bool,
    random: SeededRandom,
    /// When the narrow place will have sent all that waits there.
    clear_at: Instant,
    /// When the packet before is due.
    last_due: Instant,
    counts: Counts,
}

/// What happens to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It arrives then, unless a blackout comes before.
    Due(Instant),
    /// It never arrives.
    Gone,
}

impl Path {
    pub(super) fn new(now: Instant, seed: u64) -> Self {
        Self {
            impairment: Impairment::default(),
            dark: false,
            random: SeededRandom::new(seed),
            clear_at: now,
            last_due: now,
            counts: Counts::default(),
        }
    }

    pub(super) fn impair(&mut self, impairment: Impairment) {
        self.impairment = impairment;
    }

    pub(super) fn darken(&mut self) {
        self.dark = true;
    }

    pub(super) fn lighten(&mut self) {
        self.dark = false;
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// A packet sets out.
    pub(super) fn admit(&mut self, now: Instant, bytes: usize) -> Verdict {
        if self.dark {
            self.counts.darkened += 1;
            return Verdict::Gone;
        }
        if self
            .random
            .chance(self.impairment.loss_per_million.into(), MILLION)
        {
            self.counts.lost += 1;
            return Verdict::Gone;
        }
        let mut due = now;
        if let Some(rate) = self.impairment.rate {
            let waiting = self.clear_at.saturating_duration_since(now);
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            if waiting + rate.time(bytes) > rate.time(rate.queue_bytes) {
                self.drop_packet();
                return Verdict::Gone;
            }
            self.clear_at = now + waiting + rate.time(bytes);
            due = self.clear_at;
        }
        due = (due + self.impairment.delay + self.jitter()).max(self.last_due);
        self.last_due = due;
        Verdict::Due(due)
    }

    /// A packet found no place.
    pub(super) fn drop_packet(&mut self) {
        self.counts.dropped += 1;
    }

    /// A packet that is due arrives, or does not.
    pub(super) fn arrive(&mut self) -> bool {
        if self.dark {
            self.counts.darkened += 1;
        } else {
            self.counts.delivered += 1;
        }
        !self.dark
    }

    fn jitter(&mut self) -> Duration {
        let most = u64::try_from(self.impairment.jitter.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.random.below(most.saturating_add(1)))
    }
}

impl Rate {
    /// How long so many bytes take.
    fn time(self, bytes: u64) -> Duration {
        let nanoseconds =
            u128::from(bytes) * NANOSECONDS / u128::from(self.bytes_per_second.max(1));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

const MILLION: u64 = 1_000_000;
const NANOSECONDS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn path(impairment: Impairment) -> (Path, Instant) {
        let now = Instant::now();
        let mut path = Path::new(now, 1);
        path.impair(impairment);
        (path, now)
    }

    /// When each of `count` packets of 1,000 bytes that set out at once is due, in ms.
    fn due(path: &mut Path, now: Instant, count: usize) -> Vec<Option<u128>> {
        let verdicts = (0..count).map(|_| path.admit(now, 1000));
        verdicts
            .map(|verdict| match verdict {
                Verdict::Due(due) => Some((due - now).as_millis()),
                Verdict::Gone => None,
            })
            .collect()
    }

    #[test]
    fn a_perfect_path_takes_no_time() {
        let (mut path, now) = path(Impairment::default());
        assert_eq!(due(&mut path, now, 2), [Some(0), Some(0)]);
    }

    #[test]
    fn delay_is_added_to_the_time_of_a_narrow_place_whose_queue_drops_what_is_too_much() {
        let rate = Some(Rate {
            bytes_per_second: 100_000,
            queue_bytes: 3_000,
        });
        let (mut path, now) = path(Impairment {
            delay: 50 * MS,
            rate,
            ..Impairment::default()
        });
        assert_eq!(
            due(&mut path, now, 5),
            [Some(60), Some(70), Some(80), None, None]
        );
        assert_eq!(path.counts().dropped, 2);
        // Ten milliseconds later one has left the queue.
        let later = now + 10 * MS;
        assert_eq!(due(&mut path, later, 2), [Some(80), None]);
    }

    #[test]
    fn jitter_never_lets_a_packet_overtake_and_stays_within_its_bound() {
        let jitter = Impairment {
            delay: 10 * MS,
            jitter: 5 * MS,
            ..Impairment::default()
        };
        let (mut path, now) = path(jitter);
        let mut last = 0;
        for due in due(&mut path, now, 100) {
            let due = due.unwrap();
            assert!(
                (10..=15).contains(&due) && due >= last,
                "{due} after {last}"
            );
            last = due;
        }
        let later: Vec<_> = (1..50)
            .map(|n| due(&mut path, now + 20 * n * MS, 1))
            .collect();
        assert!(later.iter().any(|due| *due != later[0]), "{later:?}");
    }

    #[test]
    fn loss_is_as_often_as_it_says_and_repeats_with_its_seed() {
        let run = |seed| {
            let now = Instant::now();
            let mut path = Path::new(now, seed);
            path.impair(Impairment {
                loss_per_million: 100_000,
                ..Impairment::default()
            });
            due(&mut path, now, 10_000)
        };
        let lost = run(1).iter().filter(|due| due.is_none()).count();
        assert!((850..1150).contains(&lost), "{lost} of 10,000");
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn a_blackout_takes_what_sets_out_and_what_is_underway() {
        let (mut path, now) = path(Impairment::default());
        path.darken();
        assert_eq!(path.admit(now, 1), Verdict::Gone);
        assert!(!path.arrive());
        path.lighten();
        assert!(path.arrive());
        assert_eq!(
            path.counts(),
            Counts {
                delivered: 1,
                darkened: 2,
                ..Counts::default()
            }
        );
    }
}
