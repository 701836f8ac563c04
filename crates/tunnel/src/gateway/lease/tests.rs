use adit_model::lease::{Reserved, SocketName};

use super::*;
use crate::gateway::desk::Refused;

/// A table, its clock, and people who ask.
pub(super) struct Bench {
    pub(super) table: Table,
    pub(super) ticks: Duration,
    pub(super) reservations: Vec<Reservation>,
}

/// Who asks, and how.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) member: u64,
    pub(super) principal: i64,
    pub(super) takeover: Takeover,
    pub(super) source: &'static str,
    pub(super) label: &'static str,
    pub(super) limit: u32,
    pub(super) verdict: Option<Verdict>,
}

pub(super) const START: i64 = 1_763_000_000;

pub(super) const fn rules() -> Rules {
    Rules {
        grace: Duration::from_secs(600),
        port_quarantine: Duration::from_secs(24 * 3_600),
        name_quarantine: Duration::from_secs(30 * 24 * 3_600),
    }
}

pub(super) fn asker(member: u64, principal: i64) -> Asker {
    Asker {
        member,
        principal,
        takeover: Takeover::Probe,
        source: "192.0.2.1:4000",
        label: "me",
        limit: 10,
        verdict: None,
    }
}

pub(super) fn bind(port: u16) -> Bind {
    Bind::Tcp {
        host: String::from("localhost"),
        port,
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        Self {
            table: Table::new(rules(), Epoch::floor_at(1_000)),
            ticks: Duration::ZERO,
            reservations: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> Now {
        Now {
            ticks: self.ticks,
            wall: Timestamp::from_second(START).unwrap() + self.ticks,
        }
    }

    pub(super) fn after(&mut self, seconds: u64) {
        self.ticks += Duration::from_secs(seconds);
        self.table.pass(self.now());
    }

    fn ask_with(
        &mut self,
        asker: &Asker,
        bind: &Bind,
        wanted: Wanted<'_>,
        scope: Scope,
    ) -> Result<Answer, Refused> {
        let now = self.now();
        let ask = Ask {
            member: MemberId(asker.member),
            principal: PrincipalId::new(asker.principal),
            label: asker.label,
            source: asker.source.parse().unwrap(),
            bind,
            wanted,
            scope,
            takeover: asker.takeover,
            takeover_from: &"192.0.2.0/24".parse().unwrap(),
            limit: asker.limit,
            reservations: &self.reservations,
            verdict: asker.verdict,
        };
        self.table.ask(&ask, now, &mut |bound| bound.get() - 1)
    }

    pub(super) fn ask(&mut self, asker: &Asker, port: u16) -> Result<Answer, Refused> {
        let wanted = Wanted::This(Holding::Port(port));
        self.ask_with(asker, &bind(port), wanted, Scope::Loopback)
    }

    pub(super) fn ask_any(&mut self, asker: &Asker, ports: &str) -> Result<Answer, Refused> {
        self.ask_any_of(asker, ports, &[])
    }

    fn ask_any_of(
        &mut self,
        asker: &Asker,
        ports: &str,
        alive: &[Epoch],
    ) -> Result<Answer, Refused> {
        let ports = ports.parse().unwrap();
        let wanted = Wanted::Any {
            ports: &ports,
            avoid: &[],
            alive,
        };
        self.ask_with(asker, &bind(0), wanted, Scope::Loopback)
    }

    pub(super) fn commit(&mut self, answer: Answer) -> Committed {
        let now = self.now();
        let Answer::Claimed(ticket) = answer else {
            panic!("{answer:?} is no claim");
        };
        self.table.commit(&ticket, now).unwrap()
    }

    /// Asks and gets.
    pub(super) fn get(&mut self, asker: &Asker, port: u16) -> Committed {
        let answer = self.ask(asker, port).unwrap();
        self.commit(answer)
    }

    /// Draws a port; holders that are asked are there.
    fn draw_port(&mut self, asker: &Asker, ports: &str) -> u16 {
        let mut alive = Vec::new();
        loop {
            let answer = self.ask_any_of(asker, ports, &alive).unwrap();
            let Answer::Probe { holding, epoch, .. } = answer else {
                return self.commit(answer).bind.port().unwrap();
            };
            self.table.probe_is_over(&holding);
            alive.push(epoch);
        }
    }

    pub(super) fn leave(&mut self, member: u64) {
        let now = self.now();
        self.table.leave(MemberId(member), now);
    }
}

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
fn a_holder_that_answers_keeps_it_and_one_that_does_not_loses_it() {
    let mut bench = Bench::new();
    let first = bench.get(&asker(1, 1), 8080);
    let mut second = asker(2, 1);
    let probe = bench.ask(&second, 8080).unwrap();
    assert_eq!(
        probe,
        Answer::Probe {
            holding: Holding::Port(8080),
            epoch: first.epoch,
            holder: MemberId(1)
        }
    );
    // One question at a time.
    assert!(matches!(bench.ask(&asker(3, 1), 8080), Ok(Answer::Wait(_))));
    bench.table.probe_is_over(&Holding::Port(8080));
    let verdict = |is_alive| {
        Some(Verdict {
            epoch: first.epoch,
            is_alive,
        })
    };
    second.verdict = verdict(true);
    let refused = bench.ask(&second, 8080).unwrap_err();
    assert!(matches!(refused, Refused::HeldByYou { .. }), "{refused}");
    second.verdict = verdict(false);
    let taken = bench.get(&second, 8080);
    assert_eq!(taken.displaced, Some(MemberId(1)));
    // The verdict was about another holder.
    let mut third = asker(3, 1);
    third.verdict = verdict(false);
    assert!(matches!(bench.ask(&third, 8080), Ok(Answer::Probe { .. })));
}

#[test]
fn oldest_keeps_it_as_long_as_it_lives_and_newest_has_it_at_once() {
    let mut bench = Bench::new();
    bench.get(&asker(1, 1), 8080);
    let mut oldest = asker(2, 1);
    oldest.takeover = Takeover::Oldest;
    assert!(matches!(
        bench.ask(&oldest, 8080),
        Err(Refused::HeldByYou { .. })
    ));
    let mut newest = asker(2, 1);
    newest.takeover = Takeover::Newest;
    assert_eq!(bench.get(&newest, 8080).displaced, Some(MemberId(1)));
    bench.leave(2);
    oldest.member = 3;
    bench.get(&oldest, 8080);
}

#[test]
fn takeover_flap_is_stopped() {
    let mut bench = Bench::new();
    bench.get(&asker(1, 1), 8080);
    let mut newest = asker(1, 1);
    newest.takeover = Takeover::Newest;
    for member in 2..5 {
        bench.after(10);
        newest.member = member;
        bench.get(&newest, 8080);
    }
    newest.member = 5;
    // Only a holder that is gone loses it now.
    let Ok(Answer::Probe { epoch, holding, .. }) = bench.ask(&newest, 8080) else {
        panic!("a fourth takeover in 30 s is not stopped");
    };
    bench.table.probe_is_over(&holding);
    let verdict = |is_alive| Some(Verdict { epoch, is_alive });
    newest.verdict = verdict(true);
    let refused = bench.ask(&newest, 8080).unwrap_err();
    assert!(
        matches!(refused, Refused::Flapping { seconds: 300, .. }),
        "{refused}"
    );
    assert!(
        refused.to_string().contains("your own key from 192.0.2.1"),
        "{refused}"
    );
    bench.after(299);
    let refused = bench.ask(&newest, 8080).unwrap_err();
    assert!(
        matches!(refused, Refused::Flapping { seconds: 1, .. }),
        "{refused}"
    );
    newest.verdict = verdict(false);
    assert_eq!(bench.get(&newest, 8080).displaced, Some(MemberId(4)));
    // Five minutes later all is as before.
    bench.after(61);
    newest.member = 6;
    newest.verdict = None;
    bench.get(&newest, 8080);
}

#[test]
fn a_lease_moves_only_to_where_the_grant_says() {
    let mut bench = Bench::new();
    bench.get(&asker(1, 1), 8080);
    bench.leave(1);
    let mut far = asker(2, 1);
    far.source = "198.51.100.1:4000";
    let refused = bench.ask(&far, 8080).unwrap_err();
    assert!(matches!(refused, Refused::OtherNetwork { .. }), "{refused}");
    far.source = "192.0.2.99:4000";
    bench.get(&far, 8080);
}

#[test]
fn any_port_is_the_one_it_was_before_for_the_same_label() {
    let mut bench = Bench::new();
    let port = bench.draw_port(&asker(1, 1), "9000-9009");
    assert_eq!(port, 9009, "the last of ten");
    assert_ne!(
        bench.draw_port(&asker(1, 1), "9000-9009"),
        port,
        "twice is two"
    );
    bench.leave(1);
    let mut other = asker(2, 1);
    other.label = "another";
    assert_eq!(bench.draw_port(&other, "9000-9009"), 9007);
    assert_eq!(bench.draw_port(&asker(3, 1), "9000-9009"), 9008);
    assert_eq!(bench.draw_port(&asker(3, 1), "9000-9009"), 9009);
    bench.get(&asker(4, 1), 9005);
    bench.leave(4);
    assert_eq!(
        bench.draw_port(&asker(5, 1), "9000-9009"),
        9006,
        "what was asked for by its number is not drawn"
    );
}

#[test]
fn a_drawn_port_is_had_back_from_a_connection_that_is_gone_and_from_no_other() {
    let mut bench = Bench::new();
    let first = bench.draw_port(&asker(1, 1), "9000-9009");
    bench.after(1);
    let second = bench.draw_port(&asker(1, 1), "9000-9009");
    for takeover in [Takeover::Probe, Takeover::Newest, Takeover::Oldest] {
        let mut new = asker(2, 1);
        new.takeover = takeover;
        let third = bench.draw_port(&new, "9000-9009");
        assert!(third != first && third != second, "{takeover}: {third}");
        let now = bench.now();
        bench.table.leave(MemberId(2), now);
        bench.table.release(&Holding::Port(third), now);
        bench.after(24 * 3_600 + 1);
    }
    let mut new = asker(2, 1);
    let probe = bench.ask_any(&new, "9000-9009").unwrap();
    let Answer::Probe { holding, epoch, .. } = probe else {
        panic!("{probe:?} is no question");
    };
    assert_eq!(holding, Holding::Port(first), "in their old order");
    // Another that asks meanwhile waits for the same answer.
    let waits = bench.ask_any(&asker(3, 1), "9000-9009").unwrap();
    assert_eq!(waits, Answer::Wait(holding.clone()));
    bench.table.probe_is_over(&holding);
    new.verdict = Some(Verdict {
        epoch,
        is_alive: false,
    });
    let taken = bench.ask_any(&new, "9000-9009").unwrap();
    let taken = bench.commit(taken);
    assert_eq!(taken.displaced, Some(MemberId(1)));
    assert_eq!(taken.bind.port(), Some(first));
    bench.leave(1);
    assert_eq!(bench.draw_port(&asker(2, 1), "9000-9009"), second);
}

#[test]
fn a_drawn_port_is_had_back_after_a_restart_by_the_same_words_and_label() {
    let drawn = |host: &str, label: &str| {
        Some(Drawn {
            host: String::from(host),
            label: String::from(label),
        })
    };
    let of = |port: u16, seconds: u64, drawn| Lease {
        since: Timestamp::from_second(START).unwrap() + Duration::from_secs(seconds),
        drawn,
        ..stored(port, u64::from(port), LeaseState::Held)
    };
    let mut bench = Bench::new();
    let now = bench.now();
    let leases = vec![
        of(9_001, 3, drawn("localhost", "me")),
        of(9_002, 1, drawn("*", "me")),
        of(9_003, 2, drawn("localhost", "me")),
        of(9_004, 0, drawn("localhost", "another")),
        of(9_005, 0, None),
    ];
    bench.table.restore(leases, now);
    let ports: Vec<_> = (0..4)
        .map(|_| bench.draw_port(&asker(1, 1), "9000-9009"))
        .collect();
    // Its own words first, in the order in which they were drawn; then what it had besides; then a new one.
    assert_eq!(ports, [9_003, 9_001, 9_002, 9_009]);
    let lease = bench.table.lease(&Holding::Port(9_003), now).unwrap();
    assert_eq!(lease.drawn, drawn("localhost", "me"));
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

fn stored(port: u16, epoch: u64, state: LeaseState) -> Lease {
    Lease {
        id: LeaseId::new(i64::from(port)),
        holding: Holding::Port(port),
        scope: Scope::Loopback,
        principal: PrincipalId::new(1),
        epoch: Epoch::new(epoch),
        since: Timestamp::from_second(START).unwrap(),
        state,
        drawn: None,
    }
}

#[test]
fn a_restart_keeps_every_lease_for_its_owner() {
    let mut bench = Bench::new();
    let now = bench.now();
    let ago = now.wall - Duration::from_secs(100);
    bench.table.restore(
        vec![
            stored(1, 5, LeaseState::Held),
            stored(2, 5, LeaseState::Grace(ago)),
            stored(
                3,
                5,
                LeaseState::Quarantine(now.wall + Duration::from_secs(50)),
            ),
            stored(4, 5, LeaseState::Quarantine(ago)),
            stored(5, 5, LeaseState::Quarantine(Timestamp::MAX)),
        ],
        now,
    );
    let listening = bench.table.entries();
    let listening = listening.filter(|(_, entry)| entry.wants_listener());
    let listening: Vec<_> = listening.map(|(holding, _)| holding.clone()).collect();
    assert_eq!(listening, [Holding::Port(1), Holding::Port(2)]);
    for port in [1, 2, 3, 5] {
        assert!(matches!(
            bench.ask(&asker(9, 2), port),
            Err(Refused::InUse { .. })
        ));
    }
    bench.get(&asker(9, 2), 4);
    bench.after(51);
    bench.get(&asker(9, 2), 3);
    bench.get(&asker(1, 1), 1);
    bench.after(24 * 3_600);
    // A clock that stood wrong keeps nothing for longer than the quarantine.
    bench.get(&asker(9, 2), 5);
}

#[test]
fn old_backup_cannot_lower_epoch() {
    let floor = Epoch::floor_at(1_763_000_000_000);
    let mut bench = Bench::new();
    bench.table = Table::new(rules(), floor);
    let now = bench.now();
    bench
        .table
        .restore(vec![stored(1, 7, LeaseState::Held)], now);
    assert!(bench.get(&asker(1, 1), 1).epoch > floor);
    // And a store that is ahead of the clock is not undercut either.
    let ahead = floor.get() + (1 << 40);
    bench.table = Table::new(rules(), floor);
    bench
        .table
        .restore(vec![stored(1, ahead, LeaseState::Held)], now);
    assert_eq!(bench.get(&asker(1, 1), 1).epoch, Epoch::new(ahead + 1));
}

#[test]
fn second_member_needs_pool() {
    let mut bench = Bench::new();
    let first = bench.get(&asker(1, 1), 8080);
    let mut second = asker(2, 1);
    second.verdict = Some(Verdict {
        epoch: first.epoch,
        is_alive: true,
    });
    // Neither the same principal nor another one shares it: there are no pools of ports.
    assert!(matches!(
        bench.ask(&second, 8080),
        Err(Refused::HeldByYou { .. })
    ));
    assert!(matches!(
        bench.ask(&asker(3, 2), 8080),
        Err(Refused::InUse { .. })
    ));
}
