//! Raw byte streams: each visitor of a listener is led to whoever serves it.
//!
//! What happens to a visitor, in order: there is room; at a listener for balancers, the connection comes from a
//! listed one and begins with a header; the access list admits them; [`Dial`] finds whoever serves; a header of the
//! PROXY protocol goes there first, if it is asked for; bytes go both ways until both halves have ended; a line in
//! the access log. Whatever goes wrong on the way is a reset.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use adit_model::lease::Holding;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::access_log::{AccessLog, End, Entry};
use crate::copy::{CopyEnd, Meters, copy};
use crate::dial::{self, Carrier, Dial, DialError};
use crate::listen::{self, Accepted, Door, Listener, Places, Room};
use crate::pool::Pool;
use crate::proxy_protocol::{self, BLOCK_LENGTH, Header, HeaderError, Progress, Version};
use crate::rule::{Rule, Rules};
use crate::visitor::{Endpoint, Visitor};
use crate::wire::{Lent, Wire};

/// How visitors are served, of all listeners alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Visitors at a time, in all.
    pub visitors: usize,
    /// Visitors at a time for one holding.
    pub visitors_each: usize,
    /// How long a balancer may take for its header.
    pub header_time: Duration,
    /// How long a dial may take, with the header for the target. Longer than visitors are held for somebody who
    /// comes back.
    pub dial_time: Duration,
    /// After how long a visitor is sent away when neither side says anything; never without.
    pub idle_time: Option<Duration>,
    /// Memory for large buffers, in bytes. Beyond it buffers are small.
    pub buffer_bytes: usize,
}

/// Visitors at a time, in all, where descriptors suffice.
const VISITORS: usize = 10_000;
/// Part of all that one holding may have: a flood at one leaves room at others, also where one owner has several.
const EACH_PART: usize = 8;
/// A balancer sends its header at once (security rule G71).
const HEADER_TIME: Duration = Duration::from_secs(3);
/// Twice as long as visitors are held, for a far network.
const DIAL_TIME: Duration = Duration::from_secs(15);
/// 1,024 large buffers.
const BUFFER_BYTES: usize = 64 << 20;
/// Descriptors that are not visitors': listeners, the store, logs. Tunnels are counted by who knows how many.
const RESERVED: u64 = 256;
/// Descriptors of a visitor at worst: its socket and the carrier's.
const DESCRIPTORS_EACH: u64 = 2;

impl Settings {
    /// What suits a process that may have so many descriptors (`RLIMIT_NOFILE`).
    pub fn within(descriptors: u64) -> Self {
        let visitors = descriptors.saturating_sub(RESERVED) / DESCRIPTORS_EACH;
        let visitors =
            usize::try_from(visitors).map_or(VISITORS, |number| number.clamp(16, VISITORS));
        Self {
            visitors,
            visitors_each: visitors / EACH_PART,
            header_time: HEADER_TIME,
            dial_time: DIAL_TIME,
            idle_time: None,
            buffer_bytes: BUFFER_BYTES,
        }
    }
}

/// How the visitors of one holding are served.
#[derive(Debug, Clone)]
pub struct Service {
    /// What is served.
    pub holding: Holding,
    /// What holds for each visitor who comes. When its sender is gone, nobody may come in.
    pub rules: watch::Receiver<Arc<Rules>>,
}

impl Service {
    /// The rule of this moment, while somebody keeps it.
    fn rule(&self) -> Option<Arc<Rule>> {
        self.rules.has_changed().ok()?;
        Some(self.rules.borrow().of(&self.holding))
    }
}

/// Serves visitors.
#[derive(Debug)]
pub struct StreamServer {
    core: Arc<Core>,
    door: Arc<Door>,
    places: Places,
    visitors: TaskTracker,
    /// Ends those that are left.
    end: CancellationToken,
}

#[derive(Debug)]
struct Core {
    dial: Arc<dyn Dial>,
    log: Arc<dyn AccessLog>,
    settings: Settings,
    pool: Pool,
    listening: Arc<listen::Counts>,
    totals: Totals,
}

