//! Lines that give a value.

use std::collections::BTreeMap;

use super::Owner;
use super::draft::{Draft, WrittenChecking, is_none};
use super::error::{Place, Problem};
use super::expand::variables;
use super::forward::{ForwardForm, parse_forward, parse_jump, parse_port};
use super::keyword::Setting;
use super::parse::Line;
use super::settings::{AddressFamily, ForwardBind, HostKeyChecking, Placed, SshForward};
use super::words::{Trouble, Words, limit};

/// Most key files, and most certificate files (OpenSSH's `SSH_MAX_IDENTITY_FILES`).
const IDENTITIES: usize = 100;
/// Most forwards of a kind.
const FORWARDS: usize = 1_000;
/// Most hosts in a chain.
const JUMPS: usize = 16;

/// Where the value of a line goes.
pub(super) struct Values<'a> {
    pub(super) draft: &'a mut Draft,
    pub(super) environment: &'a BTreeMap<String, String>,
    /// Whose file the line stands in.
    pub(super) owner: Owner,
    pub(super) place: Place,
}

impl Values<'_> {
    /// A line that gives a value. Every value is read, and kept where the line applies.
    #[expect(
        clippy::too_many_lines,
        reason = "an arm for each keyword, and each is short"
    )]
    pub(super) fn read(
        self,
        setting: Setting,
        line: &Line,
        is_active: bool,
    ) -> Result<(), Trouble> {
        let Self {
            draft,
            environment,
            owner,
            place: here,
        } = self;
        let mut words = Words::of(line);
        match setting {
            Setting::HostName => first(&mut draft.host, is_active, words.placed(here)?),
            Setting::User => first(&mut draft.user, is_active, words.placed(here)?),
            Setting::HostKeyAlias => {
                first(&mut draft.host_key_alias, is_active, words.text()?);
            }
            Setting::Ciphers => first(&mut draft.ciphers, is_active, words.placed(here)?),
            Setting::KexAlgorithms => {
                first(&mut draft.kex_algorithms, is_active, words.placed(here)?);
            }
            Setting::HostKeyAlgorithms => {
                let value = words.placed(here)?;
                first(&mut draft.host_key_algorithms, is_active, value);
            }
            Setting::IgnoreUnknown => {
                first(&mut draft.ignore_unknown, is_active, words.text()?);
            }
            Setting::Port => {
                let port = words.read("Port", "1 to 65535", |text| {
                    parse_port(text).filter(|port| *port > 0)
                })?;
                first(&mut draft.port, is_active, port);
            }
            Setting::AddressFamily => {
                let value = words.read("AddressFamily", "any, inet, inet6", |text| match text {
                    "any" => Some(AddressFamily::Any),
                    "inet" => Some(AddressFamily::V4),
                    "inet6" => Some(AddressFamily::V6),
                    _ => None,
                })?;
                first(&mut draft.address_family, is_active, value);
            }
            Setting::ConnectTimeout => {
                let value = words.time("ConnectTimeout")?;
                first_of(&mut draft.connect_timeout, is_active, value);
            }
            Setting::ServerAliveInterval => {
                let value = words.time("ServerAliveInterval")?;
                first_of(&mut draft.server_alive_interval, is_active, value);
            }
            Setting::ServerAliveCountMax => {
                let value = words.read("ServerAliveCountMax", "a number", |text| {
                    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
                    let number = text.parse().ok().filter(|_| is_number);
                    number.filter(|number| i32::try_from(*number).is_ok())
                })?;
                first(&mut draft.server_alive_count_max, is_active, value);
            }
            Setting::IdentitiesOnly => {
                let value = words.flag("IdentitiesOnly")?;
                first(&mut draft.identities_only, is_active, value);
            }
            Setting::HashKnownHosts => {
                let value = words.flag("HashKnownHosts")?;
                first(&mut draft.hash_known_hosts, is_active, value);
            }
            Setting::GatewayPorts => {
                let value = words.flag("GatewayPorts")?;
                first(&mut draft.gateway_ports, is_active, value);
            }
            Setting::ClearAllForwardings => {
                let value = words.flag("ClearAllForwardings")?;
                first(&mut draft.clear_forwards, is_active, value);
            }
            Setting::ExitOnForwardFailure => {
                let value = words.flag("ExitOnForwardFailure")?;
                first(&mut draft.exit_on_forward_failure, is_active, value);
            }
            Setting::StrictHostKeyChecking => {
                let wanted = "yes, accept-new, ask, no, off";
                let value = words.read("StrictHostKeyChecking", wanted, checking)?;
                let value = Placed { value, place: here };
                first(&mut draft.host_key_checking, is_active, value);
            }
            Setting::IdentityAgent => {
                let value = words.placed(here)?;
                variables(&value.value, environment, |it| Ok(it.to_owned()))?;
                first(&mut draft.identity_agent, is_active, value);
            }
            Setting::IdentityFile => {
                let value = words.placed(here)?;
                let list = &mut draft.identity_files;
                add_file(list, is_active, owner, value, "IdentityFile")?;
            }
            Setting::CertificateFile => {
                let value = words.placed(here)?;
                let list = &mut draft.certificate_files;
                add_file(list, is_active, owner, value, "CertificateFile")?;
            }
            Setting::UserKnownHostsFile => {
                words.files(&mut draft.user_known_hosts, is_active, &here)?;
            }
            Setting::GlobalKnownHostsFile => {
                words.files(&mut draft.global_known_hosts, is_active, &here)?;
            }
            Setting::ProxyCommand => {
                let text = line.rest.trim_start_matches(['=', ' ', '\t', '\r']);
                let value = Placed {
                    value: text.to_owned(),
                    place: here,
                };
                first(&mut draft.proxy_command, is_active, value);
                return Ok(());
            }
            Setting::ProxyJump => return jump(draft, line, is_active, here),
            Setting::LocalForward | Setting::RemoteForward | Setting::DynamicForward => {
                let (form, text) = words.forward(setting)?;
                let expanded = variables(&text, environment, |it| Ok(it.to_owned()))?;
                let value = parse_forward(&expanded, form).ok();
                let value = value.filter(|forward| has_port(forward, form));
                let value = value.ok_or(Problem::Forward(text))?;
                let list = match form {
                    ForwardForm::Local => &mut draft.local_forwards,
                    ForwardForm::Remote | ForwardForm::RemoteDynamic => &mut draft.remote_forwards,
                    ForwardForm::Dynamic => &mut draft.dynamic_forwards,
                };
                if is_active && list.iter().all(|known| known.value != value) {
                    limit("forwards", list.len(), FORWARDS)?;
                    list.push(Placed { value, place: here });
                }
            }
        }
        words.end()
    }
}

