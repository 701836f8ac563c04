//! Bodies of requests for something to be done: JSON and forms, and no others.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};

use super::api::Denied;
use crate::body::{self, Allowance, Keys, Kind, Room};
use crate::expr::Value;

/// Reads a body as its `Content-Type` says.
///
/// # Cancel safety
///
/// What was read is lost.
pub(super) async fn read(headers: &HeaderMap, body: Body, room: &Room) -> Result<Value, Denied> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.map(|kind| kind.to_str().unwrap_or(UNREADABLE));
    let (bytes, within) = match Kind::of(kind) {
        Kind::Json | Kind::Form => (BODY_BYTES, body::WITHIN),
        Kind::Multipart => (UPLOAD_BYTES, UPLOAD_TIME),
        Kind::Missing => return Err(bad("Missing or empty Content-Type header.".to_owned())),
        Kind::Text | Kind::Other => {
            let kind = kind.and_then(|kind| kind.split(';').next());
            let kind: String = kind
                .unwrap_or_default()
                .trim()
                .chars()
                .take(SHOWN)
                .collect();
            return Err(bad(format!("Unsupported Content-Type: {kind}")));
        }
    };
    let allowance = Allowance {
        bytes,
        within,
        room,
    };
    let received = body::receive(body, allowance).await.map_err(|error| {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Denied::new(status, format!("Invalid request body: {error}"))
    })?;
    let bytes = received.bytes();
    let read = body::read(kind, bytes.clone(), Keys::Nested).await;
    read.map_err(|error| bad(body::invalid(&error, bytes)))
}

/// Reads JSON of a message.
pub(super) fn json(bytes: &[u8]) -> Result<Value, Denied> {
    Value::from_json(bytes).map_err(|error| bad(body::invalid(&error.into(), bytes)))
}

fn bad(detail: String) -> Denied {
    Denied::new(StatusCode::BAD_REQUEST, detail)
}

/// Stands for a type that is no text; no type has it.
const UNREADABLE: &str = "?";
/// Most bytes of JSON and of a form (security rule G89).
const BODY_BYTES: u64 = 1 << 20;
/// Most bytes of a form with files: a photograph or some minutes of speech.
const UPLOAD_BYTES: u64 = 16 << 20;
/// Within this a form with files has come: 16 MiB at 1 Mbit/s take as long.
const UPLOAD_TIME: Duration = Duration::from_secs(135);
/// How much of a content type that nobody knows is shown again.
const SHOWN: usize = 100;

#[cfg(test)]
mod tests;
