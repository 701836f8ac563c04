//! Keeps leases in the store.

use std::fmt;
use std::sync::Arc;

use adit_model::id::LeaseId;
use adit_model::lease::Lease;
use adit_store::Store;
use adit_tunnel::gateway::seam::{Later, Ledger, LedgerError};

/// The store, as the desk sees it.
pub(super) struct StoreLedger(Arc<Store>);

impl StoreLedger {
    /// Leases are kept there.
    pub(super) const fn new(store: Arc<Store>) -> Self {
        Self(store)
    }
}

impl Ledger for StoreLedger {
    fn keep<'a>(&'a self, lease: &'a Lease) -> Later<'a, Result<LeaseId, LedgerError>> {
        Box::pin(async move {
            let kept = self.0.keep_leases(std::slice::from_ref(lease)).await;
            let ids = kept.map_err(|error| LedgerError {
                reason: error.to_string(),
            })?;
            ids.first().copied().ok_or_else(|| LedgerError {
                reason: String::from("the store gave no number"),
            })
        })
    }
}

impl fmt::Debug for StoreLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreLedger").field(&self.0).finish()
    }
}
