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
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error as SocketError, Message};
use tracing::debug;

use super::api::{Api, Denied};
use super::progress::{self, Progress};
use super::request::{ResumeRequest, object, text};
use super::{answer, body, ending};
use crate::exec::Report;
use crate::expr::{Map, Value};
use crate::model::DEFAULT;
use crate::model::controller::WebSocket;

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
    upgrade: OnUpgrade,
    api: Api,
    times: Times,
    place: OwnedSemaphorePermit,
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
                ping_interval: config.ping_interval,
                ping_timeout: config.ping_timeout.max(LEAST_TIMEOUT),
            },
        }
    }

    pub(super) fn is_at(&self, path: &[String]) -> bool {
        self.path == path
    }

    /// Answers a handshake (RFC 6455, 4.2), or says why it is none.
    pub(super) fn open(
        &self,
        mut request: Parts,
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
        let upgrade = request.extensions.remove::<OnUpgrade>();
        let (Some(accepted), Some(upgrade)) = (accepted, upgrade) else {
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
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = answer.headers_mut();
        answer::set(headers, header::CONNECTION, "Upgrade");
        answer::set(headers, header::UPGRADE, "websocket");
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accepted);
        let times = self.times;
        let opening = Opening {
            upgrade,
            api,
            times,
            place,
        };
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
    /// Talks until the peer or we have ended.
    pub(super) async fn run(self) {
        let upgraded = match self.upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => return debug!(%error, "a connection became no WebSocket"),
        };
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_BYTES))
            .max_frame_size(Some(MESSAGE_BYTES));
        let stream = TokioIo::new(upgraded);
        let stream = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        let socket = Socket {
            stream,
            api: self.api,
            times: self.times,
            subscriptions: Vec::new(),
        };
        socket.run().await;
        drop(self.place);
    }
}

struct Socket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    api: Api,
    times: Times,
    subscriptions: Vec<Subscription>,
}

struct Subscription {
    task_id: String,
    reports: watch::Receiver<Arc<Report>>,
}

/// Why a socket ends.
enum End {
    /// The peer is gone, or has said goodbye.
    Gone,
    /// We say goodbye.
    Close(CloseCode, &'static str),
}

impl From<SocketError> for End {
    fn from(error: SocketError) -> Self {
        if matches!(error, SocketError::Capacity(_)) {
            return Self::Close(CloseCode::Size, "the message is too large");
        }
        if matches!(error, SocketError::Utf8(_)) {
            return Self::Close(CloseCode::Invalid, "the text is not UTF-8");
        }
        debug!(%error, "a WebSocket has ended");
        Self::Gone
    }
}

impl Socket {
    async fn run(mut self) {
        if let End::Close(code, reason) = self.talk().await {
            let frame = CloseFrame {
                code,
                reason: reason.into(),
            };
            let closed = timeout(self.times.ping_timeout, self.stream.close(Some(frame))).await;
            drop(closed);
        }
    }

