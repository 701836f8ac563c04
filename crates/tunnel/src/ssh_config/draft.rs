//! Values as they are found, and what becomes of them when all files are read.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::error::{Place, PlacedProblem, Problem};
use super::expand::{Tokens, percent};
use super::forward::{WrittenJump, command_words};
use super::settings::{
    AddressFamily, ForwardBind, ForwardTarget, HostKeyChecking, IdentityAgent, Jump,
    KnownHostsFile, Placed, Proxy, ProxyCommand, Settings, SshForward,
};
use super::{Local, Owner, Wanted, Warning, WarningKind, is_host, is_user};

/// Port of sshd (RFC 4253 section 4.1).
const SSH_PORT: u16 = 22;

/// What was found so far; nothing in it is expanded.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// The host as the first reading left it, when there is a second: it stays.
    pub(super) first_host: Option<String>,
    pub(super) host: Option<Placed<String>>,
    pub(super) user: Option<Placed<String>>,
    pub(super) port: Option<u16>,
    pub(super) address_family: Option<AddressFamily>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) server_alive_interval: Option<Duration>,
    pub(super) server_alive_count_max: Option<u32>,
    pub(super) identity_files: Vec<(Owner, Placed<String>)>,
    pub(super) identities_only: Option<bool>,
    pub(super) identity_agent: Option<Placed<String>>,
    pub(super) certificate_files: Vec<(Owner, Placed<String>)>,
    pub(super) host_key_alias: Option<String>,
    pub(super) host_key_checking: Option<Placed<WrittenChecking>>,
    pub(super) user_known_hosts: Vec<Placed<String>>,
    pub(super) global_known_hosts: Vec<Placed<String>>,
    pub(super) hash_known_hosts: Option<bool>,
    pub(super) proxy_command: Option<Placed<String>>,
    pub(super) proxy_jump: Option<Placed<Vec<WrittenJump>>>,
    pub(super) ciphers: Option<Placed<String>>,
    pub(super) kex_algorithms: Option<Placed<String>>,
    pub(super) host_key_algorithms: Option<Placed<String>>,
    pub(super) local_forwards: Vec<Placed<SshForward>>,
    pub(super) remote_forwards: Vec<Placed<SshForward>>,
    pub(super) dynamic_forwards: Vec<Placed<SshForward>>,
    pub(super) gateway_ports: Option<bool>,
    pub(super) clear_forwards: Option<bool>,
    pub(super) exit_on_forward_failure: Option<bool>,
    pub(super) ignore_unknown: Option<String>,
    pub(super) ignored: Vec<Placed<String>>,
}

/// Values of `StrictHostKeyChecking` as they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WrittenChecking {
    As(HostKeyChecking),
    Off,
}

/// Whether a value stands for the lack of one.
pub(super) fn is_none(text: &str) -> bool {
    text.eq_ignore_ascii_case("none")
}

impl Draft {
    /// The host as far as it is known: `HostName` with its tokens, or what was asked for.
    pub(super) fn host(&self, original: &str) -> Result<String, PlacedProblem> {
        if let Some(host) = &self.first_host {
            return Ok(host.clone());
        }
        let Some(host) = &self.host else {
            return Ok(original.to_owned());
        };
        let stands_for = |letter: char| (letter == 'h').then(|| original.to_owned());
        percent("HostName", &host.value, stands_for).map_err(at(&host.place))
    }

    /// The host to connect to.
    pub(super) fn final_host(&self, original: &str) -> Result<String, PlacedProblem> {
        let host = self.host(original)?;
        if !is_host(&host) {
            return Err(PlacedProblem {
                place: self.host.as_ref().map(|host| host.place.clone()),
                problem: Problem::Host(host),
            });
        }
        Ok(match host.parse::<IpAddr>() {
            Ok(address) => address.to_string(),
            Err(_) => host.to_ascii_lowercase(),
        })
    }

