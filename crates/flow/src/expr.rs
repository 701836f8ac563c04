//! Variables: `${input.text}` in what a workflow says, and what becomes of it.
//!
//! ```text
//! variable   = "${" ws KEY [ "[]" ] accessor* [ ws "as" ws conversion ] [ ws "|" default ] annotation* ws "}"
//! KEY        = an ASCII letter or "_", then characters other than white space . [ { } |
//! accessor   = "." NAME | "[" INTEGER "]" | "[" [ INTEGER ] ":" [ INTEGER ] "]" | "[*]"
//! NAME       = characters of any script, "-" and "_"; no white space, no other ASCII punctuation
//! conversion = TYPE [ "[]" ] [ "/" SUBTYPE ] [ ";" FORMAT ]
//! default    = text and variables, at least one character; braces in it are balanced, in quotes or
//!              behind a backslash, which stays
//! annotation = ws "@(" NAME ws TEXT ")"
//! ```
//!
//! [`Template::parse`] reads one text and never fails: what does not match is text, and a
//! [`Stray`] says where and why. [`Tree::parse`] reads whole lists and maps. Both are evaluated
//! over [`Sources`], which are asked for what is needed and for nothing else:
//!
//! - A variable that is the whole of a text keeps the type of its value; one among other text is
//!   replaced by its text form, in which null is nothing and lists and maps are compact JSON.
//! - What is not there is null and never an error: an unknown source, a missing key, an index out of
//!   range, a name asked of a list. Null takes the default; nothing, zero and false do not.
//! - A default is text, without the quotes around it, unless it is one variable and nothing else. It
//!   is converted like any other value.
//! - Conversions do fail, and with them the evaluation.
//!
//! Text that came into the file from the environment is literal: nothing in it is a variable or
//! closes one ([`Template::parse_with_literals`]).
//!
//! All of this is pure: no clock, no randomness, no I/O. What cannot be had without them travels as
//! a [`Handle`] or is [`Pending`]. What an evaluation may cost is in [`limits`].
//!
//! ```
//! use adit_flow::expr::{Map, Tree, Value};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let body = Value::from_json(br#"{"n": "${input.n as integer}", "to": "http://${host | h}/"}"#)?;
//! let tree = Tree::parse(&body)?;
//! let mut sources = Map::new();
//! sources.insert("input".to_owned(), Value::from_json(br#"{"n": "7"}"#)?);
//! assert_eq!(tree.evaluate(&sources)?.to_json()?, r#"{"n":7,"to":"http://h/"}"#);
//! # Ok(())
//! # }
//! ```
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod convert;
mod duration;
mod evaluate;
mod json;
pub mod limits;
mod parse;
mod path;
mod reading;
mod scan;
mod template;
mod tree;
mod value;

pub use convert::ConvertError;
pub use duration::{DurationError, UnsupportedDuration, duration, parse_duration};
pub use evaluate::{EvaluateError, Found, Sources};
pub use json::JsonError;
pub(crate) use parse::is_literal;
pub use template::{
    Annotation, Conversion, DefaultText, Part, Reason, Source, Step, Stray, Template, Variable,
};
pub(crate) use tree::{Branch, OPERATORS, Shape, is_spread};
pub use tree::{Reference, Tree, TreeError, TreePath, TreeStep};
pub use value::{Handle, HandleKind, Map, NoTextError, Pending, Value};
