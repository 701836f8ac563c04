//! What is wrong with a body, as whoever sent it is told.

use super::ContentError;

/// `Invalid request body: Expecting value: line 1 column 1 (char 0)`: what model-compose answers, whose JSON
/// is read by Python's reader. `bytes` are the body.
pub(crate) fn invalid(error: &ContentError, bytes: &[u8]) -> String {
    let words = error.to_string();
    let reworded = match error {
        ContentError::Json(_) => reworded(&words, bytes),
        ContentError::Fields
        | ContentError::Depth
        | ContentError::Conflict
        | ContentError::Multipart => None,
    };
    format!("Invalid request body: {}", reworded.unwrap_or(words))
}

/// An error of the JSON reader, in the words of Python's: `Expecting value: line 1 column 1 (char 0)`.
fn reworded(error: &str, bytes: &[u8]) -> Option<String> {
    let (message, place) = error.rsplit_once(" at line ")?;
    let (line, column) = place.split_once(" column ")?;
    let (line, column): (usize, usize) = (line.parse().ok()?, column.parse().ok()?);
    let is_end = message.starts_with("EOF");
    let message = match message {
        "key must be a string" | "trailing comma" => {
            "Expecting property name enclosed in double quotes"
        }
        "expected value" | "EOF while parsing a value" => "Expecting value",
        "expected `:`" => "Expecting ':' delimiter",
        "expected `,` or `}`"
        | "expected `,` or `]`"
        | "EOF while parsing an object"
        | "EOF while parsing a list" => "Expecting ',' delimiter",
        "trailing characters" => "Extra data",
        "EOF while parsing a string" => "Unterminated string",
        other => other,
    };
    let before = bytes.split(|byte| *byte == b'\n');
    let before = before.take(line.saturating_sub(1));
    let before: usize = before.map(|line| line.len().saturating_add(1)).sum();
    // At the end the reader names the last character, and Python the one that is missing.
    let column = column.saturating_add(usize::from(is_end));
    let character = before.saturating_add(column.saturating_sub(1));
    Some(format!(
        "{message}: line {line} column {column} (char {character})"
    ))
}