    /// Puts in what tokens stand for, and what is left to say goes to `warnings`.
    pub(super) fn finish(
        self,
        wanted: &Wanted,
        local: &Local,
        warnings: &mut Vec<Warning>,
    ) -> Result<Settings, PlacedProblem> {
        let host = self.final_host(&wanted.host)?;
        let from_files = self.user.as_ref().map(|user| &user.value);
        let user = wanted.user.as_ref().or(from_files).or(local.user.as_ref());
        let user = user.cloned().ok_or_else(|| PlacedProblem {
            place: None,
            problem: Problem::NoUser(wanted.host.clone()),
        })?;
        if !is_user(&user) {
            let from_file = self.user.as_ref().filter(|_| wanted.user.is_none());
            return Err(PlacedProblem {
                place: from_file.map(|user| user.place.clone()),
                problem: Problem::User(user),
            });
        }
        let port = wanted.port.or(self.port).unwrap_or(SSH_PORT);
        let host_key_alias = self.host_key_alias.map(|alias| alias.to_ascii_lowercase());
        let tokens = Tokens {
            local,
            original: &wanted.host,
            host: &host,
            key_alias: host_key_alias.as_ref().unwrap_or(&wanted.host),
            port: port.to_string(),
            user: &user,
        };
        let proxy = proxy(self.proxy_jump, self.proxy_command, &tokens)?;
        let identity_files = (!self.identity_files.is_empty())
            .then(|| paths("IdentityFile", &self.identity_files, &tokens))
            .transpose()?;
        let certificate_files = paths("CertificateFile", &self.certificate_files, &tokens)?;
        let mut known_hosts = |keyword: &'static str, files: &[Placed<String>]| {
            known_hosts(keyword, files, &tokens, warnings)
        };
        let user_known_hosts = known_hosts("UserKnownHostsFile", &self.user_known_hosts)?;
        let global_known_hosts = known_hosts("GlobalKnownHostsFile", &self.global_known_hosts)?;
        let host_key_checking = self.host_key_checking.map(|checking| match checking.value {
            WrittenChecking::As(value) => value,
            WrittenChecking::Off => {
                let (place, what) = (checking.place, WarningKind::CheckingOff);
                warnings.push(Warning { place, what });
                HostKeyChecking::AcceptNew
            }
        });
        let forwards = |keyword: &'static str, forwards: Vec<Placed<SshForward>>| {
            if self.clear_forwards == Some(true) {
                return Ok(Vec::new());
            }
            let sockets = forwards.into_iter();
            sockets
                .map(|forward| with_sockets(keyword, forward, &tokens))
                .collect::<Result<_, _>>()
        };
        let local_forwards = forwards("LocalForward", self.local_forwards)?;
        let remote_forwards = forwards("RemoteForward", self.remote_forwards)?;
        let dynamic_forwards = forwards("DynamicForward", self.dynamic_forwards)?;
        let identity_agent = self
            .identity_agent
            .map(|agent| identity_agent(&agent, &tokens));
        Ok(Settings {
            address_family: self.address_family,
            connect_timeout: self.connect_timeout,
            server_alive_interval: self.server_alive_interval,
            server_alive_count_max: self.server_alive_count_max,
            identity_files,
            identities_only: self.identities_only,
            identity_agent: identity_agent.transpose()?,
            certificate_files,
            host_key_checking,
            user_known_hosts,
            global_known_hosts,
            hash_known_hosts: self.hash_known_hosts,
            proxy,
            ciphers: self.ciphers,
            kex_algorithms: self.kex_algorithms,
            host_key_algorithms: self.host_key_algorithms,
            local_forwards,
            remote_forwards,
            dynamic_forwards,
            gateway_ports: self.gateway_ports,
            exit_on_forward_failure: self.exit_on_forward_failure,
            host_key_alias: host_key_alias.clone(),
            port,
            user: user.clone(),
            host: host.clone(),
        })
    }
}

/// Gives a problem its place.
fn at(place: &Place) -> impl FnOnce(Problem) -> PlacedProblem {
    let place = Some(place.clone());
    move |problem| PlacedProblem { place, problem }
}

