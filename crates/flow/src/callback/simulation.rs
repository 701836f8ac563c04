//! Runs, senders, clocks and cancels in random order, next to a model that keeps everything in lists.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use adit_testkit::seeded::{SeededRandom, for_each_seed};

use super::{
    CallbackId, CallbackIndex, Delivered, Dropped, Ended, ExpectError, Expected, LearnError,
    Learnt, Outcome, RunNumber, Source, Ticket, Waiters, limits,
};
use crate::expr::Value;

/// A waiter as the model has it.
#[derive(Clone)]
struct Modelled {
    expected: Expected,
    id: Option<CallbackId>,
    /// How many deliveries there were before it.
    since: usize,
}

struct Parked {
    callback: CallbackIndex,
    id: CallbackId,
    until: Instant,
    /// Which delivery it is.
    number: usize,
}

struct Simulation {
    random: SeededRandom,
    now: Instant,
    waiters: Waiters,
    waiting: BTreeMap<Ticket, Modelled>,
    ended: BTreeMap<Ticket, RunNumber>,
    registered: usize,
    parked: Vec<Parked>,
    /// The number of each delivery is its place here; whether it completed a waiter.
    deliveries: Vec<bool>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "an instant has no other origin; nothing here depends on which it is"
        )]
        let now = Instant::now();
        Self {
            random: SeededRandom::new(seed),
            now,
            waiters: Waiters::new(),
            waiting: BTreeMap::new(),
            ended: BTreeMap::new(),
            registered: 0,
            parked: Vec::new(),
            deliveries: Vec::new(),
        }
    }

    fn expected(&mut self) -> Expected {
        let is_timed = self.random.chance(1, 2);
        let after = Duration::from_secs(self.random.below(200));
        Expected {
            callback: CallbackIndex(self.random.pick(&[1, 2])),
            run: RunNumber(self.random.below(12)),
            due: is_timed.then(|| self.now + after),
        }
    }

    fn id(&mut self) -> CallbackId {
        let number = i128::from(self.random.below(30));
        let value = if self.random.chance(1, 2) {
            Value::Integer(number)
        } else {
            Value::Text(number.to_string())
        };
        CallbackId::try_from(&value).unwrap()
    }

    fn is_taken(&self, callback: CallbackIndex, id: &CallbackId) -> bool {
        let mut waiting = self.waiting.values();
        waiting.any(|one| one.expected.callback == callback && one.id.as_ref() == Some(id))
    }

    fn expect(&mut self, id: Option<CallbackId>) {
        let expected = self.expected();
        let ticket = match &id {
            None => self.waiters.expect(expected),
            Some(id) => {
                let ticket = self.waiters.expect_id(expected, id.clone());
                if self.is_taken(expected.callback, id) {
                    assert_eq!(ticket, Err(ExpectError::Taken));
                    return;
                }
                ticket
            }
        };
        let modelled = Modelled {
            expected,
            id,
            since: self.deliveries.len(),
        };
        let before = self.waiting.insert(ticket.unwrap(), modelled);
        assert!(before.is_none());
        self.registered += 1;
    }

    /// Any ticket, mostly of one that waits, mostly without an id.
    fn ticket(&mut self) -> Option<Ticket> {
        let is_without = self.random.chance(3, 4);
        let waiting = self.waiting.iter();
        let mut tickets: Vec<Ticket> = waiting
            .filter(|(_, one)| one.id.is_none() || !is_without)
            .map(|(ticket, _)| *ticket)
            .collect();
        if tickets.is_empty() {
            tickets = self.ended.keys().copied().collect();
        }
        (!tickets.is_empty()).then(|| self.random.pick(&tickets))
    }

    fn learn(&mut self) {
        let Some(ticket) = self.ticket() else { return };
        let id = self.id();
        let learnt = self.waiters.learn(ticket, id.clone(), self.now);
        let waiting = self.waiting.get(&ticket).cloned();
        let Some(modelled) = waiting.filter(|one| one.id.is_none()) else {
            assert!(matches!(learnt, Err(LearnError::Ended)), "{learnt:?}");
            return;
        };
        let Expected { callback, run, .. } = modelled.expected;
        let ended = Ended { ticket, run };
        if self.is_taken(callback, &id) {
            assert!(matches!(learnt, Err(LearnError::Taken)), "{learnt:?}");
            self.end(ended);
            return;
        }
        self.forget();
        let is_its = |one: &Parked| one.callback == callback && one.id == id;
        let mut parked = self.parked.iter();
        let first = parked.find(|one| is_its(one) && one.number >= modelled.since);
        match (learnt, first.map(|one| one.number)) {
            (Ok(Learnt::Waiting), None) => {
                self.waiting.get_mut(&ticket).unwrap().id = Some(id.clone());
            }
            (Ok(Learnt::Completed(outcome)), Some(number)) => {
                self.complete(ended, &outcome, number);
            }
            other => panic!("{other:?}"),
        }
        self.parked.retain(|one| !is_its(one));
    }

    fn deliver(&mut self) {
        let source = Source {
            callback: CallbackIndex(self.random.pick(&[1, 2, 3])),
            addr: IpAddr::V4(Ipv4Addr::from(self.random.pick(&[1_u32, 2, 3, 4, 5, 6]))),
        };
        let id = self.id();
        let number = self.deliveries.len();
        let tag = Value::Integer(i128::try_from(number).unwrap());
        let most = self.random.pick(&[1, 100, 400_000]);
        let padding = Value::Text("x".repeat(self.random.size(most)));
        let outcome = Outcome::Done(Value::List(vec![tag, padding]));
        self.deliveries.push(false);
        self.forget();
        let is_wanted = self.waiters.is_wanted(source.callback, &id);
        let room = limits::PARKED_BYTES - self.waiters.parked_bytes();
        let delivered = self.waiters.deliver(source, id.clone(), outcome, self.now);
        let mut waiting = self.waiting.values();
        let is_open =
            waiting.any(|one| one.expected.callback == source.callback && one.id.is_none());
        let is_taken = self.is_taken(source.callback, &id);
        assert_eq!(is_wanted, is_open || is_taken);
        match delivered {
            Delivered::Completed(ended, outcome) => {
                let modelled = &self.waiting[&ended.ticket];
                assert_eq!(modelled.expected.callback, source.callback);
                assert_eq!(modelled.id.as_ref(), Some(&id));
                self.complete(ended, &outcome, number);
            }
            Delivered::Parked => {
                assert!(is_open && !is_taken);
                self.parked.push(Parked {
                    callback: source.callback,
                    id,
                    until: self.now + limits::PARKED_FOR,
                    number,
                });
            }
            Delivered::Dropped(Dropped::Unknown) => assert!(!is_open && !is_taken),
            Delivered::Dropped(Dropped::Source) => assert!(is_open && !is_taken),
            Delivered::Dropped(Dropped::Full) => {
                assert!(is_open && !is_taken);
                let is_full = self.waiters.parked() == limits::PARKED;
                assert!(is_full || room < 500_000, "{room}");
            }
        }
    }

    fn complete(&mut self, ended: Ended, outcome: &Outcome, number: usize) {
        let Outcome::Done(Value::List(values)) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(values[0], Value::Integer(i128::try_from(number).unwrap()));
        assert!(!self.deliveries[number], "{number} was delivered twice");
        self.deliveries[number] = true;
        self.end(ended);
    }

    fn end(&mut self, ended: Ended) {
        let modelled = self.waiting.remove(&ended.ticket).unwrap();
        assert_eq!(modelled.expected.run, ended.run);
        assert!(self.ended.insert(ended.ticket, ended.run).is_none());
        self.forget();
    }

    /// Drops from the model what is too old or has nobody left that may claim it.
    fn forget(&mut self) {
        let open = self.waiting.values().filter(|one| one.id.is_none());
        let open: Vec<_> = open.map(|one| one.expected.callback).collect();
        self.parked
            .retain(|one| one.until > self.now && open.contains(&one.callback));
    }

    fn pass_time(&mut self) {
        let next_due = self.waiters.next_due();
        let step = match next_due {
            Some(due) if self.random.chance(1, 3) => due.saturating_duration_since(self.now),
            _ => Duration::from_millis(self.random.below(20_000)),
        };
        self.now += step;
        let due: Vec<Ticket> = self
            .waiting
            .iter()
            .filter(|(_, one)| one.expected.due.is_some_and(|due| due <= self.now))
            .map(|(ticket, _)| *ticket)
            .collect();
        let ended = self.waiters.expire(self.now);
        assert_eq!(ended.len(), due.len());
        let mut before = None;
        for one in ended {
            assert!(due.contains(&one.ticket));
            let at = self.waiting[&one.ticket].expected.due;
            assert!(before <= at, "out of order");
            before = at;
            self.end(one);
        }
        let next_due = self.waiters.next_due();
        assert!(next_due.is_none_or(|due| due > self.now));
    }

    fn cancel(&mut self) {
        let run = RunNumber(self.random.below(12));
        let waiting = self.waiting.values();
        let of_run = waiting.filter(|one| one.expected.run == run).count();
        let ended = self.waiters.cancel(run);
        assert_eq!(ended.len(), of_run);
        for one in ended {
            self.end(one);
        }
    }

    fn withdraw(&mut self) {
        let Some(ticket) = self.ticket() else { return };
        let ended = self.waiters.withdraw(ticket);
        assert_eq!(ended.is_some(), self.waiting.contains_key(&ticket));
        if let Some(ended) = ended {
            self.end(ended);
        }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..20 => self.expect(None),
            20..35 => {
                let id = self.id();
                self.expect(Some(id));
            }
            35..50 => self.learn(),
            50..85 => self.deliver(),
            85..95 => self.pass_time(),
            95..97 => self.cancel(),
            97..99 => self.withdraw(),
            _ => (0..150).for_each(|_| self.deliver()),
        }
        self.check();
    }

    fn check(&mut self) {
        self.waiters.check_all();
        self.forget();
        assert_eq!(self.waiters.len(), self.waiting.len());
        assert_eq!(self.registered, self.waiting.len() + self.ended.len());
        // The model keeps what came before all that wait, which nobody can claim.
        let claimable = self.parked.iter().filter(|parked| {
            let mut waiting = self.waiting.values();
            waiting.any(|one| {
                let is_open = one.id.is_none() && one.expected.callback == parked.callback;
                is_open && one.since <= parked.number
            })
        });
        assert_eq!(self.waiters.parked(), claimable.count());
    }

    /// Everybody goes home.
    fn finish(mut self) {
        for run in 0..12 {
            for one in self.waiters.cancel(RunNumber(run)) {
                self.end(one);
            }
        }
        self.check();
        assert!(self.waiters.is_empty());
        assert_eq!((self.waiters.parked(), self.waiters.parked_bytes()), (0, 0));
        assert_eq!(self.waiters.next_due(), None);
        assert_eq!(self.ended.len(), self.registered);
    }
}

#[test]
fn nobody_is_lost_and_nobody_is_completed_twice() {
    let mut completed = 0;
    for_each_seed(|seed| {
        let mut simulation = Simulation::new(seed);
        for _ in 0..200 {
            simulation.step();
        }
        let deliveries = simulation.deliveries.iter();
        completed += deliveries.filter(|is_taken| **is_taken).count();
        simulation.finish();
    });
    assert!(completed > 0);
}
