//! What another connection of the same principal takes from this one, and what comes back: told on the page, and to a
//! client without one by a word outside of any channel, which ssh shows with `-v`.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Done, Session, place};
use crate::gateway::desk::{Listening, Refused};
use crate::gateway::line::{Errand, Inheritance, Word};
use crate::transport::Bind;

impl Session {
    pub(super) fn run_errands(&mut self) {
        for errand in self.who.line.take_errands() {
            match errand {
                Errand::Lost { bind, to } => self.lost(&bind, to),
                Errand::Back(inheritance) => self.come_back(inheritance),
            }
        }
    }

    /// A newer connection has one of the forwards. Told once for each that is lost.
    fn lost(&mut self, bind: &Bind, to: SocketAddr) {
        self.granted.retain(|(granted, _)| granted != bind);
        self.tell(&format!(
            "lost: {bind} was taken over by another connection of yours, from {to}; it comes back when that one is gone"
        ));
    }

    fn come_back(&mut self, inheritance: Inheritance) {
        let desk = Arc::clone(&self.shared.desk);
        let member = Arc::clone(&self.member);
        self.work.spawn(async move {
            let result = desk.inherit(&member, &inheritance).await;
            Done::Returned(inheritance, result)
        });
    }

    pub(super) fn returned(
        &mut self,
        inheritance: Inheritance,
        result: Result<Listening, Refused>,
    ) {
        // Another one has it, or is called now.
        let Ok(listening) = result else { return };
        let Inheritance { holding, bind } = inheritance;
        self.tell(&format!("back again: {}", place(&bind, &listening)));
        self.granted.retain(|(granted, _)| *granted != bind);
        self.granted.push((bind, listening));
        self.show();
        // Who does not listen was told by other means.
        drop(self.who.line.tell(Word::Returned(holding)));
    }

    /// On the page, and to the person behind a stock client. An agent of ours hears it by its control.
    fn tell(&self, text: &str) {
        self.note(text);
        self.show();
        if !self.is_own_agent {
            self.transport.say(&format!("adit: {text}"));
        }
    }
}
