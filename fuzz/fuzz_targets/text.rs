//! Configuration files: parsed, references replaced, merged with themselves, and read in every way.
#![no_main]

use adit_text::{Content, Document, Node, Problems, Unset, limits, parse};
use libfuzzer_sys::fuzz_target;

/// What every set variable holds, and no input does.
const SECRET: &str = "Zq7 s3cr3t";

/// Each way to read a node.
fn read(node: &Node, problems: &mut Problems) {
    node.text(problems);
    node.boolean(problems);
    node.integer(-5..=5, problems);
    node.number(problems);
    node.port(problems);
    node.duration(problems);
    node.duration_or_seconds(problems);
    node.size(problems);
    node.path(problems);
    node.choice(&[("strict", 1), ("accept-new", 2)], problems);
    if let Some(mut fields) = node.fields(problems) {
        fields.required("host", Node::text);
        fields.list("forwards", Node::text);
        fields.one_or_many("keys", Node::path);
        fields.named("tunnels", |entry, problems| entry.node.port(problems));
        fields.renamed("server", "host");
        fields.finish();
    }
}

/// Reads every node, and says how many there are.
fn walk(node: &Node, depth: usize, problems: &mut Problems) -> usize {
    assert!(depth <= limits::DEPTH + 1);
    assert!(node.place().line > 0 && node.place().column > 0);
    read(node, problems);
    let inner = match node.content() {
        Content::Scalar(_) => 0,
        Content::Sequence(nodes) => nodes
            .iter()
            .map(|node| walk(node, depth + 1, problems))
            .sum(),
        Content::Mapping(mapping) => mapping
            .entries()
            .iter()
            .map(|entry| {
                let found = mapping.entry(&entry.key).expect("the key is there");
                assert_eq!(found.place, entry.place);
                walk(&entry.node, depth + 1, problems)
            })
            .sum(),
    };
    inner + 1
}

/// Whatever the file says, messages are safe to print and keep secrets.
fn check(problems: &Problems) {
    for problem in problems {
        let shown = problem.to_string();
        let lines: Vec<&str> = shown.split('\n').collect();
        assert!(lines.len() <= 2, "{shown:?}");
        for line in lines {
            assert!(!line.chars().any(char::is_control), "{line:?}");
            assert!(!line.contains("Zq7"), "{line:?}");
            assert!(
                line.chars().count() <= 20 * limits::QUOTED_CHARACTERS,
                "{line:?}"
            );
        }
    }
}

fn use_it(mut document: Document) {
    let mut problems = Problems::new();
    let lookup = |name: &str| (name.len() % 2 == 1).then(|| SECRET.to_owned());
    document.resolve_environment(&lookup, Unset::Refuse, &mut problems);
    assert!(walk(document.root(), 1, &mut problems) <= limits::NODES);
    check(&problems);
    assert!(!format!("{document:?}").contains("Zq7"));
    // What is merged with itself stays as it is, but for numbers that equal nothing.
    let merged = document.clone().merge(document.clone());
    assert_eq!(format!("{merged:?}"), format!("{document:?}"));
}

fuzz_target!(|input: &[u8]| {
    if input.windows(3).any(|word| word == b"Zq7") {
        return;
    }
    match parse("adit.yml", input) {
        Ok(document) => use_it(document),
        Err(problems) => {
            assert!(problems.has_errors());
            check(&problems);
        }
    }
});
