//! What devices' agents tell of themselves: the newest of it, for whoever asks, while the gateway runs.
//!
//! It is display data (security rule G33): bounded, shown through [`Printable`], and no decision is made by it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adit_model::id::PrincipalId;
use adit_ssh::printable::Printable;
use jiff::Timestamp;

use super::desk::Who;
use crate::control::{Facts, TargetHealth};
use crate::transport::Bind;

/// The reports of all devices. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Reports(Arc<Mutex<HashMap<PrincipalId, Report>>>);

/// What is known of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What machine it is on.
    pub facts: Option<Told>,
    /// How the services behind its forwards do, in the order in which they were first told of.
    pub targets: Vec<Target>,
    /// The address that it comes from.
    pub from: String,
    /// When something was told last.
    pub at: Timestamp,
}

/// What machine an agent is on, fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its host name.
    pub host: String,
    /// Its system.
    pub system: String,
    /// The version of its adit.
    pub version: String,
}

/// How the service behind a forward does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The forward, as it was asked for.
    pub forward: String,
    /// Whether it is well.
    pub is_well: bool,
    /// What was found.
    pub words: String,
    /// When that was told.
    pub at: Timestamp,
}

/// Devices that are remembered. When there are more, the one that has been silent for longest is forgotten.
const DEVICES: usize = 16_384;
/// Forwards of one device that are remembered; of what is told besides, nothing is kept.
const TARGETS: usize = 64;
/// Characters of a text that are kept: a line of a table.
const WORDS: usize = 200;

impl Reports {
    /// What is known of a device; nothing before its agent has told anything.
    pub fn of(&self, device: PrincipalId) -> Option<Report> {
        self.lock().get(&device).cloned()
    }

    /// An agent tells what machine it is on.
    pub(super) fn facts(&self, who: &Who, facts: &Facts, now: Timestamp) {
        let told = Told {
            host: short(&facts.host.shown()),
            system: short(&facts.system.shown()),
            version: short(&facts.version.shown()),
        };
        self.change(who, now, |report| report.facts = Some(told));
    }

    /// An agent tells how a service does.
    pub(super) fn health(&self, who: &Who, health: TargetHealth, now: Timestamp) {
        let bind = Bind::from(health.forward);
        let target = Target {
            forward: short(&Printable::new(bind.to_string().as_bytes())),
            is_well: health.is_well,
            words: short(&health.words.shown()),
            at: now,
        };
        self.change(who, now, |report| {
            let known = report.targets.iter_mut();
            if let Some(known) = known.into_iter().find(|it| it.forward == target.forward) {
                *known = target;
            } else if report.targets.len() < TARGETS {
                report.targets.push(target);
            }
        });
    }

    fn change(&self, who: &Who, now: Timestamp, change: impl FnOnce(&mut Report)) {
        let mut all = self.lock();
        let id = who.principal.id;
        if !all.contains_key(&id) && all.len() >= DEVICES {
            let oldest = all.iter().min_by_key(|(_, report)| report.at);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                all.remove(&oldest);
            }
        }
        let from = who.source.ip().to_canonical().to_string();
        let report = all.entry(id).or_insert_with(|| Report {
            facts: None,
            targets: Vec::new(),
            from: String::new(),
            at: now,
        });
        report.from = from;
        report.at = now;
        change(report);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PrincipalId, Report>> {
        // A map is right after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A text as it may be shown, and no longer than a line.
fn short(text: &Printable) -> String {
    text.as_str().chars().take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use adit_model::grant::Grant;

    use super::*;
    use crate::control::{Place, Text};
    use crate::gateway::policy::{Kind, Principal};

    fn who(row: i64) -> Who {
        Who {
            principal: Arc::new(Principal {
                id: PrincipalId::new(row),
                name: format!("device {row}"),
                kind: Kind::Device,
                grant: Grant::default(),
            }),
            key: None,
            certificate: None,
            source: "192.0.2.1:5".parse().unwrap(),
            user: String::new(),
            software: String::new(),
            not_after: None,
            line: Arc::default(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn health(port: u16, words: &str) -> TargetHealth {
        TargetHealth {
            forward: Place::Tcp {
                host: Text::new("*"),
                port,
            },
            is_well: false,
            words: Text::new(words),
        }
    }

    /// G33.
    #[test]
    fn facts_are_inert() {
        let reports = Reports::default();
        let facts = Facts {
            host: Text::new("evil\u{1b}[2J<script>\n../../etc"),
            system: Text::new(&"x".repeat(1_000)),
            version: Text::new("\u{202e}1"),
        };
        assert_eq!(reports.of(PrincipalId::new(1)), None);
        reports.facts(&who(1), &facts, at(1));
        let report = reports.of(PrincipalId::new(1)).unwrap();
        let told = report.facts.unwrap();
        assert_eq!(told.host, "evil\\u{1b}[2J<script>\\u{a}../../etc");
        assert_eq!(told.system.len(), WORDS);
        assert!(told.version.is_ascii(), "{}", told.version);
        assert_eq!((report.from.as_str(), report.at), ("192.0.2.1", at(1)));
    }

    #[test]
    fn the_newest_word_of_each_forward_is_kept_and_not_too_many() {
        let reports = Reports::default();
        for port in 1..=100 {
            reports.health(&who(1), health(port, "away"), at(1));
        }
        reports.health(&who(1), health(2, "silent"), at(2));
        let report = reports.of(PrincipalId::new(1)).unwrap();
        assert_eq!(report.targets.len(), TARGETS);
        assert_eq!(
            (report.targets[1].words.as_str(), report.targets[1].at),
            ("silent", at(2))
        );
        for row in 0..=i64::try_from(DEVICES).unwrap() {
            reports.health(&who(row + 2), health(1, "away"), at(3));
        }
        assert_eq!(reports.lock().len(), DEVICES);
        assert_eq!(reports.of(PrincipalId::new(1)), None);
    }
}
