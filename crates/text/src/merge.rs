//! Several files as one: a later file says what is different.

use crate::node::{Content, Document, Node};

impl Document {
    /// This document with what a later one says instead.
    ///
    /// Mappings are merged key by key, as deep as both have mappings; anything else (lists too) is
    /// replaced as a whole, also by nothing (`key:`), which takes the key back. Keys keep the order
    /// of the earlier file, new ones follow. Every node keeps the place where it was written. An
    /// empty later document changes nothing.
    #[must_use]
    pub fn merge(mut self, later: Self) -> Self {
        if self.root.is_null() {
            return later;
        }
        if !later.root.is_null() {
            merge(&mut self.root, later.root);
        }
        self
    }
}

/// Recurses at most [`crate::limits::DEPTH`] times.
fn merge(earlier: &mut Node, later: Node) {
    match (&mut earlier.content, later.content) {
        (Content::Mapping(mapping), Content::Mapping(changes)) => {
            for change in changes.into_entries() {
                match mapping.entry_mut(&change.key) {
                    Some(entry) => {
                        entry.place = change.place;
                        merge(&mut entry.node, change.node);
                    }
                    None => mapping.insert_new(change),
                }
            }
        }
        (content, changed) => {
            *content = changed;
            earlier.place = later.place;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::parse;

    #[test]
    fn mappings_merge_and_all_else_is_replaced() {
        for (earlier, later, merged) in [
            ("a: 1", "b: 2", "{a: 1, b: 2}"),
            ("{a: 1, b: 2}", "{c: 3, a: 4}", "{a: 4, b: 2, c: 3}"),
            (
                "a: {x: 1, y: {z: 2}}",
                "a: {y: {w: 3}}",
                "a: {x: 1, y: {z: 2, w: 3}}",
            ),
            ("a: [1, 2, 3]", "a: [4]", "a: [4]"),
            ("a: [1]", "a: {b: 1}", "a: {b: 1}"),
            ("a: {b: 1}", "a: 7", "a: 7"),
            ("a: {b: 1}", "a:", "a:"),
            ("a: 1", "", "a: 1"),
            ("", "a: 1", "a: 1"),
            ("[1, 2]", "a: 1", "a: 1"),
        ] {
            let parsed = |name, text: &str| parse(name, text.as_bytes()).unwrap();
            let found = parsed("f", earlier).merge(parsed("f", later));
            assert_eq!(
                plain(&found),
                plain(&parsed("f", merged)),
                "{earlier} + {later}"
            );
        }
    }

    /// The tree without places.
    fn plain(document: &crate::Document) -> String {
        format!("{:?}", document.root().content())
            .split("Place")
            .map(|part| part.split_once('}').map_or(part, |(_, rest)| rest))
            .collect()
    }

    #[test]
    fn what_is_merged_keeps_its_place() {
        let earlier = parse("a.yml", b"tls: {port: 1, host: x}\n").unwrap();
        let later = parse("b.yml", b"\n\ntls: {port: 2}\n").unwrap();
        let merged = earlier.merge(later);
        let tls = merged.root().as_mapping().unwrap().entry("tls").unwrap();
        assert_eq!(tls.place.to_string(), "b.yml:3:1");
        let tls = tls.node.as_mapping().unwrap();
        assert_eq!(
            tls.entry("port").unwrap().node.place().to_string(),
            "b.yml:3:13"
        );
        assert_eq!(
            tls.entry("host").unwrap().node.place().to_string(),
            "a.yml:1:22"
        );
    }
}
