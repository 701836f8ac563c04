//! More connections of a principal than it may have: those that are gone without anybody knowing make room.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use adit_model::id::PrincipalId;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::listen::patience;
use super::{Desk, Refused, SeatEnd};
use crate::gateway::lease::MemberId;
use crate::transport::CloseReason;

impl Desk {
    /// Asks the connections of principals that have too many.
    pub(super) async fn thin_out(&self) {
        let mut last = PrincipalId::new(i64::MIN);
        let mut rested = Rested::default();
        loop {
            let now = Instant::now();
            rested.forget(now);
            let crowded = take_next(&mut self.state().crowded, last, |id| !rested.is_asked(id));
            match (crowded, rested.next()) {
                (Some(principal), _) => {
                    last = principal;
                    self.thin_out_of(principal).await;
                    rested.asked(principal, Instant::now());
                }
                (None, None) => self.work.crowded.notified().await,
                (None, Some(next)) => {
                    tokio::select! {
                        () = self.work.crowded.notified() => {}
                        () = sleep_until(next) => {}
                    }
                }
            }
        }
    }

    /// Closes those that do not answer, and then the newest that are too many.
    async fn thin_out_of(&self, principal: PrincipalId) {
        let mut asked = JoinSet::new();
        for (member, transport) in self.state().seats_of(principal) {
            let answer = transport.is_alive(patience(transport.round_trip()));
            asked.spawn(async move { (member, answer.await) });
        }
        while let Some(answered) = asked.join_next().await {
            if let Ok((member, false)) = answered {
                self.close_seat(member, CloseReason::Superseded);
            }
        }
        let limit = {
            let policy = self.policy();
            let principal = policy.principals.get(&principal);
            let limit = principal.and_then(|principal| principal.grant.limits.connections);
            limit.unwrap_or(self.settings.connections)
        };
        let left = self.state().seats_of(principal);
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        for member in left.into_keys().skip(most) {
            let text = Refused::TooManyConnections { limit }.to_string();
            self.close_seat(member, CloseReason::Useless(text.into()));
        }
    }

    /// Closes a connection; what it has waits for its owner.
    pub(super) fn close_seat(&self, member: MemberId, reason: CloseReason) {
        let now = self.now();
        let transport = {
            let mut state = self.state();
            let Some(seat) = state.seats.get_mut(&member) else {
                return;
            };
            seat.end = SeatEnd::Closing;
            let transport = seat.transport.clone();
            self.to_grace(&mut state, member, now);
            transport
        };
        transport.close(reason);
    }
}

/// Whose connections are to be asked next: in turn, so that one who always has too many keeps nobody waiting.
fn take_next(
    crowded: &mut BTreeSet<PrincipalId>,
    last: PrincipalId,
    may_be: impl Fn(PrincipalId) -> bool,
) -> Option<PrincipalId> {
    let behind = (Bound::Excluded(last), Bound::Unbounded);
    let mut turn = crowded.range(behind).chain(crowded.iter()).copied();
    let next = turn.find(|principal| may_be(*principal))?;
    crowded.take(&next)
}

/// Between two times that one principal's connections are asked: each time that is all of them, so that one who comes
/// again and again would have the gateway do nothing else.
const REST: Duration = Duration::from_secs(2);

/// Who was asked lately, in that order.
#[derive(Debug, Default)]
struct Rested(VecDeque<(Instant, PrincipalId)>);

impl Rested {
    fn asked(&mut self, principal: PrincipalId, now: Instant) {
        self.0.push_back((now, principal));
    }

    fn forget(&mut self, now: Instant) {
        while let Some((asked, _)) = self.0.front()
            && now.saturating_duration_since(*asked) >= REST
        {
            self.0.pop_front();
        }
    }

    fn is_asked(&self, principal: PrincipalId) -> bool {
        self.0.iter().any(|(_, asked)| *asked == principal)
    }

    /// When one of them may be asked again.
    fn next(&self) -> Option<Instant> {
        let (asked, _) = self.0.front()?;
        asked.checked_add(REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_always_has_too_many_keeps_nobody_waiting() {
        let [one, two, three] = [1, 2, 3].map(PrincipalId::new);
        let mut crowded = BTreeSet::from([one, two, three]);
        let mut last = PrincipalId::new(i64::MIN);
        let mut asked = Vec::new();
        while let Some(next) = take_next(&mut crowded, last, |_| true) {
            asked.push(next);
            last = next;
            // It has others already, each time.
            if asked.len() < 5 {
                crowded.insert(one);
            }
        }
        assert_eq!(asked, [one, two, three, one, one]);
    }

    #[test]
    fn who_was_asked_a_moment_ago_is_not_asked_again() {
        let [one, two] = [1, 2].map(PrincipalId::new);
        let mut crowded = BTreeSet::from([one, two]);
        let start = Instant::now();
        let mut rested = Rested::default();
        rested.asked(one, start);
        let mut next = |rested: &Rested| take_next(&mut crowded, one, |id| !rested.is_asked(id));
        assert_eq!(next(&rested), Some(two));
        assert_eq!((next(&rested), rested.next()), (None, Some(start + REST)));
        rested.forget(start + REST);
        assert_eq!((next(&rested), rested.next()), (Some(one), None));
    }
}
