//! Names as far as grants do not say: those that are given to whoever asks for none, domains that were proved, and
//! where visitors find them all.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use adit_edge::tls::Certificates as _;
use adit_model::host::Name;
use adit_model::id::PrincipalId;
use adit_model::lease::{Lease, LeaseState};
use adit_model::name::{HTTP, HTTPS, NameRules, is_domain, is_site};
use adit_tunnel::gateway::desk::Desk;
use adit_tunnel::gateway::seam::{Later, Sites, Unproved};
use jiff::Timestamp;
use rustix::system::uname;

use super::proof::{Proofs, Said};
use super::secret::{Secret, place};
use super::suffix;
use crate::gateway::certificates::Shelf;
use crate::gateway::settings::NameSettings;

/// What is known of names.
#[derive(Debug)]
pub(in crate::gateway) struct Registrar {
    rules: NameRules,
    secret: Secret,
    proofs: Proofs,
    shelf: Arc<Shelf>,
    http: Option<u16>,
    https: Option<u16>,
}

impl Registrar {
    /// The one of a gateway with that domain, whose visitors come in at those addresses, by TLS or not. The files are
    /// that of its secret, and that of proofs that are missing.
    ///
    /// # Errors
    /// The file of the secret cannot be used, or no name servers are known.
    pub(in crate::gateway) fn new(
        domain: &str,
        settings: &NameSettings,
        (secret, missing): (&Path, &Path),
        shelf: Arc<Shelf>,
        addresses: &[(SocketAddr, bool)],
    ) -> anyhow::Result<Self> {
        let mut own = settings.reserved.clone();
        own.extend(own_name(domain));
        let port = |by_tls| {
            let found = addresses.iter().find(|(_, is_secure)| *is_secure == by_tls);
            found.map(|(address, _)| address.port())
        };
        Ok(Self {
            rules: NameRules::new(domain, own),
            secret: Secret::open(secret)?,
            proofs: Proofs::new(settings, missing)?,
            shelf,
            http: port(false),
            https: port(true),
        })
    }

    /// Believes what was proved before a restart: whoever holds a domain has proved it, and it is asked for again
    /// soon. The time since a proof has been missing goes on.
    pub(in crate::gateway) fn believe(&self, leases: &[Lease], now: Timestamp) {
        for lease in leases {
            let site = lease.holding.service().filter(|(_, port)| is_site(*port));
            if let Some((name, _)) = site
                && is_domain(name)
                && !matches!(lease.state, LeaseState::Quarantine(_))
            {
                self.proofs.restore(lease.principal, name.clone(), now);
            }
        }
    }

    /// Sees that what was proved still is.
    ///
    /// # Cancel safety
    /// Dropping it ends that.
    pub(super) async fn watch_over(&self, desk: &Desk) {
        let value = |principal, domain: &Name| self.secret.proof(principal, domain);
        self.proofs.watch_over(desk, value).await;
    }
}

impl Sites for Registrar {
    fn rules(&self) -> &NameRules {
        &self.rules
    }

    fn draw(&self, principal: PrincipalId, mark: &[u8]) -> Vec<Name> {
        let mut names = self.secret.names(principal, mark);
        names.retain(|name| self.rules.judge(name).is_ok());
        names
    }

    fn urls(&self, name: &Name, port: u16) -> Vec<String> {
        let Some(host) = self.rules.host(name) else {
            return Vec::new();
        };
        let url = |scheme, port: Option<u16>, usual| {
            let port = port?;
            Some(if port == usual {
                format!("{scheme}://{host}/")
            } else {
                format!("{scheme}://{host}:{port}/")
            })
        };
        // Without a certificate nobody gets in there.
        let has_certificate = self.shelf.find(Some(&host)).is_some();
        let secure = url("https", self.https, HTTPS);
        match port {
            HTTP => {
                let secure = secure.filter(|_| has_certificate);
                [url("http", self.http, HTTP), secure]
                    .into_iter()
                    .flatten()
                    .collect()
            }
            HTTPS => secure.into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn is_proved(&self, principal: PrincipalId, domain: &Name) -> bool {
        self.proofs.contains(principal, domain)
    }

    fn prove<'a>(
        &'a self,
        principal: PrincipalId,
        domain: &'a Name,
    ) -> Later<'a, Result<(), Unproved>> {
        Box::pin(async move {
            let unproved = |reason| Err(Unproved { reason });
            if suffix::is_public(domain.as_str()) {
                return unproved(String::from("anybody has names under it"));
            }
            let value = self.secret.proof(principal, domain);
            let place = place(domain);
            match self.proofs.ask(principal, domain, &value).await {
                Said::Proved => Ok(()),
                Said::Missing => {
                    unproved(format!("ask again once a TXT record {place} says {value}"))
                }
                Said::Nothing(_) => unproved(format!(
                    "no name server answers for {place} just now; ask again once a TXT record there says {value}"
                )),
            }
        })
    }
}

/// The name of this machine under the domain, if it has one there.
fn own_name(domain: &str) -> Option<Name> {
    let node = uname();
    let node = node.nodename().to_str().ok()?.to_ascii_lowercase();
    let (label, parent) = node.split_once('.').unwrap_or((&node, domain));
    if parent == domain {
        label.parse().ok()
    } else {
        None
    }
}
