//! What several commands take about a peer: its forwards, how to log in there, and the way there.

use std::path::PathBuf;

use adit_tunnel::agent::dial::Family;
use adit_tunnel::agent::forward::{Forward, Permit};
use adit_tunnel::agent::login::known_hosts::PinnedKey;
use adit_tunnel::ssh_config::Wanted;
use clap::Args;

use crate::config::option::{SshOption, jump};
use crate::config::spec::{DynamicForward, LocalForward, RemoteForward};
use crate::config::{Purpose, Written};

#[derive(Debug, Clone, Args)]
pub(crate) struct ForwardsArguments {
    /// A remote forward: visitors of PORT at the sshd go to HOST:HOSTPORT from here. Port 0 lets the
    /// sshd choose. Either side may be the path of a Unix socket. With no more than a port, visitors
    /// say by SOCKS where they want to go, within --permit-remote-open. As often as you like;
    /// RemoteForward lines of the configuration come after them.
    #[arg(short = 'R', value_name = "[BIND:]PORT:HOST:HOSTPORT")]
    pub(crate) remote_forwards: Vec<RemoteForward>,

    /// A local forward: visitors of PORT here go to HOST:HOSTPORT from there. Without BIND, loopback
    /// alone; * is every address; %INTERFACE is every address that the interface has, whatever they
    /// become (%wlan0:8001:localhost:22); port 0 lets the system choose. An address or interface that
    /// is not there is waited for. Either side may be the path of a Unix socket. As often as you like;
    /// LocalForward lines of the configuration come after them.
    #[arg(short = 'L', value_name = "[BIND:]PORT:HOST:HOSTPORT")]
    pub(crate) local_forwards: Vec<LocalForward>,

    /// A dynamic forward: visitors of PORT here say by SOCKS (4, 4a, 5) where they want to go, from
    /// there; names are looked up there. BIND and PORT as with -L. As often as you like;
    /// DynamicForward lines of the configuration come after them.
    #[arg(short = 'D', value_name = "[BIND:]PORT")]
    pub(crate) dynamic_forwards: Vec<DynamicForward>,

    /// Where visitors of a -R without a target may go, as PermitRemoteOpen has it: HOST:PORT, or
    /// HOST:* for every port. Without any: nowhere. A name other than localhost never leads to this
    /// machine's own or its link's addresses: permit the address for that. As often as you like.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) permit_remote_open: Vec<Permit>,

    /// Let a -R without a target listen for everybody (at *, an empty BIND or an address that is no
    /// loopback) and not for the sshd's own machine alone. Whoever reaches that port may then go where
    /// --permit-remote-open leads. Without it visitors from elsewhere are refused, even where an sshd with
    /// GatewayPorts yes listens for them.
    #[arg(long)]
    pub(crate) public_socks: bool,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LoginArguments {
    /// A private key to log in with, before those of the configuration; or its public half, where the
    /// ssh-agent has the private one. Without any: ~/.ssh/id_ed25519, id_ecdsa, id_rsa, those that are
    /// there, and all keys of the ssh-agent (SSH_AUTH_SOCK, IdentityAgent).
    #[arg(short = 'i', value_name = "KEY")]
    pub(crate) keys: Vec<PathBuf>,

    /// A file with the passphrase of the keys in its first line, for you alone to read (mode 600).
    /// Without: ADIT_PASSPHRASE of the environment, then the terminal.
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,

    /// The same for the password. Without: ADIT_PASSWORD, then the terminal. It is never sent to a host
    /// whose key was new in this run and that nobody has looked at.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    /// The fingerprint of the host's key, as ssh-keygen -l prints it there, or of the authority that
    /// certifies it. Then the host must have that key, and known_hosts is neither looked at (but for what
    /// is revoked) nor written. For the destination alone. As often as you like: one of them will do.
    #[arg(long = "host-key", value_name = "SHA256:...")]
    pub(crate) pins: Vec<PinnedKey>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct WayArguments {
    /// The sshd's port: 22 unless the configuration has another.
    #[arg(short = 'p', value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,

    /// A configuration file as ssh has it, in the place of ~/.ssh/config and /etc/ssh/ssh_config; the
    /// word none for no file. What the command line says counts before it.
    #[arg(short = 'F', value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Hosts on the way, the nearest first: each is logged in at, and leads to the next. What else
    /// there is to say of them stands in the configuration; the word none passes over its ProxyJump.
    #[arg(short = 'J', value_name = "[USER@]HOST[:PORT],...", value_parser = jump)]
    pub(crate) jump: Option<SshOption>,

    #[command(flatten)]
    pub(crate) family: FamilyArguments,

    /// Pass over the proxy that https_proxy or all_proxy names. Otherwise the first host of the way
    /// is reached through it, unless no_proxy lists that host or a ProxyCommand leads there.
    #[arg(long = "no-proxy")]
    pub(crate) without_proxy: bool,

    /// An option as ssh has it, for the destination and before its files: StrictHostKeyChecking (yes,
    /// ask, accept-new), UserKnownHostsFile, ServerAliveInterval, IdentityFile and every other that adit
    /// reads from a configuration.
    #[arg(short = 'o', value_name = "OPTION=VALUE")]
    pub(crate) options: Vec<SshOption>,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct FamilyArguments {
    /// Dial IPv4 addresses alone.
    #[arg(short = '4')]
    pub(crate) only_v4: bool,

    /// Dial IPv6 addresses alone.
    #[arg(short = '6', conflicts_with = "only_v4")]
    pub(crate) only_v6: bool,
}

impl ForwardsArguments {
    /// The forwards, in the order in which they are set up: our listeners first.
    pub(crate) fn listed(&self) -> Vec<Forward> {
        let local = self.local_forwards.iter().map(|one| &one.0);
        let dynamic = self.dynamic_forwards.iter().map(|one| &one.0);
        let remote = self.remote_forwards.iter().map(|one| &one.0);
        local.chain(dynamic).chain(remote).cloned().collect()
    }
}

impl WayArguments {
    /// Which host is meant.
    pub(crate) fn wanted(&self, host: &str, user: Option<String>) -> Wanted {
        Wanted {
            host: host.to_owned(),
            user,
            port: self.port,
        }
    }

    /// What they say of a tunnel without forwards, which is only looked at.
    pub(crate) fn written(&self, wanted: Wanted, login: &LoginArguments) -> Written {
        Written {
            wanted,
            forwards: Vec::new(),
            permits: Vec::new(),
            public_socks: false,
            purpose: Purpose::Look,
            exit_on_forward_failure: false,
            keys: login.keys.clone(),
            passphrase_file: login.passphrase_file.clone(),
            password_file: login.password_file.clone(),
            config: self.config.clone(),
            jump: self.jump.clone(),
            family: match (self.family.only_v4, self.family.only_v6) {
                (true, _) => Some(Family::V4),
                (false, true) => Some(Family::V6),
                (false, false) => None,
            },
            without_proxy: self.without_proxy,
            options: self.options.clone(),
            keep_alive: None,
            takes_password: true,
            pins: login.pins.clone(),
        }
    }
}
