//! The rules of takeover and revocation, under their names in the threat review.

use std::sync::atomic::AtomicUsize;
use std::sync::{OnceLock, Weak};

use adit_model::id::Fingerprint;
use adit_model::source::SourceSet;

use super::*;
use crate::gateway::overheard::Audit;
use crate::gateway::policy::{Key, Revoked};

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

/// A key with nothing but a name, as a policy has it.
fn key(number: u8, principal: i64) -> (Fingerprint, Arc<Key>) {
    let fingerprint = format!("SHA256:{}{}", "A".repeat(41), char::from(b'A' + number));
    let key = Key {
        principal: PrincipalId::new(principal),
        blob: Vec::new(),
        sources: SourceSet::default(),
        not_after: None,
        touch_required: false,
        verify_required: false,
    };
    (format!("{fingerprint}A").parse().unwrap(), Arc::new(key))
}

/// Changes a policy and the clock so that a key counts no more.
type Fall = fn(&mut Policy, &mut Timestamp, &Fingerprint);

/// Every way in which somebody who is here may not be here any more, and whether what waits for the same
/// principal goes with it.
const FALLS: [(&str, bool, Fall); 7] = [
    ("the principal is disabled", true, |policy, _, _| {
        policy.principals.remove(&PrincipalId::new(OWNER));
    }),
    ("the time of the grant is over", true, |policy, now, _| {
        let owner = policy.principals.get_mut(&PrincipalId::new(OWNER));
        Arc::make_mut(owner.unwrap()).grant.not_after = Some(*now);
    }),
    ("the grant is for elsewhere", false, |policy, _, _| {
        let owner = policy.principals.get_mut(&PrincipalId::new(OWNER));
        Arc::make_mut(owner.unwrap()).grant.sources = "203.0.113.0/24".parse().unwrap();
    }),
    ("the key is removed", false, |policy, _, key| {
        policy.keys.remove(key);
    }),
    ("the key is revoked", false, |policy, _, key| {
        policy.revoked.push(Revoked::Key(key.clone()));
    }),
    ("the key is another's", false, |policy, _, key| {
        let key = policy.keys.get_mut(key).unwrap();
        Arc::make_mut(key).principal = PrincipalId::new(STRANGER);
    }),
    ("the time of the key is over", false, |policy, now, key| {
        let key = policy.keys.get_mut(key).unwrap();
        Arc::make_mut(key).not_after = Some(*now + Duration::from_secs(10));
        *now += Duration::from_secs(20);
    }),
];

#[tokio::test(start_paused = true)]
async fn g05_each_thing_of_whoever_falls_is_gone_within_a_second_however_they_fall() {
    for (how, is_all, fall) in FALLS {
        let mut house = House::new();
        let (fingerprint, entry) = key(0, OWNER);
        let mut policy = Policy::clone(&house.policy.borrow());
        policy.keys.insert(fingerprint.clone(), entry);
        house.policy.send_replace(Arc::new(policy.clone()));
        let mut who = house.who(OWNER);
        who.key = Some(fingerprint.clone());
        let (held, asked, waiting) = (Port::reserve(), Port::reserve(), Port::reserve());
        let mut peer = house.connect_as(who.clone()).unwrap();
        for port in [&held, &asked] {
            house.listen(&peer, port.number()).await.unwrap();
        }
        let cut = house.connect_as(who.clone()).unwrap();
        house.listen(&cut, waiting.number()).await.unwrap();
        cut.cut(&house);
        let (mut visitor, mut service) = house.visit(&mut peer, held.number()).await;
        service.write_all(b"late").await.unwrap();
        // One whose stream the service has not answered for, one who waits for an owner who is away.
        let mut visitors = JoinSet::new();
        for port in [asked.number(), waiting.number()] {
            let desk = Arc::clone(&house.desk);
            visitors.spawn(async move {
                let opened = desk.registry().open(&Holding::Port(port), origin()).await;
                (port, opened.map(drop))
            });
        }
        let _unanswered = peer.far.requests.recv().await.unwrap();

        let begun = Instant::now();
        fall(&mut policy, &mut house.clock.lock().unwrap(), &fingerprint);
        house.policy.send_replace(Arc::new(policy));
        let end = peer.closed().await;
        assert!(
            matches!(end, ConnectionEnd::Ours(CloseReason::Revoked(_))),
            "{how}: {end}"
        );
        visitor.read_u8().await.unwrap_err();
        visitor.write_all(b"more").await.unwrap_err();
        service.read_u8().await.unwrap_err();
        let sent_away = visitors.join_next().await.unwrap().unwrap();
        assert!(
            matches!(sent_away.1, Err(Unserved::NoLease)),
            "{how}: {sent_away:?}"
        );
        for port in [&held, &asked] {
            let row = house.row(port.number());
            assert!(
                matches!(row.state, RowState::Quarantine { .. }),
                "{how}: {row:?}"
            );
        }
        let row = house.row(waiting.number());
        assert_eq!(
            matches!(row.state, RowState::Quarantine { .. }),
            is_all,
            "{how}: {row:?}"
        );
        if is_all {
            let sent_away = visitors.join_next().await.unwrap().unwrap();
            assert!(
                matches!(sent_away.1, Err(Unserved::NoLease)),
                "{how}: {sent_away:?}"
            );
        }
        let refused = house.listen(&peer, held.number()).await.unwrap_err();
        assert!(matches!(refused, Refused::Fallen(_)), "{how}: {refused}");
        let refused = house.connect_as(who).map(drop).unwrap_err();
        assert!(matches!(refused, Refused::Fallen(_)), "{how}: {refused}");
        assert!(begun.elapsed() <= Duration::from_secs(1), "{how}");
        house.end().await;
    }
}

