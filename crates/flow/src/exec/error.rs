//! Why a job failed.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use crate::expr::{Map, Value};
use crate::render::RenderError;
use crate::secrets::Secrets;

/// Why a job failed, in words for the person who started it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobError {
    message: String,
}

impl JobError {
    /// Words of ours.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }

    /// An error with what it comes from.
    pub(super) fn chain(error: &dyn Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some errors say what they come from themselves.
            if !message.ends_with(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            cause = error.source();
        }
        Self { message }
    }

    /// The same without the values of secrets.
    pub(super) fn masked(self, secrets: &Secrets) -> Self {
        match secrets.mask(&self.message) {
            Cow::Borrowed(_) => self,
            Cow::Owned(message) => Self { message },
        }
    }

    /// All of it on one line, for a log: a part of it may be a stranger's, who may not write lines there.
    pub(super) fn on_one_line(&self) -> String {
        let words: Vec<&str> = self.message.split_whitespace().collect();
        adit_text::escape(&words.join(" "))
    }

    /// What `${error}` stands for where an error is answered.
    pub(super) fn value(&self) -> Value {
        let mut map = Map::new();
        map.insert("message".into(), self.message.clone().into());
        Value::Map(map)
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for JobError {}

impl From<RenderError> for JobError {
    fn from(error: RenderError) -> Self {
        Self::chain(&error)
    }
}
