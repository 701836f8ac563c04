//! Which logins have lines of their own in the log: the first of each network in a while. The others are counted, so
//! that whoever comes and goes a hundred times a second fills no disk.

use std::collections::HashMap;
use std::time::Duration;

use crate::gateway::network::Network;

/// How long is counted together.
pub(super) const PERIOD: Duration = Duration::from_secs(60);
/// Connections of a network that have their lines in that time: one that comes and one that goes.
const LINES: u64 = 30;
/// Networks that are counted apart in that time. Those of more are counted together.
const NETWORKS: usize = 4_096;

/// Whether what becomes of a connection is told line by line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Telling {
    /// It is.
    Lines,
    /// Only to who looks closely: it is counted.
    Counted,
}

/// Tells of a connection at the level that its [`Telling`] asks for.
macro_rules! tell {
    ($telling:expr, $($said:tt)+) => {
        match $telling {
            $crate::gateway::accept::Telling::Lines => ::tracing::info!($($said)+),
            $crate::gateway::accept::Telling::Counted => ::tracing::debug!($($said)+),
        }
    };
}
pub(in crate::gateway) use tell;

/// Logins of this period.
#[derive(Debug, Default)]
pub(super) struct Logins {
    of: HashMap<Network, u64>,
    of_others: u64,
}

impl Logins {
    /// One more, from there.
    pub(super) fn another(&mut self, network: Network) -> Telling {
        let has_room = self.of.len() < NETWORKS || self.of.contains_key(&network);
        let count = if has_room {
            self.of.entry(network).or_default()
        } else {
            &mut self.of_others
        };
        *count = count.saturating_add(1);
        if *count <= LINES {
            Telling::Lines
        } else {
            Telling::Counted
        }
    }

    /// The period is over: how many of each network had no line, the most first; `None` for all others together.
    pub(super) fn period(&mut self) -> Vec<(Option<Network>, u64)> {
        let others = std::mem::take(&mut self.of_others);
        let counts = self
            .of
            .drain()
            .map(|(network, count)| (Some(network), count));
        let mut more: Vec<_> = counts
            .chain([(None, others)])
            .filter_map(|(network, count)| Some((network, count.checked_sub(LINES)?)))
            .filter(|(_, count)| *count > 0)
            .collect();
        more.sort_by_key(|(network, count)| (std::cmp::Reverse(*count), *network));
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(number: u32) -> Network {
        Network::of(std::net::Ipv4Addr::from_bits(number << 8).into())
    }

    #[test]
    fn g09_a_flood_of_logins_has_few_lines_and_its_number_and_others_keep_theirs() {
        let mut logins = Logins::default();
        let told = (0..1_000).filter(|_| logins.another(network(1)) == Telling::Lines);
        assert_eq!(told.count(), 30);
        assert_eq!(logins.another(network(2)), Telling::Lines);
        assert_eq!(logins.period(), [(Some(network(1)), 970)]);
        assert_eq!(logins.period(), []);
        assert_eq!(logins.another(network(1)), Telling::Lines);
    }

    #[test]
    fn networks_are_counted_apart_up_to_a_limit() {
        let mut logins = Logins::default();
        let all = u32::try_from(NETWORKS).unwrap() + 100;
        let told = (0..all).filter(|number| logins.another(network(*number)) == Telling::Lines);
        assert_eq!(told.count(), NETWORKS + 30);
        assert_eq!(logins.of.len(), NETWORKS);
        assert_eq!(logins.period(), [(None, 70)]);
    }
}
