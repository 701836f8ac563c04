//! Whether two processes have read the same configuration, without either telling what it is.

use std::fmt;

use adit_text::{Content, Node, Value};
use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

/// A SHA-256 over all that files say together, with the values of variables in it.
///
/// Only a process that has read the files can make it. It goes over the control socket, to a process of
/// the same user, and is never stored: a short secret in a file could be guessed from it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint(String);

/// What is hashed first, so that it is the hash of nothing else.
const PURPOSE: &[u8] = b"adit configuration 1";

impl Fingerprint {
    /// That of a whole tree. Places do not count; the order of keys does, since results have it.
    pub(crate) fn of(root: &Node) -> Self {
        let mut hash = Hash(Context::new(&SHA256));
        hash.text(PURPOSE);
        hash.node(root);
        let digest = hash.0.finish();
        let hex = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
        Self(hex.collect())
    }
}

/// Nothing of it is shown.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint")
    }
}

struct Hash(Context);

impl Hash {
    /// With its length first, so that no two lists of texts are the same bytes.
    fn text(&mut self, text: &[u8]) {
        self.length(text.len());
        self.0.update(text);
    }

    fn length(&mut self, length: usize) {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        self.0.update(&length.to_be_bytes());
    }

    /// Recurses at most [`adit_text::limits::DEPTH`] times.
    fn node(&mut self, node: &Node) {
        match node.content() {
            Content::Scalar(scalar) => {
                let kind: &[u8] = match scalar.value() {
                    Value::Null => b"null",
                    Value::Boolean(_) => b"boolean",
                    Value::Integer(_) => b"integer",
                    Value::Float(_) => b"float",
                    Value::Text => b"text",
                };
                self.0.update(b"s");
                self.text(kind);
                self.text(scalar.text().as_bytes());
            }
            Content::Sequence(nodes) => {
                self.0.update(b"l");
                self.length(nodes.len());
                for node in nodes {
                    self.node(node);
                }
            }
            Content::Mapping(mapping) => {
                self.0.update(b"m");
                self.length(mapping.entries().len());
                for entry in mapping.entries() {
                    self.text(entry.key.as_bytes());
                    self.node(&entry.node);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(text: &str) -> Fingerprint {
        Fingerprint::of(adit_text::parse("f.yml", text.as_bytes()).unwrap().root())
    }

    #[test]
    fn what_says_the_same_is_the_same_wherever_it_stands() {
        let one = fingerprint("a: [1, {b: x}]\nc: ~\n");
        assert_eq!(one, fingerprint("# a comment\na:\n- 1\n- b: x\nc: ~"));
        for other in [
            "a: [1, {b: y}]\nc: ~\n",
            "a: ['1', {b: x}]\nc: ~\n",
            "c: ~\na: [1, {b: x}]\n",
            "a: [1, {b: x}]\n",
            "a: [[1], {b: x}]\nc: ~\n",
        ] {
            assert_ne!(one, fingerprint(other), "{other}");
        }
    }

    #[test]
    fn nothing_of_it_is_shown() {
        assert_eq!(format!("{:?}", fingerprint("a: 1")), "Fingerprint");
    }
}
