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
            let id = known.unwrap_or(LeaseId::new(next));
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
async fn fenced_tunnel_never_delivers() {
    let mut house = House::new();
    let port = Port::reserve();
    let mut old = house.connect(OWNER);
    house.listen(&old, port.number()).await.unwrap();
    let (mut visitor, mut service) = house.visit(&mut old, port.number()).await;
    service.write_all(b"early").await.unwrap();
    let mut early = [0; 5];
    visitor.read_exact(&mut early).await.unwrap();
    let first = visitor.epoch();

    old.freeze();
    service.write_all(b"late").await.unwrap();
    visitor.write_all(b"secret").await.unwrap();
    let mut new = house.connect(OWNER);
    let before = Instant::now();
    house.listen(&new, port.number()).await.unwrap();
    let took = before.elapsed();
    assert!(took <= Duration::from_secs(2), "{took:?}");

    // Cut off before the old one can say a word more.
    let error = visitor.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let error = visitor.write_all(b"more").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    old.thaw();
    assert!(matches!(
        old.closed().await,
        ConnectionEnd::Ours(CloseReason::Superseded)
    ));
    visitor.read_u8().await.unwrap_err();
    let mut rest = Vec::new();
    service.read_to_end(&mut rest).await.unwrap_err();
    assert_eq!(rest, b"", "a visitor's bytes reached the old connection");

    let (mut visitor, mut service) = house.visit(&mut new, port.number()).await;
    assert!(visitor.epoch() > first);
    service.write_all(b"new").await.unwrap();
    let mut bytes = [0; 3];
    visitor.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"new");
    // What the old connection's end does is nobody's loss.
    old.cut(&house);
    assert!(matches!(
        house.row(port.number()).state,
        RowState::Held { .. }
    ));
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
async fn other_identity_learns_nothing() {
    let mut house = House::new();
    let [held, silent, waiting, given_up, reserved] = std::array::from_fn(|_| Port::reserve());
    let owner = house.connect(OWNER);
    house.listen(&owner, held.number()).await.unwrap();
    house.listen(&owner, given_up.number()).await.unwrap();
    house
        .desk
        .cancel(&owner.member, &bind(given_up.number()))
        .await;
    let frozen = house.connect(OWNER);
    house.listen(&frozen, silent.number()).await.unwrap();
    frozen.freeze();
    let cut = house.connect(OWNER);
    house.listen(&cut, waiting.number()).await.unwrap();
    cut.cut(&house);
    let mut policy = Policy::clone(&house.policy.borrow());
    policy.reservations.push(Reservation {
        id: 1,
        what: Reserved::Ports(PortSet::one(reserved.number())),
        principal: PrincipalId::new(OWNER),
        note: String::new(),
    });
    house.policy.send_replace(Arc::new(policy));
    let stranger = house.connect(STRANGER);
    for port in [&held, &silent, &waiting, &given_up, &reserved] {
        let port = port.number();
        let before = Instant::now();
        let refused = house.listen(&stranger, port).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("port {port} is in use; ask for another one of yours")
        );
        assert_eq!(before.elapsed(), Duration::ZERO, "nobody is asked for it");
    }
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
async fn held_accepts_bounded() {
    let mut house = House::new();
    let port = Port::reserve();
    let old = house.connect(OWNER);
    house.listen(&old, port.number()).await.unwrap();
    old.cut(&house);
    let holding = Holding::Port(port.number());
    let mut waiting = JoinSet::new();
    for _ in 0..WAITING_FOR_ONE {
        let (desk, holding) = (Arc::clone(&house.desk), holding.clone());
        waiting.spawn(async move { desk.registry().open(&holding, origin()).await.map(drop) });
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(house.row(port.number()).waiting, WAITING_FOR_ONE);
    let crowded = house.desk.registry().open(&holding, origin()).await;
    assert_eq!(crowded.map(drop), Err(Unserved::Crowded));
    let before = Instant::now();
    while let Some(away) = waiting.join_next().await {
        assert_eq!(away.unwrap(), Err(Unserved::Away));
    }
    assert!(before.elapsed() <= Duration::from_secs(4), "five in all");
    assert_eq!(house.row(port.number()).waiting, 0);
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn held_visitor_never_crosses_tenants() {
    let mut house = House::new();
    let port = Port::reserve();
    let old = house.connect(OWNER);
    house.listen(&old, port.number()).await.unwrap();
    old.cut(&house);
    let holding = Holding::Port(port.number());
    let (desk, held) = (Arc::clone(&house.desk), holding.clone());
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { desk.registry().open(&held, origin()).await.map(drop) });
    sleep(Duration::from_secs(1)).await;
    // An operator takes it from the one and lets the other have it at once.
    assert!(house.desk.release(&holding));
    assert!(house.desk.release(&holding));
    let mut stranger = house.connect(STRANGER);
    house.listen(&stranger, port.number()).await.unwrap();
    let sent_away = waiting.join_next().await.unwrap().unwrap();
    assert_eq!(sent_away, Err(Unserved::NoLease));
    assert!(stranger.far.requests.try_recv().is_err());
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn revocation_closes_everything_1s() {
    let mut house = House::new();
    let (held, waiting) = (Port::reserve(), Port::reserve());
    let mut peer = house.connect(OWNER);
    house.listen(&peer, held.number()).await.unwrap();
    let cut = house.connect(OWNER);
    house.listen(&cut, waiting.number()).await.unwrap();
    cut.cut(&house);
    let (mut visitor, _service) = house.visit(&mut peer, held.number()).await;
    let before = Instant::now();
    house.policy.send_replace(policy(&[(STRANGER, grant())]));
    visitor.read_u8().await.unwrap_err();
    let end = peer.closed().await;
    assert!(
        matches!(&end, ConnectionEnd::Ours(CloseReason::Revoked(text)) if text.contains("not known here")),
        "{end}"
    );
    assert!(before.elapsed() <= Duration::from_secs(1));
    for port in [&held, &waiting] {
        assert!(matches!(
            house.row(port.number()).state,
            RowState::Quarantine { .. }
        ));
        house
            .kept(port.number(), |lease| {
                matches!(lease.state, LeaseState::Quarantine(_))
            })
            .await;
    }
    let refused = house.listen(&peer, held.number()).await.unwrap_err();
    assert!(
        matches!(refused, Refused::Fallen(Fallen::Principal)),
        "{refused}"
    );
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_grant_takes_away_what_it_does_not_allow_and_nothing_else() {
    let mut house = House::new();
    let (kept, lost) = (Port::reserve(), Port::reserve());
    let mut peer = house.connect(OWNER);
    for port in [&kept, &lost] {
        house.listen(&peer, port.number()).await.unwrap();
    }
    let (mut visitor, mut service) = house.visit(&mut peer, kept.number()).await;
    let mut narrow = grant();
    narrow.ports = PortSet::one(kept.number());
    house
        .policy
        .send_replace(policy(&[(OWNER, narrow), (STRANGER, grant())]));
    house
        .kept(lost.number(), |lease| {
            matches!(lease.state, LeaseState::Quarantine(_))
        })
        .await;
    service.write_all(b"on").await.unwrap();
    let mut on = [0; 2];
    visitor.read_exact(&mut on).await.unwrap();
    assert!(matches!(
        house.row(kept.number()).state,
        RowState::Held { .. }
    ));
    let refused = house.listen(&peer, lost.number()).await.unwrap_err();
    assert!(matches!(refused, Refused::Denied(_)), "{refused}");
    // One that has nothing left is closed, so that its owner learns of it.
    house
        .policy
        .send_replace(policy(&[(OWNER, Grant::default())]));
    assert!(matches!(
        peer.closed().await,
        ConnectionEnd::Ours(CloseReason::Revoked(_))
    ));
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn clock_jump_never_revives() {
    let ends = Timestamp::from_second(1_763_000_000 + 100).unwrap();
    let mut limited = grant();
    limited.not_after = Some(ends);
    let mut house = House::with(limited, |_| {}, Vec::new());
    let port = Port::reserve();
    let peer = house.connect(OWNER);
    house.listen(&peer, port.number()).await.unwrap();
    // It is set back before the end: that does not make the connection last longer.
    *house.clock.lock().unwrap() -= Duration::from_secs(3_600);
    sleep(Duration::from_secs(2)).await;
    *house.clock.lock().unwrap() += Duration::from_secs(101);
    let end = peer.closed().await;
    assert!(
        matches!(end, ConnectionEnd::Ours(CloseReason::Revoked(_))),
        "{end}"
    );
    *house.clock.lock().unwrap() -= Duration::from_secs(3_600);
    let refused = house.listen(&peer, port.number()).await.unwrap_err();
    assert!(matches!(refused, Refused::Fallen(_)), "{refused}");
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn db_down_fails_closed_for_new() {
    let mut house = House::new();
    let (known, new) = (Port::reserve(), Port::reserve());
    let old = house.connect(OWNER);
    house.listen(&old, known.number()).await.unwrap();
    let epoch = house.row(known.number()).epoch;
    old.cut(&house);
    house.book.is_away.store(true, Ordering::SeqCst);
    let peer = house.connect(OWNER);
    house.listen(&peer, known.number()).await.unwrap();
    let refused = house.listen(&peer, new.number()).await.unwrap_err();
    let Refused::Ledger { error, .. } = &refused else {
        panic!("{refused}");
    };
    assert!(error.to_string().contains("the disk is full"), "{error}");
    std::net::TcpStream::connect(("127.0.0.1", new.number())).unwrap_err();
    assert!(
        !house
            .desk
            .rows()
            .iter()
            .any(|row| row.holding == Holding::Port(new.number()))
    );
    house.book.is_away.store(false, Ordering::SeqCst);
    let kept = house
        .kept(known.number(), |lease| {
            lease.state == LeaseState::Held && lease.epoch > epoch
        })
        .await;
    assert_eq!(kept.id, house.row(known.number()).id);
    house.listen(&peer, new.number()).await.unwrap();
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
    let _second = house.connect(OWNER);
    let who = house.who(OWNER);
    let refused = house.connect_as(who.clone()).err().unwrap();
    assert!(
        matches!(refused, Refused::TooManyConnections { limit: 2 }),
        "{refused}"
    );
    let _other = house.connect(STRANGER);
    first.cut(&house);
    house.connect_as(who).unwrap();
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
async fn takeover_is_audited() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let _guard = tracing::subscriber::set_default(Audit(Arc::clone(&events)));
    let mut house = House::new();
    let port = Port::reserve();
    let old = house.connect(OWNER);
    house.listen(&old, port.number()).await.unwrap();
    old.freeze();
    let mut who = house.who(OWNER);
    who.source = "198.51.100.9:5000".parse().unwrap();
    who.user = String::from("me\nforged");
    let new = house.connect_as(who).unwrap();
    house.listen(&new, port.number()).await.unwrap();
    let told = events.lock().unwrap().join(" ");
    for word in [
        "192.0.2.1:4000",
        "198.51.100.9:5000",
        "was_silent=true",
        "me\\u{a}forged",
    ] {
        assert!(told.contains(word), "{word} is not in {told}");
    }
    house.end().await;
}

/// Keeps what is told to the audit.
struct Audit(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Audit {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "adit::audit"
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Fields(Vec<String>);
        impl tracing::field::Visit for Fields {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0.push(format!("{field}={value:?}"));
            }
        }
        let mut fields = Fields(Vec::new());
        event.record(&mut fields);
        self.0.lock().unwrap().extend(fields.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
