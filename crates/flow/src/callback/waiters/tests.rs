use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;
use std::time::Duration;

use super::*;
use crate::callback::Failure;
use crate::expr::{Map, Value};

/// Times are seconds from here.
static START: LazyLock<Instant> = LazyLock::new(some_time);

#[expect(
    clippy::disallowed_methods,
    reason = "an instant has no other origin; nothing here depends on which it is"
)]
fn some_time() -> Instant {
    Instant::now()
}

fn at(seconds: u64) -> Instant {
    *START + Duration::from_secs(seconds)
}

const ONE: CallbackIndex = CallbackIndex(1);
const OTHER: CallbackIndex = CallbackIndex(2);

fn expected(callback: CallbackIndex, run: u64, due: Option<u64>) -> Expected {
    Expected {
        callback,
        run: RunNumber(run),
        due: due.map(at),
    }
}

fn id(text: &str) -> CallbackId {
    CallbackId::try_from(&Value::from(text)).unwrap()
}

fn from(callback: CallbackIndex, addr: u32) -> Source {
    Source {
        callback,
        addr: IpAddr::V4(Ipv4Addr::from_bits(addr)),
    }
}

fn done(value: &str) -> Outcome {
    Outcome::Done(Value::from(value))
}

/// What a delivery or an id led to, in a word.
fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done(value) => value.text_form().unwrap().into_owned(),
        Outcome::Failed(failure) => failure.to_string(),
    }
}

fn became(delivered: &Delivered) -> String {
    match delivered {
        Delivered::Completed(ended, outcome) => format!("{} {}", ended.run.0, told(outcome)),
        Delivered::Parked => "parked".to_owned(),
        Delivered::Dropped(why) => format!("{why:?}"),
    }
}

fn meant(learnt: &Result<Learnt, LearnError>) -> String {
    match learnt {
        Ok(Learnt::Waiting) => "waiting".to_owned(),
        Ok(Learnt::Completed(outcome)) => told(outcome),
        Err(error) => format!("{error:?}"),
    }
}

fn nothing_is_left(waiters: &Waiters) {
    waiters.check_all();
    assert!(waiters.is_empty());
    assert_eq!((waiters.parked(), waiters.parked_bytes()), (0, 0));
    assert_eq!(waiters.next_due(), None);
    assert!(waiters.lanes.is_empty());
}

#[test]
fn a_delivery_completes_its_waiter_once() {
    let mut waiters = Waiters::new();
    let a = waiters.expect_id(expected(ONE, 7, None), id("a")).unwrap();
    waiters.expect_id(expected(ONE, 8, None), id("b")).unwrap();
    assert!(waiters.is_wanted(ONE, &id("a")));
    assert!(!waiters.is_wanted(ONE, &id("c")));
    assert!(!waiters.is_wanted(OTHER, &id("a")));
    let delivered = waiters.deliver(from(ONE, 1), id("a"), done("x"), at(0));
    let Delivered::Completed(ended, _) = delivered else {
        panic!("{delivered:?}");
    };
    assert_eq!((ended.ticket, ended.run), (a, RunNumber(7)));
    let again = waiters.deliver(from(ONE, 1), id("a"), done("y"), at(0));
    assert_eq!(became(&again), "Unknown");
    let failed = Outcome::Failed(Failure::Status("bad".to_owned()));
    let failed = waiters.deliver(from(ONE, 1), id("b"), failed, at(0));
    assert_eq!(became(&failed), "8 the callback's status is \"bad\"");
    nothing_is_left(&waiters);
}

