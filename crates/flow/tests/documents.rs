//! Every compose file among the examples and in the documents is read, without a warning.
#![expect(clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use adit_flow::file::{Dialect, Environment, Files, Source};
use adit_flow::model::Compose;
use adit_text::Problems;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What a file says by the stricter of the two dialects.
fn read(name: &str, text: &str) -> Compose {
    let source = Source {
        name,
        bytes: text.as_bytes(),
        dialect: Dialect::Adit,
    };
    let mut problems = Problems::new();
    let files = Files::parse(&[source], &Environment::default(), &mut problems);
    let compose = files.and_then(|files| files.compose(&mut problems));
    assert!(problems.is_empty(), "{problems}\n{text}");
    compose.unwrap_or_else(|| panic!("{name}"))
}

#[test]
fn every_example_is_read() {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root().join("examples/workflows")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "yml") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let compose = read(&name, &fs::read_to_string(&path).unwrap());
            assert_eq!(compose.workflows[0].jobs.len(), 1, "{name}");
            found.insert(name);
        }
    }
    let expected = ["callback.yml", "hello.yml", "trigger.yml"];
    assert_eq!(found, BTreeSet::from(expected.map(str::to_owned)));
}

#[test]
fn every_compose_file_in_a_document_is_read() {
    let mut count = 0_usize;
    for page in [
        "docs/reference/compose.md",
        "docs/reference/controller.md",
        "docs/reference/listeners.md",
    ] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        for piece in text.split("```yaml\n").skip(1) {
            let (yaml, _) = piece.split_once("```").unwrap();
            let compose = read(page, yaml);
            assert_eq!(compose.workflows[0].jobs.len(), 1, "{page}: {yaml}");
            count += 1;
        }
    }
    assert_eq!(count, 4);
}
