//! What a connection lost to a newer one of its owner comes back to it when that one is gone. It need not ask: a stock
//! ssh asks once in its life.

use std::sync::Arc;

use adit_model::lease::Holding;

use super::listen::patience;
use super::{Desk, Listening, Member, Refused, State};
use crate::gateway::lease::Heir;
use crate::gateway::line::{Errand, Inheritance};
use crate::transport::CloseReason;

impl Desk {
    /// Takes back what was lost to a connection that is gone, if nobody has it by now. One that is not there to serve
    /// it is closed instead: visitors wait.
    ///
    /// # Errors
    /// See [`Refused`]. The next one is called if there is one.
    ///
    /// # Cancel safety
    /// Dropped, nothing is granted.
    pub(in crate::gateway) async fn inherit(
        &self,
        member: &Member,
        inheritance: &Inheritance,
    ) -> Result<Listening, Refused> {
        let Inheritance { holding, bind } = inheritance;
        let transport =
            (self.state().seats.get(&member.id)).map(|seat| Arc::clone(&seat.transport));
        let transport = transport.ok_or(Refused::Gone)?;
        if !transport.is_alive(patience(transport.round_trip())).await {
            self.close_seat(member.id, CloseReason::Superseded);
            return Err(Refused::Gone);
        }
        let result = self.attain(member, bind, Some(holding)).await;
        match &result {
            Ok(_) => tracing::info!(principal = %member.who.principal.name, %holding,
                source = %member.who.source, "lease went back to the connection that had it before"),
            Err(refused) => {
                tracing::debug!(principal = %member.who.principal.name, %holding, %refused,
                    "lease does not go back");
                let mut state = self.state();
                // Who finds that somebody else came first waits on.
                if (state.table.heir(holding)).is_some_and(|heir| heir.member == member.id) {
                    state.table.renounce(holding, member.id);
                    state.call_heir(holding);
                }
            }
        }
        result
    }
}

impl State {
    /// Tells whoever is to have it back, if there is somebody and it is vacant. That one's session takes it.
    pub(super) fn call_heir(&self, holding: &Holding) {
        let Some(Heir { member, bind }) = self.table.heir(holding) else {
            return;
        };
        if let Some(seat) = self.seats.get(member) {
            seat.who.line.send(Errand::Back(Inheritance {
                holding: holding.clone(),
                bind: bind.clone(),
            }));
        }
    }
}
