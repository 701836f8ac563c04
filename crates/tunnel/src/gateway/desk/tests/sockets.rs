//! Unix sockets, in the folders of their principals.

use super::*;

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

/// What a gateway that was killed left behind makes way for its lease, and is no one else's.
#[tokio::test(start_paused = true)]
async fn a_socket_that_was_left_behind_is_bound_again_and_had_back() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().to_owned();
    std::fs::create_dir(base.path().join("1")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(base.path().join("1/db")).unwrap());
    let holding = Holding::Unix(PrincipalId::new(OWNER), "db".parse().unwrap());
    let lease = Lease {
        id: LeaseId::new(7),
        holding: holding.clone(),
        scope: Scope::Loopback,
        principal: PrincipalId::new(OWNER),
        epoch: Epoch::ZERO,
        since: Timestamp::from_second(1_763_000_000).unwrap(),
        state: LeaseState::Held,
        drawn: None,
    };
    let mut house = House::with(
        grant(),
        |settings| settings.sockets = Some(path),
        vec![lease],
    );
    std::os::unix::net::UnixStream::connect(base.path().join("1/db")).unwrap();
    // By each of the words that mean it.
    let mut peers = Vec::new();
    for path in [
        "db",
        "./db",
        "1/db",
        base.path().join("1/db").to_str().unwrap(),
    ] {
        peers.iter().for_each(Peer::freeze);
        let mut peer = house.connect(OWNER);
        let bind = Bind::Unix {
            path: String::from(path),
        };
        house.desk.listen(&peer.member, &bind).await.unwrap();
        let visitor = house.desk.registry().open(&holding, origin());
        let (visitor, stream) = tokio::join!(visitor, peer.accept());
        drop((visitor.unwrap(), stream));
        peers.push(peer);
    }
    let stranger = house.connect(STRANGER);
    for path in ["1/db", "../1/db", "/tmp/db"] {
        let bind = Bind::Unix {
            path: String::from(path),
        };
        let refused = house.desk.listen(&stranger.member, &bind).await;
        let refused = refused.unwrap_err();
        assert!(matches!(refused, Refused::Path { .. }), "{refused}");
    }
    // Its own folder is another.
    let own = Bind::Unix {
        path: String::from("db"),
    };
    house.desk.listen(&stranger.member, &own).await.unwrap();
    assert!(base.path().join("2/db").exists());
    house.end().await;
    assert!(!base.path().join("1/db").exists());
}