    async fn talk(&mut self) -> End {
        match self.serve().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        let mut stage = self.api.stage.clone();
        let mut look = interval(progress::PAUSE);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let is_pinging = !self.times.ping_interval.is_zero();
        let mut heard = Instant::now();
        let mut pinged: Option<Instant> = None;
        loop {
            let due = match pinged {
                None => heard + self.times.ping_interval,
                Some(pinged) => pinged + self.times.ping_timeout,
            };
            tokio::select! {
                () = ending(&mut stage) => {
                    return Err(End::Close(CloseCode::Away, "shutting down"));
                }
                message = self.stream.next() => {
                    heard = Instant::now();
                    pinged = None;
                    self.take(message.ok_or(End::Gone)??).await?;
                }
                _ = look.tick(), if !self.subscriptions.is_empty() => self.tell().await?,
                () = sleep_until(due), if is_pinging => {
                    if pinged.is_some() {
                        return Err(End::Close(CloseCode::Policy, "no answer to a ping"));
                    }
                    self.send(Message::Ping(Bytes::new())).await?;
                    pinged = Some(Instant::now());
                }
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(self.times.ping_timeout, self.stream.send(message)).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(End::Gone),
        }
    }

    /// Sends what has changed. One that has ended is told of for the last time.
    async fn tell(&mut self) -> Result<(), End> {
        let mut changed = Vec::new();
        self.subscriptions.retain_mut(|subscription| {
            let reports = &mut subscription.reports;
            let is_alive = match reports.has_changed() {
                Ok(false) => return true,
                Ok(true) => true,
                // The engine has dropped it; what it said last stands.
                Err(_) => false,
            };
            let report = Arc::clone(&reports.borrow_and_update());
            let goes_on = is_alive && !report.status.is_final();
            changed.push(report);
            goes_on
        });
        for report in changed {
            self.report(None, &report).await?;
        }
        Ok(())
    }

    async fn report(&mut self, id: Option<&Value>, report: &Report) -> Result<(), End> {
        let said = Said::Report {
            report: Progress::of(report, progress::now()),
        };
        self.say(id, said).await
    }

    async fn say(&mut self, id: Option<&Value>, said: Said<'_>) -> Result<(), End> {
        match serde_json::to_string(&Envelope { said, id }) {
            Ok(json) => self.send(Message::text(json)).await,
            Err(_) => Err(End::Close(CloseCode::Error, "internal error")),
        }
    }

    async fn take(&mut self, message: Message) -> Result<(), End> {
        match message {
            Message::Text(text) => self.ask(text.as_bytes()).await,
            Message::Binary(_) => Err(End::Close(CloseCode::Unsupported, "messages are text")),
            Message::Close(_) => {
                // Our half of the goodbye is sent by a flush.
                let flushed = timeout(self.times.ping_timeout, self.stream.flush()).await;
                drop(flushed);
                Err(End::Gone)
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    async fn ask(&mut self, message: &[u8]) -> Result<(), End> {
        let asked = body::json(message).map_err(|error| error.to_string());
        let mut asked = match asked.and_then(object) {
            Ok(asked) => asked,
            Err(detail) => {
                let denied = Denied::new(StatusCode::BAD_REQUEST, detail);
                return self.deny(None, &denied).await;
            }
        };
        let id = asked.shift_remove("id");
        match self.done(asked) {
            Ok(Outcome::Started(task_id)) => {
                let started = Said::Started { task_id: &task_id };
                self.say(id.as_ref(), started).await
            }
            Ok(Outcome::Report(report)) => self.report(id.as_ref(), &report).await,
            Ok(Outcome::Pong) => self.say(id.as_ref(), Said::Pong).await,
            Ok(Outcome::Done) => self.say(id.as_ref(), Said::Done).await,
            Err(denied) => self.deny(id.as_ref(), &denied).await,
        }
    }

    async fn deny(&mut self, id: Option<&Value>, denied: &Denied) -> Result<(), End> {
        let error = Said::Error {
            status: denied.status.as_u16(),
            detail: &denied.detail,
        };
        self.say(id, error).await
    }

    fn done(&mut self, mut asked: Map) -> Result<Outcome, Denied> {
        let kind = said(&mut asked, "type")?;
        match kind.as_str() {
            "ping" => return Ok(Outcome::Pong),
            "run" => {
                let workflow = text(&mut asked, "workflow_id").map_err(bad_request)?;
                let workflow = workflow.unwrap_or_else(|| DEFAULT.to_owned());
                let input = asked.shift_remove("input").unwrap_or_default();
                self.has_room()?;
                let task = self.api.start(&workflow, input)?;
                let task_id = task.as_str().to_owned();
                let mut reports = self.api.watch(&task_id)?;
                // What stands there now has not been told.
                reports.mark_changed();
                self.subscribe(task_id.clone(), reports);
                return Ok(Outcome::Started(task_id));
            }
            _ => {}
        }
        let task_id = said(&mut asked, "task_id")?;
        match kind.as_str() {
            "subscribe" => {
                self.has_room()?;
                let mut reports = self.api.watch(&task_id)?;
                let report = Arc::clone(&reports.borrow_and_update());
                if !report.status.is_final() {
                    self.subscribe(task_id, reports);
                }
                Ok(Outcome::Report(report))
            }
            "unsubscribe" => {
                self.subscriptions.retain(|it| it.task_id != task_id);
                Ok(Outcome::Done)
            }
            "get" => self.api.report(&task_id).map(Outcome::Report),
            "resume" => {
                let request = ResumeRequest::read(Value::Map(asked)).map_err(bad_request)?;
                self.api.go_on(&task_id, request).map(|()| Outcome::Done)
            }
            "cancel" => self.api.stop(&task_id).map(|()| Outcome::Done),
            _ => Err(bad_request("Unknown type.".to_owned())),
        }
    }

    fn has_room(&self) -> Result<(), Denied> {
        if self.subscriptions.len() < SUBSCRIPTIONS {
            return Ok(());
        }
        let status = StatusCode::TOO_MANY_REQUESTS;
        Err(Denied::new(status, "Too many subscriptions."))
    }

    /// Of one run there is one subscription.
    fn subscribe(&mut self, task_id: String, reports: watch::Receiver<Arc<Report>>) {
        self.subscriptions.retain(|it| it.task_id != task_id);
        self.subscriptions.push(Subscription { task_id, reports });
    }
}

/// What came of a message.
enum Outcome {
    Started(String),
    Report(Arc<Report>),
    Pong,
    Done,
}

#[derive(Serialize)]
struct Envelope<'a> {
    #[serde(flatten)]
    said: Said<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Value>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said<'a> {
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

fn said(asked: &mut Map, key: &str) -> Result<String, Denied> {
    let said = text(asked, key).map_err(bad_request)?;
    said.ok_or_else(|| bad_request(format!("{key} is missing.")))
}

fn bad_request(detail: String) -> Denied {
    Denied::new(StatusCode::BAD_REQUEST, detail)
}

/// The least time that a peer has to take a message.
const LEAST_TIMEOUT: Duration = Duration::from_secs(1);

/// The version of RFC 6455.
const VERSION: &str = "13";

/// Most WebSockets of one server where a file says nothing: each costs a task and some buffers.
const CONNECTIONS: u32 = 64;

/// Most runs that one WebSocket is told of at once.
const SUBSCRIPTIONS: usize = 64;

/// The longest message: that of a request's body.
const MESSAGE_BYTES: usize = 1 << 20;

/// What is read at once; messages are short.
const BUFFER_BYTES: usize = 8 << 10;
