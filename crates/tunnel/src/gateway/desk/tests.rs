use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use adit_model::grant::Grant;
use adit_model::id::{LeaseId, PrincipalId};
use adit_model::lease::{Reservation, Reserved, Takeover};
use adit_model::port::PortSet;
use adit_testkit::port::Port;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::*;
use crate::gateway::policy::{Kind, Principal};
use crate::gateway::registry::{Fenced, Unserved, WAITING_FOR_ONE};
use crate::gateway::seam::{Later, LedgerError};
use crate::transport::{Bind, ByteStream, Connection, Origin, PeerRequest, memory};

mod relisten;
mod security;

/// A desk at work, and what it stands on.
struct House {
    desk: Arc<Desk>,
    policy: watch::Sender<Arc<Policy>>,
    book: Arc<Book>,
    doors: Arc<Doors>,
    clock: Arc<Mutex<Timestamp>>,
    stop: CancellationToken,
    running: JoinSet<()>,
    tasks: JoinSet<()>,
}

/// A ledger in memory.
#[derive(Debug, Default)]
struct Book {
    leases: Mutex<BTreeMap<Holding, Lease>>,
    is_away: AtomicBool,
}

/// Holds listeners open and serves nobody.
#[derive(Debug, Default)]
struct Doors(Arc<Mutex<Vec<Holding>>>);

/// Both ends of a connection, which can be stopped and go on.
struct Peer {
    member: Member,
    near: Arc<dyn Transport>,
    far: Connection,
    frozen: watch::Sender<bool>,
}

impl Ledger for Book {
    fn keep<'a>(&'a self, lease: &'a Lease) -> Later<'a, Result<LeaseId, LedgerError>> {
        Box::pin(async move {
            if self.is_away.load(Ordering::SeqCst) {
                let reason = String::from("the disk is full");
                return Err(LedgerError { reason });
            }
            let mut leases = self.leases.lock().unwrap();
            let next = i64::try_from(leases.len()).unwrap() + 1;
            let known = leases.get(&lease.holding).map(|lease| lease.id);
            let id = known.unwrap_or_else(|| LeaseId::new(next));
            let lease = Lease {
                id,
                ..lease.clone()
            };
            leases.insert(lease.holding.clone(), lease);
            Ok(id)
        })
    }
}

impl Publish for Doors {
    fn serve(
        &self,
        sockets: Sockets,
        holding: Holding,
        stop: CancellationToken,
    ) -> Later<'static, ()> {
        let open = Arc::clone(&self.0);
        Box::pin(async move {
            open.lock().unwrap().push(holding.clone());
            stop.cancelled().await;
            drop(sockets);
            open.lock().unwrap().retain(|one| *one != holding);
        })
    }
}

const OWNER: i64 = 1;
const STRANGER: i64 = 2;

fn grant() -> Grant {
    Grant {
        ports: PortSet::all(),
        any_port: true,
        sockets: adit_model::grant::Sockets::Any,
        ..Grant::default()
    }
}

fn policy(grants: &[(i64, Grant)]) -> Arc<Policy> {
    let principal = |(id, grant): &(i64, Grant)| {
        let id = PrincipalId::new(*id);
        let principal = Principal {
            id,
            name: format!("principal {id}"),
            kind: Kind::User,
            grant: grant.clone(),
        };
        (id, Arc::new(principal))
    };
    Arc::new(Policy {
        principals: grants.iter().map(principal).collect(),
        ..Policy::default()
    })
}

fn bind(port: u16) -> Bind {
    Bind::Tcp {
        host: String::from("localhost"),
        port,
    }
}

fn origin() -> Origin {
    Origin {
        host: String::from("203.0.113.5"),
        port: 50_000,
    }
}

impl House {
    fn new() -> Self {
        Self::with(grant(), |_| {}, Vec::new())
    }

