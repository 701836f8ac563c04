//! The table under seeds: races that somebody must lose, and steps in any order beside a plain model.

use std::collections::BTreeMap;

use adit_testkit::seeded::for_each_seed;

use super::tests::{Asker, Bench, asker, bind};
use super::*;
use crate::gateway::desk::Refused;

/// Splitmix64: the same throws for the same seed.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from(mixed >> 33).unwrap() % bound
    }

    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        let count = u32::try_from(all.len()).unwrap();
        all[usize::try_from(self.below(count)).unwrap()]
    }
}

const OWNER: i64 = 1;
const STRANGER: i64 = 2;

/// The owner's connection is cut and comes back; a stranger asks for the port all the time, in every phase and
/// between every two steps of the owner. 256 seeds with 40 races each: more than 10,000.
#[test]
fn the_wrong_identity_never_wins_a_race() {
    let mut races = 0;
    for_each_seed(|seed| {
        let mut dice = Dice(seed);
        let mut bench = Bench::new();
        let mut member = 1;
        bench.get(&asker(member, OWNER), 8080);
        for _ in 0..40 {
            races += 1;
            race(&mut bench, &mut dice, &mut member);
        }
    });
    assert!(races >= 10_000 || std::env::var_os("ADIT_SEED").is_some());
}

fn race(bench: &mut Bench, dice: &mut Dice, member: &mut u64) {
    let before = bench.table.entry(&Holding::Port(8080)).unwrap().epoch;
    if dice.below(2) == 0 {
        bench.leave(*member);
    }
    *member += 1;
    let mut owner = asker(*member, OWNER);
    owner.takeover = dice.of(&[Takeover::Probe, Takeover::Newest]);
    let mut ticket = None;
    loop {
        for _ in 0..dice.below(3) {
            intrude(bench, dice);
        }
        bench.after(u64::from(dice.below(20)));
        match ticket.take() {
            Some(ticket) => {
                let now = bench.now();
                let committed = bench.table.commit(&ticket, now).unwrap();
                assert!(committed.epoch > before);
                break;
            }
            None => match bench.ask(&owner, 8080) {
                Ok(Answer::Claimed(claimed)) => ticket = Some(claimed),
                Ok(Answer::Probe { holding, epoch, .. }) => {
                    intrude(bench, dice);
                    bench.table.probe_is_over(&holding);
                    let is_alive = dice.below(2) == 0;
                    owner.verdict = Some(Verdict { epoch, is_alive });
                }
                Err(Refused::HeldByYou { .. } | Refused::Flapping { .. }) => {
                    // The old connection lives on.
                    *member -= 1;
                    break;
                }
                other => panic!("{other:?}"),
            },
        }
    }
    intrude(bench, dice);
    let entry = bench.table.entry(&Holding::Port(8080)).unwrap();
    assert_eq!(entry.principal, PrincipalId::new(OWNER));
}

fn intrude(bench: &mut Bench, dice: &mut Dice) {
    let mut stranger = asker(1_000 + u64::from(dice.below(5)), STRANGER);
    stranger.takeover = dice.of(&[Takeover::Probe, Takeover::Newest, Takeover::Oldest]);
    let epoch = bench.table.entry(&Holding::Port(8080)).unwrap().epoch;
    stranger.verdict = dice.of(&[
        None,
        Some(Verdict {
            epoch,
            is_alive: false,
        }),
    ]);
    let refused = bench.ask(&stranger, 8080).unwrap_err();
    assert!(matches!(refused, Refused::InUse { .. }), "{refused}");
    let refused = bench.ask_any(&stranger, "8080").unwrap_err();
    assert!(matches!(refused, Refused::NoneFree { .. }), "{refused}");
    let now = bench.now();
    let member = MemberId(stranger.member);
    assert_eq!(bench.table.cancel(member, &bind(8080), now), None);
}

/// What anybody outside can see of the table, kept beside it in the plainest way.
#[derive(Default)]
struct Model {
    /// Whose each port is, and until when others are kept from it.
    owners: BTreeMap<u16, (i64, Option<Duration>)>,
    /// Which connection holds it, and with which epoch.
    holders: BTreeMap<u16, (u64, Epoch)>,
    claims: Vec<(Ticket, u16, Asker)>,
}

/// Six ports, three principals with two connections each, every step in any order. After each step the table's own
/// check has run, and what it says is what the model says.
#[test]
fn lease_model() {
    for_each_seed(|seed| {
        let mut dice = Dice(seed);
        let mut bench = Bench::new();
        let mut model = Model::default();
        for _ in 0..300 {
            step(&mut bench, &mut model, &mut dice);
            compare(&bench, &model);
        }
    });
}

