//! The words behind a command's name, for commands that take names only.

use anyhow::bail;

/// Refuses words that look like options.
pub(crate) fn names(words: &[String]) -> anyhow::Result<&[String]> {
    match words.iter().find(|word| word.starts_with('-')) {
        Some(flag) => bail!("unknown argument: {flag}"),
        None => Ok(words),
    }
}
