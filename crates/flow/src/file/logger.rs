//! `logger:`.

use std::path::PathBuf;

use adit_text::{Node, Problems};

use super::Grammar;
use crate::model::logger::{Level, Logger};

/// Where a logger writes that names no file.
const PATH: &str = "./logs/run.log";

#[derive(Clone, Copy)]
enum Kind {
    Console,
    File,
}

pub(super) fn read(node: &Node, grammar: Grammar<'_>, problems: &mut Problems) -> Option<Logger> {
    let mut fields = node.fields(problems)?;
    let kinds = [("console", Kind::Console), ("file", Kind::File)];
    let kind = fields.required("type", |node, problems| node.choice(&kinds, problems));
    let level = fields.choice(
        "level",
        &[
            ("debug", Level::Debug),
            ("info", Level::Info),
            ("warning", Level::Warning),
            ("error", Level::Error),
            ("critical", Level::Critical),
        ],
    );
    let file = match kind {
        Some(Kind::File) => {
            let path = fields.path("path");
            Some(path.unwrap_or_else(|| PathBuf::from(PATH)))
        }
        Some(Kind::Console) | None => None,
    };
    grammar.finish(fields);
    kind?;
    Some(Logger {
        level: level.unwrap_or(Level::Info),
        file,
    })
}
