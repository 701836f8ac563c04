//! What is offered here under a name, for whoever opens it by that name.

use adit_model::host::Name;
use adit_model::id::PrincipalId;
use adit_model::lease::Holding;

use super::Desk;
use crate::gateway::lease::{Entry, Phase};

/// What can be meant by a port of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offered {
    /// Whether somebody has that name, or a service of it at any port.
    pub is_held: bool,
    /// The service at that very port, or else the name as a whole, if its owner is here or awaited.
    pub by_name: Option<Holding>,
    /// The ports of the device of that name that are held, ascending.
    pub ports: Vec<HeldPort>,
}

/// A site, or one of those that serve it together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its name.
    pub name: Name,
    /// The port of the name: that of HTTP, or that of TLS which is passed through.
    pub port: u16,
    /// What is held.
    pub holding: Holding,
    /// By whom.
    pub principal: PrincipalId,
    /// Whether its owner is here, rather than awaited.
    pub is_here: bool,
}

/// A port that somebody has, or waits to have again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldPort {
    /// Its number.
    pub port: u16,
    /// Whether the gateway chose it, for port 0: then its digits mean nothing.
    pub is_drawn: bool,
}

impl Desk {
    /// What is offered at a port of a name, by whoever has the name and by the device that it is the name of.
    pub fn offered(&self, name: &Name, port: u16, device: Option<PrincipalId>) -> Offered {
        let state = self.state();
        let table = &state.table;
        let by_name = [
            Holding::Service(name.clone(), port),
            Holding::Name(name.clone()),
        ];
        let has_owner = |holding: &Holding| table.entry(holding).is_some_and(is_served);
        let ports = device
            .into_iter()
            .flat_map(|device| table.entries_of(device));
        let ports = ports.filter_map(|(holding, entry)| match holding {
            Holding::Port(port) if is_served(entry) => Some(HeldPort {
                port: *port,
                is_drawn: entry.drawn.is_some(),
            }),
            Holding::Port(_)
            | Holding::Unix(..)
            | Holding::Name(_)
            | Holding::Service(..)
            | Holding::Member(..) => None,
        });
        Offered {
            is_held: table.has_name(name),
            by_name: by_name.into_iter().find(has_owner),
            ports: ports.collect(),
        }
    }
}

/// Whether its owner is here, or awaited.
const fn is_served(entry: &Entry) -> bool {
    matches!(entry.phase, Phase::Held(..) | Phase::Grace(_))
}
