//! The manual and the completions, given to the programs that they are for.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use adit_testkit::require;

/// What `adit` prints.
fn said(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_adit"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn man_shows_every_page_without_a_warning() {
    require!("man", "groff");
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    said(&["man", pages.to_str().unwrap()]);
    let mut count = 0;
    for page in fs::read_dir(&pages).unwrap() {
        let page = page.unwrap().path();
        let output = Command::new("man")
            .args(["--warnings=w", "--local-file"])
            .arg(&page)
            .env("LC_ALL", "C.UTF-8")
            .env("MANWIDTH", "100")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        let warnings = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{page:?}: {warnings}");
        assert_eq!(warnings, "", "{page:?}");
        for heading in ["NAME", "EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES"] {
            assert!(shown.contains(heading), "{page:?}: no {heading}");
        }
        assert!(shown.contains("ADIT_PASSPHRASE"), "{page:?}");
        count += 1;
    }
    assert!(count >= 8, "{count} pages");
}

/// What a bash that has read the completions offers for a line whose last word is being written.
fn offered(script: &Path, line: &[&str]) -> Vec<String> {
    let output = Command::new("bash")
        .args(["--norc", "--noprofile", "-c"])
        .arg(
            "source \"$1\" || exit; shift
             COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1))
             [[ $(complete -p adit) == *' -F _adit '* ]] || exit
             _adit adit \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"
             printf '%s\\n' \"${COMPREPLY[@]}\"",
        )
        .arg("bash")
        .arg(script)
        .args(line)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_values() {
    require!("bash");
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("adit.bash");
    fs::write(&script, said(&["completions", "bash"])).unwrap();
    let cases: &[(&[&str], &[&str])] = &[
        (&["adit", "st"], &["start", "status", "stop"]),
        (
            &["adit", "forward", "--exit"],
            &["--exit-on-forward-failure"],
        ),
        (
            &["adit", "forward", "--pass"],
            &["--passphrase-file", "--password-file"],
        ),
        (&["adit", "--log-format", "j"], &["json"]),
        (&["adit", "completions", "f"], &["fish"]),
    ];
    for (line, expected) in cases {
        let mut offered = offered(&script, line);
        offered.sort();
        assert_eq!(offered, *expected, "{line:?}");
    }
}

#[test]
fn mandoc_finds_nothing_to_correct() {
    let mandoc = require!("mandoc");
    let folder = tempfile::tempdir().unwrap();
    said(&["man", folder.path().to_str().unwrap()]);
    for page in fs::read_dir(folder.path()).unwrap() {
        let page = page.unwrap().path();
        let mut lint = Command::new(&mandoc);
        let output = lint
            .args(["-Tlint", "-Wwarning"])
            .arg(&page)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        // The date is left empty: a page is that of a version. And clap_mangen begins a paragraph more
        // than it has to, which nobody sees.
        let is_meant = |line: &&str| line.contains("missing date") || line.contains("macro: br ");
        let found = said.lines().filter(|line| !is_meant(line));
        assert_eq!(found.collect::<Vec<_>>(), [""; 0], "{page:?}");
    }
}

#[test]
fn every_shell_has_a_script_that_it_can_read() {
    let folder = tempfile::tempdir().unwrap();
    // How each shell reads a script without running it; elvish and powershell cannot.
    let checks: &[(&str, Option<&[&str]>)] = &[
        ("bash", Some(&["-n"])),
        ("zsh", Some(&["-n"])),
        ("fish", Some(&["--no-execute"])),
        ("elvish", None),
        ("powershell", None),
    ];
    for (shell, check) in checks {
        let script = said(&["completions", shell]);
        for word in ["status", "exit-on-forward-failure", "validate"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
        let file = folder.path().join(shell);
        fs::write(&file, script).unwrap();
        let found = adit_testkit::real::find(shell);
        let (Some(program), Some(check)) = (found, check) else {
            println!("{shell} is not there, or reads no script without running it");
            continue;
        };
        let output = Command::new(program)
            .args(*check)
            .arg(&file)
            .output()
            .unwrap();
        assert!(output.status.success(), "{shell}: {output:?}");
    }
}

#[test]
fn the_reference_of_commands_is_what_the_program_prints() {
    let page = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/reference/commands.md"
    );
    let page = fs::read_to_string(page).unwrap_or_default();
    assert!(
        page == said(&["man", "--markdown"]),
        "docs/reference/commands.md is stale: run `cargo xtask reference`"
    );
}
