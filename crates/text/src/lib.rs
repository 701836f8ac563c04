//! Configuration text: YAML that knows where everything was written.
//!
//! [`parse()`] makes a tree of a file; [`Document::resolve_environment`] replaces references in it and
//! [`Document::merge`] adds what a later file says. Then [`Fields`] are read from it, and whatever is
//! wrong is among the [`Problems`], all of it, with places.
//!
//! ```
//! use adit_text::{Entry, Node, Problems, Unset, parse};
//!
//! struct Tunnel {
//!     name: String,
//!     host: String,
//!     port: u16,
//!     remote: Vec<String>,
//! }
//!
//! fn tunnel(entry: &Entry, problems: &mut Problems) -> Option<Tunnel> {
//!     let mut fields = entry.node.fields(problems)?;
//!     let host = fields.required("host", Node::text);
//!     let port = fields.port("port");
//!     let remote = fields.list("forwards", |node, problems| {
//!         let mut fields = node.fields(problems)?;
//!         let remote = fields.required("remote", Node::text);
//!         fields.finish();
//!         remote.map(str::to_owned)
//!     });
//!     fields.finish();
//!     Some(Tunnel {
//!         name: entry.key.clone(),
//!         host: host?.to_owned(),
//!         port: port.unwrap_or(22),
//!         remote: remote.unwrap_or_default(),
//!     })
//! }
//!
//! # fn main() -> Result<(), Problems> {
//! let text = b"tunnels: {web: {host: gw, forwards: [{remote: \"8080:localhost:80\"}]}}";
//! let mut document = parse("adit.yml", text)?;
//! let mut problems = Problems::new();
//! document.resolve_environment(&|name| std::env::var(name).ok(), Unset::Refuse, &mut problems);
//! let mut tunnels = Vec::new();
//! if let Some(mut fields) = document.root().fields(&mut problems) {
//!     tunnels = fields.named("tunnels", tunnel).unwrap_or_default();
//!     fields.finish();
//! }
//! if problems.has_errors() {
//!     return Err(problems);
//! }
//! let web = &tunnels[0];
//! assert_eq!((web.name.as_str(), web.host.as_str(), web.port), ("web", "gw", 22));
//! assert_eq!(web.remote, ["8080:localhost:80"]);
//! # Ok(())
//! # }
//! ```
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
mod secret;
pub mod size;
mod suggest;

pub use environment::Unset;
pub use fields::Fields;
pub use node::{Content, Document, Entry, Mapping, Node, Scalar, Value};
pub use parse::parse;
pub use problem::{Place, Problem, Problems, Severity};
pub use secret::SecretSource;
pub use suggest::closest;

/// At most [`limits::QUOTED_CHARACTERS`] characters of a file's text, in quotes and with what a
/// terminal would obey escaped as `\u{..}`: the form in which such text stands in messages.
pub fn show(text: &str) -> String {
    printable::quoted(text)
}

/// The whole of `text`, with what a terminal would obey escaped as `\u{..}`: for text whose length is
/// bounded elsewhere.
pub fn escape(text: &str) -> String {
    printable::escaped(text)
}
