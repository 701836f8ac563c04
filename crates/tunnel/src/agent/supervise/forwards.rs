//! Where each forward of a tunnel stands: what to ask next, and whose visitors are served.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::chance;
use crate::agent::forward::{Destination, Forward, Listens};
use crate::agent::meter::{Meter, Visit};
use crate::agent::probe::{is_loopback, public_port};
use crate::agent::visitors::Visitors;
use crate::transport::{Asking, Bind, ForwardError, Origin, StreamHead, StreamKind, Transport};

/// The remote forwards of a tunnel, over all its connections.
#[derive(Debug)]
pub(super) struct Forwards {
    entries: Vec<Entry>,
    /// Where services look up their visitors.
    visitors: Option<Visitors>,
    asking: Option<(usize, Asking)>,
}

#[derive(Debug)]
struct Entry {
    /// Its place among all forwards of the tunnel.
    number: usize,
    meter: Arc<Meter>,
    wanted: Bind,
    to: Destination,
    /// The port that was granted for port 0, kept over connections.
    earlier_port: Option<u16>,
    /// Since when it is refused, over all connections.
    earlier_refused_since: Option<Instant>,
    state: State,
}

/// Somebody who has come to a forward.
#[derive(Debug)]
pub(super) struct Guest {
    meter: Arc<Meter>,
    known: Option<(Visitors, Origin)>,
}

/// Where a forward stands on the present connection.
#[derive(Debug)]
enum State {
    /// To be asked for, not before `at`.
    Due {
        at: Instant,
        /// When it was refused first on this connection.
        refused_since: Option<Instant>,
    },
    /// Granted as this bind.
    Up(Bind),
    /// The connection has ended.
    Closed,
}

/// What an answer changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The forward of that number is up.
    Granted(usize),
    /// It was refused for the first time.
    Refused(usize),
    /// It was refused again, or not answered.
    Again,
    /// The port that it had is given up.
    Lost(Bind),
}

/// Least wait before a refused forward is asked for again; by chance up to twice as long.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// The same after the first refusal of a connection. By its login the peer may just have heard of the end
/// of the connection before, and its sshd needs a moment to free the port, more so behind a hop.
const ASK_SOON: Duration = Duration::from_millis(250);
/// How long the earlier port of a port 0 is asked for before any other will do. A stock sshd notices
/// a dead client after 40 to 140 s (spec of 2026-11-21, ClientAlive by version).
const EARLIER_PORT_PATIENCE: Duration = Duration::from_secs(150);

impl Forwards {
    pub(super) fn new(
        forwards: Vec<(usize, Forward, Arc<Meter>)>,
        visitors: Option<Visitors>,
    ) -> Self {
        let entries = forwards.into_iter().map(|(number, forward, meter)| Entry {
            number,
            meter,
            wanted: forward.bind,
            to: forward.to,
            earlier_port: None,
            earlier_refused_since: None,
            state: State::due(),
        });
        Self {
            entries: entries.collect(),
            visitors,
            asking: None,
        }
    }

    /// A new connection: nothing is up.
    pub(super) fn begin(&mut self) {
        self.asking = None;
        for entry in &mut self.entries {
            entry.state = State::due();
        }
    }

    /// Asks for the next forward that is due, in order, one at a time; waits for the answer. Waits
    /// for ever when all are up.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a question that was sent is kept.
    pub(super) async fn step(&mut self, transport: &dyn Transport) -> Step {
        if self.asking.is_none() {
            let Some((number, at)) = self.next_due() else {
                return std::future::pending().await;
            };
            sleep_until(at).await;
            if let Some(entry) = self.entries.get(number) {
                self.asking = Some((number, transport.forward(entry.question())));
            }
        }
        let Some((number, asking)) = &mut self.asking else {
            return Step::Again;
        };
        let (number, answer) = (*number, asking.await);
        self.asking = None;
        match self.entries.get_mut(number) {
            Some(entry) => entry.answered(answer).for_number(number),
            None => Step::Again,
        }
    }

    /// Where visitors of a forward are counted.
    pub(super) fn meter(&self, index: usize) -> Arc<Meter> {
        let entry = self.entries.get(index);
        entry.map_or_else(Arc::default, |entry| Arc::clone(&entry.meter))
    }

    /// What is to be known of a visitor from there.
    pub(super) fn guest(&self, index: usize, origin: &Origin) -> Guest {
        let visitors = self.visitors.clone();
        Guest {
            meter: self.meter(index),
            known: visitors.map(|visitors| (visitors, origin.clone())),
        }
    }

    /// A forward and its place in the tunnel; its bind as granted if it is up.
    pub(super) fn named(&self, index: usize) -> Option<(usize, Forward)> {
        let entry = self.entries.get(index)?;
        let bind = match &entry.state {
            State::Up(bind) => bind,
            State::Due { .. } | State::Closed => &entry.wanted,
        };
        let forward = Forward {
            listens: Listens::There,
            bind: bind.clone(),
            to: entry.to.clone(),
        };
        Some((entry.number, forward))
    }

    /// The forward that waits to be asked for again as this.
    pub(super) fn refused_as(&self, bind: &Bind) -> Option<(usize, Forward)> {
        let mut entries = self.entries.iter().enumerate();
        let (index, _) = entries.find(|(_, entry)| {
            let is_due = matches!(entry.state, State::Due { .. });
            is_due && entry.question() == *bind
        })?;
        self.named(index)
    }