    fn with(grant: Grant, set: impl FnOnce(&mut Settings), leases: Vec<Lease>) -> Self {
        let clock = Arc::new(Mutex::new(Timestamp::from_second(1_763_000_000).unwrap()));
        let wall = Arc::clone(&clock);
        let mut settings = Settings::with_ports(PortSet::EMPTY);
        settings.clock = Clock::of(move || *wall.lock().unwrap());
        set(&mut settings);
        let both = policy(&[(OWNER, grant), (STRANGER, self::grant())]);
        let (policy, receiver) = watch::channel(both);
        let (book, doors) = (Arc::new(Book::default()), Arc::new(Doors::default()));
        let seams = Seams {
            policy: receiver,
            ledger: Arc::clone(&book) as Arc<dyn Ledger>,
            publish: Arc::clone(&doors) as Arc<dyn Publish>,
        };
        let desk = Desk::new(settings, seams, leases);
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        let (at_work, stopping) = (Arc::clone(&desk), stop.clone());
        running.spawn(async move { at_work.run(stopping).await });
        Self {
            desk,
            policy,
            book,
            doors,
            clock,
            stop,
            running,
            tasks: JoinSet::new(),
        }
    }

    fn who(&self, principal: i64) -> Who {
        let id = PrincipalId::new(principal);
        Who {
            principal: Arc::clone(&self.policy.borrow().principals[&id]),
            key: None,
            certificate: None,
            source: "192.0.2.1:4000".parse().unwrap(),
            user: String::from("me"),
            not_after: None,
        }
    }

    fn connect(&mut self, principal: i64) -> Peer {
        self.connect_as(self.who(principal)).unwrap()
    }

    fn connect_as(&mut self, who: Who) -> Result<Peer, Refused> {
        let (near, far, driver) = memory::pair();
        let (frozen, mut is_frozen) = watch::channel(false);
        self.tasks.spawn(async move {
            let mut run = std::pin::pin!(driver.run());
            loop {
                tokio::select! {
                    biased;
                    Ok(_) = is_frozen.wait_for(|frozen| *frozen) => {}
                    () = &mut run => return,
                }
                if is_frozen.wait_for(|frozen| !*frozen).await.is_err() {
                    return;
                }
            }
        });
        let near = near.transport;
        let member = self.desk.join(who, Arc::clone(&near))?;
        Ok(Peer {
            member,
            near,
            far,
            frozen,
        })
    }

    async fn listen(&self, peer: &Peer, port: u16) -> Result<Listening, Refused> {
        self.desk.listen(&peer.member, &bind(port)).await
    }

    fn row(&self, port: u16) -> LeaseRow {
        let rows = self.desk.rows();
        let row = rows
            .into_iter()
            .find(|row| row.holding == Holding::Port(port));
        row.expect("a lease of that port")
    }

    /// A visitor of a port, led to a peer, and the peer's end of it.
    async fn visit(&self, peer: &mut Peer, port: u16) -> (Fenced, ByteStream) {
        let holding = Holding::Port(port);
        let visitor = self.desk.registry().open(&holding, origin());
        let (visitor, stream) = tokio::join!(visitor, peer.accept());
        (visitor.unwrap(), stream)
    }

    /// Waits until the ledger says that of a port.
    async fn kept(&self, port: u16, is: impl Fn(&Lease) -> bool) -> Lease {
        adit_testkit::wait::until_async("a lease to be kept", || {
            let kept = self.book.leases.lock().unwrap();
            let lease = kept.get(&Holding::Port(port)).cloned();
            let is = lease.as_ref().is_some_and(&is);
            async move { if is { Ok(lease.unwrap()) } else { Err(lease) } }
        })
        .await
    }

    async fn end(mut self) {
        self.stop.cancel();
        self.running.join_next().await.unwrap().unwrap();
        assert!(
            self.doors.0.lock().unwrap().is_empty(),
            "listeners are left"
        );
    }
}

impl Peer {
    async fn accept(&mut self) -> ByteStream {
        match self.far.requests.recv().await {
            Some(PeerRequest::Open(open)) => open.answer.accept(),
            other => panic!("{other:?} is no visitor"),
        }
    }

    fn freeze(&self) {
        self.frozen.send_replace(true);
    }