#[test]
fn a_second_waiter_for_an_id_is_refused_and_the_first_stays() {
    let mut waiters = Waiters::new();
    waiters.expect_id(expected(ONE, 1, None), id("a")).unwrap();
    let second = waiters.expect_id(expected(ONE, 2, None), id("a"));
    assert_eq!(second, Err(ExpectError::Taken));
    let third = waiters.expect(expected(ONE, 3, None)).unwrap();
    assert_eq!(meant(&waiters.learn(third, id("a"), at(0))), "Taken");
    assert_eq!(meant(&waiters.learn(third, id("b"), at(0))), "Ended");
    // Another callback's ids are its own.
    assert!(waiters.expect_id(expected(OTHER, 4, None), id("a")).is_ok());
    let delivered = waiters.deliver(from(ONE, 1), id("a"), done("x"), at(0));
    assert_eq!(became(&delivered), "1 x");
}

#[test]
fn an_early_delivery_waits_until_the_id_is_known() {
    let mut waiters = Waiters::new();
    let a = waiters.expect(expected(ONE, 1, None)).unwrap();
    let b = waiters.expect(expected(ONE, 2, None)).unwrap();
    for (number, value) in [("8", "first"), ("8", "again"), ("9", "nobody's")] {
        let delivered = waiters.deliver(from(ONE, 1), id(number), done(value), at(0));
        assert_eq!(became(&delivered), "parked");
    }
    let elsewhere = waiters.deliver(from(OTHER, 1), id("8"), done("x"), at(0));
    assert_eq!(became(&elsewhere), "Unknown");
    let eight = CallbackId::try_from(&Value::Integer(8)).unwrap();
    assert_eq!(meant(&waiters.learn(a, eight, at(1))), "first");
    assert_eq!(waiters.parked(), 1);
    assert_eq!(meant(&waiters.learn(b, id("10"), at(1))), "waiting");
    assert_eq!((waiters.parked(), waiters.parked_bytes()), (0, 0));
    assert_eq!(meant(&waiters.learn(b, id("11"), at(1))), "Ended");
    let delivered = waiters.deliver(from(ONE, 1), id("10"), done("late"), at(2));
    assert_eq!(became(&delivered), "2 late");
    nothing_is_left(&waiters);
}

#[test]
fn a_preseeded_delivery_never_matches() {
    let mut waiters = Waiters::new();
    let early = waiters.deliver(from(ONE, 1), id("a"), done("forged"), at(0));
    assert_eq!(became(&early), "Unknown");
    // Another run of the callback is open, so this one is parked, for that run alone.
    let first = waiters.expect(expected(ONE, 1, None)).unwrap();
    let early = waiters.deliver(from(ONE, 1), id("a"), done("forged"), at(0));
    assert_eq!(became(&early), "parked");
    waiters.expect(expected(ONE, 9, None)).unwrap();
    let second = waiters.expect(expected(ONE, 2, None)).unwrap();
    let right = waiters.deliver(from(ONE, 1), id("a"), done("right"), at(0));
    assert_eq!(became(&right), "parked");
    let known = waiters.expect_id(expected(ONE, 3, None), id("b")).unwrap();
    assert_eq!(meant(&waiters.learn(second, id("a"), at(0))), "right");
    assert_eq!(waiters.parked(), 0);
    assert!(waiters.withdraw(known).is_some());
    assert!(waiters.withdraw(known).is_none());
    assert!(waiters.withdraw(first).is_some());
}

#[test]
fn what_nobody_can_claim_any_more_is_dropped() {
    let mut waiters = Waiters::new();
    let first = waiters.expect(expected(ONE, 1, None)).unwrap();
    waiters.deliver(from(ONE, 1), id("a"), done("x"), at(0));
    waiters.expect(expected(ONE, 2, None)).unwrap();
    waiters.deliver(from(ONE, 1), id("b"), done("y"), at(0));
    waiters.expect(expected(OTHER, 3, None)).unwrap();
    waiters.deliver(from(OTHER, 1), id("a"), done("z"), at(0));
    assert_eq!(waiters.parked(), 3);
    waiters.withdraw(first);
    assert_eq!(waiters.parked(), 2);
    assert_eq!(waiters.cancel(RunNumber(2)).len(), 1);
    assert_eq!(waiters.parked(), 1);
    waiters.cancel(RunNumber(3));
    nothing_is_left(&waiters);
}

