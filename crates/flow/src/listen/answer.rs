//! Answers: fixed texts, so that nothing of a file, a path or a secret gets out.

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::expr::{Map, Value};

/// 200 with nothing in it, not even a type.
pub(super) fn empty() -> Response<Body> {
    Response::new(Body::empty())
}

/// A value as JSON.
pub(super) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    // Only texts are in it, and all of those can be written.
    let mut response = Response::new(Body::from(value.to_json().unwrap_or_default()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// `{"detail": "..."}`.
pub(super) fn detail(status: StatusCode, text: &str) -> Response<Body> {
    json(status, &map([("detail", text)]))
}

/// `{"detail": "Not Found"}`, or what else the status is called.
pub(super) fn plain(status: StatusCode) -> Response<Body> {
    detail(status, status.canonical_reason().unwrap_or("Error"))
}

/// 405, and what is allowed.
pub(super) fn methods(allowed: &str) -> Response<Body> {
    let response = plain(StatusCode::METHOD_NOT_ALLOWED);
    with(response, ALLOW, allowed)
}

/// 307 to a path of the same server.
pub(super) fn redirect(location: &str) -> Response<Body> {
    let mut response = empty();
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    with(response, LOCATION, location)
}

/// Texts in their order.
pub(super) fn map<const N: usize>(entries: [(&str, &str); N]) -> Value {
    let entries = entries.map(|(key, text)| (key.to_owned(), Value::from(text)));
    Value::Map(Map::from_iter(entries))
}

pub(super) fn with(mut response: Response<Body>, name: HeaderName, value: &str) -> Response<Body> {
    // Both come from a request's head, or are our own.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}
