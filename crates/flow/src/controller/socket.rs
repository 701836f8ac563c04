//! The WebSocket: the API as messages, and reports of runs as they change.
//!
//! Each message is a JSON object with a `type`. Whoever asks may add an `id`, which the answer has
//! again.
//!
//! | asked | answered |
//! |---|---|
//! | `run`: `workflow_id`?, `input`? | `started`: `task_id`; then as `subscribe` |
//! | `subscribe`: `task_id` | a `report` now and at each change, until the run has ended |
//! | `unsubscribe`: `task_id` | `done` |
//! | `get`: `task_id` | one `report` |
//! | `resume`: `task_id`, `job_id`, `answer`? | `done` |
//! | `cancel`: `task_id` | `done` |
//! | `ping` | `pong` |
//!
//! A `report` has what a line of `/tasks/ID/watch` has. What cannot be done is an `error` with the
//! `status` and `detail` that HTTP would have.
//!
//! Nothing queues up: a subscription is a place to look at, and what is sent is what stands there
//! then. A peer that does not read is closed after the time for an answer to a ping.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::answer;
use super::api::Api;
use super::places::Place;
use crate::model::controller::WebSocket;

mod message;
mod subscriptions;
mod talk;

/// The WebSockets of one server.
#[derive(Debug)]
pub(super) struct Sockets {
    path: Vec<String>,
    places: Arc<Semaphore>,
    times: Times,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    /// Zero is never.
    ping_interval: Duration,
    ping_timeout: Duration,
}

/// A WebSocket whose handshake is answered and whose connection is about to become one.
#[derive(Debug)]
pub(super) struct Opening {
    api: Api,
    times: Times,
    /// Among the WebSockets, and among all that wait.
    places: (OwnedSemaphorePermit, Place),
}

impl Sockets {
    pub(super) fn new(config: &WebSocket) -> Self {
        let most = config
            .max_connection_count
            .map_or(CONNECTIONS, NonZeroU32::get);
        let most = usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS);
        let path = config.path.trim_matches('/');
        Self {
            path: path.split('/').map(str::to_owned).collect(),
            places: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            times: Times {
                // What is later than a clock can say is never reached either.
                ping_interval: config.ping_interval.min(MOST_TIME),
                ping_timeout: config.ping_timeout.clamp(LEAST_TIMEOUT, MOST_TIME),
            },
        }
    }

    pub(super) fn is_at(&self, path: &[String]) -> bool {
        self.path == path
    }

    /// Answers a handshake (RFC 6455, 4.2), or says why it is none.
    pub(super) fn open(
        &self,
        request: &Parts,
        api: Api,
    ) -> Result<(Response, Opening), Box<Response>> {
        if request.method != Method::GET {
            return Err(Box::new(answer::method_not_allowed("GET")));
        }
        let headers = &request.headers;
        let key = headers.get(header::SEC_WEBSOCKET_KEY);
        let is_handshake = has_word(headers, &header::CONNECTION, "upgrade")
            && has_word(headers, &header::UPGRADE, "websocket")
            && headers
                .get(header::SEC_WEBSOCKET_VERSION)
                .is_some_and(|it| it == VERSION);
        let accepted = key
            .filter(|_| is_handshake)
            .and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok());
        let Some(accepted) = accepted else {
            let status = StatusCode::UPGRADE_REQUIRED;
            let mut answer = answer::detail(status, "A WebSocket is served here.");
            let headers = answer.headers_mut();
            answer::set(headers, header::UPGRADE, "websocket");
            answer::set(headers, header::SEC_WEBSOCKET_VERSION, VERSION);
            return Err(Box::new(answer));
        };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let answer = answer::detail(status, "Too many connections.");
            return Err(Box::new(answer));
        };
        let to_wait = api.place_to_wait();
        let to_wait = to_wait.map_err(|denied| Box::new(denied.answer()))?;
        let places = (place, to_wait);
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = answer.headers_mut();
        answer::set(headers, header::CONNECTION, "Upgrade");
        answer::set(headers, header::UPGRADE, "websocket");
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accepted);
        let times = self.times;
        let opening = Opening { api, times, places };
        Ok((answer, opening))
    }
}

/// Whether a list of words has one, however its letters are written.
fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter();
    let mut words = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    words.any(|it| it.trim().eq_ignore_ascii_case(word))
}

impl Opening {
    /// Talks until the peer or we have ended. `read` is what the connection has read ahead.
    pub(super) async fn run(self, stream: TcpStream, read: Bytes) {
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_BYTES))
            .max_frame_size(Some(MESSAGE_BYTES));
        let read = read.to_vec();
        let stream =
            WebSocketStream::from_partially_read(stream, read, Role::Server, Some(config)).await;
        talk::Socket::new(stream, self.api, self.times).run().await;
        drop(self.places);
    }
}

/// The most time between two pings, and for an answer: a clock goes further than that.
const MOST_TIME: Duration = Duration::from_secs(86_400);

/// The least time that a peer has to take a message.
const LEAST_TIMEOUT: Duration = Duration::from_secs(1);

/// The version of RFC 6455.
const VERSION: &str = "13";

/// Most WebSockets of one server where a file says nothing: each costs a task and some buffers.
const CONNECTIONS: u32 = 64;

/// The longest message: that of a request's body.
const MESSAGE_BYTES: usize = 1 << 20;

/// What is read at once; messages are short.
const BUFFER_BYTES: usize = 8 << 10;
