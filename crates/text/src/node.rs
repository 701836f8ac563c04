//! The tree of a file: nodes that know where they were written.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::printable::{printable, quoted};
use crate::problem::Place;

/// What one or several files say.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub(crate) root: Node,
}

impl Document {
    /// The outermost node; null for an empty file.
    pub fn root(&self) -> &Node {
        &self.root
    }
}

/// A scalar, a list or a mapping, with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub(crate) place: Place,
    pub(crate) content: Content,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A single value.
    Scalar(Scalar),
    /// Nodes in their order. YAML's word; people are told of a *list*.
    Sequence(Vec<Node>),
    /// Keys and their nodes.
    Mapping(Mapping),
}

/// The type and value of a scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i128),
    /// A number with a fraction or an exponent, infinite ones and "not a number" included.
    Float(f64),
    /// Anything else, and everything in quotes; see [`Scalar::text`].
    Text,
}

/// A single value, with the text that it was written as.
#[derive(Clone, PartialEq)]
pub struct Scalar {
    pub(crate) text: String,
    pub(crate) value: Value,
    pub(crate) style: Style,
    /// The environment variables whose values are part of the text.
    pub(crate) variables: Vec<Arc<str>>,
    /// Where in the text those values are.
    pub(crate) foreign: Vec<Range<usize>>,
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Without quotes, so that its text says its type.
    Plain,
    /// In quotes, as a block, or with a tag that says its type.
    Fixed,
}

impl Scalar {
    /// The type and value.
    pub fn value(&self) -> Value {
        self.value
    }

    /// The text without its quotes, with nothing lost: `8080`, `1.10` and `0600` are as written.
    ///
    /// May be a secret if it [is from the environment](Self::is_from_environment).
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a variable's value is part of the text, so that no message may quote it.
    pub fn is_from_environment(&self) -> bool {
        !self.variables.is_empty()
    }

    /// The names of the variables whose values are part of the text, each once.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|name| &**name)
    }

    /// Where in the [text](Self::text) variables' values are, in bytes: one range for each reference
    /// that became its variable's value, in order, also where that is empty. Defaults, which the file
    /// itself gives, are in none.
    ///
    /// Whoever gives characters of the text a meaning leaves those out: they are data, and may be
    /// a stranger's.
    pub fn foreign(&self) -> &[Range<usize>] {
        &self.foreign
    }

    /// What a person is told that they wrote.
    pub(crate) fn describe(&self) -> String {
        if self.is_from_environment() {
            return self.origin();
        }
        match self.value {
            Value::Null => "nothing".to_owned(),
            Value::Boolean(boolean) => format!("the boolean {boolean}"),
            Value::Integer(_) | Value::Float(_) => format!("the number {}", printable(&self.text)),
            Value::Text => format!("the text {}", quoted(&self.text)),
        }
    }

    /// `a value from ${env.A} and ${env.B}`; the first names are enough to find the rest.
    fn origin(&self) -> String {
        let mut names: Vec<String> = self
            .variables
            .iter()
            .take(NAMED)
            .map(|name| format!("${{env.{}}}", printable(name)))
            .collect();
        let more = self.variables.len().saturating_sub(NAMED);
        if more > 0 {
            names.push(format!("{more} more"));
        }
        format!("a value from {}", names.join(" and "))
    }
}

/// The most variables that a message names.
const NAMED: usize = 3;

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Scalar");
        if self.is_from_environment() {
            shown.field("variables", &self.variables);
        } else {
            shown.field("text", &self.text).field("value", &self.value);
        }
        shown.finish_non_exhaustive()
    }
}

/// Keys in the order of the file, each once.
#[derive(Clone, Default, PartialEq)]
pub struct Mapping {
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
}

/// A key of a mapping and its node.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// What it is given.
    pub node: Node,
}

impl Mapping {
    /// The entries in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of `key`.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.index.get(key).and_then(|at| self.entries.get(*at))
    }

    pub(crate) fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.entries.iter_mut().map(|entry| &mut entry.node)
    }

    pub(crate) fn entry_mut(&mut self, key: &str) -> Option<&mut Entry> {
        let at = self.index.get(key)?;
        self.entries.get_mut(*at)
    }

    pub(crate) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// Adds an entry, unless its key is there already.
    pub(crate) fn insert_new(&mut self, entry: Entry) {
        if !self.index.contains_key(&entry.key) {
            self.index.insert(entry.key.clone(), self.entries.len());
            self.entries.push(entry);
        }
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries.iter().map(|entry| (&entry.key, &entry.node));
        f.debug_map().entries(entries).finish()
    }
}

impl Node {
    /// Where it stands. What came by an alias stands at the anchor.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What it is.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The scalar, if it is one.
    pub fn as_scalar(&self) -> Option<&Scalar> {
        match &self.content {
            Content::Scalar(scalar) => Some(scalar),
            Content::Sequence(_) | Content::Mapping(_) => None,
        }
    }

    /// The nodes of the list, if it is one.
    pub fn as_sequence(&self) -> Option<&[Self]> {
        match &self.content {
            Content::Sequence(nodes) => Some(nodes),
            Content::Scalar(_) | Content::Mapping(_) => None,
        }
    }

    /// The mapping, if it is one.
    pub fn as_mapping(&self) -> Option<&Mapping> {
        match &self.content {
            Content::Mapping(mapping) => Some(mapping),
            Content::Scalar(_) | Content::Sequence(_) => None,
        }
    }

    /// Whether it is null, which readers of fields take as "not given".
    pub fn is_null(&self) -> bool {
        self.as_scalar()
            .is_some_and(|scalar| scalar.value == Value::Null)
    }

    /// What a person is told that they wrote, safe to print and without secrets.
    pub fn describe(&self) -> String {
        match &self.content {
            Content::Scalar(scalar) => scalar.describe(),
            Content::Sequence(_) => "a list".to_owned(),
            Content::Mapping(_) => "a mapping".to_owned(),
        }
    }
}
