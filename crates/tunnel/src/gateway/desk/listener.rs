//! The listeners of leases: bound when there is to be one, and no sooner than the one before is closed.

use std::time::Duration;

use adit_model::address::Scope;
use adit_model::lease::Holding;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use super::{Desk, Job, Listener, State};
use crate::gateway::after;
use crate::gateway::port::{self, BindError, Bound};
use crate::gateway::seam::Sockets;

/// What was bound for a holding, before anybody serves it.
#[derive(Debug)]
pub(super) struct Fresh {
    scope: Scope,
    addresses: Vec<std::net::SocketAddr>,
    /// `None` where nothing listens.
    sockets: Option<Sockets>,
    #[cfg(unix)]
    file: Option<port::unix::SocketFile>,
}

/// How long a listener takes at most to close: its server only has to see that it is to stop.
pub(super) const CLOSE: Duration = Duration::from_secs(2);

impl Desk {
    /// Sees to it that nothing of ours is in the way, and binds what is not bound. `None` if a listener of that
    /// scope is there already. The caller has a claim.
    ///
    /// # Cancel safety
    /// Dropped, a listener of another scope may be closed; it is bound again within a second.
    pub(super) async fn bind(
        &self,
        holding: &Holding,
        scope: Scope,
        is_known: bool,
    ) -> Result<Option<Fresh>, BindError> {
        let deadline = after(CLOSE);
        loop {
            let closing = {
                let mut state = self.state();
                match state.listeners.get(holding) {
                    Some(listener) if listener.scope == scope => return Ok(None),
                    Some(_) => {
                        state.close_listener(holding);
                        self.registry.relocate(holding);
                    }
                    None => {}
                }
                let closing = state.closing.get(holding).cloned();
                closing.filter(|over| !over.is_cancelled())
            };
            let Some(over) = closing else { break };
            if timeout_at(deadline, over.cancelled()).await.is_err() {
                tracing::warn!(%holding, "a listener does not close in time");
                break;
            }
        }
        self.bind_now(holding, scope, is_known).map(Some)
    }

    fn bind_now(
        &self,
        holding: &Holding,
        scope: Scope,
        is_known: bool,
    ) -> Result<Fresh, BindError> {
        match holding {
            Holding::Port(port) => {
                let Bound { sockets, addresses } = port::bind(scope, *port)?;
                Ok(Fresh {
                    scope,
                    addresses,
                    sockets: Some(Sockets::Tcp(sockets)),
                    #[cfg(unix)]
                    file: None,
                })
            }
            #[cfg(unix)]
            Holding::Unix(principal, name) => {
                let base = self.settings.sockets.clone().unwrap_or_default();
                let stale = if is_known {
                    port::unix::Stale::Ours
                } else {
                    port::unix::Stale::Foreign
                };
                let bound = port::unix::bind(&base, *principal, name, stale)?;
                Ok(Fresh {
                    scope,
                    addresses: Vec::new(),
                    sockets: Some(Sockets::Unix(bound.listener)),
                    file: Some(bound.file),
                })
            }
            // Names are the edge's, which listens for all of them; their services are opened through connections; no
            // sockets where there are none.
            _ => Ok(Fresh {
                scope,
                addresses: Vec::new(),
                sockets: None,
                #[cfg(unix)]
                file: None,
            }),
        }
    }

    /// Hands a listener over to be served.
    pub(super) fn install(&self, state: &mut State, holding: &Holding, fresh: Fresh) {
        let stop = CancellationToken::new();
        let over = match fresh.sockets {
            Some(sockets) => {
                let over = CancellationToken::new();
                state.jobs.push(Job {
                    sockets,
                    holding: holding.clone(),
                    stop: stop.clone(),
                    over: over.clone(),
                });
                over
            }
            // With nothing to close, it is closed in that moment.
            None => stop.clone(),
        };
        state.missing.remove(holding);
        state.closing.remove(holding);
        let listener = Listener {
            scope: fresh.scope,
            addresses: fresh.addresses,
            stop,
            over,
            #[cfg(unix)]
            _file: fresh.file,
        };
        state.listeners.insert(holding.clone(), listener);
        if let Some(entry) = state.table.entry(holding) {
            self.registry.begin(holding, entry.principal);
        }
        self.work.jobs.notify_one();
    }

    /// Binds what is to be there and is not: after a start, and when one has failed. Who claims a holding binds
    /// it itself, and waits for a repair that is under way. The lock is not held while the system is asked.
    pub(super) fn repair(&self) {
        let missing: Vec<_> = {
            let mut state = self.state();
            let state = &mut *state;
            state.closing.retain(|_, over| !over.is_cancelled());
            let missing = state.table.entries().filter(|(holding, entry)| {
                entry.wants_listener()
                    && !entry.is_claimed()
                    && !state.listeners.contains_key(*holding)
                    && !state.closing.contains_key(*holding)
            });
            let missing: Vec<_> = missing
                .map(|(holding, entry)| (holding.clone(), entry.scope, CancellationToken::new()))
                .collect();
            for (holding, _, over) in &missing {
                state.closing.insert(holding.clone(), over.clone());
            }
            missing
        };
        for (holding, scope, over) in missing {
            let bound = self.bind_now(&holding, scope, true);
            self.repaired(&holding, scope, bound);
            over.cancel();
        }
    }

    /// Installs what was bound, if it is what is to be there still.
    fn repaired(&self, holding: &Holding, scope: Scope, bound: Result<Fresh, BindError>) {
        let mut state = self.state();
        let entry = state.table.entry(holding);
        let is_wanted = !state.is_stopping
            && !state.listeners.contains_key(holding)
            && entry.is_some_and(|entry| {
                entry.wants_listener() && !entry.is_claimed() && entry.scope == scope
            });
        if !is_wanted {
            return;
        }
        match bound {
            Ok(fresh) => self.install(&mut state, holding, fresh),
            // Its visitors are refused by the system; its owner is told when it asks.
            Err(error) => {
                if !state.missing.contains_key(holding) {
                    tracing::warn!(%holding, %error, "a lease has no listener; tried again every second");
                }
                state.missing.insert(holding.clone(), error);
            }
        }
        self.changed();
    }
}
