//! Runs as answers: the task object.

use std::borrow::Cow;

use axum::http::StatusCode;
use axum::response::Response;
use base64ct::{Base64, Encoding as _};
use serde::{Serialize, Serializer};

use super::answer;
use crate::exec::{Interruption, Phase, Report, Status, TaskId};
use crate::expr::{Map, Value};

/// `{"task_id","status","output"?,"error"?,"interrupts"?}`: model-compose's bytes, and whom a run waits
/// for.
#[derive(Debug, Serialize)]
struct Object<'a> {
    task_id: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interrupts: Vec<Interrupt<'a>>,
}

/// Somebody that a run waits for.
#[derive(Debug, Serialize)]
pub(super) struct Interrupt<'a> {
    job_id: &'a str,
    phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Shown<'a>>,
}

/// Where a run stands.
pub(super) fn object(report: &Report) -> Response {
    object_with(StatusCode::OK, report)
}

pub(super) fn object_with(status: StatusCode, report: &Report) -> Response {
    let task = Object {
        task_id: report.task_id.as_str(),
        status: report.status.as_str(),
        output: Shown::unless_null(&report.output),
        error: report.error.as_deref(),
        interrupts: interrupts(report),
    };
    answer::json(status, &task)
}

/// A run that was started and is not waited for.
pub(super) fn started(task: &TaskId) -> Response {
    let task = Object {
        task_id: task.as_str(),
        status: Status::Pending.as_str(),
        output: None,
        error: None,
        interrupts: Vec::new(),
    };
    answer::json(StatusCode::OK, &task)
}

/// Whom a run waits for.
pub(super) fn interrupts(report: &Report) -> Vec<Interrupt<'_>> {
    let interruptions = report.interruptions.iter();
    interruptions.map(Interrupt::of).collect()
}

impl<'a> Interrupt<'a> {
    fn of(interruption: &'a Interruption) -> Self {
        Self {
            job_id: &interruption.job_id,
            phase: match interruption.phase {
                Phase::Before => "before",
                Phase::After => "after",
            },
            message: interruption.message.as_deref(),
            metadata: Shown::unless_null(&interruption.metadata),
        }
    }
}

/// A value as JSON where JSON has no word for all of it: bytes are base64, what is held elsewhere is
/// null.
#[derive(Debug)]
pub(super) struct Shown<'a>(pub(super) &'a Value);

impl<'a> Shown<'a> {
    /// For a key that is left out where there is nothing.
    pub(super) fn unless_null(value: &'a Value) -> Option<Self> {
        (!value.is_null()).then_some(Self(value))
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        plain(self.0).serialize(serializer)
    }
}

/// Recurses at most [`VALUE_DEPTH`](crate::expr::limits::VALUE_DEPTH) times.
fn plain(value: &Value) -> Cow<'_, Value> {
    match value {
        Value::Bytes(bytes) => Cow::Owned(Value::Text(Base64::encode_string(bytes))),
        Value::Handle(_) | Value::Pending(_) => Cow::Owned(Value::Null),
        Value::List(list) => {
            let items = list.iter().map(|item| plain(item).into_owned());
            Cow::Owned(Value::List(items.collect()))
        }
        Value::Map(map) => {
            let entries = map.iter();
            let entries = entries.map(|(key, value)| (key.clone(), plain(value).into_owned()));
            Cow::Owned(Value::Map(entries.collect::<Map>()))
        }
        Value::Null | Value::Boolean(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) => {
            Cow::Borrowed(value)
        }
    }
}
