//! One connection, from its login to its end: what it asks is asked of the desk and of the grant of that
//! moment, and what is taken away from it ends within a second.
//!
//! Each question is a task of its own, so that one that takes its time (a lease whose old connection is
//! probed, a target that does not answer) holds up no other; replies to forwards leave in the order of the
//! questions all the same, which the engine sees to. All tasks are this connection's, and end with it.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::accept::{Shared, Telling, tell};
use super::desk::{Listening, Member, Refused, Who};
use super::line::{Inheritance, Word};
use super::page::{self, Shown, View};
use crate::transport::ssh::{Carrier, Driver};
use crate::transport::{
    Bind, CancelRequest, CloseReason, Connection, ConnectionEnd, ForwardAnswer, ForwardRequest,
    OpenRequest, PeerRequest, Requests, Transport,
};

mod carry;
mod control;
mod errand;
mod jump;
mod visits;

use self::carry::carry;
pub(super) use self::control::Reception;
use self::visits::{Counting, Visits};

/// How long a client whose forward was refused has to ask for something else, before it is told that there
/// is nothing left to do for it.
const SECOND_THOUGHTS: Duration = Duration::from_secs(1);
/// Forwards of one connection that are being answered at a time. Those that wait for somebody else's claim look
/// again at every change of the table, so that many of them would cost everybody.
const ASKS: usize = 16;
/// How long a client may take to hang up after it was told to.
const GOODBYE: Duration = Duration::from_secs(5);
/// Refused forwards of one connection that are each a line of the log: a client may ask as often as it likes, and the
/// rest is counted and told at its end.
const REFUSALS_TOLD: u32 = 8;

/// One live connection.
struct Session {
    shared: Arc<Shared>,
    who: Arc<Who>,
    transport: Arc<dyn Transport>,
    member: Arc<Member>,
    work: JoinSet<Done>,
    /// Forwards that are being asked for.
    asking: usize,
    /// Their turns at the desk.
    turns: Arc<Semaphore>,
    /// Ends when the last of them has come to the desk, where they come in their order: who asks for several ports or
    /// names that it does not say has each in its place.
    entered: Option<oneshot::Receiver<()>>,
    /// Those that take a forward back which is still being asked for.
    early_cancels: Vec<CancelRequest>,
    pending: HashMap<Bind, usize>,
    granted: Vec<(Bind, Listening)>,
    streams: usize,
    pages: usize,
    view: watch::Sender<View>,
    visits: Arc<Visits>,
    /// Why the last forward was refused, and since when there has been nothing else to do.
    useless: Option<(String, Instant)>,
    is_own_agent: bool,
    /// Forwards that were refused.
    refusals: u32,
    telling: Telling,
}

/// What a task of a session has come to.
enum Done {
    Forward(Bind, Result<Listening, Refused>, ForwardAnswer),
    Cancelled(Bind, bool),
    Returned(Inheritance, Result<Listening, Refused>),
    Stream,
    Page,
    Connection(ConnectionEnd),
}

/// A connection that has logged in.
pub(super) struct Arrival<S> {
    pub(super) who: Who,
    pub(super) connection: Connection,
    pub(super) driver: Driver<S>,
    /// Whether it has lines of its own in the log.
    pub(super) telling: Telling,
}

/// Serves a connection that has logged in, until it ends. `stop` closes it.
pub(super) async fn serve<S: Carrier + 'static>(
    shared: Arc<Shared>,
    arrival: Arrival<S>,
    stop: CancellationToken,
) {
    let Arrival {
        who,
        connection,
        driver,
        telling,
    } = arrival;
    let Connection {
        transport,
        requests,
    } = connection;
    let visits = Arc::new(Visits::default());
    let counting = Arc::new(Counting::new(Arc::clone(&transport), Arc::clone(&visits)));
    let mut work = JoinSet::new();
    let is_own_agent = driver.is_own_peer();
    if is_own_agent {
        who.line.stay();
    }
    work.spawn(async move { Done::Connection(driver.run().await) });
    let member = match shared.desk.join(who.clone(), counting) {
        Ok(member) => Arc::new(member),
        Err(refused) => {
            tell!(telling, principal = %who.principal.name, %refused, "connection is refused");
            transport.close(CloseReason::Useless(refused.to_string().into()));
            await_end(&transport).await;
            return;
        }
    };
    let (view, _) = watch::channel(View {
        name: who.principal.name.clone(),
        ..View::default()
    });
    let mut session = Session {
        shared,
        who: Arc::new(who),
        transport,
        member,
        work,
        asking: 0,
        turns: Arc::new(Semaphore::new(ASKS)),
        entered: None,
        early_cancels: Vec::new(),
        pending: HashMap::new(),
        granted: Vec::new(),
        streams: 0,
        pages: 0,
        view,
        visits,
        useless: None,
        is_own_agent,
        refusals: 0,
        telling,
    };
    let end = session.run(requests, &stop).await;
    session.leave(&end).await;
}

