//! A bad line between two namespaces: delay, jitter, loss, rate, blackouts, a changed address.
//!
//! Each end is a TUN device, and one thread for each direction reads packets from one device, decides on each
//! ([`Impairment`]) and writes it to the other when it is due. So whole TCP and UDP stacks see the faults, without the
//! kernel's netem, which build machines lack. Settings change while traffic runs. Randomness comes from a seed.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};

use crate::namespace::{Namespace, Subnet};

mod middlebox;
mod path;
mod tun;

use middlebox::Middlebox;

pub use path::{Counts, Impairment, Rate};
use path::{Path, Verdict};

/// A running link; dropping it stops its threads and removes both devices.
#[derive(Debug)]
pub struct Link {
    namespaces: [Namespace; 2],
    subnet: Subnet,
    hosts: [u8; 2],
    next_host: u8,
    paths: [Arc<Mutex<Path>>; 2],
    middlebox: Arc<Mutex<Middlebox>>,
    stop: Arc<OwnedFd>,
    threads: Vec<JoinHandle<()>>,
}

/// One of the two namespaces of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The first namespace given.
    Left,
    /// The second.
    Right,
}

/// One of the two directions of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// What the left end sends.
    LeftToRight,
    /// What the right end sends.
    RightToLeft,
}

impl Link {
    /// Lays a link without faults yet.
    ///
    /// # Panics
    ///
    /// When this process is not root or has no `/dev/net/tun`.
    #[track_caller]
    pub fn new(left: &Namespace, right: &Namespace, seed: u64) -> Self {
        let subnet = Subnet::new();
        let hosts = [1, 2];
        let namespaces = [left.clone(), right.clone()];
        let [left_device, right_device] = namespaces.each_ref().map(|namespace| {
            let device = namespace
                .enter(|| tun::open(INTERFACE))
                .expect("a TUN device");
            namespace.ip(&["link", "set", INTERFACE, "up", "txqueuelen", QUEUE_PACKETS]);
            Arc::new(device)
        });
        for (namespace, host) in namespaces.iter().zip(hosts) {
            subnet.assign(namespace, INTERFACE, host);
        }
        let paths = [seed, seed.rotate_left(1) ^ 1]
            .map(|seed| Arc::new(Mutex::new(Path::new(Instant::now(), seed))));
        let stop = rustix::event::eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd");
        let stop = Arc::new(stop);
        let middlebox = Arc::<Mutex<Middlebox>>::default();
        let [onward, back] = paths.clone();
        let lines = [
            Line::new(&left_device, &right_device, onward, &middlebox, &stop),
            Line::new(&right_device, &left_device, back, &middlebox, &stop),
        ];
        let threads = lines
            .map(|line| std::thread::spawn(move || line.run()))
            .into();
        Self {
            namespaces,
            subnet,
            hosts,
            next_host: 3,
            paths,
            middlebox,
            stop,
            threads,
        }
    }

    /// The IPv4 address of an end now.
    pub fn v4(&self, end: End) -> Ipv4Addr {
        self.subnet.v4(self.host(end))
    }

    /// The IPv6 address of an end now.
    pub fn v6(&self, end: End) -> Ipv6Addr {
        self.subnet.v6(self.host(end))
    }

    /// The IPv4 address of an end now, as any address.
    pub fn ip(&self, end: End) -> IpAddr {
        self.v4(end).into()
    }

    /// From the next packet on, this direction is so.
    pub fn set(&self, direction: Direction, impairment: Impairment) {
        self.path(direction).impair(impairment);
    }

    /// From the next packet on, both directions are so.
    pub fn set_both(&self, impairment: Impairment) {
        self.set(Direction::LeftToRight, impairment);
        self.set(Direction::RightToLeft, impairment);
    }

    /// From now on nothing arrives in this direction, not even what is underway. Neither end is told.
    pub fn blackout(&self, direction: Direction) {
        self.path(direction).darken();
    }

    /// From now on nothing arrives in either direction.
    pub fn blackout_both(&self) {
        self.blackout(Direction::LeftToRight);
        self.blackout(Direction::RightToLeft);
    }

    /// Ends the blackouts of both directions.
    pub fn restore(&self) {
        self.path(Direction::LeftToRight).lighten();
        self.path(Direction::RightToLeft).lighten();
    }

    /// From now on every TCP connection (over IPv4) that is open is reset as soon as either end says something, as
    /// by a firewall that was started anew. The other end is told when it says something itself.
    pub fn forget_connections(&self) {
        lock(&self.middlebox).forget();
    }

    /// What became of the packets of this direction so far.
    pub fn counts(&self, direction: Direction) -> Counts {
        self.path(direction).counts()
    }

