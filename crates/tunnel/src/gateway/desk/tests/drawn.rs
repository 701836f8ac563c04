//! Drawn ports: who asks for any in the same words again has the same again.

use super::*;

/// A desk that draws from these ports.
fn drawing(ports: &[Port], leases: Vec<Lease>) -> House {
    let ports = ports.iter().fold(PortSet::EMPTY, |all, port| {
        all.union(&PortSet::one(port.number()))
    });
    House::with(grant(), |settings| settings.ports = ports, leases)
}

async fn drawn(house: &House, peer: &Peer, count: usize) -> Vec<u16> {
    let mut ports = Vec::new();
    for _ in 0..count {
        ports.push(house.listen(peer, 0).await.unwrap().port);
    }
    ports
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_has_its_drawn_ports_in_their_order() {
    let ports: Vec<_> = (0..8).map(|_| Port::reserve()).collect();
    let mut house = drawing(&ports, Vec::new());
    let old = house.connect(OWNER);
    let first = house.listen(&old, 0).await.unwrap().port;
    *house.clock.lock().unwrap() += Duration::from_millis(1);
    let second = house.listen(&old, 0).await.unwrap().port;
    // Nobody knows yet that it is gone.
    old.freeze();
    let new = house.connect(OWNER);
    assert_eq!(drawn(&house, &new, 2).await, [first, second]);
    old.thaw();
    assert!(matches!(
        old.closed().await,
        ConnectionEnd::Ours(CloseReason::Superseded)
    ));
    // One that is there keeps its ports, and another machine with the same key has others.
    let twin = house.connect(OWNER);
    let others = drawn(&house, &twin, 2).await;
    assert!(!others.contains(&first) && !others.contains(&second));
    assert!(new.near.end().now().is_none());
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn drawn_ports_are_had_back_after_a_restart() {
    let ports: Vec<_> = (0..8).map(|_| Port::reserve()).collect();
    let mut house = drawing(&ports, Vec::new());
    let peer = house.connect(OWNER);
    let first = house.listen(&peer, 0).await.unwrap().port;
    *house.clock.lock().unwrap() += Duration::from_millis(1);
    let second = house.listen(&peer, 0).await.unwrap().port;
    let leases: Vec<_> = house
        .book
        .leases
        .lock()
        .unwrap()
        .values()
        .cloned()
        .collect();
    house.end().await;
    let mut house = drawing(&ports, leases);
    let stranger = house.connect(STRANGER);
    let strangers = drawn(&house, &stranger, 3).await;
    assert!(!strangers.contains(&first) && !strangers.contains(&second));
    let peer = house.connect(OWNER);
    assert_eq!(drawn(&house, &peer, 2).await, [first, second]);
    house.end().await;
}