/// Files in order, each once; `none` is no file.
fn paths(
    keyword: &'static str,
    written: &[(Owner, Placed<String>)],
    tokens: &Tokens<'_>,
) -> Result<Vec<PathBuf>, PlacedProblem> {
    let mut paths = Vec::new();
    for (_, file) in written.iter().filter(|(_, file)| !is_none(&file.value)) {
        let path = tokens.path(keyword, &file.value).map_err(at(&file.place))?;
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn known_hosts(
    keyword: &'static str,
    written: &[Placed<String>],
    tokens: &Tokens<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Vec<KnownHostsFile>>, PlacedProblem> {
    let mut files = Vec::new();
    for file in written.iter().filter(|file| !is_none(&file.value)) {
        if file.value == "/dev/null" && keyword == "UserKnownHostsFile" {
            let (place, what) = (file.place.clone(), WarningKind::Forgetful);
            warnings.push(Warning { place, what });
            files.push(KnownHostsFile::Own);
        } else {
            let path = tokens.path(keyword, &file.value).map_err(at(&file.place))?;
            files.push(KnownHostsFile::Path(path));
        }
    }
    Ok((!written.is_empty()).then_some(files))
}

fn identity_agent(
    agent: &Placed<String>,
    tokens: &Tokens<'_>,
) -> Result<IdentityAgent, PlacedProblem> {
    let text = agent.value.as_str();
    if is_none(text) {
        return Ok(IdentityAgent::None);
    }
    let variable = match text.strip_prefix('$') {
        Some(name) if !name.starts_with('{') => Some(name),
        _ => (text == "SSH_AUTH_SOCK").then_some(text),
    };
    if let Some(name) = variable {
        return Ok(IdentityAgent::Variable(name.to_owned()));
    }
    let path = tokens.path("IdentityAgent", text);
    path.map(IdentityAgent::Socket).map_err(at(&agent.place))
}

fn with_sockets(
    keyword: &'static str,
    mut forward: Placed<SshForward>,
    tokens: &Tokens<'_>,
) -> Result<Placed<SshForward>, PlacedProblem> {
    let bind = match &mut forward.value.bind {
        ForwardBind::Unix(path) => Some(path),
        ForwardBind::Tcp { .. } => None,
    };
    let target = match &mut forward.value.target {
        ForwardTarget::Unix(path) => Some(path),
        ForwardTarget::Tcp { .. } | ForwardTarget::Socks => None,
    };
    for path in bind.into_iter().chain(target) {
        let text = path.to_str().unwrap_or_default();
        *path = tokens.socket(keyword, text).map_err(at(&forward.place))?;
    }
    Ok(forward)
}

/// The way to the host: what was written first, which the draft has seen to.
fn proxy(
    jump: Option<Placed<Vec<WrittenJump>>>,
    command: Option<Placed<String>>,
    tokens: &Tokens<'_>,
) -> Result<Option<Placed<Proxy>>, PlacedProblem> {
    if let Some(Placed { value, place }) = jump.filter(|jump| !jump.value.is_empty()) {
        let hops = value.iter().map(|hop| expanded_jump(hop, tokens));
        let hops: Vec<Jump> = hops.collect::<Result<_, _>>().map_err(at(&place))?;
        let is_itself = hops.last().is_some_and(|last| {
            last.host == tokens.host
                && last.port.unwrap_or(SSH_PORT).to_string() == tokens.port
                && last.user.as_deref().unwrap_or(tokens.user) == tokens.user
        });
        if is_itself {
            return Err(at(&place)(Problem::JumpLoop(tokens.host.to_owned())));
        }
        let value = Proxy::Jump(hops);
        return Ok(Some(Placed { value, place }));
    }
    let Some(Placed { value, place }) = command.filter(|command| !is_none(&command.value)) else {
        return Ok(None);
    };
    let words = command_words(&value).map_err(at(&place))?;
    let words = words.iter().map(|word| tokens.proxy("ProxyCommand", word));
    let words = words.collect::<Result<_, _>>().map_err(at(&place))?;
    let written = value;
    let value = Proxy::Command(ProxyCommand { written, words });
    Ok(Some(Placed { value, place }))
}

fn expanded_jump(hop: &WrittenJump, tokens: &Tokens<'_>) -> Result<Jump, Problem> {
    let host = tokens.proxy("ProxyJump", &hop.host)?;
    if !is_host(&host) {
        return Err(Problem::Host(host));
    }
    let user = match &hop.user {
        Some(user) => {
            let user = tokens.proxy("ProxyJump", user)?;
            if !is_user(&user) {
                return Err(Problem::User(user));
            }
            Some(user)
        }
        None => None,
    };
    let port = hop.port;
    Ok(Jump { user, host, port })
}
