//! Values: what JSON has, bytes, and what is held elsewhere.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use indexmap::IndexMap;

use crate::expr::template::Conversion;

/// Keys and values in the order in which they came. Two are equal whatever their order.
///
/// It is as large as a pointer: every [`Value`] has room for one, and few are one.
#[derive(Clone, Default, PartialEq)]
pub struct Map(Box<IndexMap<String, Value>>);

/// What a variable stands for and what an evaluation makes.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Nothing, also for what is missing.
    #[default]
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i128),
    /// A number with a fraction or an exponent. JSON has none that is infinite or "not a number",
    /// and no conversion makes one.
    Float(f64),
    /// A text.
    Text(String),
    /// Values in their order.
    List(Vec<Self>),
    /// Keys and values.
    Map(Map),
    /// Bytes that are in memory.
    Bytes(Arc<[u8]>),
    /// What is held elsewhere.
    Handle(Handle),
    /// A value that is converted once somebody has fetched or read it.
    Pending(Box<Pending>),
}

/// What a handle leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandleKind {
    /// A stream of bytes.
    Bytes,
    /// A stream of events.
    Events,
}

/// Something that only its owner can read, such as a stream; cloning it clones no content.
#[derive(Clone)]
pub struct Handle {
    kind: HandleKind,
    held: Arc<dyn Any + Send + Sync>,
}

impl Handle {
    /// A handle to what its reader will [take out](Self::held) again.
    pub fn new<T: Any + Send + Sync>(kind: HandleKind, held: Arc<T>) -> Self {
        Self { kind, held }
    }

    /// What it leads to.
    pub fn kind(&self) -> HandleKind {
        self.kind
    }

    /// What was given to [`new`](Self::new), if it was a `T`.
    pub fn held<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::clone(&self.held).downcast().ok()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.kind).finish()
    }
}

/// Two handles are equal if they lead to the same thing.
impl PartialEq for Handle {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && Arc::ptr_eq(&self.held, &other.held)
    }
}

/// A value and the conversion that waits for I/O: the path or URL to be read, the stream to be
/// drained, the picture whose encoding depends on who gets it.
///
/// Whoever does the I/O reads the content and goes on as the conversion says; for types that need
/// no more than the bytes, [`Conversion::apply`] does that.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    /// The value as it is now.
    pub content: Value,
    /// What it is to become.
    pub conversion: Conversion,
}

/// Why a value has no text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} has no text form")]
pub struct NoTextError {
    what: &'static str,
}

impl Map {
    /// One without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// One with room for this many entries.
    pub fn with_capacity(count: usize) -> Self {
        Self(Box::new(IndexMap::with_capacity(count)))
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Deref for Map {
    type Target = IndexMap<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Map {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl FromIterator<(String, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(entries: I) -> Self {
        Self(Box::new(entries.into_iter().collect()))
    }
}

impl IntoIterator for Map {
    type Item = (String, Value);
    type IntoIter = indexmap::map::IntoIter<String, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'m> IntoIterator for &'m Map {
    type Item = (&'m String, &'m Value);
    type IntoIter = indexmap::map::Iter<'m, String, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Value {
    /// The value as it stands among other text: null is nothing, lists and maps are compact JSON,
    /// bytes are text if they are UTF-8.
    ///
    /// # Errors
    ///
    /// There is no text form of other bytes, of what is held elsewhere or pending, and of lists and
    /// maps that hold bytes or such.
    pub fn text_form(&self) -> Result<Cow<'_, str>, NoTextError> {
        Ok(match self {
            Self::Null => Cow::Borrowed(""),
            Self::Boolean(true) => Cow::Borrowed("true"),
            Self::Boolean(false) => Cow::Borrowed("false"),
            Self::Integer(integer) => Cow::Owned(integer.to_string()),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Cow::Borrowed(text),
                Err(_) => {
                    return Err(NoTextError {
                        what: "binary data",
                    });
                }
            },
            Self::Float(_) | Self::List(_) | Self::Map(_) => match self.to_json() {
                Ok(json) => Cow::Owned(json),
                Err(_) => return Err(NoTextError { what: self.kind() }),
            },
            Self::Handle(_) | Self::Pending(_) => return Err(NoTextError { what: self.kind() }),
        })
    }

    /// What a person is told that it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "boolean",
            Self::Integer(_) => "integer",
            Self::Float(_) => "number",
            Self::Text(_) => "string",
            Self::List(_) => "list",
            Self::Map(_) => "object",
            Self::Bytes(_) => "bytes",
            Self::Handle(handle) => match handle.kind {
                HandleKind::Bytes => "byte stream",
                HandleKind::Events => "event stream",
            },
            Self::Pending(_) => "unread content",
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        *self == Self::Null
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The map, if it is one.
    pub fn as_map(&self) -> Option<&Map> {
        if let Self::Map(map) = self {
            Some(map)
        } else {
            None
        }
    }

    /// What is held elsewhere, if it is that.
    pub fn as_handle(&self) -> Option<&Handle> {
        if let Self::Handle(handle) = self {
            Some(handle)
        } else {
            None
        }
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(list) = self {
            Some(list)
        } else {
            None
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// What a single value of a file says. A text is not searched for variables;
/// [`Written::tree`](crate::model::Written::tree) knows those.
impl From<&adit_text::Scalar> for Value {
    fn from(scalar: &adit_text::Scalar) -> Self {
        match scalar.value() {
            adit_text::Value::Null => Self::Null,
            adit_text::Value::Boolean(boolean) => Self::Boolean(boolean),
            adit_text::Value::Integer(integer) => Self::Integer(integer),
            adit_text::Value::Float(float) => Self::Float(float),
            adit_text::Value::Text => Self::Text(scalar.text().to_owned()),
        }
    }
}
