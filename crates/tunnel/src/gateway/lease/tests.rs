use adit_model::lease::{Reserved, SocketName};

use super::*;
use crate::gateway::desk::Refused;

pub(super) use self::bench::{Asker, Bench, START, asker, bind, rules, stored};

mod bench;
mod drawn;
mod restart;
mod takeover;

#[test]
fn the_same_words_are_granted_again_and_others_are_not() {
    let mut bench = Bench::new();
    let me = asker(1, 1);
    bench.get(&me, 8080);
    assert_eq!(
        bench.ask(&me, 8080).unwrap(),
        Answer::Again(Holding::Port(8080))
    );
    let other = Bind::Tcp {
        host: String::new(),
        port: 8080,
    };
    let wanted = Wanted::This(Holding::Port(8080));
    let refused = bench.ask_with(&me, &other, wanted, Scope::Any).unwrap_err();
    assert!(matches!(refused, Refused::OtherWords { .. }), "{refused}");
    assert!(refused.to_string().contains("localhost:8080"), "{refused}");
}

#[test]
fn an_owner_gets_its_own_back_from_grace_and_from_quarantine() {
    let mut bench = Bench::new();
    let first = bench.get(&asker(1, 1), 8080);
    bench.leave(1);
    let second = bench.get(&asker(2, 1), 8080);
    assert_eq!(second.displaced, None);
    assert!(second.epoch > first.epoch);
    bench.leave(2);
    bench.after(601);
    let entry = bench.table.entry(&Holding::Port(8080)).unwrap();
    assert!(matches!(entry.phase, Phase::Quarantine(_)));
    assert!(bench.get(&asker(3, 1), 8080).epoch > second.epoch);
}

#[test]
fn released_port_quarantined() {
    let mut bench = Bench::new();
    bench.get(&asker(1, 1), 8080);
    let now = bench.now();
    assert_eq!(
        bench.table.cancel(MemberId(1), &bind(8080), now),
        Some(Holding::Port(8080))
    );
    for seconds in [0, 3_600, 82_700] {
        bench.after(seconds);
        let refused = bench.ask(&asker(2, 2), 8080).unwrap_err();
        assert!(matches!(refused, Refused::InUse { .. }), "{refused}");
        let drawn = bench.ask_any(&asker(2, 2), "8080").unwrap_err();
        assert!(matches!(drawn, Refused::NoneFree { .. }), "{drawn}");
    }
    bench.after(101);
    bench.get(&asker(2, 2), 8080);
}

#[test]
fn g16_who_gives_back_one_port_after_the_other_keeps_few_from_others() {
    let mut bench = Bench::new();
    let most = u16::try_from(QUARANTINED).unwrap();
    let release = |bench: &mut Bench, principal: i64, port: u16| {
        bench.get(&asker(1, principal), port);
        bench.after(1);
        let now = bench.now();
        bench.table.cancel(MemberId(1), &bind(port), now).unwrap();
    };
    release(&mut bench, 3, 9_000);
    for port in 10_000..=10_000 + most {
        release(&mut bench, 1, port);
    }
    // What it gave back first is free, and nothing else: not what others gave back either.
    for port in [9_000, 10_001, 10_000 + most] {
        let refused = bench.ask(&asker(2, 2), port).unwrap_err();
        assert!(
            matches!(refused, Refused::InUse { .. }),
            "{port}: {refused}"
        );
    }
    bench.get(&asker(2, 2), 10_000);
}

#[test]
fn names_are_kept_for_a_month_and_sockets_not_at_all() {
    let mut bench = Bench::new();
    let name = Holding::Name("red001".parse().unwrap());
    let socket: SocketName = "db".parse().unwrap();
    let socket = Holding::Unix(PrincipalId::new(1), socket);
    for holding in [&name, &socket] {
        let wanted = Wanted::This(holding.clone());
        let answer = bench.ask_with(&asker(1, 1), &bind(1), wanted, Scope::Loopback);
        bench.commit(answer.unwrap());
        let now = bench.now();
        assert!(bench.table.release(holding, now));
    }
    bench.after(1);
    assert!(bench.table.entry(&socket).is_none());
    bench.after(29 * 24 * 3_600);
    assert!(bench.table.entry(&name).is_some());
    bench.after(24 * 3_600);
    assert!(bench.table.entry(&name).is_none());
}

#[test]
fn what_is_reserved_is_in_use_for_all_others() {
    let mut bench = Bench::new();
    bench.reservations.push(Reservation {
        id: 1,
        what: Reserved::Ports("8080-8081".parse().unwrap()),
        principal: PrincipalId::new(1),
        note: String::new(),
    });
    let refused = bench.ask(&asker(2, 2), 8080).unwrap_err();
    assert!(matches!(refused, Refused::InUse { .. }), "{refused}");
    assert_eq!(bench.draw_port(&asker(2, 2), "8079-8081"), 8079);
    bench.get(&asker(1, 1), 8080);
    // Nor is it drawn for its own principal, who may ask for it by its number later.
    let refused = bench.ask_any(&asker(1, 1), "8081").unwrap_err();
    assert!(matches!(refused, Refused::NoneFree { .. }), "{refused}");
}

#[test]
fn limits_count_what_is_held_waits_and_is_being_given() {
    let mut bench = Bench::new();
    let mut me = asker(1, 1);
    me.limit = 2;
    bench.get(&me, 1);
    let claimed = bench.ask(&me, 2).unwrap();
    assert!(matches!(
        bench.ask(&me, 3),
        Err(Refused::TooManyLeases { limit: 2 })
    ));
    bench.commit(claimed);
    bench.leave(1);
    me.member = 2;
    assert!(matches!(
        bench.ask(&me, 3),
        Err(Refused::TooManyLeases { limit: 2 })
    ));
    bench.get(&me, 1);
    bench.get(&me, 2);
    let now = bench.now();
    bench.table.cancel(MemberId(2), &bind(1), now).unwrap();
    bench.get(&me, 3);
}

#[test]
fn an_abandoned_claim_leaves_all_as_it_was() {
    let mut bench = Bench::new();
    let Ok(Answer::Claimed(ticket)) = bench.ask(&asker(1, 1), 8080) else {
        panic!("a free port is not given");
    };
    bench.table.abandon(&ticket);
    assert!(bench.table.entry(&Holding::Port(8080)).is_none());
    let held = bench.get(&asker(2, 2), 8080);
    let mut newest = asker(3, 2);
    newest.takeover = Takeover::Newest;
    let Ok(Answer::Claimed(ticket)) = bench.ask(&newest, 8080) else {
        panic!("the newest does not get it");
    };
    bench.table.abandon(&ticket);
    let now = bench.now();
    assert_eq!(bench.table.commit(&ticket, now), None);
    let entry = bench.table.entry(&Holding::Port(8080)).unwrap();
    assert_eq!(entry.epoch, held.epoch);
    assert!(matches!(entry.phase, Phase::Held(MemberId(2), _)));
}

#[test]
fn a_claimant_that_leaves_or_may_not_have_it_any_more_gets_nothing() {
    let mut bench = Bench::new();
    let now = bench.now();
    for take in [
        |table: &mut Table, now| drop(table.leave(MemberId(1), now)),
        |table: &mut Table, now| assert!(table.release(&Holding::Port(8080), now)),
    ] {
        let Ok(Answer::Claimed(ticket)) = bench.ask(&asker(1, 1), 8080) else {
            panic!("a free port is not given");
        };
        take(&mut bench.table, now);
        assert_eq!(bench.table.commit(&ticket, now), None);
        assert!(bench.table.entry(&Holding::Port(8080)).is_none());
    }
}
