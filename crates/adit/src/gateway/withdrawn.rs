//! What was taken away while the database was away: it holds at once, and is written when the database is back
//! (security rule G123).
//!
//! Only what takes away is kept like this, so that whoever does it is never told to wait with an intruder inside. The
//! journal is a file in the data directory, for its owner alone; a gateway that starts applies it before anybody is
//! let in.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adit_store::{Kind as StoredKind, ReadError, Standing, WriteError};
use adit_tunnel::gateway::policy::{Kind, Policy};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::order::{Hands, KeyOrder, Order, PrincipalOrder, RevocationOrder, carry_out};
use super::{audit, principals, trusted};

/// The journal's name in the data directory.
const NAME: &str = "withdrawn.json";
/// The longest journal: some thousands of orders.
const LENGTH: u64 = 1 << 20;

/// An order that takes something away, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Withdrawal {
    pub(super) who: String,
    pub(super) order: Order,
}

/// Withdrawals that are not in the store yet, oldest first.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    waiting: Vec<Withdrawal>,
    /// Whether it was said that the store does not take one of them.
    is_told: bool,
}

/// The journal, and what is published: nothing is that the journal takes away.
#[derive(Debug)]
pub(super) struct Withdrawn {
    journal: Mutex<Journal>,
    policy: watch::Sender<Arc<Policy>>,
}

/// Whether an order takes something away, and nothing else: then it does not wait for the database.
pub(super) const fn takes_away(order: &Order) -> bool {
    matches!(
        order,
        Order::Revocation(RevocationOrder::Add { .. })
            | Order::Key(KeyOrder::Remove { .. })
            | Order::Principal(
                PrincipalOrder::Remove { .. }
                    | PrincipalOrder::Stand {
                        standing: Standing::Disabled,
                        ..
                    }
            )
    )
}

/// Whether an order failed because the database is away.
pub(super) fn is_away(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<WriteError>()
            .is_some_and(WriteError::is_unavailable)
            || cause
                .downcast_ref::<ReadError>()
                .is_some_and(ReadError::is_unavailable)
    })
}

impl Withdrawal {
    /// Takes it away from what is published. Says whether there was anything to take away.
    pub(super) fn apply(&self, policy: &mut Policy) -> bool {
        if let Order::Key(KeyOrder::Remove { fingerprint }) = &self.order {
            return policy.keys.remove(fingerprint).is_some();
        }
        if let Order::Principal(
            PrincipalOrder::Remove { kind, name } | PrincipalOrder::Stand { kind, name, .. },
        ) = &self.order
        {
            let kind = match kind {
                StoredKind::User => Kind::User,
                StoredKind::Device => Kind::Device,
            };
            let before = policy.principals.len();
            policy
                .principals
                .retain(|_, principal| principal.kind != kind || principal.name != name.as_str());
            return policy.principals.len() < before;
        }
        if let Order::Revocation(RevocationOrder::Add { what, .. }) = &self.order {
            let revoked = principals::revoked(&what.into());
            let is_new = !policy.revoked.contains(&revoked);
            if is_new {
                policy.revoked.push(revoked);
            }
            return is_new;
        }
        false
    }
}

impl Journal {
    /// The journal of a data directory.
    ///
    /// # Errors
    ///
    /// It is there and cannot be used: what it takes away is not to be given back by that.
    pub(super) fn open(data: &Path) -> anyhow::Result<Self> {
        let path = data.join(NAME);
        let waiting = match trusted::read_own(&path, LENGTH) {
            Ok(text) => serde_json::from_slice(&text)
                .with_context(|| format!("{} is damaged: correct or remove it", path.display()))?,
            Err(trusted::TrustedError::Read(error)) if error.kind() == io::ErrorKind::NotFound => {
                Vec::new()
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot use {}", path.display()));
            }
        };
        Ok(Self {
            path,
            waiting,
            is_told: false,
        })
    }

    /// Whether everything is in the store.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes away from what is to be published whatever the store has still.
    pub(super) fn apply(&self, policy: &mut Policy) {
        for withdrawal in &self.waiting {
            withdrawal.apply(policy);
        }
    }

