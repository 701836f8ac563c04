//! The table as a page.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::Seen;
use super::cases::{Case, Said};

/// How the page is made.
const COMMAND: &str = "ADIT_WRITE=1 cargo test -p adit-edge --test names g67_smuggling_table";

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/http-abuse.md")
}

fn render(rows: &[(Case, Seen, Seen)]) -> String {
    let unsafe_at = |of: fn(&(Case, Seen, Seen)) -> &Seen| {
        let smuggled = |row: &&(Case, Seen, Seen)| {
            let seen = of(row);
            let came = |it: &String| it.starts_with("GET /smuggled");
            seen.requests.iter().any(came) || !seen.is_clean
        };
        rows.iter().filter(smuggled).count()
    };
    let mut page = format!(
        "# Abuse of HTTP at the edge and at nginx\n\n\
         Made by `{COMMAND}` from `crates/edge/tests/names/real`; do not edit it here.\n\n\
         {} things that a visitor may say, each said on a connection of its own to the edge and to nginx 1.22 (Debian 12) in front of a service that \
         writes down what it got. *Answers* are the statuses, in order; `closed` is an end without a word, and of \
         HTTP/2 what is said of the stream, of the next one and of the connection. *Came through* is what the service \
         read: method, target, the fields that frame the request, the body, and whatever else it should not have had. \
         Behind each case somebody else asks for something, and is answered it. A request that was hidden in another one came through in {} cases here and in \
         {} at nginx.\n\n\
         nginx is told to serve visitors who have said all (`proxy_ignore_client_abort`), to keep connections to the service, \
         and to pass `$host` and `$proxy_add_x_forwarded_for`, which appends to what the visitor says.\n",
        rows.len(),
        unsafe_at(|row| &row.1),
        unsafe_at(|row| &row.2),
    );
    let mut group = "";
    for (case, ours, theirs) in rows {
        if case.group != group {
            group = case.group;
            write!(
                page,
                "\n## {group}\n\n| said | answers | came through | nginx answers | came through nginx |\n|---|---|---|---|---|\n"
            )
            .unwrap();
        }
        let name = match case.said {
            Said::Bytes(_) | Said::Frames(_) => &case.name,
        };
        writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            cell(name),
            ours.answers,
            through(ours),
            theirs.answers,
            through(theirs)
        )
        .unwrap();
    }
    page
}

fn through(seen: &Seen) -> String {
    let mut all: Vec<String> = seen.requests.iter().map(|it| cell(it)).collect();
    if !seen.is_clean {
        all.push(String::from("**the next visitor's answer was another's**"));
    }
    if all.is_empty() {
        return String::from("nothing");
    }
    all.join("; ")
}

fn cell(text: &str) -> String {
    let mut cell = String::new();
    for character in text.chars() {
        match character {
            '|' => cell.push_str("\\|"),
            '<' => cell.push_str("&lt;"),
            '*' => cell.push_str("\\*"),
            '_' => cell.push_str("\\_"),
            character if character.is_control() => {
                write!(cell, "{}", character.escape_default()).unwrap();
            }
            character => cell.push(character),
        }
    }
    cell
}

/// Fails where the page is not what was seen.
pub(super) fn compare(rows: &[(Case, Seen, Seen)]) {
    let page = render(rows);
    if std::env::var_os("ADIT_WRITE").is_some() {
        std::fs::write(path(), &page).unwrap();
    }
    let written = std::fs::read_to_string(path()).unwrap_or_default();
    let differs = page
        .lines()
        .zip(written.lines())
        .find(|(is, was)| is != was);
    assert!(
        page == written,
        "docs/reference/http-abuse.md is stale: {COMMAND}\\n{differs:#?}"
    );
}
