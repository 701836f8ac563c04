//! What a run gave, as it is printed or written into a file.

use std::io::{self, Write as _};
use std::path::Path;

use adit_flow::expr::Value;
use anyhow::Context as _;

use super::file::Output;
use crate::control::conversation::Outcome;

/// Prints what a run gave, or writes it into a file.
///
/// # Errors
///
/// Nobody reads it, or the file cannot be written; then it is as it was.
pub(super) fn give(outcome: &Outcome, file: Option<&Path>) -> anyhow::Result<()> {
    let bytes = bytes(outcome)?;
    if let Some(file) = file {
        let written = Output::create(file).and_then(|mut output| {
            output.write(&bytes)?;
            output.finish()
        });
        return written.with_context(|| format!("cannot write {}", file.display()));
    }
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(&bytes).and_then(|()| stdout.flush());
    written.context("cannot print the result")
}

/// Text as it is and all else as JSON, in a line of its own or several; bytes as they are; of nothing,
/// nothing.
fn bytes(outcome: &Outcome) -> anyhow::Result<Vec<u8>> {
    let json = match outcome {
        Outcome::Nothing => return Ok(Vec::new()),
        Outcome::Bytes(bytes) => return Ok(bytes.clone()),
        Outcome::Json(json) => json,
    };
    let value = Value::from_json(json.as_bytes()).context("the result is not understood")?;
    if value.is_null() {
        return Ok(Vec::new());
    }
    let mut text = match value.as_text() {
        Some(text) => text.to_owned(),
        None => serde_json::to_string_pretty(&value).context("the result is not understood")?,
    };
    text.push('\n');
    Ok(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn shown(json: &str) -> String {
        let bytes = bytes(&Outcome::Json(json.to_owned())).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_result_is_printed_as_people_read_it() {
        for (json, expected) in [
            (
                r#"{"task_id":"x","result":{"b":"안녕","a":[1,2.5]}}"#,
                "{\n  \"task_id\": \"x\",\n  \"result\": {\n    \"b\": \"안녕\",\n    \"a\": [\n      1,\n      2.5\n    ]\n  }\n}\n",
            ),
            (r#""HELLO\nWORLD""#, "HELLO\nWORLD\n"),
            ("true", "true\n"),
            ("3", "3\n"),
            ("null", ""),
            ("[]", "[]\n"),
        ] {
            assert_eq!(shown(json), expected);
        }
        assert_eq!(bytes(&Outcome::Nothing).unwrap(), b"");
        assert_eq!(bytes(&Outcome::Bytes(vec![0, 255])).unwrap(), [0, 255]);
    }

    #[test]
    fn a_file_is_written_whole_where_the_link_leads_with_the_rights_that_it_had() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out.json");
        let outcome = Outcome::Json(String::from("[1]"));
        give(&outcome, Some(&file)).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "[\n  1\n]\n");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let link = folder.path().join("link");
        symlink(&file, &link).unwrap();
        give(&Outcome::Json(String::from("2")), Some(&link)).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "2\n");
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(link.is_symlink());
        give(&outcome, Some(Path::new("/dev/null"))).unwrap();
        let nowhere = folder.path().join("missing/out");
        let error = give(&outcome, Some(&nowhere)).unwrap_err();
        assert!(error.to_string().starts_with("cannot write "), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
