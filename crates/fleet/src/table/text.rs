//! A table as it is kept in a file.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{ENTRIES, Entry, Table};

/// Version of what is written.
const VERSION: u32 = 1;

/// A file's contents.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    entries: Vec<Entry>,
}

/// Why a text is no table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// It is not written as tables are.
    #[error("it is no table of ports")]
    Syntax(#[from] serde_json::Error),
    /// A newer adit has written it.
    #[error("its version is {0}, and this adit knows {VERSION}")]
    Version(u32),
    /// Two entries have one port, or one host and service.
    #[error("two entries have port {0}, or are of one service")]
    Twice(u16),
    /// More than a table holds.
    #[error("it has {0} entries, and {ENTRIES} are the most")]
    TooMany(usize),
    /// An entry has no port.
    #[error("port 0 is no port")]
    Zero,
}

impl Table {
    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    ///
    /// It is something else, or not in order.
    pub fn from_json(text: &str) -> Result<Self, TextError> {
        let Document { version, entries } = serde_json::from_str(text)?;
        if version != VERSION {
            return Err(TextError::Version(version));
        }
        Self::of(entries)
    }

    /// A table of these entries.
    ///
    /// # Errors
    ///
    /// There are too many, or two are of one service or port.
    pub fn of(entries: Vec<Entry>) -> Result<Self, TextError> {
        if entries.len() > ENTRIES {
            return Err(TextError::TooMany(entries.len()));
        }
        let (mut ports, mut keys) = (HashSet::new(), HashSet::new());
        for entry in &entries {
            if entry.port == 0 || entry.service.port == 0 {
                return Err(TextError::Zero);
            }
            if !ports.insert(entry.port) || !keys.insert(entry.key()) {
                return Err(TextError::Twice(entry.port));
            }
        }
        Ok(Self { entries })
    }

    /// The table as text, with a newline at its end.
    pub fn to_json(&self) -> String {
        let document = Document {
            version: VERSION,
            entries: self.entries.clone(),
        };
        // Nothing of it can fail to be written.
        let text = serde_json::to_string_pretty(&document);
        text.unwrap_or_default() + "\n"
    }
}
