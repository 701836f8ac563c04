//! What a line's options come to together, beside the file's default grant. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use adit_model::grant::{Asked, Grant, Reach, Sockets, TargetRule};
use adit_model::host::HostClass;
use adit_model::port::PortSet;
use ipnet::IpNet;

use super::option::{Forwards, Listen, Open, OptionError, Options, Placed, SocketNames};
use super::{Defaults, Note, Role};

/// What a line comes to.
pub(super) struct Rule {
    pub(super) role: Role,
    pub(super) grant: Grant,
    pub(super) notes: Vec<Note>,
}

/// Texts that a peer asks with for the machine itself.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

pub(super) fn of(options: &Options, defaults: &Defaults) -> Result<Rule, Placed> {
    let role = role(options)?;
    let mut grant = Grant {
        takeover_from: options
            .takeover_from
            .clone()
            .unwrap_or_else(|| defaults.grant.takeover_from.clone()),
        ..defaults.grant.clone()
    };
    let permits = !options.listens.is_empty() || !options.opens.is_empty();
    let is_command_only = options.forwards == Forwards::Unsaid && options.has_command && !permits;
    if is_command_only || options.forwards == Forwards::Off {
        nothing(&mut grant);
        let is_vain = permits
            || options.sockets.is_some()
            || options.any_port.is_some()
            || options.offers.is_some()
            || options.any_name
            || options.own_domains
            || options.pool.is_some();
        let notes = [
            (is_command_only, Note::CommandOnly),
            (is_vain, Note::WithoutEffect),
        ];
        let notes = notes.into_iter().filter(|(is_so, _)| *is_so);
        return Ok(Rule {
            role,
            grant,
            notes: notes.map(|(_, note)| note).collect(),
        });
    }
    listens(&mut grant, options)?;
    if !options.opens.is_empty() {
        grant.targets = options.opens.iter().flat_map(targets).collect();
    }
    let has_any = options
        .listens
        .iter()
        .any(|listen| listen.value.ports.is_none());
    let is_short = has_any && options.any_port.is_none();
    Ok(Rule {
        role,
        grant,
        notes: is_short.then_some(Note::AnyPort).into_iter().collect(),
    })
}

fn role(options: &Options) -> Result<Role, Placed> {
    match (&options.names, options.authority) {
        (Some(names), Some(_)) => Ok(Role::Authority {
            names: names.value.clone(),
        }),
        (None, None) => Ok(Role::Key {
            touch_required: options.touch_required,
            verify_required: options.verify_required,
        }),
        (Some(names), None) => Err((names.at, OptionError::Authority)),
        (None, Some(at)) => Err((at, OptionError::Authority)),
    }
}

/// Whoever has it may log in and do nothing.
fn nothing(grant: &mut Grant) {
    grant.ports = PortSet::EMPTY;
    grant.any_port = false;
    grant.asked.clear();
    grant.names.clear();
    grant.any_name = false;
    grant.own_domains = false;
    grant.pool = None;
    grant.sockets = Sockets::None;
    grant.targets.clear();
}

fn listens(grant: &mut Grant, options: &Options) -> Result<(), Placed> {
    match &options.sockets {
        Some(SocketNames::Any) => grant.sockets = Sockets::Any,
        Some(SocketNames::These(names)) => grant.sockets = Sockets::Named(names.clone()),
        // Who is told where to listen is told all of it.
        None if !options.listens.is_empty() => grant.sockets = Sockets::None,
        None => {}
    }
    if let Some(names) = &options.offers {
        grant.names.clone_from(names);
    }
    // Who is told where to listen is given no other place.
    grant.any_name = options.any_name || (grant.any_name && options.listens.is_empty());
    grant.own_domains |= options.own_domains;
    grant.pool = options.pool.or(grant.pool);
    let Some((first, others)) = options.listens.split_first() else {
        grant.any_port |= options.any_port.is_some();
        return Ok(());
    };
    if let Some(at) = options.any_port
        && others
            .iter()
            .any(|other| other.value.host != first.value.host)
    {
        return Err((at, OptionError::PortOfHosts));
    }
    grant.any_port = options.any_port.is_some();
    let has_host = |listen: &Listen| listen.host.as_deref().is_some_and(|host| host != "*");
    let all = || options.listens.iter().map(|listen| &listen.value);
    let ports = |listen: &Listen| listen.ports.clone().unwrap_or_else(|| grant.ports.clone());
    let asked = all()
        .flat_map(|listen| {
            let ports = ports(listen);
            hosts(listen, grant.reach)
                .into_iter()
                .map(move |host| Asked {
                    host,
                    ports: ports.clone(),
                })
        })
        .collect();
    let union = all().fold(PortSet::EMPTY, |union, listen| union.union(&ports(listen)));
    // What is bound is what was permitted: a grant that makes everything public would widen a host that is named.
    if grant.reach == Reach::Public && all().any(has_host) {
        grant.reach = Reach::Asked;
    }
    grant.asked = asked;
    grant.ports = union;
    Ok(())
}

/// Texts that may be asked with. A bare port is the machine's own unless the grant itself decides where it is.
fn hosts(listen: &Listen, reach: Reach) -> Vec<String> {
    match (&listen.host, reach) {
        (Some(host), _) => vec![host.clone()],
        (None, Reach::Asked) => LOOPBACK.map(String::from).to_vec(),
        (None, Reach::Local | Reach::Public) => vec![String::from("*")],
    }
}

fn targets(open: &Open) -> Vec<TargetRule> {
    let ports = || open.ports.clone();
    let exactly = |address: IpAddr| TargetRule::Cidr {
        network: IpNet::from(address.to_canonical()),
        ports: ports(),
    };
    match &open.host {
        None => vec![TargetRule::Name {
            name: None,
            ports: ports(),
        }],
        Some(HostClass::Address(address)) => vec![exactly(*address)],
        Some(HostClass::Localhost) => vec![
            exactly(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            exactly(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ],
        // What could be no device's name reaches nothing, as a name that nobody has.
        Some(HostClass::Name(name)) => name
            .parse()
            .map(|name| TargetRule::Name {
                name: Some(name),
                ports: ports(),
            })
            .into_iter()
            .collect(),
        Some(HostClass::Invalid) => Vec::new(),
    }
}
