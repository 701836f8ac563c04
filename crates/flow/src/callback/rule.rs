//! What a request means to a callback: its items, whose each is, and how it went.

use crate::expr::{EvaluateError, Template, Tree, TreeError, Value};
use crate::model::callback_server::Callback;
use crate::model::{Text, Written};

use super::selection::{Request, Selected, Selection};
use super::{CallbackId, IdError, ReadError};

/// What a callback of a file says of its requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    selection: Selection,
    identify_by: Option<Template>,
    status: Option<Template>,
    success_when: Vec<String>,
    fail_when: Vec<String>,
    result: Option<Tree>,
}

/// The items of one request, in their order.
#[derive(Debug)]
pub struct Items<'r> {
    rule: &'r Rule,
    selected: Selected<'r>,
    query: &'r Value,
}

/// One of them. Nothing of it is evaluated before it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Item<'i> {
    rule: &'i Rule,
    value: &'i Value,
    query: &'i Value,
}

/// What an item says of its job.
#[derive(Debug)]
pub enum Verdict {
    /// It is over.
    Final(Outcome),
    /// It goes on: the status is none that ends it. The waiter stays.
    NotFinal,
}

/// How a job went.
#[derive(Debug)]
pub enum Outcome {
    /// Well; this is its result.
    Done(Value),
    /// Badly.
    Failed(Failure),
}

/// Why a job failed that a callback completed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The status is one of `fail_when`.
    #[error("the callback's status is {}", adit_text::show(.0))]
    Status(String),
    /// What the callback's `status` asks for cannot be made of what it brought.
    #[error("the callback's status could not be read")]
    Unread(#[source] Box<EvaluateError>),
    /// Nor can what its `result` asks for.
    #[error("the callback's result could not be read")]
    Result(#[source] Box<EvaluateError>),
}

/// Why an item is nobody's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unidentified {
    /// `identify_by` cannot be evaluated.
    #[error("the callback's id could not be read")]
    Evaluate(#[source] Box<EvaluateError>),
    /// What it says is no id.
    #[error("the callback has no id")]
    Id(#[source] IdError),
}

impl Rule {
    /// What a callback says.
    ///
    /// # Errors
    ///
    /// If there is an operator in its `result` that adit does not have, or if it is too deep.
    pub fn new(callback: &Callback) -> Result<Self, TreeError> {
        let Callback {
            route,
            identify_by,
            status,
            success_when,
            fail_when,
            result,
        } = callback;
        let result = result.as_ref().map(Written::tree);
        Ok(Self {
            selection: Selection::new(route),
            identify_by: identify_by.as_ref().map(Text::template),
            status: status.as_ref().map(Text::template),
            success_when: success_when.clone(),
            fail_when: fail_when.clone(),
            result: result.transpose()?,
        })
    }

    /// The items of a request: a body, and a map of what follows the question mark.
    ///
    /// # Errors
    ///
    /// If the request is not as the callback wants it.
    pub fn items<'r>(&'r self, body: &'r Value, query: &'r Value) -> Result<Items<'r>, ReadError> {
        Ok(Items {
            rule: self,
            selected: self.selection.of(body, query)?,
            query,
        })
    }
}

impl Items<'_> {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Item<'_>> {
        self.selected.values().iter().map(|value| Item {
            rule: self.rule,
            value,
            query: self.query,
        })
    }
}

impl Item<'_> {
    /// Whose it is.
    ///
    /// # Errors
    ///
    /// If it says nothing that can be an id. Nobody waits for it then; the other items of its
    /// request are what they are.
    pub fn id(&self) -> Result<CallbackId, Unidentified> {
        let Some(template) = &self.rule.identify_by else {
            return Ok(CallbackId::unsaid());
        };
        let value = template.evaluate(&self.sources());
        let value = value.map_err(|error| Unidentified::Evaluate(Box::new(error)))?;
        CallbackId::try_from(&value).map_err(Unidentified::Id)
    }

    /// How it went. Statuses are compared as text; none, and an empty one, means well. One that is
    /// in neither list means that the job goes on, but means well if both lists are empty. One that cannot be
    /// evaluated means badly.
    pub fn verdict(&self) -> Verdict {
        match self.is_final() {
            Ok(false) => Verdict::NotFinal,
            Ok(true) => Verdict::Final(match self.result() {
                Ok(value) => Outcome::Done(value),
                Err(error) => Outcome::Failed(Failure::Result(Box::new(error))),
            }),
            Err(failure) => Verdict::Final(Outcome::Failed(failure)),
        }
    }

    fn is_final(&self) -> Result<bool, Failure> {
        let Self { rule, .. } = self;
        let Some(template) = &rule.status else {
            return Ok(true);
        };
        let status = template.evaluate(&self.sources());
        let status = status.map_err(|error| Failure::Unread(Box::new(error)))?;
        let says_nothing = rule.success_when.is_empty() && rule.fail_when.is_empty();
        // What has no text is in no list.
        let Ok(status) = status.text_form() else {
            return Ok(says_nothing);
        };
        let is_in = |list: &[String]| list.iter().any(|word| *word == status);
        if is_in(&rule.success_when) {
            return Ok(true);
        }
        if is_in(&rule.fail_when) {
            return Err(Failure::Status(status.into_owned()));
        }
        Ok(status.is_empty() || says_nothing)
    }

    fn result(&self) -> Result<Value, EvaluateError> {
        match &self.rule.result {
            Some(tree) => tree.evaluate(&self.sources()),
            None => Ok(self.value.clone()),
        }
    }

    /// `body` is the item, too.
    fn sources(&self) -> Request<'_> {
        Request {
            body: self.value,
            query: self.query,
        }
    }
}

#[cfg(test)]
mod tests;
