//! What a compose file says, checked: plain data that the rest of the crate works with.
//!
//! Both shapes of the grammar, the flat one of old and the nested one of now, are read into these
//! types by [`crate::file`]; nothing here knows which it was.

use std::collections::BTreeSet;
use std::fmt;

use adit_text::Place;

pub mod callback_server;
pub mod component;
pub mod controller;
pub mod expose;
pub mod find;
pub mod job;
pub mod logger;
pub mod method;
pub mod network;
pub mod reach;
mod secret;
mod text;
pub mod workflow;
mod written;

use callback_server::CallbackServer;
use component::Component;
use controller::Controller;
use expose::ExposeConfig;
use logger::Logger;
pub use text::Text;
use workflow::Workflow;
pub use written::Written;

/// The id that stands for the only one there is, or for the one that says `default: true`.
pub const DEFAULT: &str = "__default__";

/// Everything that some compose files say together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compose {
    /// The HTTP API and the page. Without one there are only the command line and the listeners.
    pub controller: Option<Controller>,
    /// What makes local ports public, in the order of the file: `gateway:` there.
    pub exposes: Vec<Placed<ExposeConfig>>,
    /// What waits for requests from outside: `listener:` there.
    pub callback_servers: Vec<CallbackServer>,
    /// What jobs run.
    pub components: Vec<Component>,
    /// What can be run.
    pub workflows: Vec<Workflow>,
    /// Where logs go. None is one to the terminal, at level info.
    pub loggers: Vec<Logger>,
    /// Variables that only logins of gateways, secrets of listeners and tokens name. No child
    /// process gets them.
    pub private_variables: BTreeSet<String>,
    /// Variables that stand where a secret does. No message shows their values.
    pub secret_variables: BTreeSet<String>,
}

/// A value and where it was written. Two are equal if their values are.
#[derive(Clone)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it stands; what was left out stands where the mapping around it does.
    pub place: Place,
}

impl<T> Placed<T> {
    /// A value at a place.
    pub fn new(value: T, place: &Place) -> Self {
        Self {
            value,
            place: place.clone(),
        }
    }
}

impl<T: PartialEq> PartialEq for Placed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Placed<T> {}

impl<T: fmt::Debug> fmt::Debug for Placed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// What people call something by: the id of a workflow, a component, an action or a job. Two are
/// equal if they say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id(Text);

impl Id {
    pub(crate) fn new(text: Text) -> Self {
        Self(text)
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Where it stands; one that was left out stands where what it is for does.
    pub fn place(&self) -> &Place {
        self.0.place()
    }

    /// How it stands in a message: in quotes, or without its text if that is the environment's.
    pub fn shown(&self) -> String {
        self.0.shown()
    }

    /// Whether an environment variable's value is part of it, so that no message may quote it.
    pub fn is_from_environment(&self) -> bool {
        self.0.is_from_environment()
    }
}

/// A setting that is known now, or is a text to be rendered before each use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting<T> {
    /// Known now.
    Known(T),
    /// Its text holds variables.
    Rendered(Text),
}
