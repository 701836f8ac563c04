//! Asks from the grant to the answer, over a transport in memory.

use std::io;
use std::sync::atomic::Ordering;

use adit_model::grant::Grant;
use adit_model::id::{LeaseId, PrincipalId};
use adit_model::lease::{Reservation, Reserved, Takeover};
use adit_model::port::PortSet;
use adit_testkit::port::Port;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::house::{House, OWNER, Peer, STRANGER, bind, grant, origin, policy};
use super::*;
use crate::gateway::registry::{Unserved, WAITING_FOR_ONE};
use crate::transport::{Bind, PeerRequest};

mod drawn;
mod house;
mod names;
mod relisten;
mod security;
mod sites;
mod sockets;

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
        drawn: None,
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

/// AT29: a connection that has lost one of its forwards keeps the other; with the last it is told and closed.
#[tokio::test(start_paused = true)]
async fn a_displaced_connection_is_closed_with_its_last_forward() {
    let mut newest = grant();
    newest.takeover = Takeover::Newest;
    let mut house = House::with(newest, |_| {}, Vec::new());
    let ports = [Port::reserve(), Port::reserve()];
    let mut old = house.connect(OWNER);
    for port in &ports {
        house.listen(&old, port.number()).await.unwrap();
    }
    let new = house.connect(OWNER);
    house.listen(&new, ports[0].number()).await.unwrap();
    drop(house.visit(&mut old, ports[1].number()).await);
    assert!(old.near.end().now().is_none());
    house.listen(&new, ports[1].number()).await.unwrap();
    assert!(matches!(
        old.closed().await,
        ConnectionEnd::Ours(CloseReason::Superseded)
    ));
    house.end().await;
}

/// A database that says nothing: whoever asks for something new is told within 3 s, and nothing is left of it.
#[tokio::test(start_paused = true)]
async fn a_new_forward_with_the_database_away_is_refused_soon() {
    let mut house = House::new();
    let port = Port::reserve();
    let peer = house.connect(OWNER);
    house.book.is_silent.store(true, Ordering::SeqCst);
    let before = Instant::now();
    let refused = house.listen(&peer, port.number()).await.unwrap_err();
    assert!(matches!(refused, Refused::Ledger { .. }), "{refused}");
    assert!(before.elapsed() <= Duration::from_secs(3));
    house.book.is_silent.store(false, Ordering::SeqCst);
    house.listen(&peer, port.number()).await.unwrap();
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
