//! Configuration text: YAML that knows where everything was written.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::as_conversions)
)]

pub mod duration;
mod environment;
mod fields;
pub mod limits;
mod merge;
mod node;
mod parse;
mod printable;
mod problem;
mod read;
mod schema;
pub mod size;
mod suggest;

pub use environment::Unset;
pub use fields::Fields;
pub use node::{Content, Document, Entry, Mapping, Node, Scalar, Value};
pub use parse::parse;
pub use problem::{Place, Problem, Problems, Severity};
pub use suggest::closest;

/// At most [`limits::QUOTED_CHARACTERS`] characters of a file's text, in quotes and with what a
/// terminal would obey escaped as `\u{..}`. The only way in which such text gets into a message.
pub fn show(text: &str) -> String {
    printable::quoted(text)
}
