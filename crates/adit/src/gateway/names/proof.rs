//! Domains that principals have proved to be their own, by a TXT record that says what this gateway told them, and
//! whether they still are (security rule G63).
//!
//! What is proved stays so while the record is there, and for a while after it is gone, which a restart makes no
//! longer; a name server that does not answer says nothing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adit_model::host::Name;
use adit_model::id::PrincipalId;
use adit_tunnel::gateway::desk::{Desk, Site};
use anyhow::Context as _;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tracing::{info, warn};

use super::missing::{Missing, Since};
use super::secret::place;
use crate::gateway::audit;
use crate::gateway::settings::NameSettings;

/// How long a question may take, with everything that is asked on the way.
const QUESTION: Duration = Duration::from_secs(5);
/// How long one name server may take.
const SERVER: Duration = Duration::from_secs(2);
/// Questions at a time, of all that ask.
const QUESTIONS: usize = 8;
/// How long a proof is kept that nobody has made use of: whoever has just proved a domain is about to hold it.
const FRESH: Duration = Duration::from_secs(60);
/// When a gateway that has begun asks for the first time, so that one that is begun anew every few hours asks at all:
/// once its network is there, and not on each of many restarts in a row.
const FIRST: Duration = Duration::from_secs(600);

/// What is proved.
#[derive(Debug)]
pub(super) struct Proofs {
    resolver: TokioResolver,
    proved: Mutex<HashMap<(PrincipalId, Name), Proof>>,
    missing: Mutex<Missing>,
    places: Semaphore,
    every: Duration,
    withdraw_after: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Proof {
    /// Since when.
    since: Instant,
    /// Since when the record has not been there. By the wall clock, which goes on while no gateway runs.
    missing: Option<Timestamp>,
}

/// What a name server says of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// It is there.
    Proved,
    /// It is not there, or says something else.
    Missing,
    /// Nothing.
    Nothing(String),
}

