//! Whom a tunnel serves, and whom it does not.

use super::*;

/// S94: the peer reaches what it was asked to, and nothing else.
#[tokio::test]
async fn hostile_server_cannot_reach_lan() {
    let mut tasks = JoinSet::new();
    let port = service(&mut tasks).await;
    let mut lab = Lab::new(vec![forward("localhost", 8080, port)], Vec::new());
    let mut peer = lab.peer().await;
    asked(&mut peer).await.answer.grant(8080);
    lab.until(&format!("up localhost:8080 -> 127.0.0.1:{port}"))
        .await;
    let path = String::from("/run/docker.sock");
    for kind in [
        StreamKind::Direct(Target::Tcp {
            host: String::from("127.0.0.1"),
            port,
        }),
        StreamKind::Direct(Target::Unix { path: path.clone() }),
        StreamKind::Forwarded(Bind::Unix { path }),
        StreamKind::Forwarded(bind("localhost", 8081)),
        StreamKind::Forwarded(bind("127.0.0.1", 8080)),
        StreamKind::Forwarded(bind("LOCALHOST", 8080)),
        StreamKind::Forwarded(bind("", 8080)),
    ] {
        match visit(&*peer.transport, kind.clone()).await {
            Err(OpenError::Refused { code, .. }) => assert_eq!(code, RefusalCode::Prohibited),
            other => panic!("{kind:?} gave {other:?}"),
        }
    }
    assert!(within(peer.transport.forward(bind("", 1))).await.is_err());
}

/// The grant and the first visitor may arrive in one read of the socket.
#[tokio::test]
async fn a_visitor_right_behind_the_grant_is_served() {
    let mut tasks = JoinSet::new();
    let port = service(&mut tasks).await;
    let mut lab = Lab::new(vec![forward("", 0, port)], Vec::new());
    let mut peer = lab.peer().await;
    let request = asked(&mut peer).await;
    let transport = Arc::clone(&peer.transport);
    let mut visitors = JoinSet::new();
    visitors.spawn(async move {
        let kind = StreamKind::Forwarded(bind("", 40_123));
        let visitor = visit(&*transport, kind).await;
        assert_eq!(question(visitor.unwrap()).await, b"question");
    });
    // The visitor stands before the door until the grant comes, wherever the scheduler begins.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    request.answer.grant(40_123);
    let ended = within(visitors.join_next()).await;
    ended.unwrap().unwrap();
}

/// G58: `-R port` lets nobody anywhere by itself.
#[tokio::test]
async fn remote_socks_default_denies() {
    let mut tasks = JoinSet::new();
    let port = service(&mut tasks).await;
    let permit = format!("127.0.0.1:{port}").parse().unwrap();
    for (permits, code) in [(vec![], 2), (vec![permit], 0)] {
        let there = Forward {
            listens: Listens::There,
            bind: bind("", 1080),
            to: Destination::Named(Permits::Only(permits)),
        };
        let mut lab = Lab::new(vec![there], Vec::new());
        let mut peer = lab.peer().await;
        asked(&mut peer).await.answer.grant(1080);
        lab.until("up *:1080 -> SOCKS").await;
        let visitor = visit(&*peer.transport, StreamKind::Forwarded(bind("", 1080)));
        let mut visitor = visitor.await.unwrap();
        let [high, low] = port.to_be_bytes();
        let said = [5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, high, low];
        visitor.write_all(&said).await.unwrap();
        let mut answers = [0; 12];
        visitor.read_exact(&mut answers).await.unwrap();
        assert_eq!(answers, [5, 0, 5, code, 0, 1, 0, 0, 0, 0, 0, 0]);
        if code == 0 {
            assert_eq!(question(visitor).await, b"question");
        } else {
            assert_eq!(visitor.read(&mut answers).await.unwrap(), 0);
        }
    }
}

/// G58 again: a proxy for the peer's own machine is none for others, though `GatewayPorts yes` lets them in.
#[tokio::test]
async fn a_proxy_at_the_loopback_serves_nobody_from_elsewhere() {
    for (host, origin, is_served) in [
        ("localhost", "127.0.0.1", true),
        ("localhost", "::1", true),
        ("localhost", "192.0.2.9", false),
        ("127.0.0.1", "2001:db8::9", false),
        ("localhost", "", false),
        ("localhost", "localhost", false),
        // It was asked for by name.
        ("", "192.0.2.9", true),
    ] {
        let there = Forward {
            listens: Listens::There,
            bind: bind(host, 1080),
            to: Destination::Named(Permits::Only(Vec::new())),
        };
        let mut lab = Lab::new(vec![there.clone()], Vec::new());
        let mut peer = lab.peer().await;
        asked(&mut peer).await.answer.grant(1080);
        lab.until(&format!("up {there}")).await;
        let head = StreamHead {
            kind: StreamKind::Forwarded(bind(host, 1080)),
            origin: Origin {
                host: origin.to_owned(),
                port: 5,
            },
        };
        match within(peer.transport.open(head)).await {
            Ok(_) => assert!(is_served, "{host} {origin}"),
            Err(error) => assert!(!is_served, "{host} {origin}: {error}"),
        }
    }
}
