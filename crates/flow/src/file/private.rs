//! Variables that no child process gets: those that only secrets of our own name.

use std::collections::BTreeSet;

use adit_text::{Content, Node, Scalar};

/// The variables that are named only where secrets of our own stand.
pub(super) fn variables(root: &Node) -> BTreeSet<String> {
    let mut named = Named::default();
    match root.as_mapping() {
        Some(sections) => {
            for section in sections.entries() {
                named.node(&section.node, Kind::of_section(&section.key));
            }
        }
        None => named.node(root, Kind::Open),
    }
    named.private.difference(&named.open).cloned().collect()
}

/// Which variables are named where.
#[derive(Default)]
struct Named {
    private: BTreeSet<String>,
    open: BTreeSet<String>,
}

/// What stands at a place of the tree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Something that components may know.
    Open,
    /// One of the sections whose secrets are our own.
    Ours,
    /// A secret of our own.
    Secret,
}

impl Kind {
    /// What a key of the outermost mapping holds. Further in, a key of the same name is anything:
    /// a field of a body, for example.
    fn of_section(key: &str) -> Self {
        match key {
            "controller" | "gateway" | "gateways" | "listener" | "listeners" | "tunnels" => {
                Self::Ours
            }
            _ => Self::Open,
        }
    }
}

impl Named {
    /// Recurses at most [`adit_text::limits::DEPTH`] times.
    fn node(&mut self, node: &Node, kind: Kind) {
        match node.content() {
            Content::Scalar(scalar) => {
                let names = scalar.variables().map(str::to_owned);
                match kind {
                    Kind::Secret => self.private.extend(names.chain(named(scalar))),
                    Kind::Open | Kind::Ours => self.open.extend(names),
                }
            }
            Content::Sequence(nodes) => nodes.iter().for_each(|node| self.node(node, kind)),
            Content::Mapping(mapping) => {
                for entry in mapping.entries() {
                    let kind = match (kind, entry.key.as_str()) {
                        (Kind::Ours, "auth" | "token" | "passphrase" | "password") => Kind::Secret,
                        (kind, _) => kind,
                    };
                    self.node(&entry.node, kind);
                }
            }
        }
    }
}

/// The variable that a secret names as `env:NAME`.
fn named(secret: &Scalar) -> Option<String> {
    let name = secret.text().strip_prefix("env:")?;
    let is_name = !name.is_empty() && !secret.is_from_environment();
    is_name.then(|| name.to_owned())
}