/// Whether the port of a bind is one that a file may give: 0 only where the far end chooses.
fn has_port(forward: &SshForward, form: ForwardForm) -> bool {
    match (&forward.bind, form) {
        (ForwardBind::Tcp { port, .. }, ForwardForm::Local | ForwardForm::Dynamic) => *port > 0,
        (ForwardBind::Tcp { .. }, ForwardForm::Remote | ForwardForm::RemoteDynamic)
        | (ForwardBind::Unix(_), _) => true,
    }
}

/// The first value counts.
fn first<T>(slot: &mut Option<T>, is_active: bool, value: T) {
    first_of(slot, is_active, Some(value));
}

/// The first value counts; none leaves room for a later one.
fn first_of<T>(slot: &mut Option<T>, is_active: bool, value: Option<T>) {
    if is_active && slot.is_none() {
        *slot = value;
    }
}

fn add_file(
    list: &mut Vec<(Owner, Placed<String>)>,
    is_active: bool,
    owner: Owner,
    value: Placed<String>,
    what: &'static str,
) -> Result<(), Problem> {
    if !is_active {
        return Ok(());
    }
    limit(what, list.len(), IDENTITIES)?;
    let is_new = |(known, file): &(Owner, Placed<String>)| {
        (*known, file.value.as_str()) != (owner, value.value.as_str())
    };
    if list.iter().all(is_new) {
        list.push((owner, value));
    }
    Ok(())
}

fn checking(text: &str) -> Option<WrittenChecking> {
    Some(match text {
        "yes" | "true" => WrittenChecking::As(HostKeyChecking::Yes),
        "ask" => WrittenChecking::As(HostKeyChecking::Ask),
        "accept-new" => WrittenChecking::As(HostKeyChecking::AcceptNew),
        "no" | "off" | "false" => WrittenChecking::Off,
        _ => return None,
    })
}

/// `ProxyJump`: the first of it and `ProxyCommand` counts; its `none` leaves room for a command.
fn jump(draft: &mut Draft, line: &Line, is_active: bool, here: Place) -> Result<(), Trouble> {
    let written = line.rest.trim_start_matches(['=', ' ', '\t', '\r']);
    if is_none(written) {
        let nothing = Placed {
            value: Vec::new(),
            place: here,
        };
        first(&mut draft.proxy_jump, is_active, nothing);
        return Ok(());
    }
    let text = written.split('#').next().unwrap_or_default().trim_end();
    let mut hops = Vec::new();
    for hop in text.split(',') {
        limit("jumps", hops.len(), JUMPS)?;
        let hop = parse_jump(hop).filter(|hop| !is_none(&hop.host));
        hops.push(hop.ok_or_else(|| Problem::Jump(text.to_owned()))?);
    }
    if draft.proxy_command.is_none() && draft.proxy_jump.is_none() && is_active {
        draft.proxy_command = Some(Placed {
            value: String::from("none"),
            place: here.clone(),
        });
        draft.proxy_jump = Some(Placed {
            value: hops,
            place: here,
        });
    }
    Ok(())
}
