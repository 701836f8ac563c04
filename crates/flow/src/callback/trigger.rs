//! What a request means to a trigger: which runs it starts, and with what.

use crate::expr::{EvaluateError, NoTextError, Template, Tree, TreeError, Value};
use crate::model::Written;
use crate::model::callback_server::Trigger;

use super::ReadError;
use super::selection::{Request, Selected, Selection};

/// What a trigger of a file says of its requests.
#[derive(Clone, Debug, PartialEq)]
pub struct TriggerRule {
    selection: Selection,
    workflow: Template,
    input: Option<Tree>,
}

/// The runs that one request starts, in the order of its items.
#[derive(Debug)]
pub struct Starts<'r> {
    rule: &'r TriggerRule,
    selected: Selected<'r>,
    query: &'r Value,
}

/// One of them. Nothing of it is evaluated before it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Start<'i> {
    rule: &'i TriggerRule,
    value: &'i Value,
    query: &'i Value,
}

/// Why an item starts nothing. The answer is 400.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unstartable {
    /// `workflow` cannot be evaluated.
    #[error("the workflow's id could not be read")]
    Workflow(#[source] Box<EvaluateError>),
    /// What `workflow` says is no id.
    #[error("the workflow's id is no text")]
    NoText(#[source] NoTextError),
    /// `input` cannot be evaluated.
    #[error("the workflow's input could not be made")]
    Input(#[source] Box<EvaluateError>),
}

impl TriggerRule {
    /// What a trigger says.
    ///
    /// # Errors
    ///
    /// If there is an operator in its `input` that adit does not have, or if it is too deep.
    pub fn new(trigger: &Trigger) -> Result<Self, TreeError> {
        let input = trigger.input.as_ref();
        let input = input.map(Written::tree);
        Ok(Self {
            selection: Selection::new(&trigger.route),
            workflow: trigger.workflow.template(),
            input: input.transpose()?,
        })
    }

    /// The runs of a request: a body, and a map of what follows the question mark.
    ///
    /// # Errors
    ///
    /// If the request is not as the trigger wants it.
    pub fn starts<'r>(
        &'r self,
        body: &'r Value,
        query: &'r Value,
    ) -> Result<Starts<'r>, ReadError> {
        Ok(Starts {
            rule: self,
            selected: self.selection.of(body, query)?,
            query,
        })
    }
}

impl Starts<'_> {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Start<'_>> {
        self.selected.values().iter().map(|value| Start {
            rule: self.rule,
            value,
            query: self.query,
        })
    }

    /// Whether the answer is a list, however many there are.
    pub fn is_bulk(&self) -> bool {
        self.selected.is_bulk()
    }
}

impl Start<'_> {
    /// The workflow's id as text; what is missing is an empty one.
    ///
    /// # Errors
    ///
    /// If it cannot be made of the item.
    pub fn workflow(&self) -> Result<String, Unstartable> {
        let value = self.rule.workflow.evaluate(&self.sources());
        let value = value.map_err(|error| Unstartable::Workflow(Box::new(error)))?;
        let text = value.text_form().map_err(Unstartable::NoText)?;
        Ok(text.into_owned())
    }

    /// What the workflow gets: the whole item if nothing is said.
    ///
    /// # Errors
    ///
    /// If it cannot be made of the item.
    pub fn input(&self) -> Result<Value, Unstartable> {
        match &self.rule.input {
            Some(tree) => {
                let value = tree.evaluate(&self.sources());
                value.map_err(|error| Unstartable::Input(Box::new(error)))
            }
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