#[derive(Debug, Default)]
struct Totals {
    accepted: AtomicU64,
    turned_away: AtomicU64,
    not_dialled: AtomicU64,
    broken_off: AtomicU64,
    from_visitors: AtomicU64,
    to_visitors: AtomicU64,
    /// Probes that are there now.
    probes: AtomicU64,
}

/// What a server has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Visitors who are there now.
    pub visitors: u64,
    /// Visitors who were accepted.
    pub accepted: u64,
    /// Of those, by an access list or the rules of the PROXY protocol.
    pub turned_away: u64,
    /// Of those, whom nobody served.
    pub not_dialled: u64,
    /// Of those, who were served and did not end in good order.
    pub broken_off: u64,
    /// Bytes that targets took from visitors who have left.
    pub from_visitors: u64,
    /// Bytes that visitors who have left took.
    pub to_visitors: u64,
    /// Times that a listener waited for room.
    pub full: u64,
    /// Times that the system refused to accept.
    pub refused: u64,
}

impl StreamServer {
    /// A server without listeners.
    pub fn new(dial: Arc<dyn Dial>, log: Arc<dyn AccessLog>, settings: Settings) -> Self {
        let listening = Arc::<listen::Counts>::default();
        let places = Places::new(settings.visitors);
        let door = Door::new(&places, Arc::clone(&listening));
        Self {
            core: Arc::new(Core {
                dial,
                log,
                settings,
                pool: Pool::new(settings.buffer_bytes / crate::pool::LARGE),
                listening,
                totals: Totals::default(),
            }),
            door: Arc::new(door),
            places,
            visitors: TaskTracker::new(),
            end: CancellationToken::new(),
        }
    }

    /// Serves the visitors of those listeners until `stop`. When the future ends, none of the listeners is open any
    /// more. Visitors who are there then stay, and are [`drain`](Self::drain)'s.
    ///
    /// # Cancel safety
    /// Dropping the future closes the listeners at once.
    pub fn serve(
        &self,
        listeners: Vec<Listener>,
        service: Service,
        stop: &CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let own = Arc::new(Semaphore::new(self.core.settings.visitors_each));
        let service = Arc::new(service);
        let acceptors = listeners.into_iter().map(|listener| {
            let acceptor = Acceptor {
                core: Arc::clone(&self.core),
                door: Arc::clone(&self.door),
                own: Arc::clone(&own),
                service: Arc::clone(&service),
                visitors: self.visitors.clone(),
                end: self.end.clone(),
            };
            acceptor.run(listener, stop.clone())
        });
        let acceptors = join_all(acceptors);
        async move {
            acceptors.await;
        }
    }

    /// Waits until all visitors have left, for so long at most; then those that are left are reset. When the future
    /// ends, nobody is there any more. Visitors who come later are reset at once.
    ///
    /// # Cancel safety
    /// Dropping the future leaves visitors where they are.
    pub async fn drain(&self, within: Duration) {
        self.visitors.close();
        if timeout(within, self.visitors.wait()).await.is_err() {
            let left = self.visitors.len();
            warn!(
                left,
                "drain time is over; resetting the visitors that are left"
            );
        }
        self.end.cancel();
        self.visitors.wait().await;
    }

    /// The room that its visitors have, for others who serve visitors beside it.
    pub fn places(&self) -> Places {
        self.places.clone()
    }

    /// What it has done.
    pub fn counts(&self) -> Counts {
        let Core {
            listening, totals, ..
        } = &*self.core;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            visitors: u64::try_from(self.visitors.len())
                .unwrap_or(u64::MAX)
                .saturating_sub(load(&totals.probes)),
            accepted: load(&totals.accepted),
            turned_away: load(&totals.turned_away),
            not_dialled: load(&totals.not_dialled),
            broken_off: load(&totals.broken_off),
            from_visitors: load(&totals.from_visitors),
            to_visitors: load(&totals.to_visitors),
            full: load(&listening.full),
            refused: load(&listening.refused),
        }
    }
}

/// What accepts at one listener.
struct Acceptor {
    core: Arc<Core>,
    door: Arc<Door>,
    own: Arc<Semaphore>,
    service: Arc<Service>,
    visitors: TaskTracker,
    end: CancellationToken,
}

