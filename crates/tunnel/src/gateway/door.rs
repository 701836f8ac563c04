//! Who may be on the way in at a time: places for connections that have not logged in, shared fairly by
//! networks.
//!
//! There are [`PLACES`], or fewer where few connections are allowed in all, a quarter of them for networks that somebody has logged in from within a day, so
//! that no stranger takes the last place of a customer. Of the free ones of a kind, a network takes a
//! quarter at the most, so that the first to come never takes all. Who finds no place waits for one,
//! silently and for a few seconds, up to [`WAITING`]; that costs a descriptor and nothing else.
//!
//! Within a network, who has something to say comes before who is silent: it is called first, and it has the place
//! of the neighbour who has been in and silent for longest ([`displace`](Door::displace)). A stock ssh says its name
//! as soon as it is connected.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::network::Network;

/// Connections that may be on the way in (security 2.17).
pub const PLACES: usize = 1_024;
/// Of these, one part of so many is for networks that are known.
const RESERVE_PART: usize = 4;
/// Connections that may wait for a place. The fleet of one gateway that comes back after its restart finds
/// room here.
pub const WAITING: usize = 4_096;
/// Of these, one network may have one part of so many.
const WAITING_PART: usize = 2;
/// Of all connections that a gateway may have, one part of so many has a place at most, and as many wait: strangers
/// never have more than half of them, however low the cap is.
const CAP_PART: usize = 4;
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

/// How long one may be in and silent before its place is a neighbour's. A client that waits for the gateway's first
/// word has answered by then.
const SILENCE: Duration = Duration::from_secs(1);

/// The places and who has them. `T` is a ticket: what who waits is called by; `G` is one who is in.
#[derive(Debug)]
pub struct Door<T, G> {
    common: Places,
    reserved: Places,
    /// Those who may wait.
    room: usize,
    /// Those who have something to say, and then those who are silent.
    waiting: VecDeque<Waiting<T>>,
    waiting_of: HashMap<Network, usize>,
    /// Those who are in and silent, as far as is known, in the order in which they came in.
    silent: HashMap<Network, VecDeque<(Instant, G)>>,
    known: HashMap<Network, Instant>,
}

#[derive(Debug)]
struct Waiting<T> {
    network: Network,
    ticket: T,
    has_spoken: bool,
}

#[derive(Debug)]
struct Places {
    total: usize,
    taken: usize,
    of: HashMap<Network, usize>,
}

impl<T, G> Door<T, G> {
    /// The door of a gateway that has so many connections at most.
    pub fn of(connections: usize) -> Self {
        let part = connections.div_ceil(CAP_PART);
        let places = part.min(PLACES);
        let reserve = places / RESERVE_PART;
        Self {
            common: Places::new(places.saturating_sub(reserve)),
            reserved: Places::new(reserve),
            room: part.min(WAITING),
            waiting: VecDeque::new(),
            waiting_of: HashMap::new(),
            silent: HashMap::new(),
            known: HashMap::new(),
        }
    }

    /// Somebody comes from there. Where nobody else can wait, one is sent away who is silent: the neighbour who has
    /// waited for longest, or for one who has none that wait, whoever has.
    pub fn comes(&mut self, network: Network, ticket: T, now: Instant) -> Coming {
        // Nobody overtakes a neighbour who waits.
        if !self.waiting_of.contains_key(&network)
            && let Some(kind) = self.take(network, now)
        {
            return Coming::In(kind);
        }
        let of_one = self.waiting_of.get(&network).copied().unwrap_or_default();
        if self.waiting.len() >= self.room || of_one >= self.room.div_ceil(WAITING_PART) {
            let of_all = of_one == 0;
            let silent = (self.waiting.iter())
                .position(|waiting| !waiting.has_spoken && (of_all || waiting.network == network));
            let Some(gone) = silent.and_then(|index| self.waiting.remove(index)) else {
                return Coming::Full;
            };
            self.waits_no_more(gone.network);
        }
        let of_one = self.waiting_of.entry(network).or_default();
        *of_one = of_one.saturating_add(1);
        self.waiting.push_back(Waiting {
            network,
            ticket,
            has_spoken: false,
        });
        Coming::Waits
    }

    /// One who waits has said something: it is called before those who are silent.
    pub fn speaks(&mut self, is_it: impl Fn(&T) -> bool) {
        let place = self.waiting.partition_point(|waiting| waiting.has_spoken);
        let index = (self.waiting.iter()).position(|waiting| is_it(&waiting.ticket));
        if let Some(index) = index
            && index >= place
            && let Some(mut waiting) = self.waiting.remove(index)
        {
            waiting.has_spoken = true;
            self.waiting.insert(place, waiting);
        }
    }

    /// One is in, and has said nothing yet.
    pub fn is_silent(&mut self, network: Network, guest: G, now: Instant) {
        let silent = self.silent.entry(network).or_default();
        silent.push_back((now, guest));
    }

    /// One of those has logged in or gone.
    pub fn is_silent_no_more(&mut self, network: Network, is_it: impl Fn(&G) -> bool) {
        if let Some(silent) = self.silent.get_mut(&network) {
            silent.retain(|(_, guest)| !is_it(guest));
            if silent.is_empty() {
                self.silent.remove(&network);
            }
        }
    }

