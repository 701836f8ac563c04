use std::collections::BTreeSet;

use adit_model::lease::Takeover;
use adit_testkit::seeded::for_each_seed;

use super::super::simulation::Dice;
use super::super::tests::{Asker, Bench, asker, bind};
use super::super::{Answer, Verdict};
use super::*;

const PORTS: [u16; 4] = [8_000, 8_001, 8_002, 8_003];

fn newest(member: u64) -> Asker {
    Asker {
        takeover: Takeover::Newest,
        ..asker(member, 1)
    }
}

fn holder(bench: &Bench, port: u16) -> Option<u64> {
    let entry = bench.table.entry(&Holding::Port(port))?;
    match entry.phase {
        Phase::Held(MemberId(member), _) => Some(member),
        Phase::Fresh | Phase::Grace(_) | Phase::Quarantine(_) => None,
    }
}

/// Whoever is to have a port back takes it, as the desk has it.
fn settle(bench: &mut Bench, port: u16) {
    let Some(Heir { member, .. }) = bench.table.heir(&Holding::Port(port)).cloned() else {
        return;
    };
    let mut heir = asker(
        member.0,
        bench
            .table
            .entry(&Holding::Port(port))
            .unwrap()
            .principal
            .get(),
    );
    heir.takeover = Takeover::Oldest;
    let committed = bench.get(&heir, port);
    assert_eq!(committed.displaced, None, "it was taken from a holder");
}

#[test]
fn who_lost_it_last_has_it_back_first() {
    let mut bench = Bench::new();
    for member in 1..=3 {
        bench.get(&newest(member), 8000);
    }
    assert_eq!(bench.table.heir(&Holding::Port(8000)), None);
    for next in [2, 1] {
        bench.leave(next + 1);
        settle(&mut bench, 8000);
        assert_eq!(holder(&bench, 8000), Some(next));
    }
    bench.leave(1);
    assert_eq!(bench.table.heir(&Holding::Port(8000)), None);
}

#[test]
fn who_took_it_back_itself_is_gone_or_was_silent_has_nothing_back() {
    let holding = Holding::Port(8000);
    let mut bench = Bench::new();
    bench.get(&newest(1), 8000);
    bench.get(&newest(2), 8000);
    let now = bench.now();
    assert_eq!(bench.table.cancel(MemberId(1), &bind(8000), now), None);
    bench.leave(2);
    assert_eq!(bench.table.heir(&holding), None);

    bench.get(&newest(3), 8000);
    bench.get(&newest(4), 8000);
    bench.leave(3);
    bench.leave(4);
    assert_eq!(bench.table.heir(&holding), None);

    bench.get(&newest(5), 8000);
    bench.get(&newest(6), 8000);
    let now = bench.now();
    // The operator's word counts for all of them.
    bench.table.release(&holding, now);
    assert_eq!(bench.table.heir(&holding), None);
}

#[test]
fn what_a_holder_takes_back_goes_to_who_wants_it_still() {
    let mut bench = Bench::new();
    bench.get(&newest(1), 8000);
    bench.get(&newest(2), 8000);
    let now = bench.now();
    assert!(bench.table.cancel(MemberId(2), &bind(8000), now).is_some());
    settle(&mut bench, 8000);
    assert_eq!(holder(&bench, 8000), Some(1));
}

/// Many machines of two owners that take from each other, end, and take back what they asked for, in any order: what
/// a connection was granted and has not taken back is held by one that is there, or being given to one. Nobody has
/// to ask a second time for that, and no holder loses anything by it.
#[test]
fn no_lease_is_left_away_while_one_that_wants_it_is_there() {
    for_each_seed(|seed| {
        let mut dice = Dice(seed);
        let mut bench = Bench::new();
        let mut wants: BTreeSet<(u64, u16)> = BTreeSet::new();
        let mut claims = Vec::new();
        for _ in 0..300 {
            step(&mut bench, &mut dice, &mut wants, &mut claims);
            for port in PORTS {
                settle(&mut bench, port);
            }
            for (member, port) in &wants {
                let entry = bench.table.entry(&Holding::Port(*port));
                let is_given = entry.is_some_and(Entry::is_claimed);
                let has = holder(&bench, *port);
                assert!(
                    is_given || has.is_some(),
                    "{member} wants {port}, and nobody has it"
                );
                // By one of the same owner that has asked for it itself.
                assert!(has.is_none_or(|has| wants.contains(&(has, *port))));
            }
        }
    });
}

fn step(
    bench: &mut Bench,
    dice: &mut Dice,
    wants: &mut BTreeSet<(u64, u16)>,
    claims: &mut Vec<(super::super::Ticket, u64, u16)>,
) {
    let member = 1 + u64::from(dice.below(6));
    let mut who = newest(member);
    who.principal = i64::try_from(member % 2).unwrap();
    who.takeover = dice.of(&[Takeover::Probe, Takeover::Newest]);
    let port = dice.of(&PORTS);
    let now = bench.now();
    match dice.below(10) {
        0..=4 => {
            let mut answer = bench.ask(&who, port);
            if let Ok(Answer::Probe {
                holding,
                epoch,
                holder,
            }) = answer
            {
                bench.table.probe_is_over(&holding);
                let is_alive = dice.below(2) == 0;
                who.verdict = Some(Verdict { epoch, is_alive });
                answer = bench.ask(&who, port);
                if !is_alive && matches!(answer, Ok(Answer::Claimed(_))) {
                    // The desk closes a silent one, whatever else it has.
                    leave(bench, wants, claims, holder.0);
                }
            }
            if let Ok(Answer::Claimed(ticket)) = answer {
                claims.push((ticket, member, port));
            }
        }
        5 | 6 if !claims.is_empty() => {
            let (ticket, member, port) = claims.swap_remove(0);
            bench.table.commit(&ticket, now).unwrap();
            wants.insert((member, port));
        }
        7 => leave(bench, wants, claims, member),
        8 => {
            let was_its = wants.remove(&(member, port));
            let held = holder(bench, port) == Some(member);
            let cancelled = bench.table.cancel(MemberId(member), &bind(port), now);
            assert_eq!(cancelled.is_some(), was_its && held);
        }
        _ => bench.after(u64::from(dice.below(400))),
    }
}

fn leave(
    bench: &mut Bench,
    wants: &mut BTreeSet<(u64, u16)>,
    claims: &mut Vec<(super::super::Ticket, u64, u16)>,
    member: u64,
) {
    bench.leave(member);
    wants.retain(|(who, _)| *who != member);
    claims.retain(|(_, who, _)| *who != member);
}
