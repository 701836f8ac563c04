//! Answers, with the headers that each has.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use tracing::error;

#[derive(Serialize)]
struct Detail<'a> {
    detail: &'a str,
}

/// Compact JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(json) => of(status, JSON, Body::from(json)),
        Err(error) => {
            error!(%error, "an answer cannot be written as JSON");
            let json = r#"{"detail":"Internal Server Error"}"#;
            of(StatusCode::INTERNAL_SERVER_ERROR, JSON, Body::from(json))
        }
    }
}

/// `{"detail":"…"}`.
pub(super) fn detail(status: StatusCode, detail: &str) -> Response {
    json(status, &Detail { detail })
}

/// Plain text.
pub(super) fn text(text: &'static str) -> Response {
    let kind = "text/plain; charset=utf-8";
    of(StatusCode::OK, kind, Body::from(text))
}

pub(super) fn not_found() -> Response {
    detail(StatusCode::NOT_FOUND, "Not Found")
}

pub(super) fn method_not_allowed(allowed: &'static str) -> Response {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let mut answer = detail(status, "Method Not Allowed");
    let allowed = HeaderValue::from_static(allowed);
    answer.headers_mut().insert(header::ALLOW, allowed);
    answer
}

/// A body of a kind that nobody keeps and no other site's page shows.
pub(super) fn of(status: StatusCode, kind: &'static str, body: Body) -> Response {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    set(headers, header::CONTENT_TYPE, kind);
    set(headers, header::CACHE_CONTROL, "no-store");
    set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(headers, header::X_FRAME_OPTIONS, "DENY");
    answer
}

pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

pub(super) const JSON: &str = "application/json";
