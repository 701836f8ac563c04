//! `visitors:` of `gateway.yml`: who may come in at which ports, through which load balancers, and whether the
//! service is told who it is.

use std::net::IpAddr;

use adit_edge::access::Access;
use adit_edge::proxy_protocol::{Balancers, Version};
use adit_edge::rule::{Rule, Rules};
use adit_model::port::PortSet;
use adit_text::{Entry, Node, Problem, Problems, Scalar};
use ipnet::IpNet;

/// What the `PROXY` protocol's versions are called.
const VERSIONS: [(&str, Version); 2] = [("v1", Version::V1), ("v2", Version::V2)];

/// The rules of a list, or the only one.
pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Rules> {
    let mut taken = PortSet::EMPTY;
    let rules = node.one_or_many(problems, |node, problems| {
        let (ports, rule) = one(node, problems)?;
        if ports.difference(&taken).is_empty() {
            let words = format!("it never counts: rules above it have all its ports ({ports})");
            problems.push(Problem::error(node.place(), words));
        }
        taken = taken.union(&ports);
        Some((ports, rule))
    });
    rules.map(Rules::new)
}

fn one(node: &Node, problems: &mut Problems) -> Option<(PortSet, Rule)> {
    let mut fields = node.fields(problems)?;
    // A key without anything would open what its writer means to close.
    for key in ["ports", "allow", "deny", "proxy_protocol"] {
        let is_empty = |it: &Entry| it.node.is_null();
        if node
            .as_mapping()
            .and_then(|it| it.entry(key))
            .is_some_and(is_empty)
        {
            fields.refuse(
                key,
                "nothing stands there: leave it out, or say what is meant",
            );
        }
    }
    let ports = fields.optional("ports", |node, problems| {
        node.parsed("ports", "22,8000-8100", problems, str::parse::<PortSet>)
    });
    let access = match fields.one_or_many("allow", network) {
        Some(allowed) => Access::only(allowed),
        None => Access::everyone(),
    };
    let denied = fields.one_or_many("deny", network);
    let rule = Rule {
        access: access.without(denied.unwrap_or_default()),
        balancers: fields.optional("proxy_protocol", balancers),
        announce: fields.choice("send_proxy", &VERSIONS),
    };
    fields.finish();
    Some((ports.unwrap_or_else(PortSet::all), rule))
}

pub(super) fn balancers(node: &Node, problems: &mut Problems) -> Option<Balancers> {
    let text = node.as_scalar().map(Scalar::text).unwrap_or_default();
    if VERSIONS.iter().any(|(word, _)| *word == text) {
        let words = "here stand the load balancers in front, which say who comes";
        let help = "send_proxy: v2 has the service told";
        problems.push(Problem::error(node.place(), words).with_help(help));
        return None;
    }
    let networks = node.one_or_many(problems, network)?;
    let balancers = Balancers::new(networks).map_err(|error| {
        problems.push(Problem::error(node.place(), error.to_string()));
    });
    balancers.ok()
}

/// A network, or an address alone.
pub(super) fn network(node: &Node, problems: &mut Problems) -> Option<IpNet> {
    node.parsed("a network", "192.0.2.0/24", problems, |text| {
        let network: IpNet = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address.to_canonical()),
            Err(_) => text.parse().map_err(|_| "no address or network")?,
        };
        if network.trunc() == network {
            Ok(network)
        } else {
            Err("it has bits set behind its mask")
        }
    })
}
