//! Who may be on the way in at a time: places for connections that have not logged in, shared fairly by
//! networks.
//!
//! There are [`PLACES`], a quarter of them for networks that somebody has logged in from within a day, so
//! that no stranger takes the last place of a customer. Of the free ones of a kind, a network takes a
//! quarter at the most, so that the first to come never takes all. Who finds no place waits for one,
//! silently and for a few seconds, up to [`WAITING`]; that costs a descriptor and nothing else.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::network::Network;

/// Connections that may be on the way in (security 2.17).
pub const PLACES: usize = 1_024;
/// Of these, places for networks that are known.
const RESERVE: usize = PLACES / 4;
/// Places for everybody.
const COMMON: usize = PLACES - RESERVE;
/// Connections that may wait for a place. The fleet of one gateway that comes back after its restart finds
/// room here.
pub const WAITING: usize = 4_096;
/// Of these, one network may have so many.
const WAITING_OF_ONE: usize = WAITING / 2;
/// What a network takes of the free places at most: one part of so many.
const SHARE: usize = 4;
/// How long a network counts as known after a login.
const KNOWN: Duration = Duration::from_secs(24 * 3_600);
/// Networks that are remembered. When there are more, the one whose login is oldest is forgotten.
const NETWORKS: usize = 65_536;

/// Which places one is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Everybody's.
    Common,
    /// Those of networks that are known.
    Reserved,
}

/// What becomes of one who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coming {
    /// Come in.
    In(Kind),
    /// Wait: [`Door::next`] gives the ticket back when its turn has come.
    Waits,
    /// There is no room even to wait.
    Full,
}

/// The places and who has them. `T` is a ticket: what who waits is called by.
#[derive(Debug)]
pub struct Door<T> {
    common: Places,
    reserved: Places,
    waiting: VecDeque<(Network, T)>,
    waiting_of: HashMap<Network, usize>,
    known: HashMap<Network, Instant>,
}

#[derive(Debug)]
struct Places {
    total: usize,
    taken: usize,
    of: HashMap<Network, usize>,
}

impl<T> Default for Door<T> {
    fn default() -> Self {
        Self {
            common: Places::new(COMMON),
            reserved: Places::new(RESERVE),
            waiting: VecDeque::new(),
            waiting_of: HashMap::new(),
            known: HashMap::new(),
        }
    }
}

impl<T> Door<T> {
    /// Somebody comes from there.
    pub fn comes(&mut self, network: Network, ticket: T, now: Instant) -> Coming {
        // Nobody overtakes a neighbour who waits.
        if !self.waiting_of.contains_key(&network)
            && let Some(kind) = self.take(network, now)
        {
            return Coming::In(kind);
        }
        let of_one = self.waiting_of.entry(network).or_default();
        if self.waiting.len() >= WAITING || *of_one >= WAITING_OF_ONE {
            if *of_one == 0 {
                self.waiting_of.remove(&network);
            }
            return Coming::Full;
        }
        *of_one = of_one.saturating_add(1);
        self.waiting.push_back((network, ticket));
        Coming::Waits
    }

    /// One who was in has logged in or gone. Whoever waits is to be called then, by [`next`](Self::next).
    pub fn left(&mut self, network: Network, kind: Kind) {
        match kind {
            Kind::Common => self.common.give_back(network),
            Kind::Reserved => self.reserved.give_back(network),
        }
    }

    /// The first of those who wait that may come in, and has a place by that. To be asked again until there
    /// is none.
    pub fn next(&mut self, now: Instant) -> Option<(Network, T, Kind)> {
        let mut full: Option<Network> = None;
        for index in 0..self.waiting.len() {
            let (network, _) = self.waiting.get(index)?;
            let network = *network;
            if full == Some(network) {
                continue;
            }
            if let Some(kind) = self.take(network, now) {
                let (_, ticket) = self.waiting.remove(index)?;
                self.waits_no_more(network);
                return Some((network, ticket, kind));
            }
            full = Some(network);
        }
        None
    }

    /// Who waited has given up: those whose ticket is not to be kept.
    pub fn gave_up(&mut self, mut is_here: impl FnMut(&T) -> bool) {
        let mut gone = Vec::new();
        self.waiting.retain(|(network, ticket)| {
            let stays = is_here(ticket);
            if !stays {
                gone.push(*network);
            }
            stays
        });
        for network in gone {
            self.waits_no_more(network);
        }
    }

