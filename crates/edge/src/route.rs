//! Which name leads where: a table that is compiled and published whole. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use adit_model::id::PrincipalId;
use adit_model::lease::Holding;

use crate::access::Access;

/// All routes at one version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Routes {
    exact: HashMap<Box<str>, Arc<Route>>,
    /// By what comes behind `*.`; one label stands for the star.
    wildcard: HashMap<Box<str>, Arc<Route>>,
    /// Whole names alone (security rule G73).
    passed: HashMap<Box<str>, Arc<Route>>,
}

/// Where a name leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The name as it is in the table: a host, or `*.` and a host. Its visitors' cookies are for no parent of it.
    pub name: Box<str>,
    /// Who holds the name. Nothing of one is ever handed to another: connections that are kept, TLS sessions.
    pub tenant: Option<PrincipalId>,
    /// Who serves it: one, or the members of a pool that an operator has declared.
    pub upstream: Upstream,
    /// Who may come in.
    pub access: Access,
    /// Whether its visitors may ask for any protocol by `Upgrade`, not for WebSocket alone (security rule G69).
    pub any_upgrade: bool,
}

/// Who serves a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Those that may be asked; the first is asked first unless they take turns.
    pub members: Vec<Holding>,
    /// Which of them is asked.
    pub balance: Balance,
}

/// Which member of a pool is asked for a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Balance {
    /// The first that answers; the others are asked where it does not.
    #[default]
    Failover,
    /// One behind the other.
    RoundRobin,
    /// The one with the fewest requests that are being answered.
    LeastStreams,
}

impl Routes {
    /// A table of these; of two for one name the first counts.
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Self {
        let mut table = Self::default();
        for route in routes {
            let (map, name) = match route.name.strip_prefix("*.") {
                Some(parent) => (&mut table.wildcard, Box::from(parent)),
                None => (&mut table.exact, route.name.clone()),
            };
            map.entry(name).or_insert_with(|| Arc::new(route));
        }
        table
    }

    /// The same, and names whose TLS is passed through as it is, to whoever has the certificate; of two for one name
    /// the first counts. Such a name is no site here by HTTPS.
    #[must_use]
    pub fn passing(mut self, routes: impl IntoIterator<Item = Route>) -> Self {
        for route in routes {
            let entry = self.passed.entry(route.name.clone());
            entry.or_insert_with(|| Arc::new(route));
        }
        self
    }

    /// How many names there are whose TLS is passed through.
    pub fn passing_count(&self) -> usize {
        self.passed.len()
    }

    /// Where the TLS of that very name is passed through to.
    pub fn passed(&self, name: &str) -> Option<&Arc<Route>> {
        self.passed.get(name)
    }

    /// The route of a host in its canonical form ([`host`](crate::host::host)). The whole name counts before a
    /// star, and a star stands for one label, as in certificates (RFC 9525 section 6.3).
    pub fn find(&self, host: &str) -> Option<&Arc<Route>> {
        self.exact.get(host).or_else(|| {
            let (_, parent) = host.split_once('.')?;
            self.wildcard.get(parent)
        })
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.exact.values().chain(self.wildcard.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str) -> Route {
        Route {
            name: name.into(),
            tenant: None,
            upstream: Upstream {
                members: Vec::new(),
                balance: Balance::default(),
            },
            access: Access::everyone(),
            any_upgrade: false,
        }
    }

    #[test]
    fn the_whole_name_counts_before_a_star_which_is_one_label() {
        let routes = Routes::new(["a.example", "*.example", "*.b.example"].map(route));
        let found = |host| routes.find(host).map(|route| &*route.name);
        assert_eq!(found("a.example"), Some("a.example"));
        assert_eq!(found("c.example"), Some("*.example"));
        assert_eq!(found("x.b.example"), Some("*.b.example"));
        for none in ["example", "x.a.example", "x.y.b.example", "", ".example.x"] {
            assert_eq!(found(none), None, "{none}");
        }
        assert_eq!(routes.iter().count(), 3);
    }

    #[test]
    fn passthrough_exact_sni() {
        let routes = Routes::new([route("*.example")]).passing([route("a.example")]);
        assert!(routes.passing_count() == 1);
        assert!(routes.passed("a.example").is_some());
        for none in ["b.example", "x.a.example", "example", ""] {
            assert!(routes.passed(none).is_none(), "{none}");
        }
        // A name that is passed through alone is no site.
        assert_eq!(routes.iter().count(), 1);
    }
}
