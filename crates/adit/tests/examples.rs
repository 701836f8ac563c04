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

#[test]
fn a_workflow_among_the_examples_gives_what_it_says() {
    let home = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (vec!["-i", r#"{"name":"Ada"}"#], "Hello, Ada.\n"),
        (vec![], "Hello, world.\n"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_adit"))
            .args(["-f", "hello.yml", "run"])
            .args(arguments)
            .current_dir(root().join("examples/workflows"))
            .env("HOME", home.path())
            .env("USER", "me")
            .env_remove("XDG_RUNTIME_DIR")
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }
}

/// The pieces of a page between fences, each with the word behind the first.
fn pieces(page: &str) -> Vec<(String, String)> {
    let mut pieces = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
        let fence = line.trim_start().strip_prefix("```");
        match (fence, &mut open) {
            (Some(kind), None) => open = Some((kind.to_owned(), String::new())),
            (Some(_), Some(_)) => pieces.extend(open.take()),
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    pieces
}

#[test]
fn the_pages_of_an_example_say_the_same_in_every_language() {
    let folder = root().join("examples/gateway/ssh-tunnel");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let english = read("README.md");
    let headings = |page: &str| {
        let headings = page.lines().filter(|line| line.starts_with('#'));
        headings
            .map(|line| line.chars().take_while(|c| *c == '#').count())
            .collect::<Vec<_>>()
    };
    let expected = pieces(&english);
    assert_eq!(expected.len(), 36);
    for name in ["README.ko.md", "README.zh-TW.md"] {
        let page = read(name);
        assert_eq!(headings(&page), headings(&english), "{name}");
        let found = pieces(&page);
        assert_eq!(found.len(), expected.len(), "{name}");
        for ((kind, text), (expected_kind, expected)) in found.iter().zip(&expected) {
            assert_eq!(kind, expected_kind, "{name}: {text}");
            // What is to be typed, and what comes of it, is the same; comments are not.
            if kind == "bash" || kind == "json" || text.contains("[Gateway]") {
                assert_eq!(text, expected, "{name}");
            }
        }
    }
    // The file is the one that model-compose has.
    let fixture = root().join("crates/flow/tests/fixtures/model-compose/ssh-tunnel.yml");
    assert_eq!(
        read("model-compose.yml"),
        fs::read_to_string(fixture).unwrap()
    );
}

/// What `adit check` says of that file with a host key in the environment.
fn said_with_host_key(yaml: &str, key: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("adit.yml");
    fs::write(&file, yaml).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_adit"))
        .arg("check")
        .arg(&file)
        .env("HOME", folder.path())
        .env("USER", "me")
        .env("ADIT_HOST_KEY", key)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), said)
}

#[test]
fn a_host_key_of_the_environment_is_the_one_tunnels_or_an_error() {
    let key = "SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM";
    let tunnel = |name: &str| {
        format!(
            "  {name}: {{host: {name}, ssh_config: none, forwards: [remote: \"80:localhost:80\"]}}\n"
        )
    };
    let one = format!("tunnels:\n{}", tunnel("one"));
    let two = format!("{one}{}", tunnel("two"));
    let several = format!("{key}, {key}");
    for (yaml, key) in [(&one, key), (&one, &several), (&two, "")] {
        let (is_good, said) = said_with_host_key(yaml, key);
        assert!(is_good, "{said}");
    }
    for (yaml, key, expected) in [
        (
            &two,
            key,
            "ADIT_HOST_KEY does not say whose of several it is",
        ),
        (&one, "SHA256:short", "cannot use ADIT_HOST_KEY"),
    ] {
        let (is_good, said) = said_with_host_key(yaml, key);
        assert!(!is_good && said.contains(expected), "{said}");
    }
}
