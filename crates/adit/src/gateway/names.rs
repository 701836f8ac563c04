//! Names for visitors: a forward to port 80 of a name is `NAME.DOMAIN` over HTTP and HTTPS, and one to port 443 is that
//! name by TLS that is passed through.
//!
//! Which name leads where is compiled from the leases whenever they change, and published whole.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_edge::access::Access;
use adit_edge::http::{
    Counts, HttpServer, Parts, Place, Settings as HttpSettings, TracingRequestLog,
};
use adit_edge::route::{Balance, Route, Routes, Upstream};
use adit_edge::tls::{Certificates, Tls};
use adit_model::grant;
use adit_model::host::Name;
use adit_model::name::{HTTP, NameRules};
use adit_tunnel::gateway::desk::{Desk, Site};
use adit_tunnel::gateway::policy::Policy;
use adit_tunnel::gateway::seam::Sites as _;
use anyhow::Context as _;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub(super) use self::registrar::Registrar;
use super::certificates::Shelf;
use super::settings::{Listen, Settings};
use super::visitors::Visitors;

mod missing;
mod proof;
mod registrar;
pub(crate) mod secret;
pub(crate) mod suffix;

/// Between two tables: a thousand forwards that come at once are not a thousand tables.
const PAUSE: Duration = Duration::from_millis(20);

/// Serves the visitors of names.
#[derive(Debug)]
pub(super) struct Names {
    server: HttpServer,
    secure: Vec<bool>,
    routes: watch::Sender<Arc<Routes>>,
}

impl Names {
    /// Binds where the settings say; nothing where they say nowhere.
    ///
    /// # Errors
    /// A place cannot be bound.
    pub(super) fn bind(
        settings: &Settings,
        visitors: &Visitors,
        shelf: &Arc<Shelf>,
    ) -> anyhow::Result<Option<Self>> {
        if settings.domain.is_none() {
            return Ok(None);
        }
        let plain = settings
            .http
            .iter()
            .flat_map(|listen| places(*listen, false));
        let secure = settings
            .https
            .iter()
            .flat_map(|listen| places(*listen, true));
        let places: Vec<Place> = plain.chain(secure).collect();
        if places.is_empty() {
            return Ok(None);
        }
        let tls = Tls::new(Arc::clone(shelf) as Arc<dyn Certificates>);
        let tls = tls.context("TLS cannot be served")?;
        let (routes, published) = watch::channel(Arc::new(Routes::default()));
        let parts = Parts {
            routes: published,
            dial: visitors.dial(),
            log: Arc::new(TracingRequestLog),
            tls: Some(tls),
        };
        let settings = HttpSettings {
            visitors: visitors.most(),
            places: Some(visitors.places()),
            trusted: settings.names.trusted_proxies.clone(),
            balancers: settings.names.balancers.clone().map(Arc::new),
            ..HttpSettings::default()
        };
        let server = HttpServer::bind(parts, settings, &places);
        Ok(Some(Self {
            secure: places.iter().map(|place| place.is_secure).collect(),
            server: server.context("cannot listen for visitors of names")?,
            routes,
        }))
    }

    /// Where it listens, and whether by TLS.
    pub(super) fn addresses(&self) -> Vec<(SocketAddr, bool)> {
        let addresses = self.server.addresses().iter().copied();
        addresses.zip(self.secure.iter().copied()).collect()
    }

    /// Names that are sites, and names whose TLS is passed through.
    pub(super) fn published(&self) -> (usize, usize) {
        let routes = self.routes.borrow();
        (routes.iter().count(), routes.passing_count())
    }

    /// What has been served.
    pub(super) fn counts(&self) -> Counts {
        self.server.counts()
    }

    /// Serves until `stop`, and then waits for so long until what is being answered has been.
    ///
    /// # Errors
    /// A thread cannot be started, or has ended by a bug.
    ///
    /// # Cancel safety
    /// Dropping the future ends all visitors in a moment.
    pub(super) async fn run(
        &self,
        known: &Known,
        stop: &CancellationToken,
        drain: Duration,
    ) -> anyhow::Result<()> {
        let served = self.server.run(stop, drain);
        tokio::select! {
            served = served => served.context("visitors of names are not served any more"),
            () = self.follow(known) => Ok(()),
            () = known.registrar.watch_over(&known.desk) => Ok(()),
        }
    }

