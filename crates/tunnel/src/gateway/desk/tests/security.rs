//! The rules of takeover and revocation, under their names in the threat review.

use super::*;

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
