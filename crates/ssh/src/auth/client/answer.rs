//! What a client's owner answers, and what is sent for it.

#[cfg(doc)]
use super::ClientEvent;
use super::{ClientAuth, Outcome, Question, Request, State, tx};
use crate::auth::{AnswerError, Outbox, QuestionId, is_signature_of};
use crate::limits;
use crate::secret::Secret;
use crate::wire::Write;

impl ClientAuth {
    /// Answers [`ClientEvent::Sign`] with a signature blob, or with `None` if there is none to be
    /// had (no passphrase, ssh-agent gone, nobody touched the key); then the next credential is
    /// tried. A signature whose own name is not the algorithm asked for is not sent.
    ///
    /// # Errors
    /// [`AnswerError::NotOpen`].
    pub fn answer_signature(
        &mut self,
        id: QuestionId,
        signature: Option<&[u8]>,
        out: &mut Outbox,
    ) -> Result<(), AnswerError> {
        let Some(Question::Signature {
            credential,
            algorithm,
            request,
        }) = self.open_question(id)
        else {
            return Err(AnswerError::NotOpen);
        };
        let (credential, algorithm, mut request) =
            (*credential, *algorithm, std::mem::take(request));
        match signature {
            Some(blob)
                if blob.len() <= limits::KEY_BLOB
                    && is_signature_of(algorithm.signature(), blob) =>
            {
                request.put_string(blob);
                self.send(request, out);
                self.state = State::Outstanding(Request::Signed { credential });
            }
            Some(_) => {
                self.settle(credential, Outcome::WrongSignature);
                self.try_next(out);
            }
            None => {
                self.settle(credential, Outcome::NotGiven);
                self.try_next(out);
            }
        }
        Ok(())
    }

    /// Answers [`ClientEvent::Password`]; with `None` the next credential is tried. The password
    /// is wiped before this returns; the payload that holds it is wiped when the connection drops
    /// it.
    ///
    /// # Errors
    /// [`AnswerError::NotOpen`], or [`AnswerError::Limit`] over [`limits::PASSWORD`] bytes.
    pub fn answer_password(
        &mut self,
        id: QuestionId,
        password: Option<Secret<String>>,
        out: &mut Outbox,
    ) -> Result<(), AnswerError> {
        let Some(Question::Password { credential }) = self.open_question(id) else {
            return Err(AnswerError::NotOpen);
        };
        let credential = *credential;
        let Some(password) = password else {
            self.settle(credential, Outcome::NotGiven);
            self.try_next(out);
            return Ok(());
        };
        if password.expose().len() > limits::PASSWORD {
            return Err(AnswerError::Limit);
        }
        self.send(tx::password(&self.user, &password), out);
        self.state = State::Outstanding(Request::Password { credential });
        Ok(())
    }

    /// Answers [`ClientEvent::Prompts`], one answer each in order; with `None` the dialog is left
    /// and the next credential is tried. The answers are wiped like a password.
    ///
    /// # Errors
    /// [`AnswerError::NotOpen`], [`AnswerError::Count`], or [`AnswerError::Limit`] over
    /// [`limits::KBDINT_TEXT`] bytes in one answer.
    pub fn answer_prompts(
        &mut self,
        id: QuestionId,
        answers: Option<Vec<Secret<String>>>,
        out: &mut Outbox,
    ) -> Result<(), AnswerError> {
        let Some(Question::Prompts {
            credential,
            rounds,
            prompts,
        }) = self.open_question(id)
        else {
            return Err(AnswerError::NotOpen);
        };
        let (credential, rounds, wanted) = (*credential, *rounds, *prompts);
        let Some(answers) = answers else {
            self.settle(credential, Outcome::NotGiven);
            self.try_next(out);
            return Ok(());
        };
        if answers.len() != wanted {
            return Err(AnswerError::Count { wanted });
        }
        if answers
            .iter()
            .any(|answer| answer.expose().len() > limits::KBDINT_TEXT)
        {
            return Err(AnswerError::Limit);
        }
        self.respond(credential, rounds, &answers, out);
        Ok(())
    }

    fn open_question(&mut self, id: QuestionId) -> Option<&mut Question> {
        if let State::Asking(open, question) = &mut self.state
            && *open == id
        {
            return Some(question);
        }
        None
    }
}
