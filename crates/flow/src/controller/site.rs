//! What one server serves: the guard first, then the API, the WebSocket and the pages.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use percent_encoding::percent_decode_str;

use super::answer;
use super::api::Api;
use super::folder::Folder;
use super::guard::{Admitted, Asked, Guard};
use super::page;
use super::socket::{Opening, Sockets};

/// What one server serves.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) guard: Guard,
    /// What comes before each path of the API: empty, or `/api`.
    pub(super) base_path: String,
    pub(super) api: Api,
    pub(super) sockets: Option<Sockets>,
    /// What is served at all other paths.
    pub(super) pages: Option<Pages>,
}

/// Pages for people.
#[derive(Debug)]
pub(super) enum Pages {
    /// Our own.
    Own,
    /// The user's.
    Folder(Folder),
}

/// One connection, as its requests see it.
#[derive(Debug)]
pub(super) struct Arrival {
    /// The address that was connected to.
    local: SocketAddr,
    /// What the connection is to become when the answer is sent.
    socket: Mutex<Option<Opening>>,
}

impl Arrival {
    pub(super) fn new(local: SocketAddr) -> Self {
        Self {
            local,
            socket: Mutex::new(None),
        }
    }

    /// The WebSocket that the connection has become.
    pub(super) fn take_socket(&self) -> Option<Opening> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Opening>> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Site {
    /// Answers a request.
    ///
    /// # Cancel safety
    ///
    /// A run that was started goes on.
    pub(super) async fn answer(&self, request: Request, arrival: &Arrival) -> Response {
        let (parts, body) = request.into_parts();
        let path = self.path(parts.uri.path());
        let asked = match (&path, &self.pages) {
            (None, Some(_)) => Asked::Page,
            (Some(_), _) | (None, None) => Asked::Api,
        };
        let logged = (parts.method.clone(), parts.uri.path().to_owned());
        let answer = match self.guard.admit(&parts, arrival.local, asked) {
            Err(refusal) => {
                let mut answer = answer::detail(refusal.status(), refusal.detail());
                if refusal.status() == StatusCode::UNAUTHORIZED {
                    let challenge = HeaderValue::from_static("Bearer");
                    let headers = answer.headers_mut();
                    headers.insert(header::WWW_AUTHENTICATE, challenge);
                }
                answer
            }
            Ok(admitted) => {
                let mut answer = if admitted.is_preflight {
                    let mut answer = answer::text("OK");
                    Admitted::permit(answer.headers_mut());
                    answer
                } else {
                    match path {
                        Some(path) => self.api(parts, body, &path, arrival).await,
                        None => self.page(&parts).await,
                    }
                };
                admitted.mark(answer.headers_mut());
                answer
            }
        };
        let (method, path) = logged;
        tracing::info!(
            target: "adit::access",
            %method,
            path,
            status = answer.status().as_u16(),
            "answered"
        );
        answer
    }

    /// The segments of a path of the API, decoded.
    fn path(&self, path: &str) -> Option<Vec<String>> {
        let below = path.strip_prefix(&self.base_path)?.strip_prefix('/')?;
        let segments = below.split('/').map(|segment| {
            let decoded = percent_decode_str(segment).decode_utf8().ok()?;
            Some(decoded.into_owned())
        });
        segments.collect()
    }

    async fn api(&self, parts: Parts, body: Body, path: &[String], arrival: &Arrival) -> Response {
        if let Some(sockets) = &self.sockets
            && sockets.is_at(path)
        {
            return match sockets.open(&parts, self.api.clone()) {
                Ok((answer, opening)) => {
                    *arrival.lock() = Some(opening);
                    answer
                }
                Err(refusal) => *refusal,
            };
        }
        self.api.answer(parts, body, path).await
    }

    async fn page(&self, request: &Parts) -> Response {
        if !matches!(request.method, Method::GET | Method::HEAD) && self.pages.is_some() {
            return answer::method_not_allowed("GET, HEAD");
        }
        match &self.pages {
            None => answer::not_found(),
            Some(Pages::Own) => page::answer(request.uri.path()),
            Some(Pages::Folder(folder)) => folder.answer(request).await,
        }
    }
}