/// Waits until a connection that was closed is over.
async fn await_end(transport: &Arc<dyn Transport>) {
    let mut end = transport.end();
    // One that does not hang up is dropped.
    drop(tokio::time::timeout(GOODBYE, end.wait()).await);
}

impl Session {
    async fn run(&mut self, mut requests: Requests, stop: &CancellationToken) -> ConnectionEnd {
        let mut visits = self.visits.changes();
        let mut errands = self.who.line.errands();
        loop {
            let second_thoughts = self.second_thoughts();
            tokio::select! {
                Some(request) = requests.recv() => self.asked(request),
                Some(done) = self.work.join_next() => {
                    if let Some(end) = self.done(done) {
                        return end;
                    }
                }
                reason = second_thoughts => return self.close(reason).await,
                changed = visits.changed(), if self.pages > 0 => {
                    if changed.is_ok() {
                        self.show();
                    }
                }
                Ok(()) = errands.changed() => self.run_errands(),
                () = stop.cancelled() => return self.close(CloseReason::Stopping).await,
            }
        }
    }

    fn asked(&mut self, request: PeerRequest) {
        self.useless = None;
        match request {
            PeerRequest::Forward(request) => self.forward(request),
            PeerRequest::Cancel(request) => self.cancel(request),
            PeerRequest::Open(request) => self.open(request),
            PeerRequest::Session(request) => {
                self.pages = self.pages.saturating_add(1);
                let session = request.answer.accept();
                let view = self.view.subscribe();
                self.show();
                let reception = Reception::of(self);
                self.work.spawn(async move {
                    page::serve(session, view, reception).await;
                    Done::Page
                });
            }
        }
    }

    fn forward(&mut self, request: ForwardRequest) {
        let ForwardRequest { bind, answer } = request;
        self.asking = self.asking.saturating_add(1);
        let pending = self.pending.entry(bind.clone()).or_default();
        *pending = pending.saturating_add(1);
        let desk = Arc::clone(&self.shared.desk);
        let member = Arc::clone(&self.member);
        let turns = Arc::clone(&self.turns);
        let (enters, entered) = oneshot::channel::<()>();
        let before = self.entered.replace(entered);
        self.work.spawn(async move {
            if let Some(before) = before {
                // Its sender is dropped, not used.
                before.await.ok();
            }
            // Never closed.
            let _turn = turns.acquire().await.ok();
            let result = {
                let mut listening = pin!(desk.listen(&member, &bind));
                let first = poll_fn(|cx| Poll::Ready(listening.as_mut().poll(cx))).await;
                drop(enters);
                match first {
                    Poll::Ready(result) => result,
                    Poll::Pending => listening.await,
                }
            };
            Done::Forward(bind, result, answer)
        });
    }

    fn cancel(&mut self, request: CancelRequest) {
        if self.pending.contains_key(&request.bind) {
            self.early_cancels.push(request);
            return;
        }
        let CancelRequest { bind, answer } = request;
        let desk = Arc::clone(&self.shared.desk);
        let member = Arc::clone(&self.member);
        self.work.spawn(async move {
            let was_there = desk.cancel(&member, &bind).await;
            if was_there {
                answer.done();
            }
            Done::Cancelled(bind, was_there)
        });
    }

    fn open(&mut self, request: OpenRequest) {
        self.streams = self.streams.saturating_add(1);
        let shared = Arc::clone(&self.shared);
        let who = Arc::clone(&self.who);
        let is_agent = self.is_own_agent;
        self.work.spawn(async move {
            carry(&shared, &who, is_agent, request).await;
            Done::Stream
        });
    }

    /// What a task has come to. The connection's end is everybody's.
    fn done(&mut self, done: Result<Done, JoinError>) -> Option<ConnectionEnd> {
        match done {
            Ok(Done::Connection(end)) => return Some(end),
            Ok(Done::Forward(bind, result, answer)) => self.answered(&bind, result, answer),
            Ok(Done::Cancelled(bind, was_there)) => self.cancelled(&bind, was_there),
            Ok(Done::Returned(inheritance, result)) => self.returned(inheritance, result),
            Ok(Done::Stream) => self.streams = self.streams.saturating_sub(1),
            Ok(Done::Page) => self.pages = self.pages.saturating_sub(1),
            Err(error) if error.is_panic() => {
                // This connection ends by it and no other.
                self.transport.close(CloseReason::Stopping);
                resume_unwind(error.into_panic());
            }
            Err(_) => {}
        }
        None
    }

