//! More connections of a principal than it may have: those that are gone without anybody knowing make room.

use adit_model::id::PrincipalId;
use tokio::task::JoinSet;

use super::listen::patience;
use super::{Desk, Refused, SeatEnd};
use crate::gateway::lease::MemberId;
use crate::transport::CloseReason;

impl Desk {
    /// Asks the connections of principals that have too many.
    pub(super) async fn thin_out(&self) {
        loop {
            let crowded = self.state().crowded.pop_first();
            match crowded {
                Some(principal) => self.thin_out_of(principal).await,
                None => self.work.crowded.notified().await,
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
    fn close_seat(&self, member: MemberId, reason: CloseReason) {
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