impl Proofs {
    /// None yet. The file says since when some have been missing that were proved to an earlier gateway.
    ///
    /// # Errors
    /// The system does not say which name servers to ask.
    pub(super) fn new(settings: &NameSettings, missing: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            resolver: resolver(&settings.dns)?,
            proved: Mutex::default(),
            missing: Mutex::new(Missing::open(missing)),
            places: Semaphore::new(QUESTIONS),
            every: settings.recheck,
            withdraw_after: settings.withdraw_after,
        })
    }

    /// It was proved before this gateway began, and may have been missing for a while.
    pub(super) fn restore(&self, principal: PrincipalId, domain: Name, now: Timestamp) {
        let missing = self.missing().since(principal, &domain, now);
        self.believe(principal, domain, missing);
    }

    fn believe(&self, principal: PrincipalId, domain: Name, missing: Option<Timestamp>) {
        let since = Instant::now();
        let proof = Proof { since, missing };
        self.proved().insert((principal, domain), proof);
    }

    /// Whether it is proved.
    pub(super) fn contains(&self, principal: PrincipalId, domain: &Name) -> bool {
        self.proved().contains_key(&(principal, domain.clone()))
    }

    /// Asks whether the record says that, and keeps it if it does.
    pub(super) async fn ask(&self, principal: PrincipalId, domain: &Name, value: &str) -> Said {
        let said = self.look(domain, value).await;
        if said == Said::Proved {
            self.believe(principal, domain.clone(), None);
            self.keep();
        }
        said
    }

    /// Asks about all that are held, again and again; takes those away whose record has been gone for too long.
    ///
    /// # Cancel safety
    /// Dropping it ends that.
    pub(super) async fn watch_over(
        &self,
        desk: &Desk,
        value: impl Fn(PrincipalId, &Name) -> String,
    ) {
        let first = Instant::now().checked_add(FIRST.min(self.every));
        let mut due = interval_at(first.unwrap_or_else(Instant::now), self.every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            let sites = desk.sites();
            self.forget_unused(&sites);
            let known: Vec<_> = self.proved().keys().cloned().collect();
            for (principal, domain) in known {
                let said = self.look(&domain, &value(principal, &domain)).await;
                if self.is_over(principal, &domain, &said, Timestamp::now()) {
                    take_away(desk, &sites, principal, &domain);
                }
            }
            self.keep();
        }
    }

    /// Whether what was said means that a domain is not proved any more, which it then is not.
    fn is_over(&self, principal: PrincipalId, domain: &Name, said: &Said, now: Timestamp) -> bool {
        let mut proved = self.proved();
        let key = (principal, domain.clone());
        let Some(proof) = proved.get_mut(&key) else {
            return false;
        };
        match said {
            Said::Proved => {
                proof.missing = None;
                false
            }
            Said::Nothing(reason) => {
                warn!(%domain, reason, "no name server says whether a domain is still its holder's");
                false
            }
            Said::Missing => {
                let since = *proof.missing.get_or_insert_with(|| {
                    warn!(%domain, place = place(domain), "the proof of a domain is gone; its name will be, too");
                    now
                });
                // A clock that was set back makes it no longer than it is.
                let lasted = Duration::try_from(now.duration_since(since)).unwrap_or_default();
                let is_over = lasted >= self.withdraw_after;
                if is_over {
                    proved.remove(&key);
                }
                is_over
            }
        }
    }

    /// Writes down what is missing, for the gateway that comes after a restart.
    fn keep(&self) {
        let proved = self.proved();
        let missing = proved.iter().filter_map(|(key, proof)| {
            let since = proof.missing?;
            Some((key.clone(), since))
        });
        let missing: Since = missing.collect();
        drop(proved);
        self.missing().keep(missing);
    }

    /// Whoever asks for a domain that nobody holds proves it again.
    fn forget_unused(&self, sites: &[Site]) {
        self.proved().retain(|(principal, domain), proof| {
            let is_held = |site: &Site| site.principal == *principal && site.name == *domain;
            proof.since.elapsed() < FRESH || sites.iter().any(is_held)
        });
    }

    async fn look(&self, domain: &Name, value: &str) -> Said {
        // Never closed.
        let _place = self.places.acquire().await.ok();
        // Whole, so that no search list is tried.
        let name = format!("{}.", place(domain));
        match timeout(QUESTION, self.resolver.txt_lookup(name)).await {
            Err(_) => Said::Nothing(String::from("no answer in time")),
            Ok(Err(error)) if error.is_no_records_found() => Said::Missing,
            Ok(Err(error)) => Said::Nothing(error.to_string()),
            Ok(Ok(found)) => {
                let is_it = found.answers().iter().any(|record| {
                    matches!(&record.data, RData::TXT(text) if text.txt_data.concat() == value.as_bytes())
                });
                if is_it { Said::Proved } else { Said::Missing }
            }
        }
    }

    fn missing(&self) -> MutexGuard<'_, Missing> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn proved(&self) -> MutexGuard<'_, HashMap<(PrincipalId, Name), Proof>> {
        self.proved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take_away(desk: &Desk, sites: &[Site], principal: PrincipalId, domain: &Name) {
    info!(
        target: audit::TARGET,
        what = "name.withdraw",
        %principal,
        %domain,
        "a domain is not proved any more"
    );
    let reason = format!("{domain} is not proved to be yours any more");
    for site in sites {
        if site.principal == principal && site.name == *domain {
            desk.take_away(&site.holding, &reason);
        }
    }
}

/// Asks those name servers, or those of the system.
fn resolver(servers: &[SocketAddr]) -> anyhow::Result<TokioResolver> {
    let builder = if servers.is_empty() {
        TokioResolver::builder_tokio().context(
            "cannot tell which name servers to ask for proofs of domains; say so in names: dns",
        )?
    } else {
        let servers = servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            let connections = connections.into_iter().map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.collect())
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let mut options = ResolverOpts::default();
    // Whoever has just made a record asks for it in the next moment.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = SERVER;
    let built = builder.with_options(options).build();
    built.context("cannot ask name servers")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proofs(file: &Path) -> Proofs {
        let settings = NameSettings {
            dns: vec!["127.0.0.1:53".parse().unwrap()],
            withdraw_after: Duration::from_secs(3 * 86_400),
            ..NameSettings::default()
        };
        Proofs::new(&settings, file).unwrap()
    }

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(1_763_000_000 + day * 86_400).unwrap()
    }

    fn who() -> (PrincipalId, Name) {
        (PrincipalId::new(1), "a.example".parse().unwrap())
    }

    #[test]
    fn txt_proof_recheck() {
        let folder = tempfile::tempdir().unwrap();
        let proofs = proofs(&folder.path().join("missing.json"));
        let (who, domain) = who();
        proofs.restore(who, domain.clone(), at(0));
        assert!(!proofs.contains(PrincipalId::new(2), &domain));
        let is_over = |said: Said, day| proofs.is_over(who, &domain, &said, at(day));
        let nothing = || Said::Nothing(String::from("no answer"));
        // Name servers that are away take nothing away, however long.
        for day in 0..10 {
            assert!(!is_over(nothing(), day));
        }
        assert!(!is_over(Said::Missing, 10));
        assert!(!is_over(Said::Missing, 12) && !is_over(nothing(), 12));
        // It was there again.
        assert!(!is_over(Said::Proved, 12));
        assert!(!is_over(Said::Missing, 14));
        // Nor does a clock that is set back.
        assert!(!is_over(Said::Missing, 3));
        assert!(!is_over(nothing(), 17) && proofs.contains(who, &domain));
        assert!(is_over(Said::Missing, 17) && !proofs.contains(who, &domain));
    }

    #[test]
    fn restarts_make_the_time_after_a_record_is_gone_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("missing.json");
        let (who, domain) = who();
        // A gateway that is begun anew every day, and looks once each time.
        for (day, is_over) in [(0, false), (1, false), (2, false), (3, true)] {
            let proofs = proofs(&file);
            proofs.restore(who, domain.clone(), at(day));
            let said = proofs.is_over(who, &domain, &Said::Missing, at(day));
            assert_eq!(said, is_over, "day {day}");
            proofs.keep();
            assert_eq!(file.exists(), !is_over);
        }
        // What is proved anew has all of the time again.
        for (day, said) in [(4, Said::Missing), (5, Said::Proved), (7, Said::Missing)] {
            let proofs = proofs(&file);
            proofs.restore(who, domain.clone(), at(day));
            assert!(!proofs.is_over(who, &domain, &said, at(day)), "day {day}");
            proofs.keep();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_proof_that_nobody_uses_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let proofs = proofs(&folder.path().join("missing.json"));
        let (who, domain) = who();
        proofs.restore(who, domain.clone(), at(0));
        proofs.forget_unused(&[]);
        assert!(proofs.contains(who, &domain));
        tokio::time::advance(FRESH).await;
        let site = |principal| Site {
            name: domain.clone(),
            port: 80,
            holding: adit_model::lease::Holding::Service(domain.clone(), 80),
            principal: PrincipalId::new(principal),
            is_here: false,
        };
        proofs.forget_unused(&[site(1)]);
        assert!(proofs.contains(who, &domain));
        proofs.forget_unused(&[site(2)]);
        assert!(!proofs.contains(who, &domain));
    }
}
