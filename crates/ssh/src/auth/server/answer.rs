//! What a server's owner decides about a login, and what follows from it.

use std::time::Instant;

use super::{
    About, Asking, Claim, Factor, KeyVerdict, LoginVerdict, ServerAuth, ServerPrompts, State, tx,
};
use crate::auth::{AnswerError, Outbox, QuestionId};
use crate::certificate::Restrictions;
use crate::limits;

impl ServerAuth {
    /// Answers [`Claim::Key`].
    ///
    /// # Errors
    /// [`AnswerError::NotOpen`], or [`AnswerError::Peer`] if the answer was taken and what the
    /// client had sent in the meantime ends the connection.
    pub fn answer_key(
        &mut self,
        id: QuestionId,
        verdict: KeyVerdict,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), AnswerError> {
        let asking = self.take_question(id, |about| {
            matches!(about, About::Query { .. } | About::Signed { .. })
        })?;
        match (verdict, asking.about) {
            (KeyVerdict::Authorised(_), About::Query { algorithm, blob }) => {
                out.push(tx::pk_ok(algorithm, &blob));
            }
            (
                KeyVerdict::Authorised(rules),
                About::Signed {
                    key,
                    data,
                    signature,
                },
            ) => {
                let algorithm = key.algorithm;
                let rules = rules.and_of(key.certificate.as_deref());
                let verified =
                    self.verifier
                        .verify(&key.key, algorithm.signature(), &data, &signature);
                match verified {
                    Ok(verified) if rules.are_met(algorithm, verified) => {
                        let factor = Factor::Key {
                            key: key.clone(),
                            verified,
                        };
                        let claim = Claim::ProvedKey { key, verified };
                        self.ask(asking.since, About::Login(factor), claim);
                    }
                    _ => self.refuse(asking.since, now),
                }
            }
            (KeyVerdict::Refused, About::Query { .. }) => self.delay(asking.since, now),
            _ => self.refuse(asking.since, now),
        }
        Ok(self.drain(now, out)?)
    }

    /// Answers every [`Claim`] but [`Claim::Key`].
    ///
    /// # Errors
    /// As [`answer_key`](Self::answer_key).
    pub fn answer_login(
        &mut self,
        id: QuestionId,
        verdict: LoginVerdict,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), AnswerError> {
        let asking = self.take_question(id, |about| {
            matches!(
                about,
                About::Nothing | About::Login(_) | About::Dialog { .. }
            )
        })?;
        let is_nothing = matches!(asking.about, About::Nothing);
        let factor = asking.about.into_factor();
        let restrictions = factor
            .iter()
            .map(Factor::restrictions)
            .fold(self.restrictions.clone(), Restrictions::and);
        match verdict {
            LoginVerdict::Accept if restrictions.permit_source(self.source) => {
                self.restrictions = restrictions;
                out.push(tx::success());
                self.state = State::Succeeded;
                // What came behind the request that succeeded is ignored like what comes later.
                for payload in std::mem::take(&mut self.queue) {
                    self.ignore(&payload).inspect_err(|_| self.end())?;
                }
            }
            LoginVerdict::Partial { remaining } if !remaining.is_empty() => {
                self.methods = remaining;
                self.is_partial = true;
                self.proved = self.proved.iter().cloned().chain(factor).collect();
                self.restrictions = restrictions;
                out.push(tx::failure(&self.methods, true));
            }
            LoginVerdict::Reject if is_nothing => {
                out.push(tx::failure(&self.methods, false));
            }
            LoginVerdict::Accept | LoginVerdict::Partial { .. } | LoginVerdict::Reject => {
                self.refuse(asking.since, now);
            }
        }
        Ok(self.drain(now, out)?)
    }

    /// Answers [`Claim::Dialog`] and [`Claim::Answers`] with the next questions for the client.
    ///
    /// # Errors
    /// [`AnswerError::NotOpen`], or [`AnswerError::Limit`] over [`limits::KBDINT_PROMPTS`],
    /// [`limits::KBDINT_ROUNDS`] or [`limits::KBDINT_TEXT`]. Otherwise as
    /// [`answer_key`](Self::answer_key).
    pub fn answer_prompts(
        &mut self,
        id: QuestionId,
        prompts: &ServerPrompts,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), AnswerError> {
        let State::Asking(Asking {
            id: open,
            about: About::Dialog { rounds },
            ..
        }) = &self.state
        else {
            return Err(AnswerError::NotOpen);
        };
        if *open != id {
            return Err(AnswerError::NotOpen);
        }
        let rounds = rounds.saturating_add(1);
        let request = tx::info_request(prompts).ok_or(AnswerError::Limit)?;
        if rounds > limits::KBDINT_ROUNDS {
            return Err(AnswerError::Limit);
        }
        out.push(request);
        self.state = State::Prompted {
            prompts: prompts.prompts.len(),
            rounds,
        };
        Ok(self.drain(now, out)?)
    }

    /// Closes the open question if it has that id and is of that kind; a request may come then.
    fn take_question(
        &mut self,
        id: QuestionId,
        is_kind: impl Fn(&About) -> bool,
    ) -> Result<Asking, AnswerError> {
        match std::mem::replace(&mut self.state, State::Ready) {
            State::Asking(asking) if asking.id == id && is_kind(&asking.about) => Ok(asking),
            other @ (State::Opening
            | State::Ready
            | State::Asking(_)
            | State::Prompted { .. }
            | State::Delaying { .. }
            | State::Succeeded
            | State::Ended) => {
                self.state = other;
                Err(AnswerError::NotOpen)
            }
        }
    }
}
