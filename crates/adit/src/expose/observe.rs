//! What happens to a gateway's tunnel, for those who wait for its ports and for those who read the log.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use adit_flow::expose::{Addresses, PublicAddress, State};
use adit_flow::model::expose::{PortForward, SshExpose};
use adit_tunnel::agent::chain;
use adit_tunnel::agent::forward::Forward;
use adit_tunnel::agent::probe::{Finding, public_port};
use adit_tunnel::agent::supervise::{Event, Holder};
use tracing::{debug, info, warn};

/// Tells of one gateway.
#[derive(Debug)]
pub(super) struct Observer<'a> {
    gateway: usize,
    ssh: &'a SshExpose,
    addresses: &'a Addresses,
    /// The forwards by which local ports are known: the first of each.
    known: Vec<bool>,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// The ports at which forwards are public, as they were told.
    public: Vec<Option<u16>>,
    /// What went wrong last.
    trouble: String,
    /// Whether that was the end of a connection.
    is_lost: bool,
    /// Attempts since a connection stood.
    attempt: u32,
}

impl<'a> Observer<'a> {
    /// Nothing has happened yet.
    pub(super) fn new(gateway: usize, ssh: &'a SshExpose, addresses: &'a Addresses) -> Self {
        let mut ports = HashSet::new();
        let known = ssh.forwards.iter().map(|one| ports.insert(one.port));
        Self {
            gateway,
            ssh,
            addresses,
            known: known.collect(),
            progress: Mutex::new(Progress {
                public: vec![None; ssh.forwards.len()],
                ..Progress::default()
            }),
        }
    }

