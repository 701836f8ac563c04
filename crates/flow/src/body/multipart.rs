//! Forms with files: `multipart/form-data`, RFC 7578.

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Multipart, Request};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;

use super::form::Form;
use super::{ContentError, Keys, text};
use crate::expr::Value;

/// Reads a body that is there. A part with a file's name is bytes, whatever else it says.
///
/// The reader's own messages quote names, so none of them is handed on.
pub(super) async fn read(
    content_type: &str,
    body: Bytes,
    keys: Keys,
) -> Result<Value, ContentError> {
    let mut request = Request::new(Body::from(body));
    let content_type = HeaderValue::from_str(content_type);
    let content_type = content_type.map_err(|_| ContentError::Multipart)?;
    request.headers_mut().insert(CONTENT_TYPE, content_type);
    // The body's length was limited before.
    DefaultBodyLimit::disable().apply(&mut request);
    let parts = Multipart::from_request(request, &()).await;
    let mut parts = parts.map_err(|_| ContentError::Multipart)?;
    let mut form = Form::new(keys);
    loop {
        let part = parts.next_field().await;
        let Some(part) = part.map_err(|_| ContentError::Multipart)? else {
            return Ok(form.into_value());
        };
        let name = part.name().ok_or(ContentError::Multipart)?.to_owned();
        let is_file = part.file_name().is_some();
        let bytes = part.bytes().await;
        let bytes = bytes.map_err(|_| ContentError::Multipart)?;
        let value = if is_file {
            Value::Bytes(bytes.as_ref().into())
        } else {
            text(&bytes)
        };
        form.add(&name, value)?;
    }
}