    /// The one that is asked for, or was granted, in these words.
    pub(super) fn asked_as(&self, bind: &Bind) -> Option<(usize, Forward)> {
        let mut entries = self.entries.iter().enumerate();
        let (index, _) = entries.find(|(_, entry)| match &entry.state {
            State::Up(granted) => granted == bind,
            State::Due { .. } | State::Closed => entry.question() == *bind,
        })?;
        self.named(index)
    }

    /// The forward of visitors of that kind, by its number, and where they go: the one that is up with
    /// exactly this bind.
    pub(super) fn destination(&self, kind: &StreamKind) -> Option<(usize, &Destination)> {
        let StreamKind::Forwarded(visited) = kind else {
            return None;
        };
        let mut entries = self.entries.iter().enumerate();
        let (number, entry) = entries.find(|(_, entry)| match &entry.state {
            State::Up(bind) => bind == visited,
            State::Due { .. } | State::Closed => false,
        })?;
        Some((number, &entry.to))
    }

    /// Whether a visitor has to stay outside: one from elsewhere at a SOCKS forward that was asked for at the
    /// peer's loopback. An sshd with `GatewayPorts yes` listens for everybody all the same, and whoever
    /// reaches that port would be let into this network (G58).
    pub(super) fn keeps_out(&self, head: &StreamHead) -> bool {
        let is_socks = matches!(
            self.destination(&head.kind),
            Some((_, Destination::Named(_)))
        );
        let StreamKind::Forwarded(visited @ Bind::Tcp { .. }) = &head.kind else {
            return false;
        };
        is_socks && public_port(visited).is_none() && !is_loopback(&head.origin.host)
    }

    /// Whether the answer that is awaited now may make such visitors welcome: the peer sends it
    /// before the first of them, but it comes another way.
    pub(super) fn may_become(&self, kind: &StreamKind) -> bool {
        let (StreamKind::Forwarded(visited), Some((number, _))) = (kind, &self.asking) else {
            return false;
        };
        let Some(entry) = self.entries.get(*number) else {
            return false;
        };
        let question = entry.question();
        question == *visited
            || (question.port() == Some(0)
                && visited.port().map(|port| question.with_port(port)).as_ref() == Some(visited))
    }

    /// The forward to ask for next: the one that is due first, in the order of the tunnel.
    fn next_due(&self) -> Option<(usize, Instant)> {
        let due = self.entries.iter().enumerate();
        due.filter_map(|(number, entry)| match entry.state {
            State::Due { at, .. } => Some((number, at)),
            State::Up(_) | State::Closed => None,
        })
        .min_by_key(|(_, at)| *at)
    }
}

impl Guest {
    /// It is a visitor, and no probe.
    pub(super) fn visit(self) -> Visit {
        let visit = self.meter.visit();
        match self.known {
            Some((visitors, origin)) => visit.known_to(visitors, origin),
            None => visit,
        }
    }
}

impl State {
    fn due() -> Self {
        Self::Due {
            at: Instant::now(),
            refused_since: None,
        }
    }
}

/// What an answer changed for one forward.
enum Change {
    Granted,
    Refused,
    Again,
    Lost(Bind),
}

impl Change {
    fn for_number(self, number: usize) -> Step {
        match self {
            Self::Granted => Step::Granted(number),
            Self::Refused => Step::Refused(number),
            Self::Again => Step::Again,
            Self::Lost(bind) => Step::Lost(bind),
        }
    }
}

impl Entry {
    /// What to ask for: port 0 asks for the port that it had.
    fn question(&self) -> Bind {
        match (self.wanted.port(), self.earlier_port) {
            (Some(0), Some(port)) => self.wanted.with_port(port),
            (_, _) => self.wanted.clone(),
        }
    }

    fn answered(&mut self, answer: Result<u16, ForwardError>) -> Change {
        let question = self.question();
        match answer {
            Ok(port) => {
                let granted = if question.port() == Some(0) {
                    self.earlier_port = Some(port);
                    question.with_port(port)
                } else {
                    question
                };
                self.earlier_refused_since = None;
                self.state = State::Up(granted);
                return Change::Granted;
            }
            // Nobody has said no. The end of the connection is told by itself, and until then nothing is
            // asked for again and again.
            Err(ForwardError::Closed) => {
                self.state = State::Closed;
                return Change::Again;
            }
            Err(ForwardError::Refused | ForwardError::Shortage) => {}
        }
        let now = Instant::now();
        let (is_first, since) = match self.state {
            State::Due {
                refused_since: Some(since),
                ..
            } => (false, since),
            State::Due { .. } | State::Up(_) | State::Closed => (true, now),
        };
        let least = if is_first { ASK_SOON } else { ASK_AGAIN };
        let spread = u64::try_from(least.as_millis()).unwrap_or(u64::MAX);
        let by_chance = Duration::from_millis(chance().checked_rem(spread).unwrap_or(0));
        let wait = least.saturating_add(by_chance);
        self.state = State::Due {
            at: now.checked_add(wait).unwrap_or(now),
            refused_since: Some(since),
        };
        let is_earlier = question != self.wanted;
        let refused_since = *self.earlier_refused_since.get_or_insert(now);
        if is_earlier && now.duration_since(refused_since) >= EARLIER_PORT_PATIENCE {
            self.earlier_refused_since = None;
            self.earlier_port = None;
            return Change::Lost(question);
        }
        if is_first {
            Change::Refused
        } else {
            Change::Again
        }
    }
}
