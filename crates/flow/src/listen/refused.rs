//! Requests that are not taken: what the log says of them, and the little that the visitor is told.

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderName, Response, StatusCode};

use super::answer::{self, detail, plain};
use crate::body::{ContentError, ReceiveError};
use crate::callback::{ReadError, Refusal};

/// Why a request is not taken. The text is for the log; [`Refused::response`] is for the visitor.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Gate(#[from] Refusal),
    #[error("the request is compressed")]
    Compressed,
    #[error("the request had no turn in time")]
    Turn,
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    #[error("the query is invalid: {0}")]
    Query(#[source] ContentError),
    #[error("the body is invalid: {error}")]
    Body {
        #[source]
        error: ContentError,
        /// What the visitor is told.
        told: String,
    },
    #[error(transparent)]
    Items(#[from] ReadError),
}

impl Refused {
    /// The answer. `header` is where the proof was to be.
    pub(super) fn response(&self, header: Option<&HeaderName>) -> Response<Body> {
        let status = match self {
            Self::Gate(refusal) => refusal.status(),
            Self::Receive(error) => error.status(),
            Self::Turn => 503,
            Self::Compressed => 415,
            Self::Query(_) | Self::Body { .. } | Self::Items(_) => 400,
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        let response = match self {
            Self::Query(error) => detail(status, &format!("Invalid query: {error}")),
            Self::Body { told, .. } => detail(status, told),
            Self::Items(error) => detail(status, &format!("Invalid request body: {error}")),
            Self::Gate(_) | Self::Receive(_) | Self::Turn | Self::Compressed => plain(status),
        };
        // RFC 6750, 3. There is no scheme to name for a token or a code elsewhere.
        if status == StatusCode::UNAUTHORIZED && header == Some(&AUTHORIZATION) {
            return answer::with(response, WWW_AUTHENTICATE, "Bearer");
        }
        response
    }
}
