//! A desk at work, its connections and its ledger, without a network.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use adit_model::grant::Grant;
use adit_model::id::{LeaseId, PrincipalId};
use adit_model::port::PortSet;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::*;
use crate::gateway::policy::{Kind, Principal};
use crate::gateway::registry::Fenced;
use crate::gateway::seam::{Later, LedgerError};
use crate::transport::{Bind, ByteStream, Connection, Origin, PeerRequest, memory};

/// A desk at work, and what it stands on.
pub(super) struct House {
    pub(super) desk: Arc<Desk>,
    pub(super) policy: watch::Sender<Arc<Policy>>,
    pub(super) book: Arc<Book>,
    pub(super) doors: Arc<Doors>,
    pub(super) clock: Arc<Mutex<Timestamp>>,
    pub(super) stop: CancellationToken,
    pub(super) running: JoinSet<()>,
    pub(super) tasks: JoinSet<()>,
}

/// A ledger in memory.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) leases: Mutex<BTreeMap<Holding, Lease>>,
    pub(super) is_away: AtomicBool,
    pub(super) is_silent: AtomicBool,
}

/// Holds listeners open and serves nobody.
#[derive(Debug, Default)]
pub(super) struct Doors(pub(super) Arc<Mutex<Vec<Holding>>>);

/// Both ends of a connection, which can be stopped and go on.
pub(super) struct Peer {
    pub(super) member: Member,
    pub(super) near: Arc<dyn Transport>,
    pub(super) far: Connection,
    pub(super) frozen: watch::Sender<bool>,
}

impl Ledger for Book {
    fn keep<'a>(&'a self, lease: &'a Lease) -> Later<'a, Result<LeaseId, LedgerError>> {
        Box::pin(async move {
            if self.is_away.load(Ordering::SeqCst) {
                let reason = String::from("the disk is full");
                return Err(LedgerError { reason });
            }
            if self.is_silent.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
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

pub(super) const OWNER: i64 = 1;
pub(super) const STRANGER: i64 = 2;

pub(super) fn grant() -> Grant {
    Grant {
        ports: PortSet::all(),
        any_port: true,
        sockets: adit_model::grant::Sockets::Any,
        ..Grant::default()
    }
}

pub(super) fn policy(grants: &[(i64, Grant)]) -> Arc<Policy> {
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
        // None of these has shown a key.
        anonymous: grants.iter().map(|grant| principal(grant).0).collect(),
        ..Policy::default()
    })
}

pub(super) fn bind(port: u16) -> Bind {
    Bind::Tcp {
        host: String::from("localhost"),
        port,
    }
}

pub(super) fn origin() -> Origin {
    Origin {
        host: String::from("203.0.113.5"),
        port: 50_000,
    }
}

impl House {
    pub(super) fn new() -> Self {
        Self::with(grant(), |_| {}, Vec::new())
    }

    pub(super) fn with(grant: Grant, set: impl FnOnce(&mut Settings), leases: Vec<Lease>) -> Self {
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

    pub(super) fn who(&self, principal: i64) -> Who {
        let id = PrincipalId::new(principal);
        Who {
            principal: Arc::clone(&self.policy.borrow().principals[&id]),
            key: None,
            certificate: None,
            source: "192.0.2.1:4000".parse().unwrap(),
            user: String::from("me"),
            software: String::from("OpenSSH_10.0"),
            not_after: None,
            line: Arc::default(),
        }
    }

    pub(super) fn connect(&mut self, principal: i64) -> Peer {
        self.connect_as(self.who(principal)).unwrap()
    }

    pub(super) fn connect_as(&mut self, who: Who) -> Result<Peer, Refused> {
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

    pub(super) async fn listen(&self, peer: &Peer, port: u16) -> Result<Listening, Refused> {
        self.desk.listen(&peer.member, &bind(port)).await
    }

    pub(super) fn row(&self, port: u16) -> LeaseRow {
        let rows = self.desk.rows();
        let row = rows
            .into_iter()
            .find(|row| row.holding == Holding::Port(port));
        row.expect("a lease of that port")
    }

    /// A visitor of a port, led to a peer, and the peer's end of it.
    pub(super) async fn visit(&self, peer: &mut Peer, port: u16) -> (Fenced, ByteStream) {
        let holding = Holding::Port(port);
        let visitor = self.desk.registry().open(&holding, origin());
        let (visitor, stream) = tokio::join!(visitor, peer.accept());
        (visitor.unwrap(), stream)
    }

    /// Waits until the ledger says that of a port.
    pub(super) async fn kept(&self, port: u16, is: impl Fn(&Lease) -> bool) -> Lease {
        adit_testkit::wait::until_async("a lease to be kept", || {
            let kept = self.book.leases.lock().unwrap();
            let lease = kept.get(&Holding::Port(port)).cloned();
            let is = lease.as_ref().is_some_and(&is);
            async move { if is { Ok(lease.unwrap()) } else { Err(lease) } }
        })
        .await
    }

    pub(super) async fn end(mut self) {
        self.stop.cancel();
        self.running.join_next().await.unwrap().unwrap();
        assert!(
            self.doors.0.lock().unwrap().is_empty(),
            "listeners are left"
        );
    }
}

impl Peer {
    pub(super) async fn accept(&mut self) -> ByteStream {
        match self.far.requests.recv().await {
            Some(PeerRequest::Open(open)) => open.answer.accept(),
            other => panic!("{other:?} is no visitor"),
        }
    }

    pub(super) fn freeze(&self) {
        self.frozen.send_replace(true);
    }

    pub(super) fn thaw(&self) {
        self.frozen.send_replace(false);
    }

    /// Its connection breaks.
    pub(super) fn cut(self, house: &House) {
        let end = ConnectionEnd::Abandoned;
        house.desk.leave(self.member, &end);
    }

    pub(super) async fn closed(&self) -> ConnectionEnd {
        let mut end = self.near.end();
        let end = timeout(Duration::from_secs(5), end.wait()).await;
        end.expect("a connection is closed")
    }
}
