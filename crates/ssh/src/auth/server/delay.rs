//! When a refusal leaves.
//!
//! A refusal that left as soon as it was known would tell how far a login got: whether there is
//! such a user, whether a hash was computed. So it leaves on a timer that depends on the user name
//! and a secret of the process and on nothing else (OpenSSH's `ensure_minimum_time_since`).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;

use crate::limits;
use crate::provider::{CryptoError, SecureRandom};
use crate::secret::Secret;

/// The secret behind the delays: one for the process, so that the same name waits as long on every
/// connection. Clones share it.
#[derive(Clone)]
pub struct DelaySecret(Arc<Secret<[u8; 32]>>);

impl DelaySecret {
    /// A fresh one.
    ///
    /// # Errors
    /// The source of randomness failed.
    pub fn generate(random: &dyn SecureRandom) -> Result<Self, CryptoError> {
        let mut secret = Secret::new([0; 32]);
        random.fill(secret.expose_mut())?;
        Ok(Self(Arc::new(secret)))
    }

    /// How long refusals of that user take: [`limits::AUTH_DELAY`] and up to
    /// [`limits::AUTH_DELAY_SPREAD_MICROS`] more.
    pub(super) fn delay(&self, user: &str) -> Duration {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.expose());
        let tag = hmac::sign(&key, user.as_bytes());
        let number = tag
            .as_ref()
            .first_chunk()
            .map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let spread = number
            .checked_rem(limits::AUTH_DELAY_SPREAD_MICROS)
            .unwrap_or(0);
        limits::AUTH_DELAY.saturating_add(Duration::from_micros(spread))
    }
}

impl fmt::Debug for DelaySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DelaySecret")
    }
}

/// When the refusal of a request leaves that came at `since` and was decided at `now`: `delay`
/// after it came, doubled until that is still to come. A decision that took a while is thus seen
/// in coarse steps only.
pub(super) fn due(since: Instant, now: Instant, delay: Duration) -> Instant {
    let mut wait = delay;
    loop {
        match since.checked_add(wait) {
            Some(due) if due > now => return due,
            Some(_) if !wait.is_zero() => wait = wait.saturating_mul(2),
            _ => return now,
        }
    }
}
