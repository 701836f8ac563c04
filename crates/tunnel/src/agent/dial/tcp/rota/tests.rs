//! Lines that are dark and come back, under seeds.

use std::collections::BTreeMap;

use adit_testkit::seeded::{SeededRandom, for_each_seed};

use super::*;

/// When the system repeats what asks for a connection, in ms after the first (Linux before 6.5).
const REPEATS: [u64; 5] = [0, 1_000, 3_000, 7_000, 15_000];

/// What a run has come to.
struct Outcome {
    /// From the line's return to the connection.
    back: Duration,
    /// What asked for connections while it was dark, and how many connects were out at most.
    asked: usize,
    most_out: usize,
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A line that is dark for so long, with that round trip after it.
fn run(
    pace: Pace,
    dark: Duration,
    round_trip: Duration,
    known: Duration,
    random: &mut SeededRandom,
) -> Outcome {
    let start = Instant::now();
    let addr = SocketAddr::from(([192, 0, 2, 1], 22));
    let mut rota = Rota::new([addr].into(), pace, known, start);
    // What is out, and when it was begun.
    let mut out = BTreeMap::<u64, Duration>::new();
    let mut at = Duration::ZERO;
    let (mut asked, mut most_out) = (0, 0);
    // The first word that passes after the return is answered a round trip later.
    let answered = |begun: Duration| {
        REPEATS
            .iter()
            .map(|repeat| begun + ms(*repeat))
            .find(|word| *word >= dark)
            .map(|word| word + round_trip)
    };
    loop {
        let next = rota.due().map(|due| due - start);
        let first = out.values().filter_map(|begun| answered(*begun)).min();
        if let Some(answer) = first.filter(|answer| next.is_none_or(|next| *answer <= next)) {
            return Outcome {
                back: answer - dark,
                asked,
                most_out,
            };
        }
        at = next.unwrap_or(at);
        if let Some(turn) = rota.turn(start + at, random.below(u64::MAX)) {
            out.insert(turn.begins.number, at);
            asked += usize::from(at < dark);
            if let Some(number) = turn.gives_up {
                let begun = out.remove(&number).unwrap();
                asked += usize::from(begun + ms(1_000) < at.min(dark));
            }
            most_out = most_out.max(out.len());
        }
    }
}

#[test]
fn whoever_is_in_haste_is_connected_within_half_a_second_and_a_round_trip() {
    for_each_seed(|seed| {
        let mut random = SeededRandom::new(seed);
        let dark = ms(random.below(15_000));
        let round_trip = ms(random.below(900));
        let outcome = run(Pace::Hasty, dark, round_trip, round_trip, &mut random);
        let longest = ms(400).max(round_trip / 2);
        assert!(outcome.back <= round_trip + longest, "{:?}", outcome.back);
        assert!(outcome.most_out <= OUT);
        // Each is 60 bytes over IPv4: 22 KB in a minute.
        assert!(outcome.asked <= 2 * (1 + 60), "{} in 15 s", outcome.asked);
    });
}

#[test]
fn a_line_that_has_become_slow_is_not_given_up_again_and_again() {
    for_each_seed(|seed| {
        let mut random = SeededRandom::new(seed);
        let round_trip = ms(900 + random.below(5_000));
        let outcome = run(Pace::Hasty, Duration::ZERO, round_trip, ms(20), &mut random);
        assert_eq!(outcome.back, round_trip, "the first is kept");
    });
}

#[test]
fn without_haste_it_is_asked_anew_every_three_seconds() {
    for_each_seed(|seed| {
        let mut random = SeededRandom::new(seed);
        let dark = ms(random.below(15_000));
        let outcome = run(Pace::Steady, dark, ms(20), ms(20), &mut random);
        assert!(outcome.back <= ms(3_020), "{:?}", outcome.back);
        assert!(outcome.most_out <= 6);
    });
}

#[test]
fn a_thousand_who_lost_one_line_come_spread_over_a_third_of_a_second() {
    for_each_seed(|seed| {
        if seed % 16 != 0 {
            return;
        }
        let mut random = SeededRandom::new(seed);
        // They lost it within a second, as their keep-alives had it.
        let mut bins = BTreeMap::<u128, usize>::new();
        for _ in 0..1_000 {
            let dark = ms(10_000 + random.below(1_000));
            let outcome = run(
                Pace::Hasty,
                dark,
                Duration::ZERO,
                Duration::ZERO,
                &mut random,
            );
            *bins.entry(outcome.back.as_millis() / 50).or_default() += 1;
        }
        let most = bins.values().max().unwrap();
        assert!(*most <= 250, "{bins:?}");
    });
}

#[test]
fn who_answers_no_is_not_asked_again_and_who_is_not_found_is() {
    let now = Instant::now();
    let addr = SocketAddr::from(([192, 0, 2, 1], 22));
    for (pace, was_refused, expected) in [
        (Pace::Hasty, true, false),
        (Pace::Hasty, false, true),
        (Pace::Steady, true, false),
        (Pace::Steady, false, false),
        (Pace::Once, true, false),
    ] {
        let mut rota = Rota::new([addr].into(), pace, Duration::ZERO, now);
        let turn = rota.turn(now, 0).unwrap();
        rota.failed(turn.begins.number, was_refused, now);
        assert_eq!(rota.due().is_some(), expected, "{pace:?} {was_refused}");
        assert_eq!(rota.turn(now, 0), None, "never at once");
    }
}

#[test]
fn addresses_of_a_name_take_turns_in_haste() {
    let now = Instant::now();
    let addrs = [1, 2].map(|host| SocketAddr::from(([192, 0, 2, host], 22)));
    let mut rota = Rota::new(addrs.into(), Pace::Hasty, Duration::ZERO, now);
    let mut tried = Vec::new();
    for _ in 0..6 {
        let due = rota.due().unwrap();
        tried.push(rota.turn(due, 0).unwrap().begins.addr);
    }
    assert_eq!(tried, [addrs, addrs, addrs].concat());
}
