//! From bytes to a tree. The grammar is saphyr-parser's; what its events mean is said here.
//!
//! [`build`] says what the events of one document make, [`tag`] what its tags mean.

mod build;
mod tag;

use std::sync::Arc;

use saphyr_parser::{Marker, Parser, ScanError};

use crate::limits;
use crate::node::Document;
use crate::printable::printable;
use crate::problem::{Place, Problem, Problems};
use build::Builder;

/// Reads one YAML document.
///
/// `name` is how messages call the file.
///
/// # Errors
///
/// What is wrong with the file as YAML: not UTF-8, not YAML, over one of the [`limits`], several
/// documents, duplicate keys (each names both places), an unknown tag. All duplicate keys and tags
/// are reported; what leaves the rest without meaning is reported alone.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Document, Problems> {
    let file: Arc<str> = name.into();
    let text = decode(&file, bytes)?;
    let mut builder = Builder::new(Arc::clone(&file));
    let mut parser = Parser::new_from_str(text);
    loop {
        let step = match parser.next_event() {
            Some(Ok((event, span))) => builder.take(event, &place(&file, span.start)),
            Some(Err(error)) => Err(not_yaml(&file, &error)),
            None => return builder.finish(),
        };
        if let Err(problem) = step {
            return Err(builder.fail(problem));
        }
    }
}

/// The text without a byte order mark.
fn decode<'a>(file: &Arc<str>, bytes: &'a [u8]) -> Result<&'a str, Problem> {
    let start = Place {
        file: Arc::clone(file),
        line: 1,
        column: 1,
    };
    if bytes.len() > limits::FILE_BYTES {
        let message = format!("the file is longer than {} bytes", limits::FILE_BYTES);
        return Err(Problem::error(&start, message));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let (good, _) = bytes.split_at(error.valid_up_to());
        let good = String::from_utf8_lossy(good);
        let line = good.split('\n').count();
        let column = good.rsplit('\n').next().unwrap_or_default();
        let place = Place {
            line: number(line),
            column: number(column.chars().count().saturating_add(1)),
            ..start
        };
        Problem::error(&place, "the file is not text in UTF-8 from here on")
            .with_help("save it with the encoding UTF-8")
    })
}

/// A count of a file's lines or columns, which [`limits::FILE_BYTES`] keeps far below the limit.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn place(file: &Arc<str>, marker: Marker) -> Place {
    Place {
        file: Arc::clone(file),
        line: number(marker.line()),
        column: number(marker.col().saturating_add(1)),
    }
}

fn not_yaml(file: &Arc<str>, error: &ScanError) -> Problem {
    let place = place(file, *error.marker());
    let info = error.info();
    let problem = Problem::error(&place, format!("not YAML: {}", printable(info)));
    match HINTS.iter().find(|(words, _)| info.contains(words)) {
        Some((_, help)) => problem.with_help(*help),
        None => problem,
    }
}

/// What usually helps against an error of saphyr-parser with these words in it; the first counts.
const HINTS: [(&str, &str); 8] = [
    ("tabs disallowed", TABS),
    ("a tab", TABS),
    ("tab cannot", TABS),
    (
        "mapping values are not allowed",
        "text with \": \" in it needs quotes, and keys of one mapping one indentation",
    ),
    (
        "flow",
        "text with {, }, [, ] or a comma in it needs quotes in a list or mapping of one line",
    ),
    ("unknown anchor", "text that begins with * needs quotes"),
    (
        "unexpected character",
        "text that begins with @, ` or % needs quotes",
    ),
    (
        "unknown escape",
        "in double quotes \\ stands for itself only as \\\\; single quotes take it as it is",
    ),
];

const TABS: &str = "indent with spaces, not with tabs";

#[cfg(test)]
mod tests;
