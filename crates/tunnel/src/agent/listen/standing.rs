//! Where the forwards stand that listen here, and who has been told.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::agent::forward::Forward;
use crate::agent::network::{InterfaceName, NoAddress};
use crate::agent::supervise::Event;

/// What a forward waits for that listens here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waiting {
    /// An interface, or an address of it.
    Interface {
        /// The interface.
        name: InterfaceName,
        /// What is missing.
        reason: NoAddress,
    },
    /// An address that this machine does not have.
    Absent(IpAddr),
    /// Whatever keeps it from being bound: the holder of its port, for example.
    Listen(String),
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface { name, reason } => write!(f, "{name}: {reason}"),
            Self::Absent(ip) => write!(f, "this machine does not have the address {ip}"),
            Self::Listen(reason) => f.write_str(reason),
        }
    }
}

/// A forward, with the port that it has, and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) forward: Forward,
    /// None once all that it stands for is bound.
    pub(super) waiting: Option<Waiting>,
}

/// All forwards of a tunnel that listen here, in order.
#[derive(Debug)]
pub(super) struct Standings {
    /// Their places among all forwards of the tunnel.
    numbers: Vec<usize>,
    now: Arc<watch::Sender<Vec<Standing>>>,
    told: Mutex<Vec<Told>>,
}

/// What was told last of a forward.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Nothing,
    Up,
    Waiting(Waiting),
}

/// Where one forward says how it stands.
#[derive(Debug)]
pub(super) struct Slot {
    all: Arc<watch::Sender<Vec<Standing>>>,
    number: usize,
}

/// Tells that something has changed.
pub(super) struct Changes(watch::Receiver<Vec<Standing>>);

impl Standing {
    /// It waits for nothing.
    pub(super) const fn bound(forward: Forward) -> Self {
        Self {
            forward,
            waiting: None,
        }
    }
}

impl Standings {
    pub(super) fn new(numbers: Vec<usize>, standings: Vec<Standing>) -> Self {
        let told = vec![Told::Nothing; standings.len()];
        Self {
            numbers,
            now: Arc::new(watch::Sender::new(standings)),
            told: Mutex::new(told),
        }
    }

    pub(super) fn place(&self, number: usize) -> Slot {
        Slot {
            all: Arc::clone(&self.now),
            number,
        }
    }

    pub(super) fn changes(&self) -> Changes {
        Changes(self.now.subscribe())
    }

    /// How each stands now.
    #[cfg(test)]
    pub(super) fn now(&self) -> Vec<Standing> {
        self.now.borrow().clone()
    }

    /// Tells what has not been told: which wait, and, where a connection is up, which are up.
    pub(super) fn tell(&self, is_connected: bool, events: &(dyn Fn(Event<'_>) + Send + Sync)) {
        let standings = self.now.borrow().clone();
        let before = self.told().clone();
        let mut told = Vec::with_capacity(before.len());
        let numbered = self.numbers.iter().copied().zip(&standings);
        for ((number, Standing { forward, waiting }), before) in numbered.zip(before) {
            let now = match waiting {
                Some(reason) => Told::Waiting(reason.clone()),
                None if is_connected => Told::Up,
                None => Told::Nothing,
            };
            if now != before {
                match &now {
                    Told::Waiting(reason) => events(Event::ForwardWaiting {
                        number,
                        forward,
                        reason,
                    }),
                    Told::Up => events(Event::ForwardUp { number, forward }),
                    Told::Nothing if matches!(before, Told::Waiting(_)) => {
                        events(Event::ForwardListens { number, forward });
                    }
                    Told::Nothing => {}
                }
            }
            told.push(now);
        }
        *self.told() = told;
    }

    /// The connection has ended: the next tells anew which are up.
    pub(super) fn are_away(&self) {
        for told in self.told().iter_mut() {
            if *told == Told::Up {
                *told = Told::Nothing;
            }
        }
    }

    /// Tells that those which are bound wait for a connection.
    pub(super) fn tell_away(&self, events: &(dyn Fn(Event<'_>) + Send + Sync)) {
        let standings = self.now.borrow().clone();
        for (number, Standing { forward, waiting }) in self.numbers.iter().copied().zip(&standings)
        {
            if waiting.is_none() {
                events(Event::ForwardListens { number, forward });
            }
        }
    }

    fn told(&self) -> MutexGuard<'_, Vec<Told>> {
        // A list is right after any panic.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Says how the forward stands.
    pub(super) fn set(&self, standing: Standing) {
        self.all
            .send_if_modified(|all| match all.get_mut(self.number) {
                Some(slot) if *slot != standing => {
                    *slot = standing;
                    true
                }
                Some(_) | None => false,
            });
    }
}

impl Changes {
    /// Waits for the next.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
