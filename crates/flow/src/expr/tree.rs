//! Lists and maps with templates in them.

use std::fmt;
use std::ops::Range;

use indexmap::IndexMap;

use crate::expr::limits;
use crate::expr::parse::is_literal;
use crate::expr::template::{Part, Stray, Template, Variable};
use crate::expr::value::Value;

/// A value whose texts are templates. Keys are not.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    pub(crate) root: Node,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// A value that stays: no text, or a text without variables.
    Constant(Value),
    Template(Template),
    List(Vec<Self>),
    Map(IndexMap<String, Self>),
}

/// Where in a tree something is: keys and positions from the outermost value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreePath {
    steps: Vec<TreeStep>,
}

/// One step of a [`TreePath`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeStep {
    /// Into a map.
    Key(String),
    /// Into a list, from 0.
    Item(usize),
}

/// A variable in a tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference<'t> {
    /// The text in which it stands; [`Variable::span`] says where in that.
    pub at: TreePath,
    /// The variable.
    pub variable: &'t Variable,
    /// Whether it is the whole of its text, and so gives its type to the value there.
    pub is_whole: bool,
}

/// Why a value cannot be a tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A key or an item is an operator of model-compose's templates that adit does not have.
    #[error("the template operator {} is not supported", adit_text::show(.operator))]
    Operator {
        /// The map or the item.
        at: TreePath,
        /// The key, or the beginning of the item.
        operator: &'static str,
    },
    /// Lists and maps are inside one another more than [`limits::VALUE_DEPTH`] times.
    #[error(
        "more than {} lists and mappings inside one another",
        limits::VALUE_DEPTH
    )]
    Depth {
        /// The innermost one that is still right.
        at: TreePath,
    },
}

impl TreeError {
    /// Where in the value it is.
    pub fn at(&self) -> &TreePath {
        match self {
            Self::Operator { at, .. } | Self::Depth { at } => at,
        }
    }
}

/// Keys that mean an operator: spread, for each, join, split, choose.
pub(crate) const OPERATORS: [&str; 5] = ["...", "*", "+", "|", "?"];

impl Tree {
    /// Reads the templates in a value.
    ///
    /// # Errors
    ///
    /// If there is an operator in it, and if it is too deep.
    pub fn parse(value: &Value) -> Result<Self, TreeError> {
        Self::grow(value)
    }

    /// As [`parse`](Self::parse), for whatever can be a tree.
    pub(crate) fn grow(branch: &impl Branch) -> Result<Self, TreeError> {
        let mut at = TreePath::default();
        let root = node(branch, &mut at)?;
        Ok(Self { root })
    }

    /// The template, if the tree is a single text.
    pub fn as_template(&self) -> Option<&Template> {
        match &self.root {
            Node::Template(template) => Some(template),
            Node::Constant(_) | Node::List(_) | Node::Map(_) => None,
        }
    }

    /// All variables, in the order of the tree, each before those in its default.
    pub fn references(&self) -> Vec<Reference<'_>> {
        let mut found = Vec::new();
        visit(&self.root, &mut TreePath::default(), &mut |at, template| {
            let whole = template.as_variable();
            found.extend(template.variables().into_iter().map(|variable| Reference {
                at: at.clone(),
                variable,
                is_whole: whole.is_some_and(|whole| std::ptr::eq(whole, variable)),
            }));
        });
        found
    }

    /// What looks like a variable and is text, in the order of the tree.
    pub fn strays(&self) -> Vec<(TreePath, Stray)> {
        let mut found = Vec::new();
        visit(&self.root, &mut TreePath::default(), &mut |at, template| {
            let strays = template.strays().iter();
            found.extend(strays.map(|stray| (at.clone(), *stray)));
        });
        found
    }
}

/// What a tree can be made of.
pub(crate) trait Branch: Sized {
    /// What it is.
    fn shape(&self) -> Shape<'_, Self>;
}

/// What a branch is.
pub(crate) enum Shape<'b, B> {
    /// A value that stays, and is neither a text nor a list nor a map.
    Constant(Value),
    /// A text, of which these ranges are [literal](Template::parse_with_literals).
    Text(&'b str, &'b [Range<usize>]),
    /// Branches in their order.
    List(&'b [B]),
    /// Branches by name, each once.
    Map(Vec<(&'b str, &'b B)>),
}