    /// Whose place one from there is to have who has something to say: that of the neighbour who has been in and
    /// silent for longest, and for a while; where all places are taken, of anybody like that. It is forgotten by
    /// this, and its place is given back by its leaving.
    pub fn displace(
        &mut self,
        network: Network,
        is_silent: impl Fn(&G) -> bool,
        now: Instant,
    ) -> Option<G> {
        if let Some(guest) = self.longest_silent(network, &is_silent, now) {
            return Some(guest);
        }
        if self.common.taken < self.common.total {
            return None;
        }
        let oldest = (self.silent.iter())
            .filter_map(|(network, silent)| Some((silent.front()?.0, *network)))
            .min();
        let (_, network) = oldest?;
        self.longest_silent(network, &is_silent, now)
    }

    fn longest_silent(
        &mut self,
        network: Network,
        is_silent: &impl Fn(&G) -> bool,
        now: Instant,
    ) -> Option<G> {
        let silent = self.silent.get_mut(&network)?;
        while silent.front().is_some_and(|(_, guest)| !is_silent(guest)) {
            silent.pop_front();
        }
        let (since, _) = silent.front()?;
        if now.saturating_duration_since(*since) < SILENCE {
            return None;
        }
        silent.pop_front().map(|(_, guest)| guest)
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
            let network = self.waiting.get(index)?.network;
            if full == Some(network) {
                continue;
            }
            if let Some(kind) = self.take(network, now) {
                let called = self.waiting.remove(index)?;
                self.waits_no_more(network);
                return Some((network, called.ticket, kind));
            }
            full = Some(network);
        }
        None
    }

    /// Who waited has given up: those whose ticket is not to be kept.
    pub fn gave_up(&mut self, mut is_here: impl FnMut(&T) -> bool) {
        let mut gone = Vec::new();
        self.waiting.retain(|waiting| {
            let stays = is_here(&waiting.ticket);
            if !stays {
                gone.push(waiting.network);
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

    const RESERVE: usize = PLACES / RESERVE_PART;
    const COMMON: usize = PLACES - RESERVE;
    const WAITING_OF_ONE: usize = WAITING / WAITING_PART;

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn network(number: u32) -> Network {
        Network::of(std::net::Ipv4Addr::from_bits(number << 8).into())
    }

    #[test]
    fn g09_a_flood_from_one_network_leaves_three_quarters_to_others() {
        let now = start();
        let mut door: Door<_, ()> = Door::of(crate::gateway::accept::CONNECTIONS);
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
        let mut door: Door<_, ()> = Door::of(crate::gateway::accept::CONNECTIONS);
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
    fn g09_strangers_never_have_more_than_half_of_the_connections_that_there_may_be() {
        let now = start();
        for cap in [1, 2, 10, 100, 1_000, 2_000, 16_384] {
            let mut door: Door<_, ()> = Door::of(cap);
            assert_eq!(door.comes(network(0), 0, now), Coming::In(Kind::Common));
            for number in 0..20_000_u32 {
                door.comes(network(1), number, now);
                door.comes(network(number), number, now);
            }
            let there = door.taken() + door.waiting();
            assert!(there <= cap.div_ceil(CAP_PART) * 2, "{there} of {cap}");
        }
    }

    #[test]
    fn who_waits_comes_in_when_a_place_is_free_and_in_order() {
        let now = start();
        let mut door: Door<_, ()> = Door::of(crate::gateway::accept::CONNECTIONS);
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
        let mut door: Door<_, ()> = Door::of(crate::gateway::accept::CONNECTIONS);
        for ticket in 0..COMMON {
            door.comes(network(7), ticket, now);
        }
        let first_waiting = COMMON / 4;
        door.gave_up(|ticket| *ticket > first_waiting);
        door.left(network(7), Kind::Common);
        let (_, ticket, _) = door.next(now).unwrap();
        assert_eq!(ticket, first_waiting + 1);
    }

    #[test]
    fn g09_who_has_something_to_say_has_the_place_of_the_neighbour_who_is_silent_for_longest() {
        let now = start();
        let mut door = Door::of(crate::gateway::accept::CONNECTIONS);
        for ticket in 0..20_000_usize {
            if matches!(door.comes(network(7), ticket, now), Coming::In(_)) {
                door.is_silent(network(7), ticket, now);
            }
        }
        // Everybody of that network who may wait does; one who comes sends the oldest of them away.
        assert_eq!(door.waiting(), WAITING_OF_ONE);
        assert_eq!(door.comes(network(7), 77_777, now), Coming::Waits);
        assert_eq!(door.waiting(), WAITING_OF_ONE);
        door.speaks(|ticket| *ticket == 77_777);
        // Nobody has to speak at once, and who has spoken stays.
        assert_eq!(door.displace(network(7), |_| true, now), None);
        let later = now + SILENCE;
        assert_eq!(
            door.displace(network(7), |guest| *guest > 2, later),
            Some(3)
        );
        door.left(network(7), Kind::Common);
        let called = door.next(later).unwrap();
        assert_eq!(called, (network(7), 77_777, Kind::Common));
        // Another network has no part in it while there are places.
        assert_eq!(door.displace(network(8), |_| true, later), None);
        door.is_silent_no_more(network(7), |_| true);
        assert!(door.silent.is_empty());
    }

    #[test]
    fn g09_where_all_places_are_taken_by_the_silent_of_everywhere_one_who_speaks_has_one() {
        let now = start();
        let mut door = Door::of(crate::gateway::accept::CONNECTIONS);
        for number in 0..100_000_u32 {
            if matches!(door.comes(network(number), number, now), Coming::In(_)) {
                door.is_silent(network(number), number, now);
            }
        }
        assert_eq!(door.taken(), COMMON);
        assert_eq!(door.comes(network(0xff_ffff), 0, now), Coming::Waits);
        assert_eq!(door.waiting(), door.room);
        let later = now + SILENCE;
        assert_eq!(door.displace(network(0xff_ffff), |_| true, later), Some(0));
    }
}
