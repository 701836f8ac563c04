//! What a connection does when the network under it has changed.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use adit_tunnel::transport::ssh::{Held, Memory};
use adit_tunnel::transport::{Connection, ConnectionEnd, Doubt};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::ssh::log_in_with;

const PATIENCE: Duration = Duration::from_secs(2);

fn asking(lost: &[IpAddr]) -> Doubt {
    Doubt {
        lost: lost.to_vec(),
        asks: true,
    }
}

/// A connection whose end, and what it leaves, the test waits for.
struct Lab {
    near: Connection,
    near_task: JoinSet<(ConnectionEnd, Option<Held>)>,
    /// The socket that the peer's bytes come through, at the peer.
    wire: TcpStream,
    _far: Connection,
    _far_task: JoinSet<()>,
}

impl Lab {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (client, wire) = tokio::join!(TcpStream::connect(addr), listener.accept());
        let mut wire = wire.unwrap().0;
        let (server, mut outer) = tokio::io::duplex(65_536);
        let memory = Memory::of_this_machine();
        let login = log_in_with(client.unwrap(), server, memory);
        let ((near, near_driver), (far, far_driver)) = tokio::select! {
            both = login => both,
            end = tokio::io::copy_bidirectional(&mut wire, &mut outer) => panic!("{end:?}"),
        };
        let (mut near_task, mut far_task) = (JoinSet::new(), JoinSet::new());
        near_task.spawn(near_driver.run_holding());
        far_task.spawn(async move {
            far_driver.run().await;
        });
        far_task.spawn(async move {
            // Held open, and silent from here on.
            let _outer = outer;
            std::future::pending::<()>().await;
        });
        Self {
            near,
            near_task,
            wire,
            _far: far,
            _far_task: far_task,
        }
    }

    async fn end(&mut self) -> (ConnectionEnd, Option<Held>) {
        self.near_task.join_next().await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_peer_that_does_not_answer_after_a_change_is_gone_and_its_socket_kept() {
    let mut lab = Lab::new().await;
    let start = Instant::now();
    lab.near.transport.doubt(asking(&[]));
    let (end, held) = lab.end().await;
    let took = start.elapsed();
    assert!(matches!(end, ConnectionEnd::Lost(_)), "{end}");
    assert!(took >= PATIENCE && took < PATIENCE * 2, "{took:?}");
    // Nothing was said and nothing closed; a reset comes when it is asked for.
    let mut unread = Vec::new();
    let read = timeout(Duration::from_millis(50), lab.wire.read_to_end(&mut unread)).await;
    read.unwrap_err();
    held.unwrap().reset();
    let read = lab.wire.read_to_end(&mut unread).await.unwrap_err();
    assert_eq!(read.kind(), io::ErrorKind::ConnectionReset, "{read}");
}

#[tokio::test]
async fn a_connection_whose_address_is_lost_ends_at_once() {
    let mut lab = Lab::new().await;
    let start = Instant::now();
    let other = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    lab.near
        .transport
        .doubt(asking(&[other, Ipv4Addr::LOCALHOST.into()]));
    let (end, held) = lab.end().await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(held.is_some());
    let ConnectionEnd::Lost(cause) = end else {
        panic!("{end}");
    };
    assert_eq!(
        cause.to_string(),
        "this machine has lost the address 127.0.0.1"
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_after_a_change_is_kept() {
    let (client, server) = tokio::io::duplex(65_536);
    let memory = Memory::of_this_machine();
    let ((near, near_driver), (_far, far_driver)) = log_in_with(client, server, memory).await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        near_driver.run().await;
    });
    tasks.spawn(async move {
        far_driver.run().await;
    });
    for _ in 0..3 {
        near.transport.doubt(asking(&[]));
        let ended = timeout(PATIENCE * 10, tasks.join_next()).await;
        assert!(ended.is_err(), "{ended:?}");
    }
}