impl Acceptor {
    async fn run(self, listener: Listener, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = listener.next(&self.door, &self.own) => accepted,
            };
            let core = Arc::clone(&self.core);
            let service = Arc::clone(&self.service);
            let end = self.end.clone();
            self.visitors
                .spawn(async move { attend(&core, &service, accepted, end).await });
        }
    }
}

/// Serves one visitor.
async fn attend(core: &Core, service: &Service, accepted: Accepted, end: CancellationToken) {
    let Accepted {
        socket: mut visitor,
        peer,
        listener,
        room,
    } = accepted;
    let known = Visitor {
        holding: service.holding.clone(),
        origin: peer,
        listener,
        via: None,
    };
    if let Some(dialling) = core.dial.probe(&known) {
        let _probe = Probe::counted(&core.totals);
        let carried = timeout(
            core.settings.dial_time,
            carry_probe(core, visitor, dialling),
        );
        tokio::select! {
            biased;
            () = end.cancelled() => {}
            // What came of it, whoever has sent it sees.
            _ = carried => {}
        }
        return;
    }
    core.totals.accepted.fetch_add(1, Ordering::Relaxed);
    let mut stay = Stay {
        core,
        visitor: known,
        meters: Meters::default(),
        since: Instant::now(),
        end: End::Broken,
        _room: room,
    };
    let ended = tokio::select! {
        biased;
        () = end.cancelled() => End::Stopped,
        ended = lead(core, service, &mut visitor, &mut stay.visitor, &stay.meters) => ended,
    };
    if matches!(ended, End::Served | End::Closed) {
        visitor.finish();
    }
    drop(visitor);
    stay.end = ended;
}

async fn lead(
    core: &Core,
    service: &Service,
    visitor: &mut Wire,
    known: &mut Visitor,
    meters: &Meters,
) -> End {
    let Some(rule) = service.rule() else {
        return End::Denied;
    };
    if let Some(balancers) = &rule.balancers {
        let socket = match visitor.tcp() {
            Some(socket) if balancers.contain(known.origin) => socket,
            _ => return End::NotABalancer,
        };
        match timeout(core.settings.header_time, read_header(socket)).await {
            Ok(Ok(header)) => believe(known, header),
            Ok(Err(error)) => return End::Header(error),
            Err(_) => return End::Header(HeaderError::Late),
        }
    }
    // A header may have taken its time.
    let Some(rule) = service.rule().filter(|it| it.access.admits(known.origin)) else {
        return End::Denied;
    };
    let dialled = {
        let opening = timeout(core.settings.dial_time, open(core, rule.announce, known));
        tokio::select! {
            dialled = opening => dialled.unwrap_or(Err(DialError::Late)),
            // Who has left is not waited for.
            error = visitor.watch().broken() => return End::VisitorReset(error),
        }
    };
    let mut carrier = match dialled {
        Ok(carrier) => carrier,
        Err(error) => return End::Dial(error),
    };
    let ended = copy(
        visitor.lend(),
        carrier.lend(),
        &core.pool,
        meters,
        core.settings.idle_time,
    )
    .await;
    match ended {
        CopyEnd::Done => {
            carrier.finish();
            End::Served
        }
        CopyEnd::CarrierClosed => {
            carrier.finish();
            drop(carrier);
            linger(visitor.lend()).await;
            End::Closed
        }
        CopyEnd::VisitorBroke(error) => End::VisitorReset(error),
        CopyEnd::CarrierBroke(error) => End::CarrierReset(error),
        CopyEnd::Idle => End::Idle,
    }
}

/// Carries what goes round by a probe.
async fn carry_probe(
    core: &Core,
    mut probe: Wire,
    dialling: dial::Later<'_, Result<Carrier, DialError>>,
) {
    let Ok(carrier) = dialling.await else {
        return;
    };
    let mut carrier = Wire::from(carrier);
    let meters = Meters::default();
    copy(
        probe.lend(),
        carrier.lend(),
        &core.pool,
        &meters,
        core.settings.idle_time,
    )
    .await;
}