    fn thaw(&self) {
        self.frozen.send_replace(false);
    }

    /// Its connection breaks.
    fn cut(self, house: &House) {
        let end = ConnectionEnd::Abandoned;
        house.desk.leave(self.member, &end);
    }

    async fn closed(&self) -> ConnectionEnd {
        let mut end = self.near.end();
        let end = timeout(Duration::from_secs(5), end.wait()).await;
        end.expect("a connection is closed")
    }
}

#[tokio::test(start_paused = true)]
async fn a_forward_listens_at_all_addresses_and_is_kept_before_it_is_granted() {
    let mut house = House::new();
    let peer = house.connect(OWNER);
    let port = Port::reserve();
    let listening = house.listen(&peer, port.number()).await.unwrap();
    assert_eq!(listening.port, port.number());
    let all: Vec<_> = listening
        .addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        all,
        [
            format!("127.0.0.1:{}", port.number()),
            format!("[::1]:{}", port.number())
        ]
    );
    let kept = house.book.leases.lock().unwrap()[&Holding::Port(port.number())].clone();
    assert_eq!(kept.state, LeaseState::Held);
    assert_eq!(house.row(port.number()).epoch, kept.epoch);
    assert_eq!(house.listen(&peer, port.number()).await.unwrap(), listening);
    std::net::TcpStream::connect(listening.addresses[0]).unwrap();
    assert!(house.desk.cancel(&peer.member, &bind(port.number())).await);
    std::net::TcpStream::connect(listening.addresses[0]).unwrap_err();
    assert!(!house.desk.cancel(&peer.member, &bind(port.number())).await);
    // Taken back and asked for again at once, as with ssh -O.
    house.listen(&peer, port.number()).await.unwrap();
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn any_port_is_drawn_from_those_that_are_free_on_the_machine() {
    let (taken, free) = (Port::reserve(), Port::reserve());
    let ports = PortSet::one(taken.number()).union(&PortSet::one(free.number()));
    let _foreign = std::net::TcpListener::bind(("127.0.0.1", taken.number())).unwrap();
    let mut house = House::with(grant(), |settings| settings.ports = ports, Vec::new());
    let peer = house.connect(OWNER);
    assert_eq!(house.listen(&peer, 0).await.unwrap().port, free.number());
    let refused = house.listen(&peer, 0).await.unwrap_err();
    assert!(matches!(refused, Refused::NoneFree { .. }), "{refused}");
    let refused = house.listen(&peer, taken.number()).await.unwrap_err();
    assert!(refused.to_string().contains("another program"), "{refused}");
    assert!(
        !house
            .book
            .leases
            .lock()
            .unwrap()
            .contains_key(&Holding::Port(taken.number()))
    );
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_loses_all_it_has_at_the_first_question() {
    let mut house = House::new();
    let ports = [Port::reserve(), Port::reserve(), Port::reserve()];
    let old = house.connect(OWNER);
    for port in &ports {
        house.listen(&old, port.number()).await.unwrap();
    }
    old.freeze();
    let new = house.connect(OWNER);
    let before = Instant::now();
    for port in &ports {
        house.listen(&new, port.number()).await.unwrap();
    }
    assert!(before.elapsed() <= Duration::from_secs(2));
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_answers_keeps_its_lease() {
    let mut house = House::new();
    let port = Port::reserve();
    let old = house.connect(OWNER);
    house.listen(&old, port.number()).await.unwrap();
    let new = house.connect(OWNER);
    let refused = house.listen(&new, port.number()).await.unwrap_err();
    assert!(matches!(refused, Refused::HeldByYou { .. }), "{refused}");
    assert!(refused.to_string().contains("192.0.2.1:4000"), "{refused}");
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn visitors_of_a_gap_wait_for_the_owner() {
    let mut house = House::new();
    let port = Port::reserve();
    let old = house.connect(OWNER);
    house.listen(&old, port.number()).await.unwrap();
    old.cut(&house);
    assert!(matches!(
        house.row(port.number()).state,
        RowState::Grace { .. }
    ));
    let holding = Holding::Port(port.number());
    let desk = Arc::clone(&house.desk);
    let mut waiting = JoinSet::new();
    for _ in 0..10 {
        let (desk, holding) = (Arc::clone(&desk), holding.clone());
        waiting.spawn(async move { desk.registry().open(&holding, origin()).await.map(drop) });
    }
    sleep(Duration::from_secs(4)).await;
    assert_eq!(house.row(port.number()).waiting, 10);
    let mut new = house.connect(OWNER);
    house.listen(&new, port.number()).await.unwrap();
    for _ in 0..10 {
        drop(new.accept().await);
    }
    while let Some(served) = waiting.join_next().await {
        served.unwrap().unwrap();
    }
    assert_eq!(house.row(port.number()).waiting, 0);
    new.cut(&house);
    let away = house.desk.registry().open(&holding, origin()).await;
    assert_eq!(away.map(drop), Err(Unserved::Away));
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_binds_every_lease_and_gives_it_back_to_its_owner() {
    let mut house = House::new();
    let port = Port::reserve();
    let peer = house.connect(OWNER);
    house.listen(&peer, port.number()).await.unwrap();
    let epoch = house.row(port.number()).epoch;
    let leases: Vec<_> = house
        .book
        .leases
        .lock()
        .unwrap()
        .values()
        .cloned()
        .collect();
    house.end().await;
    let mut house = House::with(grant(), |_| {}, leases);
    assert!(matches!(
        house.row(port.number()).state,
        RowState::Grace { .. }
    ));
    std::net::TcpStream::connect(("127.0.0.1", port.number())).unwrap();
    let stranger = house.connect(STRANGER);
    house.listen(&stranger, port.number()).await.unwrap_err();
    let peer = house.connect(OWNER);
    house.listen(&peer, port.number()).await.unwrap();
    assert!(house.row(port.number()).epoch > epoch);
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_port_is_taken_at_the_start_is_bound_when_it_is_free() {
    let port = Port::reserve();
    let foreign = std::net::TcpListener::bind(("127.0.0.1", port.number())).unwrap();
    let lease = Lease {
        id: LeaseId::new(7),
        holding: Holding::Port(port.number()),
        scope: Scope::Loopback,
        principal: PrincipalId::new(OWNER),
        epoch: Epoch::ZERO,
        since: Timestamp::from_second(1_763_000_000).unwrap(),
        state: LeaseState::Held,
    };
    let house = House::with(grant(), |_| {}, vec![lease]);
    assert!(house.row(port.number()).addresses.is_empty());
    drop(foreign);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(house.row(port.number()).addresses.len(), 2);
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_owner_may_come_back_with_another_scope() {
    let mut house = House::new();
    let port = Port::reserve();
    let old = house.connect(OWNER);
    house.listen(&old, port.number()).await.unwrap();
    old.cut(&house);
    let new = house.connect(OWNER);
    let all = Bind::Tcp {
        host: String::from("127.0.0.1"),
        port: port.number(),
    };
    let listening = house.desk.listen(&new.member, &all).await.unwrap();
    assert_eq!(listening.addresses.len(), 1);
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn grace_ends_in_quarantine_and_its_listener_closes() {
    let mut house = House::new();
    let port = Port::reserve();
    let peer = house.connect(OWNER);
    house.listen(&peer, port.number()).await.unwrap();
    peer.cut(&house);
    sleep(Duration::from_secs(602)).await;
    assert!(matches!(
        house.row(port.number()).state,
        RowState::Quarantine { .. }
    ));
    std::net::TcpStream::connect(("127.0.0.1", port.number())).unwrap_err();
    let holding = Holding::Port(port.number());
    let gone = house.desk.registry().open(&holding, origin());
    assert_eq!(gone.await.map(drop), Err(Unserved::NoLease));
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn newest_displaces_a_living_one_and_tells_it() {
    let mut newest = grant();
    newest.takeover = Takeover::Newest;
    let mut house = House::with(newest, |_| {}, Vec::new());
    let port = Port::reserve();
    let mut last = house.connect(OWNER);
    house.listen(&last, port.number()).await.unwrap();
    for _ in 0..3 {
        let next = house.connect(OWNER);
        house.listen(&next, port.number()).await.unwrap();
        assert!(matches!(
            last.closed().await,
            ConnectionEnd::Ours(CloseReason::Superseded)
        ));
        last.cut(&house);
        last = next;
    }
    // Two machines with one key: the fourth time within a minute the holder keeps it.
    let next = house.connect(OWNER);
    let refused = house.listen(&next, port.number()).await.unwrap_err();
    assert!(matches!(refused, Refused::Flapping { .. }), "{refused}");
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn connections_of_one_principal_are_counted() {
    let mut few = grant();
    few.limits.connections = Some(2);
    let mut house = House::with(few, |_| {}, Vec::new());
    let first = house.connect(OWNER);
    let second = house.connect(OWNER);
    let _other = house.connect(STRANGER);
    // Both are there: the third is one too many, and told so.
    let third = house.connect(OWNER);
    let end = third.closed().await;
    assert!(
        matches!(&end, ConnectionEnd::Ours(CloseReason::Useless(text)) if text.contains("2 connections")),
        "{end}"
    );
    // One of them is gone and nobody knows: it makes room for its owner.
    let port = Port::reserve();
    house.listen(&first, port.number()).await.unwrap();
    first.freeze();
    let fourth = house.connect(OWNER);
    house.listen(&fourth, port.number()).await.unwrap();
    first.thaw();
    assert!(matches!(
        first.closed().await,
        ConnectionEnd::Ours(CloseReason::Superseded)
    ));
    for alive in [&second, &fourth] {
        assert!(alive.near.end().now().is_none());
    }
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_has_more_than_a_few_connections_too_many() {
    let mut few = grant();
    few.limits.connections = Some(1);
    let mut house = House::with(few, |_| {}, Vec::new());
    let peers: Vec<_> = (0..5).map(|_| house.connect(OWNER)).collect();
    let who = house.who(OWNER);
    let refused = house.connect_as(who).err().unwrap();
    assert!(
        matches!(refused, Refused::TooManyConnections { limit: 1 }),
        "{refused}"
    );
    for peer in peers.iter().skip(1) {
        peer.closed().await;
    }
    assert!(peers[0].near.end().now().is_none());
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn sockets_are_in_their_principals_folder_and_gone_with_their_lease() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().to_owned();
    let mut house = House::with(
        grant(),
        |settings| settings.sockets = Some(path),
        Vec::new(),
    );
    let peer = house.connect(OWNER);
    let ask = |path: &str| Bind::Unix {
        path: String::from(path),
    };
    let listening = house.desk.listen(&peer.member, &ask("1/db")).await.unwrap();
    assert_eq!(listening.port, 0);
    std::os::unix::net::UnixStream::connect(base.path().join("1/db")).unwrap();
    let refused = house
        .desk
        .listen(&peer.member, &ask("2/db"))
        .await
        .unwrap_err();
    assert!(matches!(refused, Refused::Path { .. }), "{refused}");
    assert!(house.desk.cancel(&peer.member, &ask("1/db")).await);
    assert!(!base.path().join("1/db").exists());
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_connection_has_ended_keeps_nothing_even_where_the_oldest_does() {
    let mut oldest = grant();
    oldest.takeover = Takeover::Oldest;
    let mut house = House::with(oldest, |_| {}, Vec::new());
    let port = Port::reserve();
    let old = house.connect(OWNER);
    house.listen(&old, port.number()).await.unwrap();
    let new = house.connect(OWNER);
    let refused = house.listen(&new, port.number()).await.unwrap_err();
    assert!(matches!(refused, Refused::HeldByYou { .. }), "{refused}");
    // Its session has not told the desk yet.
    old.near.close(CloseReason::Stopping);
    old.closed().await;
    house.listen(&new, port.number()).await.unwrap();
    old.cut(&house);
    assert!(matches!(
        house.row(port.number()).state,
        RowState::Held { .. }
    ));
    house.end().await;
}
