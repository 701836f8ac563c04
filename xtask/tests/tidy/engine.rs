//! What holds for the SSH engine in particular: it is sans-io, its secrets come from its provider,
//! and its limits are written down.

use std::process::Command;

use crate::tree::{self, TextFile, assert_none};

/// Where one of the words stands in the code, comments left out.
fn uses<'a>(files: &'a [TextFile], words: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    files.iter().flat_map(move |file| {
        let code = file.without_tests().lines().enumerate();
        code.filter(|(_, line)| !line.trim_start().starts_with("//"))
            .filter(|(_, line)| words.iter().any(|word| line.contains(word)))
            .map(|(at, line)| format!("{}:{}: {}", file.path, at + 1, line.trim()))
            .collect::<Vec<_>>()
    })
}

#[test]
fn the_engine_has_no_socket_clock_thread_or_terminal() {
    let files = tree::sources_of("ssh");
    let words = [
        "tokio",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
        "ToSocketAddrs",
        "std::thread",
        "std::env",
        "std::fs",
        "std::process",
        "Instant::now",
        "SystemTime::now",
        "println!",
        "print!",
        "async fn",
    ];
    assert_none(uses(&files, &words), "crate ssh is sans-io");
}

#[test]
fn no_seeded_randomness_can_reach_the_program() {
    let words = [
        "SeedableRng",
        "seed_from_u64",
        "::from_seed(",
        "generate_for_test",
        "rand_chacha",
    ];
    for krate in ["text", "ssh", "tunnel", "flow", "adit"] {
        let files = tree::sources_of(krate);
        assert_none(uses(&files, &words), "secrets come from the provider alone");
    }
}

#[test]
fn the_library_of_key_encodings_is_named_in_one_file() {
    let name = ["ssh_key", "::"].concat();
    let importing = ["use ssh_", "key"].concat();
    let words = [name.as_str(), importing.as_str()];
    let mut files = tree::sources_of("ssh");
    for krate in ["tunnel", "adit"] {
        files.extend(tree::sources_of(krate));
    }
    let mut places: Vec<String> = uses(&files, &words)
        .map(|place| place.split(':').next().unwrap_or_default().to_owned())
        .collect();
    places.dedup();
    assert!(places.len() <= 1, "{places:?}");
    assert!(places.iter().all(|path| path.starts_with("crates/ssh/")));
}

#[test]
fn the_reference_of_limits_is_that_of_the_source() {
    let source = tree::file("crates/ssh/src/limits.rs");
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["reference", "limits", "--check"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{error}");
    let page = tree::file("docs/reference/limits.md");
    let rows = page.lines().filter(|(_, line)| line.starts_with("| `"));
    let constants = source
        .lines()
        .filter(|(_, line)| line.starts_with("pub const "));
    let found = constants.count();
    assert!(found >= 30, "{found} limits");
    assert_eq!(rows.count(), found);
}
