//! The units of the examples, as systemd reads them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use adit_testkit::require;
use tempfile::TempDir;

const FOLDER: &str = "../../examples/gateway/systemd";
const UNITS: [&str; 2] = ["adit-gateway.service", "adit-gateway.socket"];

/// Copies of the units that start the program of this build, and use all that they have in comments.
fn units() -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let found = fs::read_dir(FOLDER).unwrap().count();
    assert_eq!(found, UNITS.len());
    let paths = UNITS.map(|unit| {
        let text = fs::read_to_string(Path::new(FOLDER).join(unit)).unwrap();
        let text = text
            .replace("/usr/local/bin/adit", env!("CARGO_BIN_EXE_adit"))
            .replace("\n#LoadCredential=", "\nLoadCredential=")
            .replace("\n#Environment=", "\nEnvironment=");
        let path = folder.path().join(unit);
        fs::write(&path, text).unwrap();
        path
    });
    (folder, paths.to_vec())
}

fn text(output: &Output) -> String {
    let Output { stdout, stderr, .. } = output;
    String::from_utf8_lossy(&[stdout.as_slice(), stderr].concat()).into_owned()
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let program = require!("systemd-analyze");
    let (_folder, paths) = units();
    let output = Command::new(program)
        .arg("verify")
        .args(&paths)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    // What it does not know it passes over, and says so.
    assert_eq!(text(&output), "");
}

/// Security rule G125: an exposure of 2.0 at the most, as systemd counts.
#[test]
fn the_unit_is_exposed_to_little() {
    let program = require!("systemd-analyze");
    let (_folder, paths) = units();
    let output = Command::new(program)
        .args(["security", "--no-pager", "--offline=true", "--threshold=20"])
        .arg(&paths[0])
        .output()
        .unwrap();
    let words = text(&output);
    assert!(words.contains("Overall exposure level"), "{words}");
    assert!(output.status.success(), "{words}");
    let service = fs::read_to_string(&paths[0]).unwrap();
    for line in [
        "User=adit",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "PrivateTmp=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "SystemCallFilter=@system-service",
        "MemoryDenyWriteExecute=yes",
        "LoadCredential=database-url:/etc/adit/database-url",
    ] {
        assert!(service.lines().any(|it| it == line), "{line}");
    }
}