    fn answered(&mut self, bind: &Bind, result: Result<Listening, Refused>, answer: ForwardAnswer) {
        self.asking = self.asking.saturating_sub(1);
        if let Some(pending) = self.pending.get_mut(bind) {
            *pending = pending.saturating_sub(1);
            if *pending == 0 {
                self.pending.remove(bind);
            }
        }
        match result {
            Ok(listening) => {
                let port = listening.port;
                let granted = with_port(bind, port);
                self.note(&format!("granted: {}", place(&granted, &listening)));
                self.granted.push((granted, listening));
                // Before the client hears of it: what it asks about the forward then is answered behind its name.
                self.show();
                answer.grant(port);
            }
            Err(refused) => {
                answer.refuse();
                self.refusals = self.refusals.saturating_add(1);
                let principal = &self.who.principal.name;
                if self.refusals <= REFUSALS_TOLD {
                    tracing::info!(%principal, %bind, %refused, "forward is refused");
                } else {
                    tracing::debug!(%principal, %bind, %refused, "forward is refused");
                }
                let reason = format!("{bind} is refused: {refused}");
                self.note(&reason);
                let word = Word::Refused {
                    bind: bind.clone(),
                    reason: refused.to_string(),
                };
                // Who does not listen is told by other means, or not at all.
                drop(self.who.line.tell(word));
                self.useless = Some((reason, Instant::now()));
            }
        }
        self.show();
        let (early, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.early_cancels)
            .into_iter()
            .partition(|cancel| !self.pending.contains_key(&cancel.bind));
        self.early_cancels = later;
        for cancel in early {
            self.cancel(cancel);
        }
    }

    fn cancelled(&mut self, bind: &Bind, was_there: bool) {
        if was_there {
            self.granted.retain(|(granted, _)| granted != bind);
            self.visits.forget(bind);
            self.note(&format!("taken back: {bind}"));
            self.show();
        }
    }

    /// Waits until the one thing that a client wanted has been refused for a while. It would sit there for
    /// ever otherwise, and its person would not know why; what a connection is closed with, a stock ssh
    /// prints. One of ours asks again.
    fn second_thoughts(&self) -> impl Future<Output = CloseReason> + use<> {
        let is_idle = self.granted.is_empty()
            && self.asking == 0
            && self.streams == 0
            && self.pages == 0
            && !self.is_own_agent;
        let useless = (self.useless.clone()).filter(|_| is_idle && self.shared.ends_useless);
        async move {
            match useless {
                Some((reason, since)) => {
                    tokio::time::sleep(SECOND_THOUGHTS.saturating_sub(since.elapsed())).await;
                    CloseReason::Useless(reason.as_str().into())
                }
                None => std::future::pending().await,
            }
        }
    }

    async fn close(&self, reason: CloseReason) -> ConnectionEnd {
        self.note(&format!("this gateway ends the connection: {reason}"));
        self.view.send_modify(|view| view.is_over = true);
        let is_told = reason == CloseReason::Stopping && self.who.line.tell(Word::Stopping).is_ok();
        if !is_told {
            self.transport.close(reason.clone());
        }
        await_end(&self.transport).await;
        ConnectionEnd::Ours(reason)
    }

    fn note(&self, text: &str) {
        self.view.send_modify(|view| view.note(text));
    }

    /// Shows the forwards as they are now.
    fn show(&self) {
        let forwards: Vec<Shown> = (self.granted.iter())
            .map(|(bind, listening)| Shown {
                bind: bind.clone(),
                name: listening.name.clone(),
                urls: listening.urls.clone(),
                place: place(bind, listening),
                visitors: self.visits.of(bind),
            })
            .collect();
        self.view.send_if_modified(|view| {
            let is_new = view.forwards != forwards;
            view.forwards = forwards;
            is_new
        });
    }

    /// Ends every task, then gives the leases back or into grace.
    async fn leave(mut self, end: &ConnectionEnd) {
        self.work.shutdown().await;
        if let Some(member) = Arc::into_inner(self.member) {
            self.shared.desk.leave(member, end);
        }
        tell!(
            self.telling,
            principal = %self.who.principal.name,
            visitor.addr = %self.who.source,
            %end,
            refused.forwards = self.refusals,
            "connection has ended"
        );
    }
}

/// The bind as visitors are announced for it: with the port that was granted.
fn with_port(bind: &Bind, granted: u16) -> Bind {
    match bind {
        Bind::Tcp { host, .. } => Bind::Tcp {
            host: host.clone(),
            port: granted,
        },
        Bind::Unix { path } => Bind::Unix { path: path.clone() },
    }
}

/// Where visitors come in, in words.
fn place(bind: &Bind, listening: &Listening) -> String {
    if !listening.urls.is_empty() {
        return listening.urls.join("  ");
    }
    if listening.addresses.is_empty() {
        return bind.to_string();
    }
    let addresses: Vec<String> = (listening.addresses.iter())
        .map(SocketAddr::to_string)
        .collect();
    addresses.join(", ")
}

/// A number by which connections are told apart in time; any will do if the system has none.
fn chance() -> u64 {
    let mut bytes = [0; 8];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_be_bytes(bytes),
        Err(_) => 0,
    }
}