    /// Publishes the names of the leases whenever they change, or what their holders may.
    async fn follow(&self, known: &Known) {
        let mut table = known.desk.changes();
        let mut policy = known.policy.clone();
        loop {
            let routes = {
                let policy = policy.borrow_and_update();
                compile(known.desk.sites(), known.registrar.rules(), &policy)
            };
            self.routes.send_if_modified(|published| {
                let has_changed = **published != routes;
                if has_changed {
                    *published = Arc::new(routes);
                }
                has_changed
            });
            // Behind it and not before: whoever is granted a name finds it served.
            sleep(PAUSE).await;
            let told = tokio::select! {
                told = table.changed() => told,
                told = policy.changed() => told,
            };
            if told.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// What names are known from.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) desk: Arc<Desk>,
    pub(super) registrar: Arc<Registrar>,
    pub(super) policy: watch::Receiver<Arc<Policy>>,
}

/// Of several that serve a site together, those that are away are asked only if all are.
fn compile(sites: Vec<Site>, rules: &NameRules, policy: &Policy) -> Routes {
    let mut by_name: BTreeMap<(Name, u16), Vec<Site>> = BTreeMap::new();
    for site in sites {
        let key = (site.name.clone(), site.port);
        by_name.entry(key).or_default().push(site);
    }
    let (mut sites, mut passed) = (Vec::new(), Vec::new());
    for ((name, port), mut members) in by_name {
        let Some(host) = rules.host(&name) else {
            continue;
        };
        let Some(principal) = members.first().map(|member| member.principal) else {
            continue;
        };
        // The desk gives a name to one principal alone; whatever else were there would not be served.
        members.retain(|member| member.principal == principal);
        if members.iter().any(|member| member.is_here) {
            members.retain(|member| member.is_here);
        }
        let grant = policy.principals.get(&principal).map(|it| &it.grant);
        let route = Route {
            name: host.into(),
            tenant: Some(principal),
            upstream: Upstream {
                members: members.into_iter().map(|member| member.holding).collect(),
                balance: grant
                    .and_then(|grant| grant.pool)
                    .map_or_else(Balance::default, balance),
            },
            access: Access::everyone(),
            any_upgrade: false,
        };
        if port == HTTP {
            sites.push(route);
        } else {
            passed.push(route);
        }
    }
    Routes::new(sites).passing(passed)
}

const fn balance(pool: grant::Pool) -> Balance {
    match pool.balance {
        grant::Balance::Failover => Balance::Failover,
        grant::Balance::RoundRobin => Balance::RoundRobin,
        grant::Balance::LeastStreams => Balance::LeastStreams,
    }
}

/// The addresses of a place.
fn places(listen: Listen, is_secure: bool) -> Vec<Place> {
    let addresses = listen.scope.addresses().into_iter();
    let address = |ip| Place {
        address: SocketAddr::new(ip, listen.port),
        is_secure,
    };
    addresses.map(address).collect()
}

#[cfg(test)]
mod tests {
    use adit_model::grant::Grant;
    use adit_model::id::PrincipalId;
    use adit_model::lease::Holding;
    use adit_tunnel::gateway::policy::{Kind, Principal};

    use super::*;

    fn site(name: &str, place: u16, is_here: bool) -> Site {
        let name: Name = name.parse().unwrap();
        Site {
            port: HTTP,
            holding: match place {
                0 => Holding::Service(name.clone(), HTTP),
                place => Holding::Member(name.clone(), HTTP, place),
            },
            name,
            principal: PrincipalId::new(7),
            is_here,
        }
    }

    #[test]
    fn of_a_pool_those_that_are_away_are_asked_only_if_all_are() {
        let grant = Grant {
            pool: Some("3:least-streams".parse().unwrap()),
            ..Grant::default()
        };
        let id = PrincipalId::new(7);
        let principal = Principal {
            id,
            name: String::from("team"),
            kind: Kind::User,
            grant,
        };
        let policy = Policy {
            principals: [(id, Arc::new(principal))].into(),
            ..Policy::default()
        };
        let rules = NameRules::new("gw.test", []);
        let routes = |here: [bool; 3]| {
            let sites = (0..3)
                .zip(here)
                .map(|(place, is_here)| site("app", place, is_here));
            compile(sites.collect(), &rules, &policy)
        };
        let found = routes([true, false, true]);
        let upstream = &found.find("app.gw.test").unwrap().upstream;
        assert_eq!(upstream.balance, Balance::LeastStreams);
        assert_eq!(upstream.members.len(), 2);
        let found = routes([false; 3]);
        assert_eq!(found.find("app.gw.test").unwrap().upstream.members.len(), 3);
    }

    #[test]
    fn a_name_that_is_passed_through_is_no_site_by_http() {
        let rules = NameRules::new("gw.test", []);
        let passed = Site {
            port: adit_model::name::HTTPS,
            ..site("blog.example.org", 0, true)
        };
        let routes = compile(vec![passed], &rules, &Policy::default());
        assert!(routes.find("blog.example.org").is_none());
        assert!(routes.passed("blog.example.org").is_some());
    }
}