    /// Takes what happened.
    pub(super) fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Connected => {
                self.progress().attempt = 0;
                debug!(host = self.ssh.host.value, "logged in at the gateway");
            }
            Event::ForwardUp { number, forward }
            | Event::ForwardProved {
                number, forward, ..
            } => {
                self.up(*number, forward);
            }
            Event::ForwardUnproved {
                number,
                forward,
                finding,
            } if finding.is_unchecked() => self.unchecked(*number, forward, finding),
            Event::ForwardUnproved {
                number,
                forward,
                finding,
            } => {
                let why = self.unproved(forward, finding);
                warn!("[Gateway] {why}");
                if matches!(finding, Finding::LoopbackOnly) {
                    self.barred(*number, why);
                } else {
                    self.down(*number, why);
                }
            }
            // Why is looked for, and told then.
            Event::ForwardRefused { number, forward } => {
                let why = self.refused(forward, Holder::Unknown);
                self.down(*number, why);
            }
            Event::ForwardHeld {
                number,
                forward,
                holder,
            } => {
                let why = self.refused(forward, *holder);
                warn!("[Gateway] {why}; asking again every second or two");
                if self.is_down(*number) {
                    self.down(*number, why);
                }
            }
            Event::PortLost { bind } => warn!(
                "[Gateway] port {} of {} is lost, and any other is asked for: callbacks to the old one \
                 come to nothing",
                public_port(bind).unwrap_or_default(),
                self.ssh.host.value
            ),
            Event::Ended { end, .. } => self.trouble_is(chain(end), true),
            Event::Failed { error } => self.trouble_is(chain(error), false),
            Event::Waiting { delay } => self.waits(delay.as_secs_f64()),
            Event::ForwardBound { .. }
            | Event::ForwardWaiting { .. }
            | Event::ForwardListens { .. }
            | _ => {}
        }
    }

    /// What went wrong last, in words.
    pub(super) fn trouble(&self) -> String {
        let progress = self.progress();
        let what = if progress.is_lost { "lost" } else { "failed" };
        format!("SSH connection {what}: {}", progress.trouble)
    }

    /// Nothing is public any more, as was wished.
    pub(super) fn stopped(&self) {
        self.all_down("its gateway was stopped");
    }

    /// Nothing is public, nor will be.
    pub(super) fn failed(&self, why: &str) {
        self.all_down(why);
    }

    /// A forward is public. Says whether that is news.
    fn up(&self, number: usize, forward: &Forward) -> bool {
        let (Some(wanted), Some(port)) =
            (self.ssh.forwards.get(number), public_port(&forward.bind))
        else {
            return false;
        };
        let address = PublicAddress::of_port(&self.ssh.host.value, port);
        let before = match self.progress().public.get_mut(number) {
            Some(public) => public.replace(port),
            None => return false,
        };
        let is_news = before != Some(port);
        if is_news {
            info!(
                "[Gateway] Remote port forwarding started: {} -> {}",
                address.address(),
                target(wanted)
            );
        }
        self.set(number, State::Up(address));
        is_news
    }

    /// The server has granted it and nobody can look: what is known of it is what is known of any listener
    /// of others.
    fn unchecked(&self, number: usize, forward: &Forward, finding: &Finding) {
        if self.up(number, forward) {
            let address = self.address(forward);
            let why = if let Finding::Unseen(version) = finding {
                format!("no {version} address of the server is reached from here")
            } else {
                String::from(
                    "the server lets nobody connect to its ports through it (AllowTcpForwarding, PermitOpen)",
                )
            };
            warn!("[Gateway] nobody can look whether {address} works: {why}");
        }
    }

    fn down(&self, number: usize, why: String) {
        self.forget(number);
        self.set(number, State::Down(why));
    }

    /// Only a person at the server can mend it.
    fn barred(&self, number: usize, why: String) {
        self.forget(number);
        self.set(number, State::Barred(why));
    }

    fn forget(&self, number: usize) {
        if let Some(public) = self.progress().public.get_mut(number) {
            *public = None;
        }
    }

    fn is_down(&self, number: usize) -> bool {
        self.progress().public.get(number) == Some(&None)
    }

    fn all_down(&self, why: &str) {
        for number in 0..self.known.len() {
            self.down(number, why.to_owned());
        }
    }

    fn set(&self, number: usize, state: State) {
        if self.known.get(number) == Some(&true)
            && let Some(forward) = self.ssh.forwards.get(number)
        {
            self.addresses.set(self.gateway, forward.port, state);
        }
    }

    fn trouble_is(&self, trouble: String, is_lost: bool) {
        {
            let mut progress = self.progress();
            progress.trouble = trouble;
            progress.is_lost = is_lost;
        }
        self.all_down(&self.trouble());
    }

    fn waits(&self, seconds: f64) {
        let attempt = {
            let mut progress = self.progress();
            progress.attempt = progress.attempt.saturating_add(1);
            progress.attempt
        };
        let trouble = self.trouble();
        match self.ssh.max_retry_count {
            None => warn!("{trouble}. Reconnecting in {seconds:.1}s... (attempt {attempt})"),
            Some(most) => {
                warn!("{trouble}. Reconnecting in {seconds:.1}s... (attempt {attempt} of {most})");
            }
        }
    }

    /// Why a forward that was granted is not public.
    fn unproved(&self, forward: &Forward, finding: &Finding) -> String {
        let address = self.address(forward);
        match finding {
            Finding::LoopbackOnly => format!(
                "{address} is open to the server itself alone, so nobody can call back: write \
                 \"GatewayPorts clientspecified\" (or yes) into /etc/ssh/sshd_config there, then \
                 sudo systemctl reload ssh, and start this anew"
            ),
            Finding::Foreign | Finding::Shared(_) => format!(
                "{address} is answered by somebody else: another program there has the port, or a part of it"
            ),
            Finding::Nobody(_)
            | Finding::Silent
            | Finding::Prohibited
            | Finding::Up(_)
            | Finding::UpInPart(..)
            | _ => format!("{address} was granted and does not work yet: {finding}"),
        }
    }

    /// Why a forward was refused, as far as it can be known; the server does not say.
    fn refused(&self, forward: &Forward, holder: Holder) -> String {
        let host = &self.ssh.host.value;
        let port = public_port(&forward.bind).unwrap_or_default();
        let forbidden =
            "forwarding is not allowed (AllowTcpForwarding, PermitListen in sshd_config there)";
        let taken = format!(
            "it is taken there, by another program or by our own connection that died a moment ago \
             (ss -tlnp 'sport = :{port}' there shows it)"
        );
        let is_roots = (1..1_024).contains(&port) && self.ssh.user != "root";
        let why = match (port, holder) {
            (0, _) => return format!("{host} refuses any port: {forbidden}"),
            (_, Holder::Somebody) => taken,
            _ if is_roots => format!(
                "ports below 1024 are root's alone, and the user is {}; or {forbidden}",
                self.ssh.user
            ),
            (_, Holder::Nobody | Holder::Hidden) => forbidden.to_owned(),
            (_, Holder::Unknown | _) => format!("{taken}, or {forbidden}"),
        };
        format!("{host} refuses port {port}: {why}")
    }

    /// Where others would come to it.
    fn address(&self, forward: &Forward) -> String {
        let port = public_port(&forward.bind).unwrap_or_default();
        PublicAddress::of_port(&self.ssh.host.value, port).address()
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a forward leads, as its line in the log has it.
fn target(forward: &PortForward) -> String {
    PublicAddress::of_port(&forward.host, forward.port).address()
}
