//! What a run gave, as it is printed or written into a file.

use adit_flow::expr::Value;
use anyhow::Context as _;

use super::file::Output;
use super::printer::Printer;
use crate::control::conversation::Outcome;

/// Prints what a run gave, or writes it into a file.
///
/// # Errors
///
/// Nobody reads it, or the file cannot be written; then it is as it was.
pub(super) fn give(outcome: &Outcome, file: Option<Output>) -> anyhow::Result<()> {
    let bytes = bytes(outcome)?;
    let Some(mut file) = file else {
        let mut printer = Printer::of_this_process();
        printer.print(&bytes)?;
        return printer.finish();
    };
    file.write(&bytes)?;
    file.finish()
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
    use std::path::Path;

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
        let at = |path: &Path| Some(Output::create(path).unwrap());
        give(&outcome, at(&file)).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "[\n  1\n]\n");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let link = folder.path().join("link");
        symlink(&file, &link).unwrap();
        give(&Outcome::Json(String::from("2")), at(&link)).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "2\n");
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(link.is_symlink());
        give(&outcome, at(Path::new("/dev/null"))).unwrap();
        // One that is never written to leaves nothing, and what was there as it was.
        drop(at(&file));
        drop(at(&folder.path().join("other")));
        assert_eq!(fs::read_to_string(&file).unwrap(), "2\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_place_that_cannot_be_written_to_is_an_error_before_there_is_anything_to_write() {
        let folder = tempfile::tempdir().unwrap();
        for place in ["missing/out", "", ".."] {
            let error = Output::create(&folder.path().join(place)).unwrap_err();
            assert!(error.to_string().starts_with("cannot write "), "{error}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
