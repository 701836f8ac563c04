//! The input of a run: what stands on the command line, in a file, or on standard input.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use adit_flow::expr::{JsonError, Value};
use anyhow::Context as _;

use crate::control::INPUT;

/// Why an input is none.
#[derive(Debug)]
pub(super) enum Refused {
    /// It has more than [`INPUT`] bytes. How many a pipe has would be known at its end, which may never come.
    Long { bytes: Option<u64> },
    /// It is not UTF-8.
    Bytes,
    /// It is no JSON, or has a key twice.
    Json(JsonError),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Long { bytes: Some(bytes) } => write!(
                f,
                "the input has {bytes} bytes, and {INPUT} (16 MiB) are the most"
            ),
            Self::Long { bytes: None } => write!(
                f,
                "the input has more than {INPUT} bytes (16 MiB), which are the most"
            ),
            Self::Bytes => f.write_str("the input is no text: it has bytes that are not UTF-8"),
            Self::Json(error) => write!(f, "invalid JSON for --input: {error}"),
        }
    }
}

/// The input that an argument is, or leads to: JSON, in which no object has a key twice.
///
/// # Errors
///
/// It cannot be read.
pub(super) fn read(argument: &str) -> anyhow::Result<Result<String, Refused>> {
    let read = match argument.strip_prefix('@') {
        Some(file) => {
            let opened = File::open(file).and_then(|opened| {
                // A pipe has no length.
                let length = Some(opened.metadata()?.len()).filter(|bytes| *bytes > MOST);
                text(opened, length)
            });
            opened.with_context(|| format!("cannot read {file}"))?
        }
        None if argument == "-" => text(io::stdin(), None).context("cannot read standard input")?,
        None => Ok(argument.to_owned()),
    };
    Ok(read.and_then(|text| {
        Value::from_json_without_repeats(text.as_bytes()).map_err(Refused::Json)?;
        Ok(text)
    }))
}

/// All of it, unless it is too long, which is then known of a file.
fn text(reader: impl Read, length: Option<u64>) -> io::Result<Result<String, Refused>> {
    let mut bytes = Vec::new();
    reader
        .take(MOST.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() > INPUT {
        return Ok(Err(Refused::Long { bytes: length }));
    }
    Ok(String::from_utf8(bytes).map_err(|_| Refused::Bytes))
}

/// [`INPUT`], as files have their lengths.
const MOST: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_are_the_same() {
        assert_eq!(usize::try_from(MOST), Ok(INPUT));
    }

    #[test]
    fn what_is_too_long_is_told_with_its_length_and_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("input");
        let argument = format!("@{}", file.display());
        let said = |argument: &str| read(argument).unwrap().map_err(|error| error.to_string());
        let most = format!("\"{}\"", "x".repeat(INPUT - 2));
        std::fs::write(&file, &most).unwrap();
        assert_eq!(said(&argument), Ok(most));
        File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_len(MOST + 5)
            .unwrap();
        let words = "the input has 16777221 bytes, and 16777216 (16 MiB) are the most";
        assert_eq!(said(&argument), Err(String::from(words)));
        let error = text(io::repeat(b'x'), None)
            .unwrap()
            .unwrap_err()
            .to_string();
        let words = "the input has more than 16777216 bytes (16 MiB), which are the most";
        assert_eq!(error, words);
        std::fs::write(&file, b"\"\xff\"").unwrap();
        assert!(said(&argument).unwrap_err().contains("not UTF-8"));
        assert!(read("@").is_err());
    }

    #[test]
    fn an_input_with_a_key_twice_is_refused_with_the_key() {
        for (input, key) in [
            (r#"{"a": 1, "b": 2, "a": 3}"#, Some("\"a\"")),
            (
                r#"{"x": [{"in": {"k\u001b": 1, "k\u001b": 1}}]}"#,
                Some("\"k\\u{1b}\""),
            ),
            (r#"{"a": {"b": 1}, "b": {"a": 1}}"#, None),
        ] {
            match (read(input).unwrap(), key) {
                (Ok(_), None) => {}
                (Err(error), Some(key)) => {
                    let error = error.to_string();
                    assert!(error.contains(&format!("{key} is there twice")), "{error}");
                }
                (read, _) => panic!("{input}: {read:?}"),
            }
        }
    }
}
