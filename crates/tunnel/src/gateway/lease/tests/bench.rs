//! A table, and people who ask.

use super::super::*;
use crate::gateway::desk::Refused;

/// A table, its clock, and people who ask.
pub(in crate::gateway::lease) struct Bench {
    pub(in crate::gateway::lease) table: Table,
    pub(in crate::gateway::lease) ticks: Duration,
    pub(in crate::gateway::lease) reservations: Vec<Reservation>,
}

/// Who asks, and how.
#[derive(Debug, Clone)]
pub(in crate::gateway::lease) struct Asker {
    pub(in crate::gateway::lease) member: u64,
    pub(in crate::gateway::lease) principal: i64,
    pub(in crate::gateway::lease) takeover: Takeover,
    pub(in crate::gateway::lease) source: &'static str,
    pub(in crate::gateway::lease) label: &'static str,
    pub(in crate::gateway::lease) limit: u32,
    pub(in crate::gateway::lease) verdict: Option<Verdict>,
}

pub(in crate::gateway::lease) const START: i64 = 1_763_000_000;

pub(in crate::gateway::lease) const fn rules() -> Rules {
    Rules {
        grace: Duration::from_secs(600),
        port_quarantine: Duration::from_secs(24 * 3_600),
        name_quarantine: Duration::from_secs(30 * 24 * 3_600),
    }
}

pub(in crate::gateway::lease) fn asker(member: u64, principal: i64) -> Asker {
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

pub(in crate::gateway::lease) fn bind(port: u16) -> Bind {
    Bind::Tcp {
        host: String::from("localhost"),
        port,
    }
}

impl Bench {
    pub(in crate::gateway::lease) fn new() -> Self {
        Self {
            table: Table::new(rules(), Epoch::floor_at(1_000)),
            ticks: Duration::ZERO,
            reservations: Vec::new(),
        }
    }

    pub(in crate::gateway::lease) fn now(&self) -> Now {
        Now {
            ticks: self.ticks,
            wall: Timestamp::from_second(START).unwrap() + self.ticks,
        }
    }

    pub(in crate::gateway::lease) fn after(&mut self, seconds: u64) {
        self.ticks += Duration::from_secs(seconds);
        self.table.pass(self.now());
    }

    pub(in crate::gateway::lease) fn ask_with(
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

    pub(in crate::gateway::lease) fn ask(
        &mut self,
        asker: &Asker,
        port: u16,
    ) -> Result<Answer, Refused> {
        let wanted = Wanted::This(Holding::Port(port));
        self.ask_with(asker, &bind(port), wanted, Scope::Loopback)
    }

    pub(in crate::gateway::lease) fn ask_any(
        &mut self,
        asker: &Asker,
        ports: &str,
    ) -> Result<Answer, Refused> {
        self.ask_any_of(asker, ports, &[])
    }

    pub(in crate::gateway::lease) fn ask_any_of(
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

    pub(in crate::gateway::lease) fn commit(&mut self, answer: Answer) -> Committed {
        let now = self.now();
        let Answer::Claimed(ticket) = answer else {
            panic!("{answer:?} is no claim");
        };
        self.table.commit(&ticket, now).unwrap()
    }

    /// Asks and gets.
    pub(in crate::gateway::lease) fn get(&mut self, asker: &Asker, port: u16) -> Committed {
        let answer = self.ask(asker, port).unwrap();
        self.commit(answer)
    }

    /// Draws a port; holders that are asked are there.
    pub(in crate::gateway::lease) fn draw_port(&mut self, asker: &Asker, ports: &str) -> u16 {
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

    pub(in crate::gateway::lease) fn leave(&mut self, member: u64) {
        let now = self.now();
        self.table.leave(MemberId(member), now);
    }
}

/// A lease as the ledger has it.
pub(in crate::gateway::lease) fn stored(port: u16, epoch: u64, state: LeaseState) -> Lease {
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