    /// Gives an end new addresses instead of those it has, as a mobile network does: its connections stay open and can
    /// send nothing any more; new ones come from the new address. Nobody is told.
    ///
    /// # Panics
    ///
    /// When `ip` fails, with its words, or after 250 changes.
    #[track_caller]
    pub fn change_address(&mut self, end: End) {
        let (new, old) = (self.next_host, self.host(end));
        let [left, right] = &self.namespaces;
        let namespace = match end {
            End::Left => left,
            End::Right => right,
        };
        // In this order: the kernel takes a network's later addresses away together with its first.
        self.subnet.withdraw(namespace, INTERFACE, old);
        self.subnet.assign(namespace, INTERFACE, new);
        self.next_host = new.checked_add(1).expect("few changes of address");
        let [left, right] = &mut self.hosts;
        match end {
            End::Left => *left = new,
            End::Right => *right = new,
        }
    }

    fn host(&self, end: End) -> u8 {
        let [left, right] = self.hosts;
        match end {
            End::Left => left,
            End::Right => right,
        }
    }

    fn path(&self, direction: Direction) -> MutexGuard<'_, Path> {
        let [onward, back] = &self.paths;
        lock(match direction {
            Direction::LeftToRight => onward,
            Direction::RightToLeft => back,
        })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        rustix::io::write(&*self.stop, &1u64.to_ne_bytes()).ok();
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// One direction at work.
struct Line {
    from: Arc<OwnedFd>,
    to: Arc<OwnedFd>,
    path: Arc<Mutex<Path>>,
    middlebox: Arc<Mutex<Middlebox>>,
    stop: Arc<OwnedFd>,
    underway: VecDeque<(Instant, Vec<u8>)>,
    underway_bytes: usize,
}

impl Line {
    fn new(
        from: &Arc<OwnedFd>,
        to: &Arc<OwnedFd>,
        path: Arc<Mutex<Path>>,
        middlebox: &Arc<Mutex<Middlebox>>,
        stop: &Arc<OwnedFd>,
    ) -> Self {
        let (from, to, stop) = (Arc::clone(from), Arc::clone(to), Arc::clone(stop));
        Self {
            from,
            to,
            path,
            middlebox: Arc::clone(middlebox),
            stop,
            underway: VecDeque::new(),
            underway_bytes: 0,
        }
    }

    fn run(mut self) {
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        while !self.wait() {
            self.take(&mut buffer);
            self.deliver();
        }
    }

    /// Waits until there is a packet to take or to deliver; true when the link stops.
    fn wait(&self) -> bool {
        let due = self
            .underway
            .front()
            .map(|(due, _)| due.duration_since(Instant::now()));
        let timeout = due.and_then(|due| Timespec::try_from(due).ok());
        let mut polled = [
            PollFd::from_borrowed_fd(self.from.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN),
        ];
        // An interrupted poll is one that found nothing.
        rustix::event::poll(&mut polled, timeout.as_ref()).ok();
        let [_, stop] = polled;
        !stop.revents().is_empty()
    }

    fn take(&mut self, buffer: &mut [u8]) {
        for _ in 0..BATCH_PACKETS {
            let Ok(bytes) = rustix::io::read(&*self.from, &mut *buffer) else {
                return;
            };
            let (packet, _) = buffer.split_at(bytes);
            let answer = lock(&self.middlebox).answer(packet);
            if let Some(answer) = answer {
                rustix::io::write(&*self.from, &answer).ok();
                continue;
            }
            let mut path = lock(&self.path);
            if self.underway_bytes + bytes > UNDERWAY_BYTES_MAX {
                path.drop_packet();
            } else if let Verdict::Due(due) = path.admit(Instant::now(), bytes) {
                self.underway.push_back((due, packet.to_vec()));
                self.underway_bytes += bytes;
            }
        }
    }

    fn deliver(&mut self) {
        let now = Instant::now();
        while let Some((_, packet)) = self.underway.pop_front_if(|(due, _)| *due <= now) {
            self.underway_bytes -= packet.len();
            if lock(&self.path).arrive() {
                // A device that is down or out of memory loses the packet, as any host may.
                rustix::io::write(&*self.to, &packet).ok();
            }
        }
    }
}

fn lock<T>(guarded: &Mutex<T>) -> MutexGuard<'_, T> {
    guarded.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The device's name in each namespace.
const INTERFACE: &str = "link0";

/// How many packets wait for the thread in the kernel: more than the 500 of a TUN device's default, which a burst of one
/// TCP connection at 1 Gbit/s overruns, so that what is lost is what the settings say.
const QUEUE_PACKETS: &str = "10000";

/// How much is underway in one direction at most: a second at 2 Gbit/s.
const UNDERWAY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The longest packet of IP.
const PACKET_BYTES_MAX: usize = 65_536;

/// How many packets are taken before those that are due are delivered.
const BATCH_PACKETS: usize = 64;
