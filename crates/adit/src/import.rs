//! Files of other programs, and what says the same to adit.
//!
//! Nothing of a file is run, expanded or followed (security rule G111), no secret of it is printed (G112), and nothing
//! gets more rights by it than it had (G110): what restricts an entry and has no like here leaves the entry out.
//! Whatever is not brought over is told with its line.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::cli::ImportKind;

mod authorized_keys;
mod autossh;
mod document;
mod frp;
mod rathole;
#[cfg(test)]
mod tests;
mod tunnels;

/// Most bytes of a file (security rule G111).
const FILE: u64 = 1 << 20;

/// What became of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Imported {
    /// What says the same, for a file of adit's.
    pub(crate) text: String,
    /// What has no like here, in the order of its lines.
    pub(crate) left: Vec<Left>,
}

/// Something that was not brought over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left {
    /// Its line, from 1.
    pub(crate) line: usize,
    /// What it is, without its value.
    pub(crate) what: String,
    /// Why, and what to do.
    pub(crate) why: String,
}

/// Reads a file of that kind.
///
/// # Errors
///
/// It cannot be read, is too large or no text, or its form is not that of its kind.
pub(crate) fn read(kind: ImportKind, file: &Path) -> anyhow::Result<Imported> {
    let shown = file.display();
    let text = text(file).with_context(|| format!("cannot read {shown}"))?;
    import(kind, &text).with_context(|| format!("cannot use {shown}"))
}

fn import(kind: ImportKind, text: &str) -> anyhow::Result<Imported> {
    let mut imported = match kind {
        ImportKind::AuthorizedKeys => authorized_keys::import(text)?,
        ImportKind::Frp => frp::import(text)?,
        ImportKind::Rathole => rathole::import(text)?,
        ImportKind::AutosshUnit => autossh::import(text),
    };
    imported.left.sort_by_key(|left| left.line);
    Ok(imported)
}

fn text(file: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        io::stdin()
            .take(FILE.saturating_add(1))
            .read_to_end(&mut bytes)?;
    } else {
        let opened = File::open(file)?;
        ensure!(opened.metadata()?.is_file(), "it is no regular file");
        opened
            .take(FILE.saturating_add(1))
            .read_to_end(&mut bytes)?;
    }
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    ensure!(length <= FILE, "it is larger than 1 MiB");
    String::from_utf8(bytes).ok().context("it is no UTF-8 text")
}

impl Imported {
    fn leave(&mut self, line: usize, what: &str, why: &str) {
        self.left.push(Left {
            line,
            what: String::from(what),
            why: String::from(why),
        });
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, what, why } = self;
        if what.is_empty() {
            return write!(f, "line {line}: {why}");
        }
        write!(f, "line {line}: {}: {why}", clean(what))
    }
}

/// A file's words as they may be shown: without what a terminal would obey.
fn clean(text: &str) -> String {
    let shown = text.chars().take(200);
    shown
        .flat_map(char::escape_debug)
        .collect::<String>()
        .replace("\\'", "'")
        .replace("\\\"", "\"")
}