/// A probe that is there. It takes a place among the tasks, which are counted as visitors otherwise.
struct Probe<'a>(&'a Totals);

impl<'a> Probe<'a> {
    fn counted(totals: &'a Totals) -> Self {
        totals.probes.fetch_add(1, Ordering::Relaxed);
        Self(totals)
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        self.0.probes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Takes a balancer's word.
fn believe(known: &mut Visitor, header: Header) {
    known.via = Some(known.origin);
    if let Header::Proxied {
        source,
        destination,
    } = header
    {
        known.origin = Endpoint::Tcp(source);
        known.listener = Endpoint::Tcp(destination);
    }
}

/// Reads a header and no byte behind it: what has come is looked at first, and taken only as far as it belongs.
pub(crate) async fn read_header(socket: &TcpStream) -> Result<Header, HeaderError> {
    let mut read = Vec::new();
    let mut window = [0; BLOCK_LENGTH];
    loop {
        let ended = |_: io::Error| HeaderError::Ended;
        let length = socket.peek(&mut window).await.map_err(ended)?;
        let seen = window.get(..length).unwrap_or_default();
        if seen.is_empty() {
            return Err(HeaderError::Ended);
        }
        let before = read.len();
        read.extend_from_slice(seen);
        let (header, whole) = match proxy_protocol::read(&read)? {
            Progress::Whole(header, whole) => (Some(header), whole),
            Progress::Partial => (None, read.len()),
        };
        let mut taken = vec![0; whole.saturating_sub(before)];
        Lent::Tcp(socket)
            .read_exact(&mut taken)
            .await
            .map_err(ended)?;
        if let Some(header) = header {
            return Ok(header);
        }
    }
}

/// Opens the way to whoever serves, and says there who comes.
async fn open(
    core: &Core,
    announce: Option<Version>,
    visitor: &Visitor,
) -> Result<Wire, DialError> {
    let carrier = core.dial.dial(visitor).await?;
    if let Carrier::Tcp(socket) = &carrier {
        listen::dialled(socket);
    }
    let mut carrier = Wire::from(carrier);
    if let Some(version) = announce {
        let header = proxy_protocol::write(version, visitor);
        let mut lent = carrier.lend();
        lent.write_all(&header)
            .await
            .map_err(DialError::Unreachable)?;
        lent.flush().await.map_err(DialError::Unreachable)?;
    }
    Ok(carrier)
}

/// How long a visitor who goes on speaking is listened to after the other end has closed.
const LINGER: Duration = Duration::from_secs(2);

/// Reads what nobody wants. A socket that is closed over unread bytes is reset, and the reset would overtake what
/// the visitor has not read yet.
async fn linger(mut visitor: Lent<'_>) {
    let mut bytes = vec![0; crate::pool::SMALL];
    let unread = async { while matches!(visitor.read(&mut bytes).await, Ok(1..)) {} };
    // Either way there is nothing more to be done for them.
    timeout(LINGER, unread).await.ok();
}

/// A visitor's stay. However it ends, a line is written.
struct Stay<'a> {
    core: &'a Core,
    visitor: Visitor,
    meters: Meters,
    since: Instant,
    end: End,
    _room: Room,
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        let totals = &self.core.totals;
        let from_visitor = self.meters.from_visitor.load(Ordering::Relaxed);
        let to_visitor = self.meters.to_visitor.load(Ordering::Relaxed);
        totals
            .from_visitors
            .fetch_add(from_visitor, Ordering::Relaxed);
        totals.to_visitors.fetch_add(to_visitor, Ordering::Relaxed);
        let counter = match self.end {
            End::Served | End::Closed => None,
            End::Denied | End::NotABalancer | End::Header(_) => Some(&totals.turned_away),
            End::Dial(_) => Some(&totals.not_dialled),
            End::VisitorReset(_)
            | End::CarrierReset(_)
            | End::Idle
            | End::Stopped
            | End::Broken => Some(&totals.broken_off),
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.core.log.left(&Entry {
            visitor: &self.visitor,
            lasted: self.since.elapsed(),
            from_visitor,
            to_visitor,
            end: &self.end,
        });
    }
}
