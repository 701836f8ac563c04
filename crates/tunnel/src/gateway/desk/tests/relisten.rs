//! Leases that come to listen elsewhere: for whom, and what becomes of who waits.

use adit_model::address::Scope;
use adit_model::grant::{Asked, Reach};

use super::*;

/// A port that the owner held at every address when the gateway was killed.
fn left(port: u16, scope: Scope) -> Lease {
    Lease {
        id: LeaseId::new(1),
        holding: Holding::Port(port),
        scope,
        principal: PrincipalId::new(OWNER),
        epoch: Epoch::new(1),
        since: Timestamp::from_second(1_762_999_000).unwrap(),
        state: LeaseState::Held,
        drawn: None,
    }
}

fn asked(host: &str) -> Vec<Asked> {
    vec![Asked {
        host: String::from(host),
        ports: PortSet::all(),
    }]
}

#[tokio::test(start_paused = true)]
async fn a_stored_lease_listens_no_wider_than_the_grant_gives_it_now() {
    let address = Scope::Address("127.0.0.1".parse().unwrap());
    for (stored, reach, host, now) in [
        (Scope::Any, Reach::Local, None, Some(Scope::Loopback)),
        (Scope::AnyV4, Reach::Local, None, Some(address)),
        (
            Scope::Any,
            Reach::Asked,
            Some("localhost"),
            Some(Scope::Loopback),
        ),
        (Scope::AnyV6, Reach::Asked, Some("127.0.0.1"), None),
        (Scope::Any, Reach::Asked, None, Some(Scope::Any)),
        (
            Scope::Any,
            Reach::Public,
            Some("localhost"),
            Some(Scope::Any),
        ),
        (Scope::Loopback, Reach::Public, None, Some(Scope::Loopback)),
    ] {
        let port = Port::reserve();
        let grant = Grant {
            reach,
            asked: host.map_or_else(Vec::new, asked),
            ..grant()
        };
        let house = House::with(grant, |_| {}, vec![left(port.number(), stored)]);
        let row = house.row(port.number());
        let is_waiting = matches!(row.state, RowState::Grace { .. });
        assert_eq!(
            is_waiting.then_some(row.scope),
            now,
            "{stored} {reach:?} {host:?}"
        );
        let addresses: Vec<_> = row.addresses.iter().map(SocketAddr::ip).collect();
        assert_eq!(addresses, now.map_or_else(Vec::new, Scope::addresses));
        house.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_at_a_lease_that_is_narrowed_is_sent_away() {
    let port = Port::reserve();
    let house = House::with(grant(), |_| {}, vec![left(port.number(), Scope::Any)]);
    let holding = Holding::Port(port.number());
    let visitor = house.desk.registry().open(&holding, origin());
    let narrow = async {
        adit_testkit::wait::until_async("a visitor to wait", || {
            let waiting = house.desk.registry().waiting(&holding);
            async move { if waiting == 1 { Ok(()) } else { Err(waiting) } }
        })
        .await;
        let grant = Grant {
            reach: Reach::Local,
            ..grant()
        };
        house.policy.send_replace(policy(&[(OWNER, grant)]));
    };
    let (visitor, ()) = tokio::join!(visitor, narrow);
    assert_eq!(visitor.unwrap_err(), Unserved::NoLease);
    adit_testkit::wait::until_async("the narrower listener", || {
        let row = house.row(port.number());
        async move {
            if row.scope == Scope::Loopback && row.addresses.len() == 2 {
                Ok(())
            } else {
                Err(row)
            }
        }
    })
    .await;
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_at_every_address_is_not_led_to_an_owner_that_asks_for_localhost() {
    let port = Port::reserve();
    let mut house = House::with(grant(), |_| {}, vec![left(port.number(), Scope::Any)]);
    let holding = Holding::Port(port.number());
    let mut owner = house.connect(OWNER);
    let visitor = house.desk.registry().open(&holding, origin());
    let back = async {
        adit_testkit::wait::until_async("a visitor to wait", || {
            let waiting = house.desk.registry().waiting(&holding);
            async move { if waiting == 1 { Ok(()) } else { Err(waiting) } }
        })
        .await;
        house.listen(&owner, port.number()).await.unwrap();
    };
    let (visitor, ()) = tokio::join!(visitor, back);
    assert_eq!(visitor.unwrap_err(), Unserved::NoLease);
    assert_eq!(house.row(port.number()).scope, Scope::Loopback);
    // Its new visitors are served.
    house.visit(&mut owner, port.number()).await;
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_holder_goes_on_after_somebody_else_s_bind_elsewhere_has_failed() {
    let port = Port::reserve();
    let grant = Grant {
        takeover: Takeover::Newest,
        ..grant()
    };
    let mut house = House::with(grant, |_| {}, Vec::new());
    let mut first = house.connect(OWNER);
    house.listen(&first, port.number()).await.unwrap();
    let (mut visitor, mut stream) = house.visit(&mut first, port.number()).await;
    let second = house.connect(OWNER);
    let elsewhere = Bind::Tcp {
        host: String::from("192.0.2.77"),
        port: port.number(),
    };
    let refused = house.desk.listen(&second.member, &elsewhere).await;
    assert!(matches!(refused, Err(Refused::Bind(_))), "{refused:?}");
    // The stream that was open is open still, and new ones come as soon as it listens again.
    stream.write_all(b"still").await.unwrap();
    stream.flush().await.unwrap();
    let mut bytes = [0; 5];
    visitor.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"still");
    adit_testkit::wait::until_async("the listener to be back", || {
        let row = house.row(port.number());
        async move {
            if row.addresses.len() == 2 {
                Ok(())
            } else {
                Err(row)
            }
        }
    })
    .await;
    house.visit(&mut first, port.number()).await;
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_again_for_what_has_no_listener_is_told_why() {
    let port = Port::reserve();
    let mut house = House::with(
        grant(),
        |_| {},
        vec![left(
            port.number(),
            Scope::Address("192.0.2.77".parse().unwrap()),
        )],
    );
    let peer = house.connect(OWNER);
    assert_eq!(house.row(port.number()).addresses, []);
    house.listen(&peer, port.number()).await.unwrap();
    // Its listener dies, and another program is faster.
    let listener = {
        let mut state = house.desk.state();
        let holding = Holding::Port(port.number());
        state.close_listener(&holding);
        state.closing.get(&holding).cloned()
    };
    listener.unwrap().cancelled().await;
    let foreign = std::net::TcpListener::bind(("127.0.0.1", port.number())).unwrap();
    let refused = house.listen(&peer, port.number()).await;
    assert!(matches!(refused, Err(Refused::Bind(_))), "{refused:?}");
    drop(foreign);
    adit_testkit::wait::until_async("the listener to be back", || {
        let row = house.row(port.number());
        async move {
            if row.addresses.len() == 2 {
                Ok(())
            } else {
                Err(row)
            }
        }
    })
    .await;
    assert_eq!(
        house
            .listen(&peer, port.number())
            .await
            .unwrap()
            .addresses
            .len(),
        2
    );
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_too_a_lease_goes_only_where_it_may_be_taken_over_from() {
    let port = Port::reserve();
    let grant = Grant {
        takeover_from: "198.51.100.0/24".parse().unwrap(),
        ..grant()
    };
    let mut house = House::with(grant, |_| {}, vec![left(port.number(), Scope::Loopback)]);
    let elsewhere = house.connect(OWNER);
    let refused = house.listen(&elsewhere, port.number()).await;
    assert!(
        matches!(refused, Err(Refused::OtherNetwork { .. })),
        "{refused:?}"
    );
    let inside = Who {
        source: "198.51.100.9:4000".parse().unwrap(),
        ..house.who(OWNER)
    };
    let inside = house.connect_as(inside).unwrap();
    house.listen(&inside, port.number()).await.unwrap();
    house.end().await;
}