#[test]
fn a_cancelled_run_takes_all_of_its_waiters_with_it() {
    let mut waiters = Waiters::new();
    let a = waiters.expect_id(expected(ONE, 1, Some(5)), id("a"));
    let b = waiters.expect(expected(OTHER, 1, None));
    waiters.expect_id(expected(ONE, 2, None), id("b")).unwrap();
    let run = RunNumber(1);
    let ended = [a, b].map(|ticket| Ended {
        ticket: ticket.unwrap(),
        run,
    });
    assert_eq!(waiters.cancel(run), ended);
    assert_eq!(waiters.cancel(run), []);
    assert_eq!((waiters.len(), waiters.next_due()), (1, None));
    let delivered = waiters.deliver(from(ONE, 1), id("a"), done("x"), at(0));
    assert_eq!(became(&delivered), "Unknown");
    // Its id is free.
    assert!(waiters.expect_id(expected(ONE, 3, None), id("a")).is_ok());
}

#[test]
fn waiters_end_in_the_order_of_their_times() {
    let mut waiters = Waiters::new();
    for (run, due) in [(1, Some(30)), (2, Some(10)), (3, None), (4, Some(20))] {
        let expected = expected(ONE, run, due);
        let ticket = waiters.expect_id(expected, id(&run.to_string()));
        assert!(ticket.is_ok());
    }
    let late = waiters.expect(expected(ONE, 5, Some(20))).unwrap();
    assert_eq!(waiters.next_due(), Some(at(10)));
    assert_eq!(waiters.expire(at(9)), []);
    let runs = |ended: Vec<Ended>| ended.iter().map(|one| one.run.0).collect::<Vec<_>>();
    assert_eq!(runs(waiters.expire(at(20))), [2, 4, 5]);
    assert_eq!(meant(&waiters.learn(late, id("x"), at(21))), "Ended");
    assert_eq!(waiters.next_due(), Some(at(30)));
    assert_eq!(runs(waiters.expire(at(99))), [1]);
    assert_eq!(waiters.len(), 1);
}

#[test]
fn a_parked_delivery_goes_after_a_minute() {
    let mut waiters = Waiters::new();
    let a = waiters.expect(expected(ONE, 1, None)).unwrap();
    let b = waiters.expect(expected(ONE, 2, None)).unwrap();
    waiters.deliver(from(ONE, 1), id("a"), done("x"), at(0));
    waiters.deliver(from(ONE, 1), id("b"), done("y"), at(1));
    assert_eq!(waiters.next_due(), Some(at(60)));
    assert_eq!(meant(&waiters.learn(a, id("a"), at(60))), "waiting");
    assert_eq!(waiters.next_due(), Some(at(61)));
    assert_eq!(meant(&waiters.learn(b, id("b"), at(60))), "y");
    waiters.cancel(RunNumber(1));
    nothing_is_left(&waiters);
}

#[test]
fn parking_is_bounded_for_each_address_and_in_all() {
    let mut waiters = Waiters::new();
    let ticket = waiters.expect(expected(ONE, 1, None)).unwrap();
    let mut parked = 0;
    for addr in 0.. {
        let mut source = from(ONE, addr);
        for number in 0..limits::PARKED_PER_SOURCE {
            let text = format!("{addr} {number}");
            let delivered = waiters.deliver(source, id(&text), done("x"), at(0));
            assert_eq!(became(&delivered), "parked");
            parked += 1;
        }
        if parked == limits::PARKED {
            break;
        }
        let one_more = waiters.deliver(source, id("more"), done("x"), at(0));
        assert_eq!(became(&one_more), "Source");
        // The same address, written otherwise.
        source.addr = Ipv4Addr::from_bits(addr).to_ipv6_mapped().into();
        let one_more = waiters.deliver(source, id("more"), done("x"), at(0));
        assert_eq!(became(&one_more), "Source");
    }
    let one_more = waiters.deliver(from(ONE, 99), id("more"), done("x"), at(0));
    assert_eq!(became(&one_more), "Full");
    waiters.check_all();
    // What is full holds up nobody who is known.
    waiters.expect_id(expected(ONE, 2, None), id("k")).unwrap();
    let delivered = waiters.deliver(from(ONE, 99), id("k"), done("x"), at(0));
    assert_eq!(became(&delivered), "2 x");
    let later = waiters.deliver(from(ONE, 99), id("more"), done("x"), at(60));
    assert_eq!((became(&later), waiters.parked()), ("parked".to_owned(), 1));
    waiters.withdraw(ticket);
    nothing_is_left(&waiters);
}

