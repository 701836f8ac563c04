//! Messages: what is asked, done, and said.

use std::sync::Arc;

use axum::http::StatusCode;
use serde::Serialize;

use super::subscriptions::Subscriptions;
use crate::controller::api::{Api, Denied};
use crate::controller::follow::Follower;
use crate::controller::progress::Progress;
use crate::controller::request::{self, ResumeRequest, text};
use crate::exec::Report;
use crate::expr::{Map, Value};
use crate::model::DEFAULT;

/// What came of a message.
pub(super) enum Outcome {
    Started(String),
    Report(Arc<Report>),
    Pong,
    Done,
}

/// An answer or a report, with the id that was asked with.
#[derive(Serialize)]
pub(super) struct Envelope<'a> {
    #[serde(flatten)]
    pub(super) said: Said<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a Value>,
}

/// What we say.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Said<'a> {
    Started {
        task_id: &'a str,
    },
    Report {
        #[serde(flatten)]
        report: Progress<'a>,
    },
    Done,
    Pong,
    Error {
        status: u16,
        detail: &'a str,
    },
}

/// What a message is, if it is one.
pub(super) fn object(message: Value) -> Result<Map, Denied> {
    request::object(message).map_err(bad_request)
}

/// Does what a message asks.
pub(super) fn done(
    api: &Api,
    subscriptions: &mut Subscriptions,
    mut asked: Map,
) -> Result<Outcome, Denied> {
    let kind = said(&mut asked, "type")?;
    match kind.as_str() {
        "ping" => return Ok(Outcome::Pong),
        "run" => {
            let workflow = text(&mut asked, "workflow_id").map_err(bad_request)?;
            let workflow = workflow.unwrap_or_else(|| DEFAULT.to_owned());
            let input = asked.shift_remove("input").unwrap_or_default();
            subscriptions.ensure_room()?;
            let task = api.start(&workflow, input)?;
            let task_id = task.as_str().to_owned();
            let follower = Follower::new(api.watch(&task_id)?);
            subscriptions.add(task_id.clone(), follower);
            return Ok(Outcome::Started(task_id));
        }
        _ => {}
    }
    let task_id = said(&mut asked, "task_id")?;
    match kind.as_str() {
        "subscribe" => {
            subscriptions.ensure_room()?;
            let mut follower = Follower::new(api.watch(&task_id)?);
            let report = follower.tell();
            if !follower.is_over() {
                subscriptions.add(task_id, follower);
            }
            Ok(Outcome::Report(report))
        }
        "unsubscribe" => {
            subscriptions.remove(&task_id);
            Ok(Outcome::Done)
        }
        "get" => api.report(&task_id).map(Outcome::Report),
        "resume" => {
            let request = ResumeRequest::read(Value::Map(asked)).map_err(bad_request)?;
            api.go_on(&task_id, request).map(|()| Outcome::Done)
        }
        "cancel" => api.stop(&task_id).map(|()| Outcome::Done),
        _ => Err(bad_request("Unknown type.".to_owned())),
    }
}

fn said(asked: &mut Map, key: &str) -> Result<String, Denied> {
    let said = text(asked, key).map_err(bad_request)?;
    said.ok_or_else(|| bad_request(format!("{key} is missing.")))
}

fn bad_request(detail: String) -> Denied {
    Denied::new(StatusCode::BAD_REQUEST, detail)
}
