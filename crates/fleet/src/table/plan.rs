//! What a table would be with a wish.

use std::collections::{BTreeSet, HashMap};

use adit_model::prefix::PortPrefix;

use super::{ENTRIES, Entry, Service, Table, TableError};
use crate::host::{Host, HostName};

/// Which ports new entries get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// From that port on: host by host, the services of each in their order. Of a port that is not free, the next
    /// that is.
    From(u16),
    /// Of the first host that prefix and the service's port behind it, of the next host the next prefix.
    Prefix(PortPrefix),
}

/// What is to be in the table: each service of each host.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    /// The hosts, in order.
    pub hosts: &'a [Host],
    /// The services of each, in order.
    pub services: &'a [Service],
    /// Their ports.
    pub numbering: Numbering,
    /// Where they listen.
    pub bind: &'a str,
    /// Ports that are passed over, since others have them.
    pub busy: &'a BTreeSet<u16>,
}

/// A wish that can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The table with it.
    pub table: Table,
    /// What was wished for, in order, and whether it is new.
    pub entries: Vec<(Entry, bool)>,
}

impl Table {
    /// What the table would be with a wish. What is in it already stays as it is.
    ///
    /// # Errors
    ///
    /// The wish cannot be had whole.
    pub fn plan(&self, wish: &Wish<'_>) -> Result<Plan, TableError> {
        let wanted = wish.pairs();
        if wanted.is_empty() {
            return Err(TableError::Nothing);
        }
        let there: HashMap<_, _> = self.entries.iter().map(|it| (it.key(), it)).collect();
        let mut taken: HashMap<u16, Entry> = self
            .entries
            .iter()
            .map(|it| (it.port, it.clone()))
            .collect();
        // In the places of those whose own port is not free stands nothing at first.
        let mut planned: Vec<Option<(Entry, bool)>> = Vec::with_capacity(wanted.len());
        let new = wanted
            .iter()
            .filter(|pair| !there.contains_key(&pair.key()))
            .count();
        let whole = self.entries.len().saturating_add(new);
        if whole > ENTRIES {
            return Err(TableError::TooMany(whole));
        }
        for pair in &wanted {
            if let Some(entry) = there.get(&pair.key()) {
                planned.push(Some((wish.same(pair, entry)?, false)));
                continue;
            }
            let port = match wish.numbering {
                Numbering::From(start) => {
                    let port = usize::from(start).saturating_add(pair.place);
                    u16::try_from(port)
                        .ok()
                        .filter(|port| wish.is_free(*port, &taken))
                }
                Numbering::Prefix(_) => Some(wish.of_prefix(pair, &taken)?),
            };
            planned.push(port.map(|port| {
                let entry = wish.entry(pair, port);
                taken.insert(port, entry.clone());
                (entry, true)
            }));
        }
        let mut next = wish.start();
        for (pair, slot) in wanted.iter().zip(&mut planned) {
            if slot.is_none() {
                let free = (next..=u32::from(u16::MAX))
                    .filter_map(|port| u16::try_from(port).ok())
                    .find(|port| wish.is_free(*port, &taken));
                let Some(port) = free else {
                    return Err(wish.overflow(pair, &wanted));
                };
                let entry = wish.entry(pair, port);
                taken.insert(port, entry.clone());
                *slot = Some((entry, true));
                next = u32::from(port).saturating_add(1);
            }
        }
        let entries: Vec<_> = planned.into_iter().flatten().collect();
        let mut table = self.clone();
        let new = entries.iter().filter(|(_, is_new)| *is_new);
        table.entries.extend(new.map(|(entry, _)| entry.clone()));
        Ok(Plan { table, entries })
    }
}

/// One service of one host, by its place in a wish.
struct Pair<'a> {
    host: &'a Host,
    service: &'a Service,
    place: usize,
    /// The place of the host.
    number: usize,
}

impl Pair<'_> {
    const fn key(&self) -> (&HostName, &Service) {
        (&self.host.name, self.service)
    }
}