#[test]
fn parking_counts_what_a_delivery_has_in_memory_and_not_on_the_wire() {
    let mut waiters = Waiters::new();
    waiters.expect(expected(ONE, 1, None)).unwrap();
    let numbers = format!("[{}0]", "0,".repeat(10_000));
    let keys: Map = (0..5_000)
        .map(|key| (key.to_string(), Value::Null))
        .collect();
    let bytes = Value::Bytes(vec![0; 1 << 20].into());
    for (value, least) in [
        (
            Value::from_json(numbers.as_bytes()).unwrap(),
            10_000 * size_of::<Value>(),
        ),
        (Value::Map(keys), 5_000 * (size_of::<Value>() + 24)),
        (Value::List(vec![bytes]), 1 << 20),
        (Value::from("x".repeat(1 << 20)), 1 << 20),
    ] {
        let before = waiters.parked_bytes();
        waiters.deliver(from(ONE, 1), id("a"), Outcome::Done(value), at(0));
        let counted = waiters.parked_bytes() - before;
        assert!(counted >= least, "{counted} {least}");
    }
    let large = Outcome::Done(Value::from("x".repeat(limits::PARKED_BYTES)));
    let delivered = waiters.deliver(from(ONE, 1), id("a"), large, at(0));
    assert_eq!(became(&delivered), "Full");
    waiters.check_all();
    waiters.cancel(RunNumber(1));
    nothing_is_left(&waiters);
}

#[test]
fn there_are_only_so_many_waiters() {
    let mut waiters = Waiters::new();
    for run in 0..limits::WAITERS {
        let run = u64::try_from(run).unwrap();
        waiters.expect(expected(ONE, run, Some(1))).unwrap();
    }
    let one_more = expected(ONE, 0, None);
    assert_eq!(waiters.expect(one_more), Err(ExpectError::Full));
    let with_id = waiters.expect_id(one_more, id("a"));
    assert_eq!(with_id, Err(ExpectError::Full));
    assert_eq!(waiters.expire(at(1)).len(), limits::WAITERS);
    nothing_is_left(&waiters);
}

#[test]
fn a_waiter_has_less_than_4_kib_even_with_the_longest_id() {
    // Nodes of a B-tree are at least five elevenths full, and a node has some words besides.
    let in_tree = |entry: usize| entry * 11 / 5 + 32;
    let ticket = size_of::<Ticket>();
    let bytes = in_tree(ticket + size_of::<Waiter>())
        + in_tree(size_of::<CallbackId>() + ticket)
        + in_tree(size_of::<(RunNumber, Ticket)>())
        + in_tree(size_of::<(Instant, Ticket)>())
        + in_tree(size_of::<(CallbackIndex, Lane)>());
    // The counts of an `Arc`, and what an allocator adds.
    let id = limits::ID_BYTES + 64;
    assert!(bytes <= 1024, "{bytes}");
    assert!(bytes + id <= 4096, "{bytes}");
    assert!(size_of::<Waiter>() <= 96, "{}", size_of::<Waiter>());
}
