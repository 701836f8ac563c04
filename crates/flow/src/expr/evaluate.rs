//! Evaluation: templates and trees over what the sources have.

use std::borrow::Cow;

use crate::expr::convert::ConvertError;
use crate::expr::limits;
use crate::expr::path;
use crate::expr::template::{DefaultText, Part, Source, Step, Template, Variable};
use crate::expr::tree::{Node, Tree, TreePath, TreeStep};
use crate::expr::value::{Map, NoTextError, Value};

/// Where values come from. What an evaluation does not refer to is never asked for.
pub trait Sources {
    /// What a source has; nothing if there is no such source.
    ///
    /// `path` is the whole way of the variable. An answer may be the source's value, and the
    /// evaluation goes the way, or something further on: [`Found::steps`] says how far.
    fn look_up(&self, source: &Source, path: &[Step]) -> Option<Found<'_>>;
}

/// A value on the way of a variable.
#[derive(Clone, Debug)]
pub struct Found<'v> {
    /// The value.
    pub value: Cow<'v, Value>,
    /// How many steps of the path lead to it.
    pub steps: usize,
}

impl<'v> Found<'v> {
    /// The value of the source itself.
    pub fn whole(value: &'v Value) -> Self {
        Self {
            value: Cow::Borrowed(value),
            steps: 0,
        }
    }
}

/// Sources by name, that of a chunk with its brackets.
impl Sources for Map {
    fn look_up(&self, source: &Source, _path: &[Step]) -> Option<Found<'_>> {
        let found = if source.is_chunk() {
            self.get(&source.to_string())
        } else {
            self.get(source.name())
        };
        found.map(Found::whole)
    }
}

/// Why nothing came of an evaluation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// A conversion failed.
    #[error("{variable} cannot be converted")]
    Convert {
        /// Where in the tree.
        at: TreePath,
        /// The variable, cut and safe to print.
        variable: String,
        /// Why.
        source: ConvertError,
    },
    /// A value has no text form.
    #[error("{variable} cannot be part of a text")]
    Embed {
        /// Where in the tree.
        at: TreePath,
        /// The variable, cut and safe to print.
        variable: String,
        /// Why.
        source: NoTextError,
    },
    /// The values together are larger than [`limits::OUTPUT_BYTES`].
    #[error("the result would be larger than {} MiB", limits::OUTPUT_BYTES >> 20)]
    Size {
        /// Where in the tree.
        at: TreePath,
    },
    /// Lists and maps are inside one another more than [`limits::VALUE_DEPTH`] times.
    #[error(
        "the result would have more than {} lists and objects inside one another",
        limits::VALUE_DEPTH
    )]
    Depth {
        /// Where in the tree.
        at: TreePath,
    },
}

impl EvaluateError {
    /// Where in the tree it happened.
    pub fn at(&self) -> &TreePath {
        match self {
            Self::Convert { at, .. }
            | Self::Embed { at, .. }
            | Self::Size { at }
            | Self::Depth { at } => at,
        }
    }
}

impl Template {
    /// What the text becomes. A variable that is the whole of it keeps its type.
    ///
    /// # Errors
    ///
    /// If a conversion fails, a value has no text form, or the result is too large.
    pub fn evaluate(&self, sources: &dyn Sources) -> Result<Value, EvaluateError> {
        Evaluation::new(sources).template(self)
    }
}

impl Tree {
    /// What the tree becomes, in its order.
    ///
    /// # Errors
    ///
    /// If a conversion fails, a value has no text form, or the result is too large; the error says
    /// where.
    pub fn evaluate(&self, sources: &dyn Sources) -> Result<Value, EvaluateError> {
        Evaluation::new(sources).node(&self.root)
    }
}

struct Evaluation<'s, 't> {
    sources: &'s dyn Sources,
    /// How many bytes may still be made.
    left: usize,
    /// Where in the tree the evaluation is.
    at: Vec<Inside<'t>>,
}

/// A step of the path, borrowed from the tree.
#[derive(Clone, Copy)]
enum Inside<'t> {
    Map(&'t str),
    List(usize),
}

/// What was asked for is more than it may be.
enum Excess {
    Size,
    Depth,
}

impl<'s, 't> Evaluation<'s, 't> {
    fn new(sources: &'s dyn Sources) -> Self {
        Self {
            sources,
            left: limits::OUTPUT_BYTES,
            at: Vec::new(),
        }
    }

    /// Recurses at most [`limits::VALUE_DEPTH`] times: no tree is deeper.
    fn node(&mut self, node: &'t Node) -> Result<Value, EvaluateError> {
        match node {
            Node::Constant(value) => {
                self.charge(value)?;
                Ok(value.clone())
            }
            Node::Template(template) => self.template(template),
            Node::List(nodes) => {
                self.take(limits::VALUE_BYTES)?;
                let items = nodes
                    .iter()
                    .enumerate()
                    .map(|(at, node)| self.inside(Inside::List(at), node));
                items.collect::<Result<_, _>>().map(Value::List)
            }
            Node::Map(entries) => {
                self.take(limits::VALUE_BYTES)?;
                let mut map = Map::with_capacity(entries.len());
                for (key, node) in entries {
                    self.take(key.len())?;
                    let value = self.inside(Inside::Map(key), node)?;
                    map.insert(key.clone(), value);
                }
                Ok(Value::Map(map))
            }
        }
    }

