//! Attempts that overlap while an outage is young.
//!
//! Over a line that fails again, or at a host whose kernel answers for a server that hangs, a login stays where it is
//! for as long as TCP waits before it repeats what was lost, which is as long as the line was dark. So another attempt is
//! begun beside one that has been logging in for longer than it should take; the first to be logged in wins, and the other
//! is dropped. There are two at a time at most, and each has twice the time of the one before.

use std::pin::Pin;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::SshConnect;
use super::answers::Answers;
use crate::agent::haste::{self, Pace};
use crate::agent::login::credentials::{Holder, Offer};
use crate::agent::login::ssh_agent::SshAgent;
use crate::agent::supervise::{ConnectError, Connected};

/// An attempt, and since when it has been logging in.
struct Attempt<'a> {
    work: Pin<Box<dyn Future<Output = Result<Connected, ConnectError>> + Send + 'a>>,
    dialled: watch::Receiver<Option<Instant>>,
}

impl SshConnect {
    /// The first attempt of a connect: alone, or in haste with another beside it.
    pub(super) async fn begin(
        &self,
        agent: Option<SshAgent>,
        offers: &[Offer],
        pace: Pace,
    ) -> Result<Connected, ConnectError> {
        let mut older = self.start(agent, offers, pace);
        let asks_a_person = |offer: &Offer| matches!(offer.holder, Holder::Person(_));
        // A person is not asked for the same twice.
        if pace != Pace::Hasty || offers.iter().any(asks_a_person) {
            return older.work.await;
        }
        let last = *self
            .login_time
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut begun = 0_u32;
        loop {
            tokio::select! {
                biased;
                ended = &mut older.work => return ended,
                () = is_late(&mut older.dialled, haste::patience(last, begun)) => {}
            }
            debug!("login takes long; another is begun beside it");
            begun = begun.saturating_add(1);
            let agent = self.reach_agent().await.ok().flatten();
            let mut newer = self.start(agent.map(|(agent, _)| agent), offers, pace);
            tokio::select! {
                biased;
                ended = &mut older.work => if is_final(&ended) {
                    return ended;
                },
                ended = &mut newer.work => match ended {
                    // Who cannot be reached at all will not let the older one in.
                    Err(error) if !error.is_permanent() && !error.is_silence() => return older.work.await,
                    ended => return ended,
                },
                () = is_late(&mut newer.dialled, haste::patience(last, begun)) => {}
            }
            older = newer;
        }
    }

    fn start<'a>(
        &'a self,
        agent: Option<SshAgent>,
        offers: &'a [Offer],
        pace: Pace,
    ) -> Attempt<'a> {
        let (tells, dialled) = watch::channel(None);
        let work = Box::pin(async move {
            let answers = Answers::new(self, offers, agent, None);
            let kinds = &self.preferences.host_key;
            self.attempt_at(pace, &tells, answers, kinds).await
        });
        Attempt { work, dialled }
    }

    /// A login took so long.
    pub(super) fn took(&self, time: Duration) {
        *self
            .login_time
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = time;
    }
}

/// Whether there is no use in another attempt: it is done, or somebody was there to say no for good.
fn is_final(ended: &Result<Connected, ConnectError>) -> bool {
    ended
        .as_ref()
        .map_or_else(ConnectError::is_permanent, |_| true)
}

/// Waits until a login has taken so long. One that never begins never does.
async fn is_late(dialled: &mut watch::Receiver<Option<Instant>>, patience: Duration) {
    let since = dialled.wait_for(Option::is_some).await.map(|since| *since);
    match since
        .ok()
        .flatten()
        .and_then(|since| since.checked_add(patience))
    {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
