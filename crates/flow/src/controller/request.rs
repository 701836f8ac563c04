//! What a request for a run says.

use crate::expr::{Map, Value};
use crate::model::DEFAULT;

/// A request for a run.
#[derive(Debug, PartialEq)]
pub(super) struct RunRequest {
    pub(super) workflow_id: String,
    pub(super) input: Value,
    pub(super) wait: Wait,
}

/// When a request for a run is answered, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// At once, with the run's id.
    Not,
    /// When the run has ended, with where it stands.
    ForTask,
    /// When the run has ended, with what it gave.
    ForOutput,
}

/// A request that lets a job go on.
#[derive(Debug, PartialEq)]
pub(super) struct ResumeRequest {
    pub(super) job_id: String,
    pub(super) answer: Option<Value>,
}

impl RunRequest {
    /// Reads a body. Keys that model-compose has and adit does not are passed over, but for one that
    /// somebody would wait for.
    pub(super) fn read(body: Value) -> Result<Self, String> {
        let mut body = object(body)?;
        if present(&body, "callback_url") {
            return Err("callback_url is not supported.".to_owned());
        }
        let workflow_id = text(&mut body, "workflow_id")?;
        let waits = boolean(&body, "wait_for_completion")?.unwrap_or(true);
        let wants_output = boolean(&body, "output_only")?.unwrap_or(false);
        let wait = match (waits, wants_output) {
            (true, false) => Wait::ForTask,
            (true, true) => Wait::ForOutput,
            (false, false) => Wait::Not,
            (false, true) => {
                return Err("output_only requires wait_for_completion=true.".to_owned());
            }
        };
        Ok(Self {
            workflow_id: workflow_id.unwrap_or_else(|| DEFAULT.to_owned()),
            input: body.shift_remove("input").unwrap_or_default(),
            wait,
        })
    }
}

impl ResumeRequest {
    pub(super) fn read(body: Value) -> Result<Self, String> {
        let mut body = object(body)?;
        let Some(job_id) = text(&mut body, "job_id")? else {
            return Err("Invalid request body: job_id is missing".to_owned());
        };
        let answer = body.shift_remove("answer").filter(|it| !it.is_null());
        Ok(Self { job_id, answer })
    }
}

pub(super) fn object(body: Value) -> Result<Map, String> {
    if let Value::Map(map) = body {
        return Ok(map);
    }
    let found = body.kind();
    Err(format!(
        "Invalid request body: wanted an object, got {found}"
    ))
}

fn present(body: &Map, key: &str) -> bool {
    body.get(key).is_some_and(|value| !value.is_null())
}

/// A text, if there is one.
pub(super) fn text(body: &mut Map, key: &str) -> Result<Option<String>, String> {
    let value = body.shift_remove(key).unwrap_or_default();
    match value.as_text() {
        Some(text) => Ok(Some(text.to_owned())),
        None if value.is_null() => Ok(None),
        None => Err(wrong(key, "a string", &value)),
    }
}

/// A boolean, if there is one: JSON's, or one of the words that model-compose takes.
pub(super) fn boolean(body: &Map, key: &str) -> Result<Option<bool>, String> {
    match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match truth(value) {
            Some(truth) => Ok(Some(truth)),
            None => Err(wrong(key, "a boolean", value)),
        },
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Boolean(truth) => Some(*truth),
        Value::Integer(0) => Some(false),
        Value::Integer(1) => Some(true),
        Value::Text(text) => word(text),
        Value::Null
        | Value::Integer(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Map(_)
        | Value::Bytes(_)
        | Value::Handle(_)
        | Value::Pending(_) => None,
    }
}

/// What a word of a form or a query means.
pub(super) fn word(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "y" | "t" => Some(true),
        "false" | "0" | "no" | "off" | "n" | "f" => Some(false),
        _ => None,
    }
}

fn wrong(key: &str, wanted: &str, found: &Value) -> String {
    let found = found.kind();
    format!("Invalid request body: {key} is {wanted}, got {found}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<RunRequest, String> {
        RunRequest::read(Value::from_json(json.as_bytes()).unwrap())
    }

    #[test]
    fn a_request_says_which_workflow_and_when_to_answer() {
        for (json, workflow_id, wait) in [
            ("{}", DEFAULT, Wait::ForTask),
            (r#"{"workflow_id": null}"#, DEFAULT, Wait::ForTask),
            (r#"{"workflow_id": "a"}"#, "a", Wait::ForTask),
            (r#"{"output_only": "yes"}"#, DEFAULT, Wait::ForOutput),
            (r#"{"wait_for_completion": "False"}"#, DEFAULT, Wait::Not),
            (r#"{"wait_for_completion": 0}"#, DEFAULT, Wait::Not),
            (
                r#"{"session_id": "s", "metadata": {}}"#,
                DEFAULT,
                Wait::ForTask,
            ),
        ] {
            let request = read(json).unwrap();
            assert_eq!(request.workflow_id, workflow_id, "{json}");
            assert_eq!(request.wait, wait, "{json}");
        }
    }

    #[test]
    fn a_request_that_cannot_be_meant_says_why() {
        for (json, reason) in [
            ("[]", "Invalid request body: wanted an object, got list"),
            (
                r#"{"workflow_id": 7}"#,
                "Invalid request body: workflow_id is a string, got integer",
            ),
            (
                r#"{"output_only": "maybe"}"#,
                "Invalid request body: output_only is a boolean, got string",
            ),
            (
                r#"{"output_only": true, "wait_for_completion": false}"#,
                "output_only requires wait_for_completion=true.",
            ),
            (
                r#"{"callback_url": "http://x"}"#,
                "callback_url is not supported.",
            ),
        ] {
            assert_eq!(read(json).unwrap_err(), reason, "{json}");
        }
    }

    #[test]
    fn an_answer_that_is_null_is_none() {
        let read = |json: &str| ResumeRequest::read(Value::from_json(json.as_bytes()).unwrap());
        let request = read(r#"{"job_id": "j", "answer": null}"#).unwrap();
        assert_eq!(request.answer, None);
        let request = read(r#"{"job_id": "j", "answer": false}"#).unwrap();
        assert_eq!(request.answer, Some(Value::Boolean(false)));
        assert_eq!(
            read("{}").unwrap_err(),
            "Invalid request body: job_id is missing"
        );
    }
}
