//! What a workflow takes and gives, found out from its variables: for forms, and for whoever asks the API.
//!
//! Nobody writes a schema. What a workflow takes is each `${input.NAME}` in its jobs; a job that hands
//! its whole input on takes what the action takes that it runs. What it gives is each variable in
//! the outputs of the jobs that nothing waits for, by the place where it stands. A type is what stands
//! behind `as`, and `string` without; a default is shown as a value of that type; annotations are the
//! description. Of two with one name the first counts.
//!
//! As JSON a schema has model-compose's bytes. Newer versions of that write `"is_list":false` with
//! every variable; here a list says `"is_list":true` and nothing else says anything, so that what was
//! there before keeps its bytes.
//!
//! Text that the environment gave is a secret as likely as not, so nothing of it is shown.

use serde::Serialize;

use crate::expr::Value;
use crate::model::Compose;
use crate::model::workflow::Workflow;

mod collect;
mod input;
mod output;

/// What a workflow takes and gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Schema {
    /// The workflow's id.
    pub workflow_id: String,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it takes, in the order in which it was found.
    pub input: Vec<Field>,
    /// What it gives, in the order in which it was found.
    pub output: Vec<Field>,
}

/// One value that a workflow takes or gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Field {
    /// The way to it, with dots. None is the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is: `string`, `integer`, `image`, or a word that nobody knows.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it is a list of such.
    #[serde(skip_serializing_if = "is_false")]
    pub is_list: bool,
    /// What kind of a picture or stream it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subtype: Option<String>,
    /// How it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// What may be chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<Vec<String>>,
    /// What is taken where it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// What people are told of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl Compose {
    /// What a workflow of this file takes and gives.
    pub fn schema(&self, workflow: &Workflow) -> Schema {
        Schema {
            workflow_id: workflow.id.as_str().to_owned(),
            title: workflow.title.clone(),
            description: workflow.description.clone(),
            input: input::of(self, workflow),
            output: output::of(self, workflow),
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests;