impl Branch for Value {
    fn shape(&self) -> Shape<'_, Self> {
        match self {
            Self::Text(text) => Shape::Text(text, &[]),
            Self::List(list) => Shape::List(list),
            Self::Map(map) => {
                let entries = map.iter();
                Shape::Map(entries.map(|(key, value)| (key.as_str(), value)).collect())
            }
            Self::Null
            | Self::Boolean(_)
            | Self::Integer(_)
            | Self::Float(_)
            | Self::Bytes(_)
            | Self::Handle(_)
            | Self::Pending(_) => Shape::Constant(self.clone()),
        }
    }
}

/// Recurses at most [`limits::VALUE_DEPTH`] times.
fn node(branch: &impl Branch, at: &mut TreePath) -> Result<Node, TreeError> {
    let shape = branch.shape();
    let is_nested = matches!(shape, Shape::List(_) | Shape::Map(_));
    if is_nested && at.len() >= limits::VALUE_DEPTH {
        return Err(TreeError::Depth { at: at.clone() });
    }
    match shape {
        Shape::Text(text, literals) if !is_literal(text, literals) => {
            let is_item = matches!(at.steps.last(), Some(TreeStep::Item(_)));
            if is_item && is_spread(text, literals) {
                return Err(TreeError::Operator {
                    at: at.clone(),
                    operator: "...",
                });
            }
            Ok(Node::Template(Template::parse_with_literals(
                text, literals,
            )))
        }
        Shape::List(list) => {
            let mut nodes = Vec::with_capacity(list.len());
            for (position, item) in list.iter().enumerate() {
                at.push(TreeStep::Item(position));
                nodes.push(node(item, at)?);
                at.pop();
            }
            Ok(Node::List(nodes))
        }
        Shape::Map(entries) => {
            let is_key = |operator: &&str| entries.iter().any(|(key, _)| key == operator);
            if let Some(operator) = OPERATORS.into_iter().find(is_key) {
                let at = at.clone();
                return Err(TreeError::Operator { at, operator });
            }
            let mut nodes = IndexMap::with_capacity(entries.len());
            for (key, value) in entries {
                at.push(TreeStep::Key(key.to_owned()));
                nodes.insert(key.to_owned(), node(value, at)?);
                at.pop();
            }
            Ok(Node::Map(nodes))
        }
        Shape::Text(text, _) => Ok(Node::Constant(Value::from(text))),
        Shape::Constant(value) => Ok(Node::Constant(value)),
    }
}

/// Whether an item of a list is `...${list}`, as a whole, which model-compose takes as an operator.
pub(crate) fn is_spread(text: &str, literals: &[Range<usize>]) -> bool {
    const MARK: &str = "...";
    let is_mark = text.starts_with(MARK)
        && literals
            .first()
            .is_none_or(|literal| literal.start > MARK.len());
    let parts = || Template::parse_with_literals(text, literals).parts;
    is_mark && matches!(parts().as_slice(), [Part::Text(mark), Part::Variable(_)] if mark == MARK)
}

/// Calls `each` with every template. Recurses at most [`limits::VALUE_DEPTH`] times.
fn visit<'t>(node: &'t Node, at: &mut TreePath, each: &mut impl FnMut(&TreePath, &'t Template)) {
    match node {
        Node::Constant(_) => {}
        Node::Template(template) => each(at, template),
        Node::List(nodes) => {
            for (position, node) in nodes.iter().enumerate() {
                at.push(TreeStep::Item(position));
                visit(node, at, each);
                at.pop();
            }
        }
        Node::Map(entries) => {
            for (key, node) in entries {
                at.push(TreeStep::Key(key.clone()));
                visit(node, at, each);
                at.pop();
            }
        }
    }
}

impl TreePath {
    /// The steps from the outermost value.
    pub fn steps(&self) -> &[TreeStep] {
        &self.steps
    }

    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    pub(crate) fn push(&mut self, step: TreeStep) {
        self.steps.push(step);
    }

    pub(crate) fn pop(&mut self) {
        self.steps.pop();
    }
}

/// `body.items[0].name`; nothing for the outermost value.
impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.steps.iter().enumerate() {
            match step {
                TreeStep::Key(key) if at == 0 => f.write_str(key)?,
                TreeStep::Key(key) => write!(f, ".{key}")?,
                TreeStep::Item(item) => write!(f, "[{item}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
