//! Services of names: offered without a listener, opened by name.

use adit_model::host::Name;

use super::*;
use crate::gateway::desk::HeldPort;

fn name() -> Name {
    "red001".parse().unwrap()
}

fn named() -> Grant {
    Grant {
        names: vec![name().into()],
        ..grant()
    }
}

fn service(port: u16) -> Bind {
    Bind::Tcp {
        host: String::from("red001"),
        port,
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_offers_a_service_at_each_of_its_ports() {
    let mut house = House::with(named(), |_| {}, Vec::new());
    let mut peer = house.connect(OWNER);
    for port in [22, 80] {
        let listening = house.desk.listen(&peer.member, &service(port)).await;
        let listening = listening.unwrap();
        assert_eq!((listening.port, listening.addresses), (port, Vec::new()));
        let again = house.desk.listen(&peer.member, &service(port)).await;
        assert_eq!(again.unwrap().port, port);
    }
    assert!(house.doors.0.lock().unwrap().is_empty(), "nothing listens");
    let offered = house.desk.offered(&name(), 80, None);
    let held = Holding::Service(name(), 80);
    assert_eq!(offered.by_name, Some(held.clone()));
    assert!(house.desk.offered(&name(), 443, None).is_held);
    assert_eq!(house.desk.offered(&name(), 443, None).by_name, None);
    let visitor = house.desk.registry().open(&held, origin());
    let (visitor, request) = tokio::join!(visitor, peer.far.requests.recv());
    let Some(PeerRequest::Open(open)) = request else {
        panic!("{request:?} is no visitor");
    };
    // In the words of who offers it: a stock ssh compares them.
    assert_eq!(
        open.head.kind,
        crate::transport::StreamKind::Forwarded(service(80))
    );
    drop((visitor, open));
    let before = Instant::now();
    assert!(house.desk.cancel(&peer.member, &service(80)).await);
    assert!(before.elapsed() < Duration::from_secs(1));
    assert_eq!(house.desk.offered(&name(), 80, None).by_name, None);
    // And back at once.
    let again = house.desk.listen(&peer.member, &service(80)).await;
    again.unwrap();
    let kept = house.book.leases.lock().unwrap()[&held].state;
    assert_eq!(kept, LeaseState::Held);
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_is_its_owners_as_a_port_is() {
    let mut house = House::with(named(), |_| {}, Vec::new());
    let held = Holding::Service(name(), 22);
    let stranger = house.connect(STRANGER);
    let refused = house.desk.listen(&stranger.member, &service(22)).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, Refused::Denied(_)), "{refused}");
    let old = house.connect(OWNER);
    let any = house.desk.listen(&old.member, &service(0)).await;
    assert!(matches!(any.unwrap_err(), Refused::Denied(_)));
    house.desk.listen(&old.member, &service(22)).await.unwrap();
    old.freeze();
    // Another connection of the same principal has it from one that is gone.
    let mut new = house.connect(OWNER);
    house.desk.listen(&new.member, &service(22)).await.unwrap();
    let visitor = house.desk.registry().open(&held, origin());
    let (visitor, stream) = tokio::join!(visitor, new.accept());
    drop((visitor.unwrap(), stream));
    // Without the name in its grant it has no service of it.
    house
        .policy
        .send_replace(policy(&[(OWNER, grant()), (STRANGER, named())]));
    new.closed().await;
    let stranger = house.connect(STRANGER);
    let refused = house.desk.listen(&stranger.member, &service(22)).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, Refused::InUse { .. }), "{refused}");
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn ports_of_a_device_are_told_with_whether_they_were_drawn() {
    let ports = [Port::reserve(), Port::reserve()];
    let drawn = PortSet::one(ports[1].number());
    let mut house = House::with(grant(), |settings| settings.ports = drawn, Vec::new());
    let peer = house.connect(OWNER);
    house.listen(&peer, ports[0].number()).await.unwrap();
    house.listen(&peer, 0).await.unwrap();
    let mut expected = [(0, false), (1, true)].map(|(index, is_drawn)| HeldPort {
        port: ports[index].number(),
        is_drawn,
    });
    expected.sort_unstable_by_key(|held| held.port);
    let of = |principal| {
        let principal = Some(PrincipalId::new(principal));
        house.desk.offered(&name(), 22, principal)
    };
    assert_eq!(of(OWNER).ports, expected);
    assert_eq!(of(STRANGER).ports, []);
    assert!(!of(OWNER).is_held);
    // What was given back is offered no more.
    assert!(
        house
            .desk
            .cancel(&peer.member, &bind(ports[0].number()))
            .await
    );
    assert_eq!(of(OWNER).ports.len(), 1);
    house.end().await;
}
