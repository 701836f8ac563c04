//! The table as a page.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::case::{AtSshd, Case};
use crate::cases;

/// How the page is made.
const COMMAND: &str = "ADIT_WRITE=1 cargo test -p adit --test real_conformance page";

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/conformance.md")
}

fn render() -> String {
    let parts = cases::all();
    let count: usize = parts.iter().map(|(_, cases)| cases.len()).sum();
    let all = || parts.iter().flat_map(|(_, cases)| cases);
    let count_of = |wanted: fn(&AtSshd) -> bool| all().filter(|case| wanted(&case.sshd)).count();
    let same = count_of(|at| matches!(at, AtSshd::Same));
    let differs = count_of(|at| matches!(at, AtSshd::Differs { .. }));
    let mut page = format!(
        "# Stock clients at the gateway and at sshd\n\n\
         Made by `{COMMAND}` from `crates/adit/tests/real_conformance`; do not edit it here. \
         {count} cases, a row for all clients that do one alike: in {same} the gateway does what sshd does, in {differs} something else for the reason given, \
         and {} are of what sshd does not have.\n\n\
         Each case is done by a real client at `adit serve` and at OpenSSH's own sshd 9.2 with \
         `GatewayPorts clientspecified`; what was seen is compared word by word. Clients: ssh 9.2 and \
         10.0, autossh 1.4 with ssh 9.2, asyncssh 2.24, paramiko 5.1.\n",
        count - same - differs
    );
    for (title, cases) in &parts {
        write!(
            page,
            "\n## {title}\n\n| case | of | client | gateway | sshd | why it differs |\n|---|---|---|---|---|---|\n"
        )
        .expect("a string");
        for row in rows(cases) {
            let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
            writeln!(page, "| {} |", cells.join(" | ")).expect("a string");
        }
    }
    page
}

/// The cells of its rows: what several clients do alike is one row.
fn rows(cases: &[Case]) -> Vec<[String; 6]> {
    let mut rows: Vec<[String; 6]> = Vec::new();
    for case in cases {
        let (sshd, why) = match case.sshd {
            AtSshd::Same => ("the same", ""),
            AtSshd::Differs { seen, why } => (seen, why),
            AtSshd::Absent { why } => ("-", why),
        };
        let client = case.client.to_string();
        let row = [&case.name, case.of, &client, &case.gateway, sshd, why].map(str::to_owned);
        let alike = |other: &&mut [String; 6]| (0..6).all(|at| at == 2 || other[at] == row[at]);
        match rows.iter_mut().find(alike) {
            Some(other) => {
                other[2].push_str(", ");
                other[2].push_str(&client);
            }
            None => rows.push(row),
        }
    }
    rows
}

#[test]
fn the_page_is_that_of_the_table() {
    let page = render();
    if std::env::var_os("ADIT_WRITE").is_some() {
        std::fs::write(path(), &page).expect("the page is written");
    }
    let written = std::fs::read_to_string(path()).unwrap_or_default();
    assert!(
        written == page,
        "docs/reference/conformance.md is stale: {COMMAND}"
    );
}

#[test]
fn no_two_cases_have_one_name_and_there_are_enough_of_them() {
    let parts = cases::all();
    let names: Vec<(&str, String)> = parts
        .iter()
        .flat_map(|(_, cases)| cases)
        .map(|case| (case.name.as_str(), case.client.to_string()))
        .collect();
    let different: BTreeSet<_> = names.iter().collect();
    assert_eq!(different.len(), names.len());
}
