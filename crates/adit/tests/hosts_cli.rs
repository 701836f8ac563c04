//! `adit host`, as a shell sees it: what it prints, and its exit codes.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command
        .args(arguments)
        .current_dir(home)
        .env("HOME", home)
        .env("USER", "me")
        .env_remove("XDG_RUNTIME_DIR")
        .env_remove("XDG_STATE_HOME");
    command
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    command(home, arguments).output().unwrap()
}

/// Exit code, standard output and standard error.
fn said(home: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run(home, arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn names_are_expanded_a_line_each() {
    let home = tempfile::tempdir().unwrap();
    for (arguments, lines) in [
        (vec!["red00[1-2]"], "red001\nred002\n"),
        (vec!["n[1-3]", "m", "-x", "n2"], "n1\nn3\nm\n"),
        (vec!["a[1-2]b[3-4]"], "a1b3\na1b4\na2b3\na2b4\n"),
        (vec!["n[1-3]!n2"], "n1\nn3\n"),
        (vec!["n1!n1"], ""),
    ] {
        let arguments = [vec!["host", "expand"], arguments].concat();
        assert_eq!(
            said(home.path(), &arguments),
            (Some(0), lines.to_owned(), String::new())
        );
    }
}

#[test]
fn what_is_wrong_is_shown_by_a_caret_and_is_code_2() {
    let home = tempfile::tempdir().unwrap();
    for (expression, caret) in [
        ("n[2-1]", "    n[2-1]\n      ^^^\n"),
        (
            "red,n[1-999999999]",
            "    red,n[1-999999999]\n        ^^^^^^^^^^^^^^\n",
        ),
        ("a,@nobody", "    a,@nobody\n      ^^^^^^^\n"),
        ("red001\nHost *", "    red001?Host *\n"),
    ] {
        for arguments in [
            vec!["host", "expand", expression],
            vec!["host", "fold", expression],
            vec!["host", "tunnel", "create", expression, "80", "8080"],
            vec!["host", "tunnel", "delete", expression],
        ] {
            let (code, out, error) = said(home.path(), &arguments);
            assert_eq!(
                (code, out.as_str()),
                (Some(2), ""),
                "{arguments:?}: {error}"
            );
            assert!(error.contains(caret), "{error}");
        }
    }
    // Nothing was made by any of it.
    assert!(!home.path().join(".local").exists());
}

#[test]
fn names_are_folded_in_their_order_or_sorted() {
    let home = tempfile::tempdir().unwrap();
    let mut child = command(home.path(), &["host", "fold", "--sort", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"red010 red9\nred11\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "red[9,010,11]\n");
    for (names, folded) in [
        (vec!["red001", "red002", "red003", "gw"], "red00[1-3],gw\n"),
        (vec!["node3", "node1", "node2"], "node[3,1-2]\n"),
        (vec!["--sort", "node3", "node1", "node2"], "node[1-3]\n"),
        (vec!["rack[1-2]n[1-4]"], "rack[1-2]n[1-4]\n"),
    ] {
        let (code, out, _) = said(home.path(), &[vec!["host", "fold"], names].concat());
        assert_eq!((code, out.as_str()), (Some(0), folded));
    }
}

#[test]
fn groups_stand_in_the_file_of_adit() {
    let home = tempfile::tempdir().unwrap();
    let ours = home.path().join(".config/adit");
    fs::create_dir_all(&ours).unwrap();
    fs::write(ours.join("adit.yml"), "groups:\n  mine: m[1-2]\n").unwrap();
    let expand = |arguments: &[&str]| said(home.path(), &[&["host", "expand"], arguments].concat());
    assert_eq!(expand(&["@mine"]).1, "m1\nm2\n");
    // That of the folder comes before it.
    let text = "groups:\n  workers: red00[1-3]\n  all: '@workers,gw'\n";
    fs::write(home.path().join("adit.yml"), text).unwrap();
    assert_eq!(expand(&["@all!@workers"]).1, "gw\n");
    assert_eq!(expand(&["*3"]).1, "red003\n");
    let (code, _, error) = expand(&["@mine"]);
    assert!(
        code == Some(2) && error.contains("there are all, workers"),
        "{error}"
    );
    fs::write(home.path().join("other.yml"), "groups: {x: 'n[1-'}\n").unwrap();
    let (code, _, error) = expand(&["-f", "other.yml", "@x"]);
    assert!(code == Some(1) && error.contains("other.yml:1:"), "{error}");
    assert!(
        error.contains("group x: this bracket is not closed"),
        "{error}"
    );
    // A file of groups alone is in order; what is wrong with one is told by adit check, too.
    assert_eq!(said(home.path(), &["check"]).0, Some(0));
    assert_eq!(said(home.path(), &["check", "other.yml"]).0, Some(1));
}

#[test]
fn a_table_that_somebody_else_could_write_is_not_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let table = home.path().join("table");
    fs::create_dir(&table).unwrap();
    fs::set_permissions(&table, fs::Permissions::from_mode(0o777)).unwrap();
    let list = ["host", "tunnel", "list", "--data", table.to_str().unwrap()];
    let (code, _, error) = said(home.path(), &list);
    assert!(code == Some(1) && error.contains("chmod go-w"), "{error}");
    fs::set_permissions(&table, fs::Permissions::from_mode(0o700)).unwrap();
    let (code, out, _) = said(home.path(), &list);
    assert_eq!((code, out.as_str()), (Some(0), "the table is empty\n"));
    // What is no table is left alone, and told.
    fs::write(table.join("ports.json"), "{}").unwrap();
    let create = [
        "host",
        "tunnel",
        "create",
        "red001",
        "--data",
        table.to_str().unwrap(),
    ];
    let (code, _, error) = said(home.path(), &create);
    assert!(code == Some(1) && error.contains("cannot read"), "{error}");
    assert_eq!(fs::read_to_string(table.join("ports.json")).unwrap(), "{}");
}

#[test]
fn tables_are_printed_for_people_and_for_programs() {
    let home = tempfile::tempdir().unwrap();
    let table = home.path().join("table");
    let create = |format: &str| {
        let arguments = [
            "host",
            "tunnel",
            "create",
            "pi@red00[1-2]",
            "80",
            "65001",
            "--dry-run",
            "--data",
        ];
        let rest = [
            table.to_str().unwrap(),
            "--output",
            format,
            "--bind",
            "localhost",
        ];
        let (code, out, error) = said(home.path(), &[&arguments[..], &rest].concat());
        assert_eq!(code, Some(0), "{error}");
        out
    };
    assert_eq!(
        create("csv"),
        "port,host,user,service,bind,table,state,reason\r\n\
         65001,red001,pi,80,localhost,new,-,\r\n65002,red002,pi,80,localhost,new,-,\r\n"
    );
    assert!(
        create("yaml")
            .starts_with("- port: 65001\n  host: \"red001\"\n  user: \"pi\"\n  service: 80\n")
    );
    assert!(create("json").starts_with("[\n  {\n"));
    assert!(create("table").contains(" 65001  red001  pi"));
    // Nothing was made but the empty table.
    assert!(
        !fs::read_to_string(table.join("ports.json"))
            .unwrap()
            .contains("red001")
    );
}