fn step(bench: &mut Bench, model: &mut Model, dice: &mut Dice) {
    let member = 1 + u64::from(dice.below(6));
    let principal = i64::try_from(member.div_ceil(2)).unwrap();
    let port = 8_000 + u16::try_from(dice.below(6)).unwrap();
    let mut who = asker(member, principal);
    who.takeover = dice.of(&[Takeover::Probe, Takeover::Newest, Takeover::Oldest]);
    who.limit = 4;
    match dice.below(12) {
        0..=4 => ask(bench, model, dice, who, port),
        5 | 6 => commit(bench, model, dice),
        7 => {
            if !model.claims.is_empty() {
                let (ticket, ..) = model.claims.swap_remove(0);
                bench.table.abandon(&ticket);
            }
        }
        8 => {
            bench.leave(member);
            model.claims.retain(|(.., who)| who.member != member);
            model.holders.retain(|_, (holder, _)| *holder != member);
        }
        9 => {
            let now = bench.now();
            let was = bench.table.cancel(MemberId(member), &bind(port), now);
            let held = model
                .holders
                .get(&port)
                .is_some_and(|held| held.0 == member);
            assert_eq!(was.is_some(), held);
            if held {
                model.holders.remove(&port);
            }
        }
        10 => {
            let now = bench.now();
            bench.table.release(&Holding::Port(port), now);
            model.claims.retain(|(_, claimed, _)| *claimed != port);
            model.holders.remove(&port);
        }
        _ => bench.after(u64::from(dice.below(40_000))),
    }
    // Who owns what is the table's to say, but it may only change through being free.
    let entries: BTreeMap<u16, i64> = bench
        .table
        .entries()
        .map(|(holding, entry)| match holding {
            Holding::Port(port) => (*port, entry.principal.get()),
            Holding::Unix(..) | Holding::Name(_) | Holding::Service(..) | Holding::Member(..) => {
                panic!("{holding}")
            }
        })
        .collect();
    for (port, owner) in &entries {
        if let Some((before, _)) = model.owners.get(port) {
            assert_eq!(before, owner, "port {port} went from one to another");
        }
    }
    model.owners = entries
        .into_iter()
        .map(|(port, owner)| (port, (owner, None)))
        .collect();
}

fn ask(bench: &mut Bench, model: &mut Model, dice: &mut Dice, mut who: Asker, port: u16) {
    for _ in 0..2 {
        let owner = model.owners.get(&port).map(|owner| owner.0);
        match bench.ask(&who, port) {
            Ok(Answer::Claimed(ticket)) => {
                let is_its = owner.is_none_or(|owner| owner == who.principal);
                let was_free = bench
                    .table
                    .entry(&Holding::Port(port))
                    .is_some_and(|entry| entry.phase == Phase::Fresh);
                assert!(is_its || was_free);
                model.owners.remove(&port);
                model.claims.push((ticket, port, who));
                return;
            }
            Ok(Answer::Again(_)) => {
                assert_eq!(model.holders[&port].0, who.member);
                return;
            }
            Ok(Answer::Probe { holding, epoch, .. }) => {
                assert_eq!(model.holders[&port].1, epoch);
                bench.table.probe_is_over(&holding);
                let is_alive = dice.below(2) == 0;
                who.verdict = Some(Verdict { epoch, is_alive });
            }
            Ok(Answer::Wait(_)) => {
                assert!(model.claims.iter().any(|(_, claimed, _)| *claimed == port));
                return;
            }
            Err(Refused::InUse { .. }) => {
                assert_ne!(owner, Some(who.principal));
                return;
            }
            Err(Refused::TooManyLeases { .. }) => {
                assert!(bench.table.count(PrincipalId::new(who.principal)) >= 4);
                return;
            }
            Err(Refused::HeldByYou { .. } | Refused::Flapping { .. }) => {
                assert_ne!(model.holders[&port].0, who.member);
                return;
            }
            other => panic!("{other:?}"),
        }
    }
}

fn commit(bench: &mut Bench, model: &mut Model, dice: &mut Dice) {
    if model.claims.is_empty() {
        return;
    }
    let count = u32::try_from(model.claims.len()).unwrap();
    let at = usize::try_from(dice.below(count)).unwrap();
    let (ticket, port, who) = model.claims.swap_remove(at);
    let now = bench.now();
    let committed = bench.table.commit(&ticket, now).unwrap();
    let displaced = model.holders.insert(port, (who.member, committed.epoch));
    assert_eq!(
        committed.displaced,
        displaced.map(|(member, _)| MemberId(member))
    );
    // Of this holding, every holder's epoch is above the one before; commits of others may overtake.
    assert!(displaced.is_none_or(|(_, epoch)| committed.epoch > epoch));
}

fn compare(bench: &Bench, model: &Model) {
    bench.table.check();
    let mut holders = BTreeMap::new();
    for (holding, entry) in bench.table.entries() {
        let Holding::Port(port) = holding else {
            panic!("{holding}");
        };
        if let Phase::Held(MemberId(member), _) = entry.phase {
            holders.insert(*port, (member, entry.epoch));
        }
    }
    assert_eq!(holders, model.holders);
    for principal in 1..=3 {
        assert!(bench.table.count(PrincipalId::new(principal)) <= 4);
    }
}
