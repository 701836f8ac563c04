//! Blocks in a file: found, replaced and taken away between bytes that are not ours.

use std::fmt::Write as _;
use std::ops::Range;

use super::{BEGIN, Block, END};
use crate::host::HostName;

/// Why a file is left as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct FileError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: FileFault,
}

/// What is wrong with a line of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileFault {
    /// It begins a block that does not end.
    #[error("this begins the block of {0}, and nothing ends it")]
    Endless(HostName),
    /// It begins a block in another.
    #[error("this begins a block within that of {0}, which has not ended")]
    Nested(HostName),
    /// It ends a block that did not begin.
    #[error("this ends the block of {0}, which has not begun")]
    Beginless(HostName),
    /// A second block of a manager.
    #[error("{0} has a block already, from line {1}")]
    Twice(HostName, usize),
    /// It looks like one of ours and is none.
    #[error("this marks a block of adit's, and names no manager")]
    Nameless,
}

/// The file with that block in it: in the place of the manager's own, or at the top.
///
/// # Errors
/// A block of the file is broken.
pub fn write(file: &[u8], block: &Block) -> Result<Vec<u8>, FileError> {
    let mut text = String::new();
    // A string takes all that is written to it.
    write!(text, "{block}").ok();
    let at = find(file, &block.manager)?.unwrap_or(0..0);
    Ok(spliced(file, at, text.as_bytes()))
}

/// The file without that manager's block; `None` if it has none.
///
/// # Errors
/// A block of the file is broken.
pub fn remove(file: &[u8], manager: &HostName) -> Result<Option<Vec<u8>>, FileError> {
    Ok(find(file, manager)?.map(|at| spliced(file, at, b"")))
}

fn spliced(file: &[u8], at: Range<usize>, text: &[u8]) -> Vec<u8> {
    let before = file.get(..at.start).unwrap_or_default();
    let after = file.get(at.end..).unwrap_or_default();
    [before, text, after].concat()
}

fn find(file: &[u8], manager: &HostName) -> Result<Option<Range<usize>>, FileError> {
    let blocks = blocks(file)?;
    Ok(blocks
        .into_iter()
        .find(|(name, _)| name == manager)
        .map(|(_, at)| at))
}

/// The managers that have a block in the file, in its order, each with the bytes of it.
///
/// # Errors
/// A block is broken.
pub fn blocks(file: &[u8]) -> Result<Vec<(HostName, Range<usize>)>, FileError> {
    let mut blocks: Vec<(HostName, Range<usize>)> = Vec::new();
    let mut lines_of: Vec<usize> = Vec::new();
    let mut open: Option<(HostName, usize, usize)> = None;
    let mut end = 0_usize;
    for (line, bytes) in (1..).zip(file.split_inclusive(|byte| *byte == b'\n')) {
        let start = end;
        end = end.saturating_add(bytes.len());
        let wrong = |fault| Err(FileError { line, fault });
        match (mark(bytes), open.take()) {
            (None, was) => open = was,
            (Some(Mark::Nameless), _) => return wrong(FileFault::Nameless),
            (Some(Mark::Begin(_)), Some((name, ..))) => return wrong(FileFault::Nested(name)),
            (Some(Mark::Begin(name)), None) => {
                let mut before = blocks.iter().zip(&lines_of);
                if let Some((_, first)) = before.find(|((there, _), _)| *there == name) {
                    return wrong(FileFault::Twice(name, *first));
                }
                open = Some((name, start, line));
            }
            (Some(Mark::End(name)), Some((begun, from, first))) if name == begun => {
                blocks.push((begun, from..end));
                lines_of.push(first);
            }
            (Some(Mark::End(name)), _) => return wrong(FileFault::Beginless(name)),
        }
    }
    match open {
        Some((name, _, line)) => Err(FileError {
            line,
            fault: FileFault::Endless(name),
        }),
        None => Ok(blocks),
    }
}

enum Mark {
    Begin(HostName),
    End(HostName),
    Nameless,
}

fn mark(line: &[u8]) -> Option<Mark> {
    let line = line.trim_ascii();
    let is_begin = line.starts_with(BEGIN[0].trim_end().as_bytes());
    let is_end = line.starts_with(END[0].trim_end().as_bytes());
    let [before, after] = match (is_begin, is_end) {
        (true, _) => BEGIN,
        (false, true) => END,
        (false, false) => return None,
    };
    let name = str::from_utf8(line).ok();
    let name = name.and_then(|line| line.strip_prefix(before)?.strip_suffix(after));
    Some(match name.and_then(|name| name.parse().ok()) {
        Some(name) if is_begin => Mark::Begin(name),
        Some(name) => Mark::End(name),
        None => Mark::Nameless,
    })
}