    /// The store says this: what is gone there anyway has done its work.
    fn forget_done(&mut self, policy: &Policy) {
        let before = self.waiting.len();
        self.waiting
            .retain(|withdrawal| withdrawal.apply(&mut policy.clone()));
        if self.waiting.len() < before {
            self.save_or_tell();
        }
    }

    fn save_or_tell(&self) {
        if let Err(error) = self.save() {
            error!(%error, "what was taken away while the database was away cannot be written to the data directory");
        }
    }

    /// Writes the file whole, or leaves it as it was.
    fn save(&self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            };
        }
        let half = self.path.with_extension("new");
        match fs::remove_file(&half) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&half)?;
        file.write_all(&serde_json::to_vec(&self.waiting)?)?;
        file.sync_all()?;
        fs::rename(&half, &self.path)
    }
}

impl Withdrawn {
    /// What that publishes has gone through the journal.
    pub(super) fn new(journal: Journal, policy: watch::Sender<Arc<Policy>>) -> Self {
        Self {
            journal: Mutex::new(journal),
            policy,
        }
    }

    /// Publishes what the store and the files say now, less what the store does not know yet.
    pub(super) fn publish(&self, mut policy: Policy) {
        let mut journal = self.journal();
        journal.forget_done(&policy);
        journal.apply(&mut policy);
        for authority in self.policy.borrow().authorities_gone(&policy) {
            warn!(
                target: audit::TARGET,
                what = "authority.gone",
                who = authority,
                policy.version = policy.version,
                "an authority is trusted no more, and whoever it vouched for is out"
            );
        }
        // Under the lock, so that nothing is published over what is withdrawn in this instant.
        self.policy.send_replace(Arc::new(policy));
    }

    /// Takes something away at once and keeps it for the store; in words for whoever gave the order.
    ///
    /// # Errors
    ///
    /// There is nothing here that it takes away.
    pub(super) fn withdraw(&self, withdrawal: Withdrawal) -> anyhow::Result<String> {
        let mut journal = self.journal();
        let mut policy = Policy::clone(&self.policy.borrow());
        anyhow::ensure!(
            withdrawal.apply(&mut policy),
            "the database does not answer, and there is nothing here that this would take away"
        );
        self.policy.send_replace(Arc::new(policy));
        info!(
            target: audit::TARGET,
            what = "gateway.withdraw",
            who = withdrawal.who,
            order = serde_json::to_string(&withdrawal.order).unwrap_or_default(),
            "taken away while the database does not answer"
        );
        journal.waiting.push(withdrawal);
        Ok(match journal.save() {
            Ok(()) => String::from("it holds from now on; it is written when the database is back"),
            Err(error) => format!(
                "it holds for as long as this gateway runs, and is written when the database is back; the data \
                 directory does not take it either ({error})"
            ),
        })
    }

    /// Tells the store what it does not know yet. Says whether it knows more by that, or not what was expected.
    pub(super) async fn settle(&self, hands: Hands<'_>) -> bool {
        let waiting = self.journal().waiting.clone();
        let mut is_changed = false;
        for withdrawal in waiting {
            let hands = Hands {
                who: &withdrawal.who,
                ..hands
            };
            match Box::pin(carry_out(&withdrawal.order, hands)).await {
                Ok(outcome) => {
                    let done = outcome.done.unwrap_or_default();
                    info!("written down, now that the database is back: {done}");
                    let mut journal = self.journal();
                    journal.waiting.retain(|one| *one != withdrawal);
                    journal.save_or_tell();
                }
                Err(error) if is_away(&error) => break,
                // Whether it is still of any use is seen in what is read next; until then it holds.
                Err(error) => {
                    let mut journal = self.journal();
                    if !std::mem::replace(&mut journal.is_told, true) {
                        warn!(
                            "what was taken away holds, and the store does not take it: {error:#}"
                        );
                    }
                }
            }
            is_changed = true;
        }
        is_changed
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        // What it guards is changed in one step.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
