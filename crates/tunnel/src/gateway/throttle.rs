//! How long somebody waits who has failed before: a delay for a pair of network and key, never a ban.
//!
//! A carrier puts thousands of customers behind one address, so nothing is held against an address alone
//! (security rule G09). What is remembered is a network *and* a key that is known here: who fails with
//! somebody's key from a network waits longer with that key from that network. All keys that are nobody's
//! count as one, so that a stranger gains nothing by showing a new one each time, and a neighbour of his
//! with a good key never waits for him.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use adit_model::id::Fingerprint;

use super::network::Network;

/// What failures are held against.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Suspect {
    /// Where they came from.
    pub network: Network,
    /// The key, if it is somebody's.
    pub key: Option<Fingerprint>,
}

/// Failed logins of late.
#[derive(Debug, Default)]
pub struct Throttle {
    penalties: HashMap<Suspect, Penalty>,
}

#[derive(Debug, Clone, Copy)]
struct Penalty {
    failures: u32,
    last: Instant,
}

/// Longest delay (security rule G09).
pub const DELAY: Duration = Duration::from_secs(5);
/// Delay after the first failures that count; doubled by each one more.
const FIRST: Duration = Duration::from_millis(100);
/// Failures for which nobody waits: a person mistypes.
const FREE: u32 = 3;
/// One failure is forgotten after each such time without another.
const FORGET: Duration = Duration::from_secs(60);
/// Most that is counted of one suspect, so that an hour forgives everything.
const MOST: u32 = 30;
/// Suspects that are remembered. When there are more, the one whose last failure is oldest is forgotten.
const SUSPECTS: usize = 16_384;

impl Throttle {
    /// How long that suspect waits before it is answered.
    pub fn delay(&self, suspect: &Suspect, now: Instant) -> Duration {
        let failures = self
            .penalties
            .get(suspect)
            .map_or(0, |penalty| penalty.left(now));
        let Some(steps) = failures.checked_sub(FREE) else {
            return Duration::ZERO;
        };
        let factor = 1_u32.checked_shl(steps).unwrap_or(u32::MAX);
        FIRST.saturating_mul(factor).min(DELAY)
    }

    /// A connection of that suspect ended without a login.
    pub fn failed(&mut self, suspect: Suspect, now: Instant) {
        if !self.penalties.contains_key(&suspect) && self.penalties.len() >= SUSPECTS {
            self.make_room(now);
        }
        let penalty = self.penalties.entry(suspect).or_insert(Penalty {
            failures: 0,
            last: now,
        });
        penalty.failures = penalty.left(now).saturating_add(1).min(MOST);
        penalty.last = now;
    }

    /// That suspect has logged in.
    pub fn succeeded(&mut self, suspect: &Suspect) {
        self.penalties.remove(suspect);
    }

    /// Suspects that are remembered.
    pub fn len(&self) -> usize {
        self.penalties.len()
    }

    /// Whether nobody is suspected.
    pub fn is_empty(&self) -> bool {
        self.penalties.is_empty()
    }

    fn make_room(&mut self, now: Instant) {
        self.penalties.retain(|_, penalty| penalty.left(now) > 0);
        if self.penalties.len() < SUSPECTS {
            return;
        }
        let oldest = (self.penalties.iter())
            .min_by_key(|(_, penalty)| penalty.last)
            .map(|(suspect, _)| suspect.clone());
        if let Some(oldest) = oldest {
            self.penalties.remove(&oldest);
        }
    }
}

impl Penalty {
    /// What is not forgotten yet.
    fn left(self, now: Instant) -> u32 {
        let quiet = now.saturating_duration_since(self.last).as_secs();
        let forgotten = quiet.checked_div(FORGET.as_secs()).unwrap_or(0);
        self.failures
            .saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn suspect(address: &str, key: Option<char>) -> Suspect {
        let fingerprint =
            |letter: char| format!("SHA256:{}", letter.to_string().repeat(43)).parse();
        Suspect {
            network: Network::of(address.parse().unwrap()),
            key: key.map(|letter| fingerprint(letter).unwrap()),
        }
    }

    #[test]
    fn g09_bad_neighbour_cannot_lock_out() {
        let now = start();
        let mut throttle = Throttle::default();
        // Behind one address: one who tries a thousand keys, and one who has somebody's key and fails.
        for _ in 0..1_000 {
            throttle.failed(suspect("192.0.2.7", None), now);
            throttle.failed(suspect("192.0.2.7", Some('a')), now);
        }
        assert_eq!(throttle.delay(&suspect("192.0.2.7", None), now), DELAY);
        assert_eq!(throttle.delay(&suspect("192.0.2.7", Some('a')), now), DELAY);
        for neighbour in [
            suspect("192.0.2.7", Some('b')),
            suspect("198.51.100.1", Some('a')),
            suspect("198.51.100.1", None),
        ] {
            assert_eq!(throttle.delay(&neighbour, now), Duration::ZERO);
        }
        throttle.succeeded(&suspect("192.0.2.7", Some('a')));
        assert!(
            throttle
                .delay(&suspect("192.0.2.7", Some('a')), now)
                .is_zero()
        );
    }

    #[test]
    fn a_delay_doubles_from_the_third_failure_and_is_forgotten_in_half_an_hour() {
        let now = start();
        let mut throttle = Throttle::default();
        let mistyped = suspect("2001:db8::1", Some('k'));
        let mut delays = Vec::new();
        for _ in 0..10 {
            delays.push(throttle.delay(&mistyped, now).as_millis());
            throttle.failed(mistyped.clone(), now);
        }
        assert_eq!(delays, [0, 0, 0, 100, 200, 400, 800, 1_600, 3_200, 5_000]);
        let later = now + Duration::from_secs(30 * 60);
        assert_eq!(throttle.delay(&mistyped, later), Duration::ZERO);
    }

    #[test]
    fn what_is_remembered_has_a_limit() {
        let now = start();
        let mut throttle = Throttle::default();
        for number in 0..u32::try_from(SUSPECTS + 100).unwrap() {
            let address = std::net::Ipv4Addr::from_bits(number << 8);
            let network = Network::of(address.into());
            throttle.failed(Suspect { network, key: None }, now);
        }
        assert_eq!(throttle.len(), SUSPECTS);
    }
}