impl Wish<'_> {
    /// Host by host; the index of a pair is that of the host times the number of services and that of the service
    /// (spec of 2026-11-21, R1).
    fn pairs(&self) -> Vec<Pair<'_>> {
        let mut pairs = Vec::new();
        for (number, host) in self.hosts.iter().enumerate() {
            for service in self.services {
                let place = pairs.len();
                pairs.push(Pair {
                    host,
                    service,
                    place,
                    number,
                });
            }
        }
        pairs
    }

    fn start(&self) -> u32 {
        match self.numbering {
            Numbering::From(start) => u32::from(start),
            Numbering::Prefix(_) => 0,
        }
    }

    fn is_free(&self, port: u16, taken: &HashMap<u16, Entry>) -> bool {
        port != 0 && !taken.contains_key(&port) && !self.busy.contains(&port)
    }

    fn entry(&self, pair: &Pair<'_>, port: u16) -> Entry {
        Entry {
            host: pair.host.name.clone(),
            user: pair.host.user.clone(),
            service: pair.service.clone(),
            port,
            bind: self.bind.to_owned(),
            prefix: self.prefix(pair).ok().flatten(),
        }
    }

    fn prefix(&self, pair: &Pair<'_>) -> Result<Option<PortPrefix>, TableError> {
        let Numbering::Prefix(first) = self.numbering else {
            return Ok(None);
        };
        let found = first.next(pair.number);
        found.map(Some).ok_or_else(|| TableError::NoPrefix {
            host: pair.host.name.clone(),
            last: PortPrefix::LAST,
        })
    }

    fn of_prefix(&self, pair: &Pair<'_>, taken: &HashMap<u16, Entry>) -> Result<u16, TableError> {
        let (host, service) = (pair.host.name.clone(), pair.service.clone());
        let prefix = self.prefix(pair)?;
        let port = prefix.map_or(Ok(0), |prefix| prefix.port(service.port));
        let port = match port {
            Ok(port) => port,
            Err(source) => {
                return Err(TableError::Prefix {
                    host,
                    service,
                    source,
                });
            }
        };
        if let Some(other) = taken.get(&port) {
            return Err(TableError::Collision {
                port,
                host,
                service,
                prefix,
                other: other.host.clone(),
                other_service: other.service.clone(),
                other_prefix: other.prefix,
            });
        }
        if self.busy.contains(&port) {
            return Err(TableError::Busy {
                port,
                host,
                service,
            });
        }
        Ok(port)
    }

    /// The entry that is there already, if it is as it is wished for.
    fn same(&self, pair: &Pair<'_>, entry: &Entry) -> Result<Entry, TableError> {
        let has_user = pair.host.user.is_none() || pair.host.user == entry.user;
        let has_prefix = self
            .prefix(pair)?
            .is_none_or(|prefix| entry.prefix == Some(prefix));
        if entry.bind == self.bind && has_user && has_prefix {
            return Ok(entry.clone());
        }
        Err(TableError::Otherwise {
            host: entry.host.clone(),
            service: entry.service.clone(),
            bind: entry.bind.clone(),
            port: entry.port,
            user: entry.user.clone(),
        })
    }

    fn overflow(&self, pair: &Pair<'_>, wanted: &[Pair<'_>]) -> TableError {
        let start = self.start();
        let number = |place: usize| start.saturating_add(u32::try_from(place).unwrap_or(u32::MAX));
        let last = u32::from(u16::MAX);
        let first_over = wanted
            .iter()
            .find(|pair| number(pair.place) > last)
            .unwrap_or(pair);
        let port = number(first_over.place).max(last.saturating_add(1));
        let count = u32::try_from(wanted.len()).unwrap_or(last);
        TableError::Overflow {
            host: first_over.host.name.clone(),
            service: first_over.service.clone(),
            port,
            begin: last.saturating_add(1).saturating_sub(count).max(1),
        }
    }
}
