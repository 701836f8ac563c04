//! Callbacks: requests from outside that complete jobs, and the waiters that they complete.
//!
//! A request meets three things, one after the other:
//!
//! - A [`Gate`] says whether it may be there at all: where it comes from, and what it shows, which is
//!   compared with a secret over the raw body, before anything in it is read.
//! - A [`Rule`] says what it means: which items are in it, whose each is, and how it went. (The sibling
//!   of both, a [`TriggerRule`], says which runs a request starts; nobody waits for those.)
//! - [`Waiters`] says who gets it. A waiter is registered before its run's request goes out, so no
//!   answer is too fast. If the id is only known from the response to that request, deliveries for
//!   unknown ids are parked in the meantime, and only then; see [`limits`].
//!
//! The visitor is not told: 200 with an empty body is the answer to a delivery that completed a
//! job, that is parked, and that nobody waits for.
//!
//! All of this is pure: no clock, no randomness, no I/O; `now` is an argument. Only [`Hub`] wakes tasks.
//!
//! ```
//! use std::time::Instant;
//!
//! use adit_flow::callback::{
//!     CallbackId, CallbackIndex, Delivered, Expected, Items, RunNumber, Source, Verdict, Waiters,
//! };
//!
//! fn take(items: &Items<'_>, source: Source, waiters: &mut Waiters, now: Instant) -> Vec<Delivered> {
//!     let mut taken = Vec::new();
//!     for item in items.iter() {
//!         let Ok(id) = item.id() else { continue };
//!         if !waiters.is_wanted(source.callback, &id) {
//!             continue;
//!         }
//!         if let Verdict::Final(outcome) = item.verdict() {
//!             taken.push(waiters.deliver(source, id, outcome, now));
//!         }
//!     }
//!     taken
//! }
//! ```

mod gate;
mod hub;
mod id;
pub mod limits;
mod parking;
mod replay;
mod rule;
mod selection;
mod trigger;
mod waiters;

#[cfg(test)]
mod simulation;

pub use gate::{Gate, GateError, Proven, Refusal, Shown};
pub use hub::{Hub, Taken, Waiting};
pub use id::{CallbackId, CallbackIndex, IdError, RunNumber, Ticket};
pub use parking::Source;
pub use replay::Replays;
pub use rule::{Failure, Item, Items, Outcome, Rule, Unidentified, Verdict};
pub use selection::ReadError;
pub use trigger::{Start, Starts, TriggerRule, Unstartable};
pub use waiters::{Delivered, Dropped, Ended, ExpectError, Expected, LearnError, Learnt, Waiters};
