//! What is said over a WebSocket.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Serialize;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Error as SocketError, Message};
use tracing::debug;

use super::Times;
use crate::controller::api::{Api, Denied};
use crate::controller::progress::{self, Progress};
use crate::controller::request::{ResumeRequest, object, text};
use crate::controller::{body, ending};
use crate::exec::Report;
use crate::expr::{Map, Value};
use crate::model::DEFAULT;

/// A WebSocket and the runs that it is told of.
pub(super) struct Socket {
    stream: WebSocketStream<TcpStream>,
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
    pub(super) fn new(stream: WebSocketStream<TcpStream>, api: Api, times: Times) -> Self {
        Self {
            stream,
            api,
            times,
            subscriptions: Vec::new(),
        }
    }

    /// Talks until the peer or we have ended.
    pub(super) async fn run(mut self) {
        if let End::Close(code, reason) = self.talk().await {
            let frame = CloseFrame {
                code,
                reason: reason.into(),
            };
            let goodbye = timeout(GOODBYE, self.goodbye(frame)).await;
            drop(goodbye);
        }
    }

    /// Closes, and reads on until the peer has closed, too: what was left unread would reset the
    /// connection, and the goodbye be lost.
    async fn goodbye(mut self, frame: CloseFrame) -> Result<(), SocketError> {
        self.stream.close(Some(frame)).await?;
        let raw = self.stream.get_mut();
        raw.shutdown().await?;
        tokio::io::copy(raw, &mut tokio::io::sink()).await?;
        Ok(())
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
        let asked = body::json(message).and_then(|asked| object(asked).map_err(bad_request));
        let mut asked = match asked {
            Ok(asked) => asked,
            Err(denied) => return self.deny(None, &denied).await,
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

/// Most runs that one WebSocket is told of at once.
const SUBSCRIPTIONS: usize = 64;

/// How long a peer has to close when we have; a server that closes waits no longer.
const GOODBYE: Duration = Duration::from_secs(1);
