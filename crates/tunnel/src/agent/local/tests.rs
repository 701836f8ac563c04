use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use std::sync::Arc;

use super::*;
use crate::agent::meter::Meter;
use crate::agent::visitors::Visitors;
use crate::transport::{
    Connection, OpenError, Origin, PeerRequest, StreamHead, StreamKind, memory,
};

/// Opens a stream that is served so.
async fn open(
    to: Destination,
    tasks: &mut JoinSet<()>,
) -> (Result<ByteStream, OpenError>, Connection) {
    let (near, far, driver) = memory::pair();
    tasks.spawn(driver.run());
    tasks.spawn(async move {
        let Connection {
            transport,
            mut requests,
        } = far;
        while let Some(PeerRequest::Open(request)) = requests.recv().await {
            let visit = Arc::<Meter>::default().visit();
            drop(serve(request.answer, &to, &visit).await);
        }
        drop(transport);
    });
    let head = StreamHead {
        kind: StreamKind::Direct(Target::Unix {
            path: String::from("/x"),
        }),
        origin: Origin {
            host: String::new(),
            port: 0,
        },
    };
    (near.transport.open(head).await, near)
}

async fn exchange(stream: &mut ByteStream) -> Vec<u8> {
    stream.write_all(b"question").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

async fn answer(mut socket: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) {
    let mut question = Vec::new();
    socket.read_to_end(&mut question).await.unwrap();
    socket.write_all(b"answer to ").await.unwrap();
    socket.write_all(&question).await.unwrap();
}

#[tokio::test]
async fn a_tcp_service_is_reached() {
    let mut tasks = JoinSet::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn(async move { answer(listener.accept().await.unwrap().0).await });
    let host = String::from("127.0.0.1");
    let (stream, _connection) =
        open(Destination::One(Target::Tcp { host, port }), &mut tasks).await;
    assert_eq!(exchange(&mut stream.unwrap()).await, b"answer to question");
}

#[tokio::test]
async fn a_service_finds_its_visitor_as_soon_as_it_has_read() {
    let mut tasks = JoinSet::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (near, mut far, driver) = memory::pair();
    tasks.spawn(driver.run());
    let visitors = Visitors::default();
    let known = visitors.clone();
    tasks.spawn(async move {
        let host = String::from("127.0.0.1");
        let to = Destination::One(Target::Tcp { host, port });
        let Some(PeerRequest::Open(request)) = far.requests.recv().await else {
            panic!("nobody came");
        };
        let visit = Arc::<Meter>::default().visit();
        let visit = visit.known_to(known, request.head.origin.clone());
        serve(request.answer, &to, &visit).await.unwrap();
    });
    let head = StreamHead {
        kind: StreamKind::Direct(Target::Unix {
            path: String::from("/x"),
        }),
        origin: Origin {
            host: String::from("192.0.2.7"),
            port: 5_000,
        },
    };
    let mut stream = near.transport.open(head).await.unwrap();
    stream.write_all(b"question").await.unwrap();
    let (mut socket, peer) = listener.accept().await.unwrap();
    assert_eq!(socket.read_u8().await.unwrap(), b'q');
    let expected = "192.0.2.7:5000".parse().unwrap();
    assert_eq!(visitors.visitor(peer, port), Some(expected));
    let stranger = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    assert_eq!(visitors.visitor(stranger.local_addr().unwrap(), port), None);
    // It has sent and left, and is no less a visitor for that.
    drop(stream);
    let mut rest = Vec::new();
    drop(socket.read_to_end(&mut rest).await);
    drop(near);
    while tasks.join_next().await.is_some() {}
    assert_eq!(visitors.visitor(peer, port), Some(expected));
}

#[tokio::test]
async fn a_unix_socket_is_reached() {
    let mut tasks = JoinSet::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("service");
    let listener = UnixListener::bind(&path).unwrap();
    tasks.spawn(async move { answer(listener.accept().await.unwrap().0).await });
    let path = path.to_str().unwrap().to_owned();
    let (stream, _connection) = open(Destination::One(Target::Unix { path }), &mut tasks).await;
    assert_eq!(exchange(&mut stream.unwrap()).await, b"answer to question");
}

#[tokio::test]
async fn what_is_not_there_is_refused_without_telling_where_it_was_looked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let host = String::from("127.0.0.1");
    for (target, expected) in [
        (Target::Tcp { host, port }, "connection refused"),
        (
            Target::Unix {
                path: String::from("/nowhere/at/all"),
            },
            "connect failed",
        ),
    ] {
        let mut tasks = JoinSet::new();
        let (stream, _connection) = open(Destination::One(target), &mut tasks).await;
        assert_eq!(
            stream.unwrap_err(),
            OpenError::Refused {
                code: RefusalCode::ConnectFailed,
                reason: expected.to_owned(),
            }
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_visitor_who_leaves_ends_the_dial_and_one_who_has_sent_does_not() {
    let mut tasks = JoinSet::new();
    let (near, mut far, driver) = memory::pair();
    tasks.spawn(driver.run());
    let head = || StreamHead {
        kind: StreamKind::Direct(Target::Unix {
            path: String::from("/x"),
        }),
        origin: Origin {
            host: String::new(),
            port: 0,
        },
    };
    for (bytes, is_cut) in [
        (&b""[..], true),
        (b"abc", true),
        (b"", false),
        (b"abc", false),
    ] {
        let opening = near.transport.open(head());
        let accepted = async {
            match far.requests.recv().await {
                Some(PeerRequest::Open(request)) => request.answer.accept(),
                other => panic!("{other:?}"),
            }
        };
        let (visitor, stream) = tokio::join!(opening, accepted);
        let mut visitor = visitor.unwrap();
        visitor.write_all(bytes).await.unwrap();
        let mut dial = Box::pin(while_there(&stream, std::future::pending::<()>()));
        tokio::select! {
            biased;
            result = &mut dial => panic!("{result:?}"),
            () = tokio::task::yield_now() => {}
        }
        if !is_cut {
            visitor.shutdown().await.unwrap();
        }
        drop(visitor);
        let ended = timeout(DIAL_DEADLINE, dial).await;
        let is_left = matches!(ended, Ok(Err(LocalError::Left)));
        assert_eq!(is_left, is_cut || bytes.is_empty(), "{bytes:?} {is_cut}");
    }
}