    /// Somebody has logged in from there.
    pub fn knows(&mut self, network: Network, now: Instant) {
        if !self.known.contains_key(&network) && self.known.len() >= NETWORKS {
            self.known
                .retain(|_, since| now.saturating_duration_since(*since) < KNOWN);
            if self.known.len() >= NETWORKS {
                let oldest = (self.known.iter())
                    .min_by_key(|(_, since)| **since)
                    .map(|(network, _)| *network);
                if let Some(oldest) = oldest {
                    self.known.remove(&oldest);
                }
            }
        }
        self.known.insert(network, now);
    }

    /// Connections that are on the way in.
    pub fn taken(&self) -> usize {
        self.common.taken.saturating_add(self.reserved.taken)
    }

    /// Connections that wait for a place.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn take(&mut self, network: Network, now: Instant) -> Option<Kind> {
        if self.common.take(network) {
            return Some(Kind::Common);
        }
        let is_known = self
            .known
            .get(&network)
            .is_some_and(|since| now.saturating_duration_since(*since) < KNOWN);
        (is_known && self.reserved.take(network)).then_some(Kind::Reserved)
    }

    fn waits_no_more(&mut self, network: Network) {
        if let Some(count) = self.waiting_of.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.waiting_of.remove(&network);
            }
        }
    }
}

impl Places {
    fn new(total: usize) -> Self {
        Self {
            total,
            taken: 0,
            of: HashMap::new(),
        }
    }

    /// A place, unless the network has its share of what would be free without it.
    fn take(&mut self, network: Network) -> bool {
        let own = self.of.get(&network).copied().unwrap_or_default();
        let free = self.total.saturating_sub(self.taken);
        let share = free
            .saturating_add(own)
            .checked_div(SHARE)
            .unwrap_or(0)
            .max(1);
        let may = free > 0 && own < share;
        if may {
            self.taken = self.taken.saturating_add(1);
            self.of.insert(network, own.saturating_add(1));
        }
        may
    }

    fn give_back(&mut self, network: Network) {
        if let Some(own) = self.of.get_mut(&network) {
            self.taken = self.taken.saturating_sub(1);
            *own = own.saturating_sub(1);
            if *own == 0 {
                self.of.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn network(number: u32) -> Network {
        Network::of(std::net::Ipv4Addr::from_bits(number << 8).into())
    }

    #[test]
    fn g09_a_flood_from_one_network_leaves_three_quarters_to_others() {
        let now = start();
        let mut door = Door::default();
        let came = (0..5_000)
            .filter(|ticket| matches!(door.comes(network(1), *ticket, now), Coming::In(_)))
            .count();
        assert_eq!(came, COMMON / 4);
        assert_eq!(door.comes(network(2), 9_999, now), Coming::In(Kind::Common));
        assert_eq!(door.waiting(), WAITING_OF_ONE);
    }

    #[test]
    fn g09_a_flood_from_everywhere_leaves_the_reserve_to_who_is_known() {
        let now = start();
        let mut door = Door::default();
        door.knows(network(0xff_ffff), now);
        for number in 0..100_000_u32 {
            door.comes(network(number), number, now);
        }
        assert_eq!(door.taken(), COMMON);
        assert_eq!(
            door.comes(network(0xff_ffff), 0, now),
            Coming::In(Kind::Reserved)
        );
        let later = now + KNOWN;
        assert_ne!(
            door.comes(network(0xff_ffff), 0, later),
            Coming::In(Kind::Reserved)
        );
    }

    #[test]
    fn who_waits_comes_in_when_a_place_is_free_and_in_order() {
        let now = start();
        let mut door = Door::default();
        let mut inside = 0;
        for ticket in 0..COMMON {
            if door.comes(network(7), ticket, now) == Coming::In(Kind::Common) {
                inside += 1;
            }
        }
        let waiting = door.waiting();
        assert_eq!(inside + waiting, COMMON);
        for expected in inside..COMMON {
            door.left(network(7), Kind::Common);
            let called = door.next(now).unwrap();
            assert_eq!(called, (network(7), expected, Kind::Common));
        }
        for _ in 0..inside {
            door.left(network(7), Kind::Common);
            assert_eq!(door.next(now), None);
        }
        assert_eq!((door.taken(), door.waiting()), (0, 0));
        assert!(door.common.of.is_empty() && door.waiting_of.is_empty());
    }

    #[test]
    fn who_gave_up_is_not_called() {
        let now = start();
        let mut door = Door::default();
        for ticket in 0..COMMON {
            door.comes(network(7), ticket, now);
        }
        let first_waiting = COMMON / 4;
        door.gave_up(|ticket| *ticket > first_waiting);
        door.left(network(7), Kind::Common);
        let (_, ticket, _) = door.next(now).unwrap();
        assert_eq!(ticket, first_waiting + 1);
    }
}
