//! The guides: what they say to type is understood, in each language the same.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::EnvironmentArguments;
use crate::compose;
use crate::config::Surroundings;
use crate::manual::program;

/// Some fingerprint.
const FINGERPRINT: &str = "SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM";
const FOLDER: &str = "../../docs/guide";

/// The pieces of a page between fences that begin with this word.
fn pieces(page: &str, kind: &str) -> Vec<String> {
    let (mut pieces, mut open) = (Vec::new(), None::<(bool, String)>);
    for line in page.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(found), None) => open = Some((found == kind, String::new())),
            (Some(_), Some(_)) => {
                let closed = open.take().filter(|(is_wanted, _)| *is_wanted);
                pieces.extend(closed.map(|(_, text)| text));
            }
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    pieces
}

fn pages() -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(FOLDER).unwrap();
    let pages = entries.map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = pages
        .filter(|path| path.extension().is_some_and(|it| it == "md"))
        .map(|path| (path.clone(), fs::read_to_string(&path).unwrap()))
        .collect();
    pages.sort();
    pages
}

#[test]
fn every_line_of_a_guide_that_is_for_adit_is_understood() {
    let mut count = 0;
    for (page, text) in pages() {
        for line in pieces(&text, "sh").iter().flat_map(|piece| piece.lines()) {
            let typed = line.strip_prefix("sudo ").unwrap_or(line);
            let Some(words) = typed.strip_prefix("adit ") else {
                continue;
            };
            count += 1;
            let words = words.split([';', '|']).next().unwrap();
            let words = words.split(" > ").next().unwrap();
            let words = words.split(" #").next().unwrap().replace('\'', "");
            // What only the reader knows.
            let words = words.replace("SHA256:...", FINGERPRINT);
            let words = std::iter::once("adit").chain(words.split_whitespace());
            if let Err(error) = program().try_get_matches_from(words) {
                panic!("{}: {line}: {error}", page.display());
            }
        }
    }
    assert!(count >= 30, "{count} lines");
}

#[test]
fn a_guide_says_the_same_in_each_language() {
    let mut count = 0;
    for (page, text) in pages() {
        let name = page.file_name().unwrap().to_str().unwrap();
        let Some((first, language)) = name.trim_end_matches(".md").split_once('.') else {
            continue;
        };
        assert!(["ko", "zh-TW"].contains(&language), "{name}");
        count += 1;
        let english = fs::read_to_string(Path::new(FOLDER).join(format!("{first}.md"))).unwrap();
        for kind in ["sh", "yaml", ""] {
            assert_eq!(pieces(&text, kind), pieces(&english, kind), "{name}");
        }
        let headings = |text: &str| text.lines().filter(|line| line.starts_with('#')).count();
        assert_eq!(headings(&text), headings(&english), "{name}");
    }
    assert_eq!(count, 2, "a page in Korean and one in Chinese");
}

#[test]
fn the_tunnel_of_the_device_is_one_that_up_takes() {
    let page = fs::read_to_string(Path::new(FOLDER).join("remote-device.md")).unwrap();
    let [file] = pieces(&page, "yaml").try_into().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adit.yml");
    fs::write(&path, file).unwrap();
    let environment = EnvironmentArguments::default();
    let loaded = compose::load(
        &[path],
        &environment,
        &Surroundings::of_home(folder.path(), None),
    );
    assert_eq!(loaded.unwrap().tunnels.len(), 1);
}
