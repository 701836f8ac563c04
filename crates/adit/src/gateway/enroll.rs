//! Makes devices of machines that have a code, by the store.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use adit_store::{Change, Redeemed, Redeemer, Store, Useless};
use adit_tunnel::enroll::Code;
use adit_tunnel::gateway::enroll::{Enroll, NewDeviceKey, NotEnrolled};
use adit_tunnel::gateway::seam::Later;
use jiff::Timestamp;
use tracing::info;

use super::audit;

/// The store, as logins see it that bring a code.
pub(super) struct StoreEnroll(Arc<Store>);

impl StoreEnroll {
    /// Codes are kept there.
    pub(super) const fn new(store: Arc<Store>) -> Self {
        Self(store)
    }

    async fn use_up(
        &self,
        code: &Code,
        key: NewDeviceKey,
        source: IpAddr,
    ) -> Result<(), NotEnrolled> {
        let id = code.id();
        let fingerprint = key.fingerprint.clone();
        let redeemer = Redeemer {
            id: id.get(),
            hash: code.hash(),
            fingerprint: key.fingerprint,
            blob: key.blob,
        };
        let who = format!("{source} with code {id}");
        let change = Change {
            when: Timestamp::now(),
            who: &who,
        };
        match self.0.redeem(&change, &redeemer).await {
            Ok(Redeemed::Device(name)) => {
                info!(%source, key = %fingerprint, code = %id, "{name} is enrolled");
                Ok(())
            }
            Ok(Redeemed::Refused(useless)) => {
                // Anybody can think of numbers that no code has.
                if useless != Useless::Unknown {
                    info!(
                        target: audit::TARGET,
                        what = "login.refuse",
                        who = %fingerprint,
                        source = %source,
                        reason = format!("enrolment code {id}: {useless}"),
                        "enrolment was refused"
                    );
                }
                Err(failed(&format!("code {id}: {useless}")))
            }
            Ok(_) => Err(failed("the store's answer is not understood")),
            Err(error) => Err(failed(&error.to_string())),
        }
    }
}

impl Enroll for StoreEnroll {
    fn redeem<'a>(
        &'a self,
        code: &'a Code,
        key: NewDeviceKey,
        source: IpAddr,
    ) -> Later<'a, Result<(), NotEnrolled>> {
        Box::pin(self.use_up(code, key, source))
    }
}

fn failed(reason: &str) -> NotEnrolled {
    NotEnrolled {
        reason: String::from(reason),
    }
}

impl fmt::Debug for StoreEnroll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreEnroll").field(&self.0).finish()
    }
}
