//! Every example and every piece of a file in the documents is read by the program.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each example holds: tunnels and forwards.
const EXAMPLES: [(&str, &str); 3] = [
    ("database-replica.yml", "tunnels 1, forwards 1"),
    ("every-key.yml", "tunnels 1, forwards 4"),
    ("pi-behind-a-modem.yml", "tunnels 1, forwards 2"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What `adit check` counts in a file, with a home folder that has nothing in it.
fn counted(file: &Path) -> String {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_adit"))
        .arg("check")
        .arg(file)
        .env("HOME", home.path())
        .env("USER", "me")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", file.display());
    let stdout = String::from_utf8_lossy(&output.stdout);
    stdout.trim_end().rsplit_once(": ").unwrap().1.to_owned()
}

#[test]
fn every_example_is_read_and_holds_what_it_should() {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // One with more than a file of tunnels has tests of its own.
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        found.insert(name, counted(&path));
    }
    let expected = EXAMPLES.map(|(name, count)| (name.to_owned(), count.to_owned()));
    assert_eq!(found, BTreeMap::from(expected));
}

#[test]
fn every_file_in_a_document_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0_usize;
    for page in ["README.md", "docs/reference/adit_yml.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        for piece in text.split("```yaml\n").skip(1) {
            let (yaml, _) = piece.split_once("```").unwrap();
            let file = folder.path().join("adit.yml");
            fs::write(&file, yaml).unwrap();
            assert!(counted(&file).starts_with("tunnels "), "{page}: {yaml}");
            count += 1;
        }
    }
    assert!(count >= 2, "{count} pieces");
}
