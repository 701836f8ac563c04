//! How long a refusal is kept back where others have failed before: a delay for keys that let nobody in, never a ban.
//!
//! A carrier puts thousands of customers behind one address, so nothing that lets somebody in ever waits (security
//! rule G09): only a key that is refused is answered later, and all of a network wait alike, whether the key is
//! somebody's who may not come in now or nobody's. The time of an answer tells no stranger which keys are known here,
//! and a new key each time gains nothing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::network::Network;

/// Failed logins of late, by network.
#[derive(Debug, Default)]
pub struct Throttle {
    penalties: HashMap<Network, Penalty>,
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
/// Most that is counted of one network, so that an hour forgives everything.
const MOST: u32 = 30;
/// Networks that are remembered. When there are more, the one whose last failure is oldest is forgotten.
const NETWORKS: usize = 16_384;

impl Throttle {
    /// How long a key from there that is refused waits for that.
    pub fn delay(&self, network: Network, now: Instant) -> Duration {
        let failures = self
            .penalties
            .get(&network)
            .map_or(0, |penalty| penalty.left(now));
        let Some(steps) = failures.checked_sub(FREE) else {
            return Duration::ZERO;
        };
        let factor = 1_u32.checked_shl(steps).unwrap_or(u32::MAX);
        FIRST.saturating_mul(factor).min(DELAY)
    }

    /// A connection from there has shown a key that is refused, and ended without a login.
    pub fn failed(&mut self, network: Network, now: Instant) {
        if !self.penalties.contains_key(&network) && self.penalties.len() >= NETWORKS {
            self.make_room(now);
        }
        let penalty = self.penalties.entry(network).or_insert(Penalty {
            failures: 0,
            last: now,
        });
        penalty.failures = penalty.left(now).saturating_add(1).min(MOST);
        penalty.last = now;
    }

    /// Networks that are remembered.
    pub fn len(&self) -> usize {
        self.penalties.len()
    }

    /// Whether nobody has failed.
    pub fn is_empty(&self) -> bool {
        self.penalties.is_empty()
    }

    fn make_room(&mut self, now: Instant) {
        self.penalties.retain(|_, penalty| penalty.left(now) > 0);
        if self.penalties.len() < NETWORKS {
            return;
        }
        let oldest = (self.penalties.iter())
            .min_by_key(|(_, penalty)| penalty.last)
            .map(|(network, _)| *network);
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

    fn network(address: &str) -> Network {
        Network::of(address.parse().unwrap())
    }

    #[test]
    fn g09_bad_neighbour_cannot_lock_out() {
        let now = start();
        let mut throttle = Throttle::default();
        for _ in 0..1_000 {
            throttle.failed(network("192.0.2.7"), now);
        }
        assert_eq!(throttle.delay(network("192.0.2.7"), now), DELAY);
        assert_eq!(throttle.delay(network("198.51.100.1"), now), Duration::ZERO);
    }

    #[test]
    fn a_delay_doubles_from_the_third_failure_and_is_forgotten_in_half_an_hour() {
        let now = start();
        let mut throttle = Throttle::default();
        let mistyped = network("2001:db8::1");
        let mut delays = Vec::new();
        for _ in 0..10 {
            delays.push(throttle.delay(mistyped, now).as_millis());
            throttle.failed(mistyped, now);
        }
        assert_eq!(delays, [0, 0, 0, 100, 200, 400, 800, 1_600, 3_200, 5_000]);
        let later = now + Duration::from_secs(30 * 60);
        assert_eq!(throttle.delay(mistyped, later), Duration::ZERO);
    }

    #[test]
    fn what_is_remembered_has_a_limit() {
        let now = start();
        let mut throttle = Throttle::default();
        for number in 0..u32::try_from(NETWORKS + 100).unwrap() {
            let address = std::net::Ipv4Addr::from_bits(number << 8);
            throttle.failed(Network::of(address.into()), now);
        }
        assert_eq!(throttle.len(), NETWORKS);
    }
}
