//! Deliveries that came before it is known whose they are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;
use std::time::Instant;

use indexmap::IndexMap;

use super::limits;
use super::rule::{Failure, Outcome};
use super::{CallbackId, CallbackIndex};
use crate::expr::{Pending, Value};

/// Where a delivery came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Which callback it is of.
    pub callback: CallbackIndex,
    /// The visitor's address as the tunnel reports it, otherwise the socket's; never a header's.
    pub addr: IpAddr,
}

/// All of them. Each has the number of its arrival; a later one has a larger number.
#[derive(Debug, Default)]
pub(super) struct Parking {
    parked: BTreeMap<u64, Parked>,
    by_callback: BTreeSet<(CallbackIndex, u64)>,
    by_id: BTreeSet<(CallbackIndex, CallbackId, u64)>,
    by_addr: BTreeMap<IpAddr, usize>,
    bytes: usize,
}

#[derive(Debug)]
struct Parked {
    source: Source,
    id: CallbackId,
    outcome: Outcome,
    bytes: usize,
    until: Instant,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// [`limits::PARKED`] or [`limits::PARKED_BYTES`].
    Full,
    /// [`limits::PARKED_PER_SOURCE`].
    Source,
}

impl Parking {
    /// Parks a delivery. What is full refuses the newest: if it pushed out the oldest, a stranger
    /// could push out what somebody waits for.
    pub(super) fn park(
        &mut self,
        number: u64,
        source: Source,
        id: CallbackId,
        outcome: Outcome,
        now: Instant,
    ) -> Result<(), NoRoom> {
        let addr = source.addr.to_canonical();
        let source = Source { addr, ..source };
        let bytes = size_of::<Parked>() + id.as_str().len() + heap_bytes(&outcome);
        let after = self.bytes.saturating_add(bytes);
        if self.parked.len() >= limits::PARKED || after > limits::PARKED_BYTES {
            return Err(NoRoom::Full);
        }
        let of_addr = self.by_addr.get(&addr).copied().unwrap_or(0);
        if of_addr >= limits::PARKED_PER_SOURCE {
            return Err(NoRoom::Source);
        }
        self.by_addr.insert(addr, of_addr + 1);
        self.by_callback.insert((source.callback, number));
        self.by_id.insert((source.callback, id.clone(), number));
        self.bytes = after;
        let parked = Parked {
            source,
            id,
            outcome,
            bytes,
            until: now + limits::PARKED_FOR,
        };
        self.parked.insert(number, parked);
        self.check();
        Ok(())
    }

    /// Takes what is there for an id: the first that came after `number`. Earlier ones came before
    /// the request that they would answer, and later ones are repetitions; all of them go.
    pub(super) fn take(
        &mut self,
        callback: CallbackIndex,
        id: &CallbackId,
        number: u64,
    ) -> Option<Outcome> {
        let range = (callback, id.clone(), 0)..=(callback, id.clone(), u64::MAX);
        let numbers: Vec<u64> = self
            .by_id
            .range(range)
            .map(|(.., number)| *number)
            .collect();
        let mut taken = None;
        for one in numbers {
            let outcome = self.remove(one);
            if taken.is_none() && one > number {
                taken = outcome;
            }
        }
        taken
    }

    /// Drops what came for a callback before `number`, or all of it.
    pub(super) fn release(&mut self, callback: CallbackIndex, before: Option<u64>) {
        let end = before.map_or(Bound::Included(u64::MAX), Bound::Excluded);
        let end = end.map(|number| (callback, number));
        let range = (Bound::Included((callback, 0)), end);
        while let Some((_, number)) = self.by_callback.range(range).next().copied() {
            self.remove(number);
        }
    }

    /// Drops what has been there for [`limits::PARKED_FOR`].
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((number, parked)) = self.parked.first_key_value() {
            if parked.until > now {
                return;
            }
            let number = *number;
            self.remove(number);
        }
    }

    /// When the next one goes.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let first = self.parked.first_key_value();
        first.map(|(_, parked)| parked.until)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.parked.len()
    }

    /// What they have in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn remove(&mut self, number: u64) -> Option<Outcome> {
        let parked = self.parked.remove(&number)?;
        let Source { callback, addr } = parked.source;
        self.by_callback.remove(&(callback, number));
        self.by_id.remove(&(callback, parked.id, number));
        match self.by_addr.get_mut(&addr) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                self.by_addr.remove(&addr);
            }
        }
        self.bytes -= parked.bytes;
        self.check();
        Some(parked.outcome)
    }

    /// What is always so. Takes the same time however many there are.
    fn check(&self) {
        debug_assert_eq!(self.parked.len(), self.by_callback.len());
        debug_assert_eq!(self.parked.len(), self.by_id.len());
        debug_assert_eq!(self.parked.is_empty(), self.by_addr.is_empty());
        debug_assert_eq!(self.parked.is_empty(), self.bytes == 0);
        debug_assert!(self.parked.len() <= limits::PARKED);
        debug_assert!(self.bytes <= limits::PARKED_BYTES);
    }

    /// Counts again, one by one.
    #[cfg(test)]
    pub(super) fn check_all(&self) {
        self.check();
        let bytes: usize = self.parked.values().map(|parked| parked.bytes).sum();
        assert_eq!(self.bytes, bytes);
        let mut by_addr = BTreeMap::new();
        for (number, parked) in &self.parked {
            let Source { callback, addr } = parked.source;
            assert!(self.by_callback.contains(&(callback, *number)));
            let key = (callback, parked.id.clone(), *number);
            assert!(self.by_id.contains(&key));
            *by_addr.entry(addr).or_insert(0) += 1;
        }
        assert_eq!(self.by_addr, by_addr);
        let most = by_addr.values().max().copied().unwrap_or(0);
        assert!(most <= limits::PARKED_PER_SOURCE);
    }
}

/// What an outcome has in memory besides itself.
fn heap_bytes(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Done(value) => value_heap_bytes(value),
        Outcome::Failed(Failure::Status(text)) => text.capacity(),
        Outcome::Failed(Failure::Unread(_) | Failure::Result(_)) => FAILURE_BYTES,
    }
}

/// A text of a few bytes may become a value of a hundred, so what counts is the value. Recurses at
/// most [`crate::expr::limits::VALUE_DEPTH`] times.
fn value_heap_bytes(value: &Value) -> usize {
    match value {
        // No body has a handle; what a conversion makes is held elsewhere.
        Value::Null
        | Value::Boolean(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Handle(_) => 0,
        Value::Text(text) => text.capacity(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => {
            let inside: usize = list.iter().map(value_heap_bytes).sum();
            list.capacity() * size_of::<Value>() + inside
        }
        Value::Map(map) => {
            let inside = map.iter();
            let inside = inside.map(|(key, value)| key.capacity() + value_heap_bytes(value));
            MAP_BYTES + map.capacity() * MAP_ENTRY_BYTES + inside.sum::<usize>()
        }
        Value::Pending(pending) => size_of::<Pending>() + value_heap_bytes(&pending.content),
    }
}

/// What a map has even without entries.
const MAP_BYTES: usize = size_of::<IndexMap<String, Value>>();

/// An entry of an [`IndexMap`]: its hash, key and value, and its place in the table,
/// which is at least seven eighths full at most.
const MAP_ENTRY_BYTES: usize = size_of::<(u64, String, Value)>() + 2 * size_of::<usize>();

/// An error of an evaluation: a path of a few keys and a cut text.
const FAILURE_BYTES: usize = 1_024;