    fn inside(&mut self, step: Inside<'t>, node: &'t Node) -> Result<Value, EvaluateError> {
        self.at.push(step);
        let made = self.node(node)?;
        self.at.pop();
        Ok(made)
    }

    fn place(&self) -> TreePath {
        let mut path = TreePath::default();
        for step in &self.at {
            path.push(match step {
                Inside::Map(key) => TreeStep::Key((*key).to_owned()),
                Inside::List(item) => TreeStep::Item(*item),
            });
        }
        path
    }

    /// Recurses at most [`limits::TEMPLATE_NESTING`] times, by defaults.
    fn template(&mut self, template: &Template) -> Result<Value, EvaluateError> {
        match template.as_variable() {
            Some(variable) => self.variable(variable).map(Cow::into_owned),
            None => self.text(template).map(Value::Text),
        }
    }

    fn text(&mut self, template: &Template) -> Result<String, EvaluateError> {
        self.take(limits::VALUE_BYTES)?;
        let mut text = String::new();
        for part in template.parts() {
            match part {
                Part::Text(part) => {
                    self.take(part.len())?;
                    text.push_str(part);
                }
                Part::Variable(variable) => {
                    let value = self.variable(variable)?;
                    let form = value.text_form().map_err(|source| EvaluateError::Embed {
                        at: self.place(),
                        variable: shown(variable),
                        source,
                    })?;
                    self.take(form.len())?;
                    text.push_str(&form);
                }
            }
        }
        Ok(text)
    }

    fn variable(&mut self, variable: &Variable) -> Result<Cow<'s, Value>, EvaluateError> {
        let mut value = self.resolve(variable);
        self.charge(&value)?;
        if value.is_null()
            && let Some(default) = variable.default()
        {
            value = Cow::Owned(self.default(default)?);
        }
        let Some(conversion) = variable.conversion() else {
            return Ok(value);
        };
        let converted = conversion.apply(value.into_owned());
        let converted = converted.map_err(|source| EvaluateError::Convert {
            at: self.place(),
            variable: shown(variable),
            source,
        })?;
        self.charge(&converted)?;
        Ok(Cow::Owned(converted))
    }

    fn resolve(&self, variable: &Variable) -> Cow<'s, Value> {
        let Some(found) = self.sources.look_up(variable.source(), variable.path()) else {
            return Cow::Owned(Value::Null);
        };
        let rest = variable.path().get(found.steps..).unwrap_or_default();
        match found.value {
            Cow::Borrowed(value) => path::select(value, rest),
            Cow::Owned(value) if rest.is_empty() => Cow::Owned(value),
            Cow::Owned(value) => Cow::Owned(path::select(&value, rest).into_owned()),
        }
    }

    fn default(&mut self, default: &DefaultText) -> Result<Value, EvaluateError> {
        if default.is_quoted() {
            self.text(default.template()).map(Value::Text)
        } else {
            self.template(default.template())
        }
    }

    fn take(&mut self, bytes: usize) -> Result<(), EvaluateError> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.error(&Excess::Size)),
        }
    }

    fn charge(&mut self, value: &Value) -> Result<(), EvaluateError> {
        let mut left = self.left;
        charge(value, self.at.len(), &mut left).map_err(|excess| self.error(&excess))?;
        self.left = left;
        Ok(())
    }

    fn error(&self, excess: &Excess) -> EvaluateError {
        let at = self.place();
        match excess {
            Excess::Size => EvaluateError::Size { at },
            Excess::Depth => EvaluateError::Depth { at },
        }
    }
}

/// Takes what a value counts away from `left`. Recurses at most [`limits::VALUE_DEPTH`] times.
fn charge(value: &Value, depth: usize, left: &mut usize) -> Result<(), Excess> {
    let mut take = |bytes: usize| {
        *left = left.checked_sub(bytes).ok_or(Excess::Size)?;
        Ok(())
    };
    take(limits::VALUE_BYTES)?;
    let is_nested = matches!(value, Value::List(_) | Value::Map(_) | Value::Pending(_));
    if is_nested && depth >= limits::VALUE_DEPTH {
        return Err(Excess::Depth);
    }
    let inside = depth.saturating_add(1);
    match value {
        Value::Text(text) => take(text.len()),
        Value::List(list) => list.iter().try_for_each(|item| charge(item, inside, left)),
        Value::Map(map) => map.iter().try_for_each(|(key, value)| {
            *left = left.checked_sub(key.len()).ok_or(Excess::Size)?;
            charge(value, inside, left)
        }),
        Value::Pending(pending) => charge(&pending.content, inside, left),
        // Bytes are shared, not copied.
        Value::Null
        | Value::Boolean(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Bytes(_)
        | Value::Handle(_) => Ok(()),
    }
}

/// The variable as a message shows it.
fn shown(variable: &Variable) -> String {
    adit_text::show(&variable.to_string())
}

#[cfg(test)]
mod tests;
