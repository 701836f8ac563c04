//! What holds for the visitors of which ports. Pure.

use std::sync::Arc;

use adit_model::lease::Holding;
use adit_model::port::PortSet;

use crate::access::Access;
use crate::proxy_protocol::{Balancers, Version};

/// What holds for the visitors of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Who may come in.
    pub access: Access,
    /// Whether balancers stand in front: then visitors come through those alone, and each connection begins with a
    /// header.
    pub balancers: Option<Balancers>,
    /// Whether the target is told who its visitor is.
    pub announce: Option<Version>,
}

impl Rule {
    /// Everybody may come in, as who they are, and the target is told nothing.
    pub const fn usual() -> Self {
        Self {
            access: Access::everyone(),
            balancers: None,
            announce: None,
        }
    }
}

/// Rules by ports. Of several that have a port the first counts; what none has is served as [usual](Rule::usual), and
/// so is what has no port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    listed: Vec<(PortSet, Arc<Rule>)>,
    usual: Arc<Rule>,
}

impl Rules {
    /// Those, the first first.
    pub fn new(listed: impl IntoIterator<Item = (PortSet, Rule)>) -> Self {
        let listed = listed.into_iter();
        Self {
            listed: listed
                .map(|(ports, rule)| (ports, Arc::new(rule)))
                .collect(),
            usual: Arc::new(Rule::usual()),
        }
    }

    /// What holds there.
    pub fn of(&self, holding: &Holding) -> Arc<Rule> {
        let Holding::Port(port) = holding else {
            return Arc::clone(&self.usual);
        };
        let listed = self.listed.iter().find(|(ports, _)| ports.contains(*port));
        Arc::clone(listed.map_or(&self.usual, |(_, rule)| rule))
    }

    /// The ports of each, the first first.
    pub fn ports(&self) -> impl Iterator<Item = &PortSet> {
        self.listed.iter().map(|(ports, _)| ports)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_has_a_port_counts_there() {
        let rule = |announce| Rule {
            announce,
            ..Rule::usual()
        };
        let rules = Rules::new([
            ("25".parse().unwrap(), rule(Some(Version::V2))),
            ("20-30".parse().unwrap(), rule(Some(Version::V1))),
        ]);
        for (port, expected) in [
            (25, Some(Version::V2)),
            (20, Some(Version::V1)),
            (30, Some(Version::V1)),
            (31, None),
        ] {
            let announce = rules.of(&Holding::Port(port)).announce;
            assert_eq!(announce, expected, "{port}");
        }
        let name = Holding::Name("red001".parse().unwrap());
        assert_eq!(*rules.of(&name), Rule::usual());
    }
}
