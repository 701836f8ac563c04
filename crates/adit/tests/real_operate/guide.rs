//! The guide, where a program can read it.

use std::fs;
use std::process::Command;

use adit_testkit::key_pair::{KeyKind, KeyPair};

const GUIDE: &str = "../../docs/guide/gateway.md";

#[test]
fn the_settings_of_the_guide_are_settings_and_its_files_are_there() {
    let text = fs::read_to_string(GUIDE).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate(folder.path(), "key", KeyKind::Ed25519);
    fs::copy(key.public_path(), folder.path().join("keys")).unwrap();
    let pieces: Vec<_> = text.split("```yaml\n").skip(1).collect();
    assert_eq!(pieces.len(), 4);
    for piece in pieces {
        let (settings, _) = piece.split_once("```").unwrap();
        let file = folder.path().join("gateway.yml");
        fs::write(&file, settings).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_adit"))
            .args(["serve", "--check", "--config"])
            .arg(&file)
            .arg("--data")
            .arg(folder.path().join("data"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
    let links = text.split("](").skip(1);
    let links: Vec<_> = links
        .map(|link| link.split(')').next().unwrap())
        .filter(|link| !link.starts_with("http"))
        .collect();
    assert!(links.len() >= 2, "{links:?}");
    for link in links {
        let path = std::path::Path::new("../../docs/guide").join(link);
        assert!(path.exists(), "{link}");
    }
}

/// Each metric that the guide has an alarm for is one.
#[test]
fn the_metrics_of_the_guide_are_metrics() {
    let text = fs::read_to_string(GUIDE).unwrap();
    let source = fs::read_to_string("src/gateway/monitor/readings.rs").unwrap();
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let named: Vec<_> = text
        .split(|c: char| !is_name(c))
        .filter(|word| word.starts_with("adit_") || word.starts_with("process_"))
        .collect();
    assert!(named.len() >= 8, "{named:?}");
    for name in named {
        assert!(source.contains(&format!("\"{name}\"")), "{name}");
    }
}