/// Whom an [`Ambush`] is for, and the policy that it publishes.
struct Trap {
    desk: Weak<Desk>,
    sender: watch::Sender<Arc<Policy>>,
    policy: Arc<Policy>,
}

/// Publishes another policy, and has everybody held against it, when a clock is looked at for the n-th time.
#[derive(Default)]
struct Ambush {
    left: AtomicUsize,
    house: OnceLock<Trap>,
}

impl Ambush {
    fn lay(&self, house: &House, policy: Arc<Policy>) {
        let trap = Trap {
            desk: Arc::downgrade(&house.desk),
            sender: house.policy.clone(),
            policy,
        };
        assert!(self.house.set(trap).is_ok());
    }

    fn at(self: &Arc<Self>) -> impl Fn() -> Timestamp + Send + Sync + 'static + use<> {
        let ambush = Arc::clone(self);
        move || {
            if ambush.left.load(Ordering::SeqCst) > 0
                && ambush.left.fetch_sub(1, Ordering::SeqCst) == 1
                && let Some(trap) = ambush.house.get()
            {
                trap.sender.send_replace(Arc::clone(&trap.policy));
                trap.desk.upgrade().unwrap().review();
            }
            Timestamp::from_second(1_763_000_000).unwrap()
        }
    }
}

/// A right that is taken away in the very moment in which it is used: whichever comes first, nothing is left of it.
#[tokio::test(start_paused = true)]
async fn g04_nothing_is_held_by_a_policy_that_was_replaced_meanwhile() {
    let mut lost = 0;
    for moment in 1..=8 {
        let ambush = Arc::new(Ambush::default());
        let set = |settings: &mut Settings| settings.clock = Clock::of(ambush.at());
        let mut house = House::with(grant(), set, Vec::new());
        let narrow = policy(&[(OWNER, Grant::default()), (STRANGER, grant())]);
        ambush.lay(&house, Arc::clone(&narrow));
        let port = Port::reserve();
        let peer = house.connect(OWNER);
        ambush.left.store(moment, Ordering::SeqCst);
        let listened = house.listen(&peer, port.number()).await;
        if listened.is_err() {
            lost += 1;
        }
        ambush.left.store(0, Ordering::SeqCst);
        house.policy.send_if_modified(|policy| {
            let is_new = !Arc::ptr_eq(policy, &narrow);
            *policy = Arc::clone(&narrow);
            is_new
        });
        house.desk.review();
        let rows = house.desk.rows();
        let held = rows
            .iter()
            .find(|row| matches!(row.state, RowState::Held { .. }));
        assert!(held.is_none(), "at {moment}: {held:?}");
        house.end().await;
    }
    assert!(lost >= 2, "{lost} moments were before the end");

    // And a connection that comes in the moment in which its principal goes.
    let ambush = Arc::new(Ambush::default());
    let set = |settings: &mut Settings| settings.clock = Clock::of(ambush.at());
    let mut house = House::with(grant(), set, Vec::new());
    let gone = policy(&[(STRANGER, grant())]);
    ambush.lay(&house, gone);
    let who = house.who(OWNER);
    ambush.left.store(1, Ordering::SeqCst);
    let refused = house.connect_as(who).map(drop).unwrap_err();
    assert!(matches!(refused, Refused::Fallen(_)), "{refused}");
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
    let events = Arc::new(Mutex::new(Vec::new()));
    let _guard = tracing::subscriber::set_default(Audit(Arc::clone(&events)));
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
    let told = events.lock().unwrap().join(" ");
    assert!(told.contains("the clock was set back"), "{told}");
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
async fn takeover_is_audited() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let _guard = tracing::subscriber::set_default(Audit(Arc::clone(&events)));
    let mut house = House::new();
    let keys = [key(0, OWNER), key(1, OWNER)];
    let mut policy = Policy::clone(&house.policy.borrow());
    policy.version = 4_711;
    policy.keys.extend(keys.clone());
    house.policy.send_replace(Arc::new(policy));
    let port = Port::reserve();
    let mut who = house.who(OWNER);
    who.key = Some(keys[0].0.clone());
    let old = house.connect_as(who.clone()).unwrap();
    house.listen(&old, port.number()).await.unwrap();
    old.freeze();
    who.key = Some(keys[1].0.clone());
    who.source = "198.51.100.9:5000".parse().unwrap();
    who.user = String::from("me\nforged");
    who.software = String::from("adit_0.1");
    let new = house.connect_as(who).unwrap();
    house.listen(&new, port.number()).await.unwrap();
    let told = events.lock().unwrap().join(" ");
    for word in [
        "old.source=192.0.2.1:4000",
        "new.source=198.51.100.9:5000",
        &format!("old.key=\"{}\"", keys[0].0),
        &format!("new.key=\"{}\"", keys[1].0),
        "old.software=\"OpenSSH_10.0\"",
        "new.software=\"adit_0.1\"",
        "was_silent=true",
        "policy.version=4711",
        "old.user=me",
        "new.user=me\\u{a}forged",
    ] {
        assert!(told.contains(word), "{word} is not in {told}");
    }
    house.end().await;
}
