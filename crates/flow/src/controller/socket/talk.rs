//! The talk over a WebSocket: who speaks when, and how it ends.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Error as SocketError, Message};
use tracing::debug;

use super::Times;
use super::message::{self, Envelope, Outcome, Said};
use super::subscriptions::Subscriptions;
use crate::controller::api::{Api, Denied};
use crate::controller::progress::{self, Progress};
use crate::controller::{body, ending};
use crate::exec::Report;
use crate::expr::Value;

/// A WebSocket and the runs that it is told of.
pub(super) struct Socket {
    stream: WebSocketStream<TcpStream>,
    api: Api,
    times: Times,
    subscriptions: Subscriptions,
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
            subscriptions: Subscriptions::default(),
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
                report = self.subscriptions.next() => self.report(None, &report).await?,
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

    async fn ask(&mut self, text: &[u8]) -> Result<(), End> {
        let asked = body::json(text).and_then(message::object);
        let mut asked = match asked {
            Ok(asked) => asked,
            Err(denied) => return self.deny(None, &denied).await,
        };
        let id = asked.shift_remove("id");
        match message::done(&self.api, &mut self.subscriptions, asked) {
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
}

/// How long a peer has to close when we have; a server that closes waits no longer.
const GOODBYE: Duration = Duration::from_secs(1);
