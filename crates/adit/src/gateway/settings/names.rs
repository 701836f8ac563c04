//! `names:` of `gateway.yml`: which names there may be, how domains are proved, and who stands in front.

use std::net::SocketAddr;
use std::time::Duration;

use adit_edge::proxy_protocol::Balancers;
use adit_model::host::Name;
use adit_text::{Node, Problem, Problems};
use ipnet::IpNet;

use super::file::ranged;
use super::rule::{balancers, network};

/// What holds for names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NameSettings {
    /// Names that nobody has whom no grant gives them word for word, besides those that are always kept.
    pub(crate) reserved: Vec<Name>,
    /// Whether the domain may be one under which anybody registers.
    pub(crate) is_public_suffix: bool,
    /// Name servers that are asked for proofs of domains; the system's where none is said.
    pub(crate) dns: Vec<SocketAddr>,
    /// How often they are asked whether a proof is still there.
    pub(crate) recheck: Duration,
    /// For how long a proof may be gone before its name is.
    pub(crate) withdraw_after: Duration,
    /// Proxies in front whose word on who a visitor is, is taken.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Load balancers in front: then visitors come through those alone, each with a header of the PROXY protocol.
    pub(crate) balancers: Option<Balancers>,
}

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

impl Default for NameSettings {
    /// Security rule G63: daily, and three days.
    fn default() -> Self {
        Self {
            reserved: Vec::new(),
            is_public_suffix: false,
            dns: Vec::new(),
            recheck: Duration::from_secs(DAY),
            withdraw_after: Duration::from_secs(3 * DAY),
            trusted_proxies: Vec::new(),
            balancers: None,
        }
    }
}

pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<NameSettings> {
    let usual = NameSettings::default();
    let mut fields = node.fields(problems)?;
    let read = NameSettings {
        reserved: fields
            .one_or_many("reserved", |node, problems| {
                node.parsed("a name", "status", problems, str::parse::<Name>)
            })
            .unwrap_or_default(),
        is_public_suffix: fields.boolean("public_suffix").unwrap_or_default(),
        dns: fields.one_or_many("dns", server).unwrap_or_default(),
        recheck: fields
            .optional("recheck", |node, problems| {
                ranged(node, (1, 30 * DAY), problems)
            })
            .unwrap_or(usual.recheck),
        withdraw_after: fields
            .optional("withdraw_after", |node, problems| {
                ranged(node, (0, 30 * DAY), problems)
            })
            .unwrap_or(usual.withdraw_after),
        trusted_proxies: fields
            .one_or_many("trusted_proxies", network)
            .unwrap_or_default(),
        balancers: fields.optional("proxy_protocol", balancers),
    };
    // A key without anything would let everybody in whom its writer means to keep out.
    for key in ["proxy_protocol", "trusted_proxies"] {
        let is_empty = node
            .as_mapping()
            .and_then(|it| it.entry(key))
            .is_some_and(|it| it.node.is_null());
        if is_empty {
            fields.refuse(
                key,
                "nothing stands there: leave it out, or say what is meant",
            );
        }
    }
    fields.finish();
    Some(read)
}

/// An address, with a port or without.
fn server(node: &Node, problems: &mut Problems) -> Option<SocketAddr> {
    const DNS: u16 = 53;
    let text = node
        .as_scalar()
        .map(adit_text::Scalar::text)
        .unwrap_or_default();
    let read = text
        .parse::<SocketAddr>()
        .or_else(|_| text.parse().map(|ip| SocketAddr::new(ip, DNS)));
    if read.is_err() {
        let words = "wanted a name server: 192.0.2.53, or 127.0.0.1:5353";
        problems.push(Problem::error(node.place(), words));
    }
    read.ok()
}
