//! One request, from its head to its answer.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::PoisonError;
use std::time::{SystemTime, UNIX_EPOCH};

use adit_text::show;
use axum::body::{Body, HttpBody as _};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Request, Response, StatusCode};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};
use tracing::{debug, info};

use super::answer::{self, detail, json, plain};
use super::refused::Refused;
use super::table::{Entry, Found, Table, Work};
use super::{Context, Limits};
use crate::body::{self, Allowance, Keys, Room};
use crate::callback::{Items, Proven, Refusal, Shown, Start, Starts};
use crate::exec::{StartError, TaskId};
use crate::expr::Value;

/// What a listener does with its requests.
#[derive(Debug)]
pub(super) struct Handler {
    table: Table,
    turns: Semaphore,
    room: Room,
    port: u16,
    limits: Limits,
    context: Context,
}

/// An answer.
pub(super) struct Answered {
    pub(super) response: Response<Body>,
    /// Whether the body was read to its end. If not, nothing can follow on the connection.
    pub(super) is_body_read: bool,
}

/// What a request brings, once it is believed.
struct Believed {
    body: Value,
    query: Value,
}

impl Handler {
    pub(super) fn new(
        table: Table,
        most: Option<NonZeroU32>,
        port: u16,
        limits: Limits,
        context: Context,
    ) -> Self {
        let most = most.and_then(|most| usize::try_from(most.get()).ok());
        let most = most.unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            turns: Semaphore::new(most.min(Semaphore::MAX_PERMITS)),
            room: room(&table, limits),
            table,
            port,
            limits,
            context,
        }
    }

    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.room = room(&self.table, limits);
        self.limits = limits;
    }

    /// The connection from `peer` is about to be closed.
    pub(super) fn over(&self, peer: SocketAddr) {
        self.context.visitors.over(peer);
    }

    pub(super) async fn answer(&self, peer: SocketAddr, request: Request<Body>) -> Answered {
        let (head, body) = request.into_parts();
        let mut is_body_read = body.is_end_stream();
        // On a socket of both families, an IPv4 address is written as an IPv6 one.
        let visitor = self.context.visitors.visitor(peer).unwrap_or(peer);
        let visitor = visitor.ip().to_canonical();
        let response = match self.table.find(&head.method, &head.uri) {
            Found::Entry { entry, token } => {
                let token = token.as_deref();
                let answered = self.take(visitor, entry, token, &head, body, &mut is_body_read);
                match answered.await {
                    Ok(response) => response,
                    Err(refused) => {
                        let response = refused.response(entry.header.as_ref());
                        self.log_refusal(visitor, entry, &response, &refused);
                        response
                    }
                }
            }
            Found::Methods(allowed) => self.pass(visitor, answer::methods(&allowed)),
            Found::Slash(location) => self.pass(visitor, answer::redirect(&location)),
            Found::Nobody => self.pass(visitor, plain(StatusCode::NOT_FOUND)),
        };
        Answered {
            response,
            is_body_read,
        }
    }

    /// Nobody takes the request. Its path is not logged: it may be a token's, a little wrong.
    fn pass(&self, visitor: IpAddr, response: Response<Body>) -> Response<Body> {
        let status = response.status().as_u16();
        debug!(listener.port = self.port, visitor.addr = %visitor, status, "nobody takes the request");
        response
    }

    async fn take(
        &self,
        visitor: IpAddr,
        entry: &Entry,
        token: Option<&[u8]>,
        head: &Parts,
        body: Body,
        is_body_read: &mut bool,
    ) -> Result<Response<Body>, Refused> {
        entry.gate.admit(visitor)?;
        let header = entry.header.as_ref();
        let mut shown = Shown {
            header: header.and_then(|name| only(&head.headers, name)),
            segment: token,
            body: &[],
        };
        if !entry.gate.needs_body() {
            self.verify(entry, &shown)?;
        }
        if is_compressed(&head.headers) {
            return Err(Refused::Compressed);
        }
        let _turn = self.turn().await?;
        let allowance = Allowance {
            bytes: entry.body_limit,
            within: self.limits.body,
            room: &self.room,
        };
        let received = body::receive(body, allowance).await?;
        *is_body_read = true;
        if entry.gate.needs_body() {
            shown.body = received.bytes();
            if self.verify(entry, &shown)? == Proven::Repeated {
                self.log_repetition(visitor, entry);
                return Ok(match &entry.work {
                    Work::Callback(_) => answer::empty(),
                    Work::Trigger(_) => detail(StatusCode::OK, "Received before."),
                });
            }
        }
        let content_type = only(&head.headers, &CONTENT_TYPE);
        let content_type = content_type.and_then(|value| str::from_utf8(value).ok());
        let read = body::read(content_type, received.bytes().clone(), Keys::Plain);
        let refused = |error| {
            let told = body::invalid(&error, received.bytes());
            Refused::Body { error, told }
        };
        let believed = Believed {
            body: read.await.map_err(refused)?,
            query: body::query(head.uri.query()).map_err(Refused::Query)?,
        };
        self.work(visitor, entry, &believed)
    }

    fn verify(&self, entry: &Entry, shown: &Shown<'_>) -> Result<Proven, Refusal> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_secs());
        let replays = self.context.replays.lock();
        let mut replays = replays.unwrap_or_else(PoisonError::into_inner);
        entry.gate.verify(shown, &mut replays, now)
    }

    /// A turn, if the file says how many requests there may be at once.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, Refused> {
        let turn = timeout(self.limits.turn, self.turns.acquire()).await;
        turn.ok().and_then(Result::ok).ok_or(Refused::Turn)
    }

    fn work(
        &self,
        visitor: IpAddr,
        entry: &Entry,
        believed: &Believed,
    ) -> Result<Response<Body>, Refused> {
        let Believed { body, query } = believed;
        Ok(match &entry.work {
            Work::Callback(rule) => {
                self.deliver(visitor, entry, &rule.items(body, query)?);
                answer::empty()
            }
            Work::Trigger(rule) => self.start(visitor, entry, &rule.starts(body, query)?),
        })
    }

    fn deliver(&self, visitor: IpAddr, entry: &Entry, items: &Items<'_>) {
        let now = Instant::now().into_std();
        let taken = self.context.hub.deliver(visitor, items, now);
        let ids = items
            .iter()
            .take(SHOWN_IDS)
            .filter_map(|item| item.id().ok());
        let ids: Vec<String> = ids.map(|id| show(id.as_str())).collect();
        info!(
            target: ACCESS,
            path = %show(&entry.path),
            listener.port = self.port,
            visitor.addr = %visitor,
            ids = %ids.join(" "),
            taken.completed,
            taken.parked,
            taken.not_final,
            taken.unknown,
            taken.without_id,
            taken.no_room,
            "callback received"
        );
    }

    fn start(&self, visitor: IpAddr, entry: &Entry, starts: &Starts<'_>) -> Response<Body> {
        let each: Vec<Result<TaskId, NotStarted>> =
            starts.iter().map(|start| self.launch(&start)).collect();
        let started: Vec<&str> = each.iter().flatten().map(TaskId::as_str).collect();
        let mut failed = each.iter().filter_map(|one| one.as_ref().err());
        info!(
            target: ACCESS,
            path = %show(&entry.path),
            listener.port = self.port,
            visitor.addr = %visitor,
            started = started.len(),
            runs = %started.iter().take(SHOWN_IDS).copied().collect::<Vec<_>>().join(" "),
            failed = each.len() - started.len(),
            error = failed.clone().next().map(|one| tracing::field::display(&one.text)),
            "trigger received"
        );
        // Nothing has come of it and all may come of it later: the sender is to repeat it.
        if started.is_empty()
            && let Some(busy) = failed.find(|one| one.status == StatusCode::SERVICE_UNAVAILABLE)
        {
            return detail(busy.status, &busy.text);
        }
        if starts.is_bulk() {
            let each = each.iter().map(|one| match one {
                Ok(id) => pending(id),
                Err(error) => answer::map([("error", &error.text)]),
            });
            return json(StatusCode::OK, &Value::List(each.collect()));
        }
        match each.first() {
            Some(Ok(id)) => json(StatusCode::OK, &pending(id)),
            Some(Err(error)) => detail(error.status, &error.text),
            // One that is not in bulk is one.
            None => detail(StatusCode::BAD_REQUEST, "Invalid request"),
        }
    }

    fn launch(&self, start: &Start<'_>) -> Result<TaskId, NotStarted> {
        let refused = |error: &dyn Display| NotStarted {
            status: StatusCode::BAD_REQUEST,
            text: format!("Invalid request: {error}"),
        };
        let workflow = start.workflow().map_err(|error| refused(&error))?;
        let input = start.input().map_err(|error| refused(&error))?;
        let launched = self.context.launch.launch(&workflow, input);
        launched.map_err(|error| match error {
            StartError::Missing { .. } => NotStarted {
                status: StatusCode::NOT_FOUND,
                text: error.to_string(),
            },
            StartError::Full | StartError::Closing | StartError::Randomness => NotStarted {
                status: StatusCode::SERVICE_UNAVAILABLE,
                text: String::from("Service Unavailable"),
            },
        })
    }

    fn log_refusal(
        &self,
        visitor: IpAddr,
        entry: &Entry,
        response: &Response<Body>,
        refused: &Refused,
    ) {
        info!(
            target: ACCESS,
            path = %show(&entry.path),
            listener.port = self.port,
            visitor.addr = %visitor,
            status = response.status().as_u16(),
            error = %refused,
            "request refused"
        );
    }

    fn log_repetition(&self, visitor: IpAddr, entry: &Entry) {
        info!(
            target: ACCESS,
            path = %show(&entry.path),
            listener.port = self.port,
            visitor.addr = %visitor,
            "signed request received again; nothing was done"
        );
    }
}

/// Why an item of a trigger started nothing, as its sender is told.
struct NotStarted {
    status: StatusCode,
    text: String,
}

/// Room for the bodies of a listener: one of the largest always has its room beside the others.
fn room(table: &Table, limits: Limits) -> Room {
    let largest = usize::try_from(table.body_limit()).unwrap_or(usize::MAX);
    Room::new(limits.bodies_bytes.saturating_add(largest))
}

/// What a header says, if it is there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none());
    value.map(axum::http::HeaderValue::as_bytes)
}

fn is_compressed(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn pending(id: &TaskId) -> Value {
    answer::map([("task_id", id.as_str()), ("status", "pending")])
}

/// Where lines about requests go.
const ACCESS: &str = "adit::access";

/// How many ids of a request its line shows.
const SHOWN_IDS: usize = 3;
