//! Listeners over memory: the test plays the visitors, the peer and the network.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::*;
use crate::agent::forward::{Destination, Listens, Permits};
use crate::transport::{
    ByteStream, Connection, OpenRequest, PeerRequest, RefusalCode, StreamKind, Target, memory,
};

/// A connection that is up: our end, the peer's, and the task of both.
struct Up {
    ours: Connection,
    peer: Connection,
    task: JoinSet<()>,
}

impl Up {
    fn new() -> Self {
        let (ours, peer, driver) = memory::pair();
        let mut task = JoinSet::new();
        task.spawn(driver.run());
        Self { ours, peer, task }
    }

    async fn asked(&mut self) -> OpenRequest {
        match within(self.peer.requests.recv()).await {
            Some(PeerRequest::Open(request)) => request,
            other => panic!("{other:?} instead of a visitor"),
        }
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    let result = timeout(Duration::from_secs(600), future).await;
    result.expect("nothing came of it in ten minutes")
}

fn target() -> Target {
    Target::Tcp {
        host: String::from("db.lan"),
        port: 5432,
    }
}

fn forward(to: Destination) -> Forward {
    Forward {
        listens: Listens::Here,
        bind: Bind::Tcp {
            host: String::from("127.0.0.1"),
            port: 0,
        },
        to,
    }
}

/// Forwards in their places, with meters.
fn counted(forwards: impl IntoIterator<Item = Forward>) -> Vec<(usize, Forward, Arc<Meter>)> {
    let numbered = forwards.into_iter().enumerate();
    numbered
        .map(|(number, forward)| (number, forward, Arc::default()))
        .collect()
}

mod beside;
mod following;

async fn start(to: Destination) -> (Listeners, SocketAddr) {
    let listeners = Listeners::start(
        counted([forward(to)]),
        &Network::unwatched(),
        &Shared::default(),
    )
    .await
    .unwrap();
    let addr = listeners.standings.now()[0]
        .forward
        .bind
        .to_string()
        .parse()
        .unwrap();
    (listeners, addr)
}

async fn local() -> (Listeners, SocketAddr) {
    start(Destination::One(target())).await
}

async fn visit(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).await.unwrap()
}

/// Sends, finishes, and reads all that comes back.
async fn question(visitor: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    within(async {
        visitor.write_all(b"question").await?;
        visitor.shutdown().await?;
        visitor.read_to_end(&mut answer).await
    })
    .await?;
    Ok(answer)
}

/// Reads all, and gives it back with a word before it.
async fn answer(mut stream: ByteStream) {
    let mut question = Vec::new();
    stream.read_to_end(&mut question).await.unwrap();
    stream.write_all(b"answer to ").await.unwrap();
    stream.write_all(&question).await.unwrap();
    stream.shutdown().await.unwrap();
}

/// Without a deadline of its own, which a paused clock could pass before the socket has spoken.
async fn assert_reset(visitor: &mut TcpStream) {
    let read = visitor.read_u8().await.unwrap_err();
    assert_eq!(read.kind(), io::ErrorKind::ConnectionReset, "{read}");
}

#[tokio::test]
async fn a_visitor_is_carried_to_the_target_with_its_address_and_half_by_half() {
    let (listeners, addr) = local().await;
    let mut up = Up::new();
    listeners.connect(Some(Arc::clone(&up.ours.transport)));
    let mut visitor = visit(addr).await;
    let own = visitor.local_addr().unwrap();
    up.task.spawn(async move {
        assert_eq!(question(&mut visitor).await.unwrap(), b"answer to question");
    });
    let request = {
        let peer = &mut up.peer;
        match within(peer.requests.recv()).await {
            Some(PeerRequest::Open(request)) => request,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(request.head.kind, StreamKind::Direct(target()));
    assert_eq!(request.head.origin, Origin::from(own));
    within(answer(request.answer.accept())).await;
    let ended = within(up.task.join_next()).await;
    ended.unwrap().unwrap();
    listeners.close().await;
}

#[tokio::test]
async fn a_refusal_resets_that_visitor_and_nobody_else() {
    let (listeners, addr) = local().await;
    let mut up = Up::new();
    listeners.connect(Some(Arc::clone(&up.ours.transport)));
    let mut first = visit(addr).await;
    let kept = up.asked().await.answer.accept();
    let mut second = visit(addr).await;
    let refused = up.asked().await.answer;
    refused.refuse(RefusalCode::ConnectFailed, "Connection refused");
    assert_reset(&mut second).await;
    up.task.spawn(answer(kept));
    assert_eq!(question(&mut first).await.unwrap(), b"answer to question");
}

#[tokio::test]
async fn a_visitor_who_comes_while_the_connection_is_away_waits_for_the_next() {
    let (listeners, addr) = local().await;
    let mut early = visit(addr).await;
    let mut up = Up::new();
    // One that has ended already is none.
    let mut dead = Up::new();
    dead.ours
        .transport
        .close(crate::transport::CloseReason::Stopping);
    within(dead.ours.transport.end().wait()).await;
    listeners.connect(Some(Arc::clone(&dead.ours.transport)));
    listeners.connect(None);
    listeners.connect(Some(Arc::clone(&up.ours.transport)));
    let stream = up.asked().await.answer.accept();
    up.task.spawn(answer(stream));
    assert_eq!(question(&mut early).await.unwrap(), b"answer to question");
    assert!(dead.peer.requests.recv().await.is_none());
}

#[tokio::test]
async fn a_visitor_whose_connection_ends_before_the_answer_gets_the_next_one() {
    let (listeners, addr) = local().await;
    let mut first = Up::new();
    listeners.connect(Some(Arc::clone(&first.ours.transport)));
    let mut visitor = visit(addr).await;
    let unanswered = first.asked().await;
    first
        .peer
        .transport
        .close(crate::transport::CloseReason::Stopping);
    within(first.ours.transport.end().wait()).await;
    drop(unanswered);
    let mut second = Up::new();
    listeners.connect(Some(Arc::clone(&second.ours.transport)));
    let stream = second.asked().await.answer.accept();
    second.task.spawn(answer(stream));
    assert_eq!(question(&mut visitor).await.unwrap(), b"answer to question");
}

#[tokio::test(start_paused = true)]
async fn a_visitor_does_not_wait_for_ever() {
    let (_listeners, addr) = local().await;
    let mut visitor = visit(addr).await;
    let start = Instant::now();
    assert_reset(&mut visitor).await;
    let waited = start.elapsed();
    assert!(
        waited >= Duration::from_secs(9) && waited < Duration::from_secs(60),
        "{waited:?}"
    );
}

#[tokio::test]
async fn a_lost_connection_resets_its_visitors_and_the_port_stays() {
    let (listeners, addr) = local().await;
    let mut up = Up::new();
    listeners.connect(Some(Arc::clone(&up.ours.transport)));
    let mut visitor = visit(addr).await;
    let mut stream = up.asked().await.answer.accept();
    stream.write_all(b"!").await.unwrap();
    assert_eq!(visitor.read_u8().await.unwrap(), b'!');
    listeners.connect(None);
    up.task.shutdown().await;
    assert_reset(&mut visitor).await;
    visit(addr).await;
}

#[tokio::test]
async fn close_resets_every_visitor_and_gives_the_port_back() {
    let (listeners, addr) = local().await;
    let mut up = Up::new();
    listeners.connect(Some(Arc::clone(&up.ours.transport)));
    let mut visitor = visit(addr).await;
    let _stream = up.asked().await.answer.accept();
    listeners.close().await;
    assert_reset(&mut visitor).await;
    let refused = TcpStream::connect(addr).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn one_bind_that_fails_leaves_none_bound() {
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free_addr = free.local_addr().unwrap();
    drop(free);
    let at = |port| Forward {
        bind: Bind::Tcp {
            host: String::from("127.0.0.1"),
            port,
        },
        ..forward(Destination::One(target()))
    };
    let held = holder.local_addr().unwrap().port();
    let error = Listeners::start(
        counted([at(free_addr.port()), at(held)]),
        &Network::unwatched(),
        &Shared::default(),
    )
    .await;
    assert!(error.unwrap_err().to_string().contains(&held.to_string()));
    let refused = TcpStream::connect(free_addr).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_unix_socket_is_a_bind_and_a_target() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("here").to_str().unwrap().to_owned();
    let there = Target::Unix {
        path: String::from("/run/there"),
    };
    let forward = Forward {
        listens: Listens::Here,
        bind: Bind::Unix { path: path.clone() },
        to: Destination::One(there.clone()),
    };
    let listeners = Listeners::start(
        counted([forward]),
        &Network::unwatched(),
        &Shared::default(),
    )
    .await
    .unwrap();
    let mut up = Up::new();
    listeners.connect(Some(Arc::clone(&up.ours.transport)));
    let mut visitor = UnixStream::connect(&path).await.unwrap();
    let request = up.asked().await;
    assert_eq!(request.head.kind, StreamKind::Direct(there));
    up.task.spawn(answer(request.answer.accept()));
    visitor.write_all(b"question").await.unwrap();
    visitor.shutdown().await.unwrap();
    let mut got = Vec::new();
    within(visitor.read_to_end(&mut got)).await.unwrap();
    assert_eq!(got, b"answer to question");
    listeners.close().await;
    assert!(!std::path::Path::new(&path).exists());
}

#[tokio::test]
async fn a_dynamic_visitor_goes_where_it_says_and_its_first_bytes_with_it() {
    let (listeners, addr) = start(Destination::Named(Permits::Any)).await;
    let mut up = Up::new();
    listeners.connect(Some(Arc::clone(&up.ours.transport)));
    let mut visitor = visit(addr).await;
    // All at once, as a program may that does not wait for answers.
    let said = b"\x05\x01\x00\x05\x01\x00\x03\x06db.lan\x15\x38first ";
    visitor.write_all(said).await.unwrap();
    let request = up.asked().await;
    assert_eq!(request.head.kind, StreamKind::Direct(target()));
    up.task.spawn(answer(request.answer.accept()));
    let mut answers = [0; 12];
    within(visitor.read_exact(&mut answers)).await.unwrap();
    assert_eq!(
        answers,
        *b"\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    );
    let got = question(&mut visitor).await.unwrap();
    assert_eq!(got, b"answer to first question");
}

#[tokio::test]
async fn a_dynamic_visitor_is_told_why_it_goes_nowhere() {
    let (listeners, addr) = start(Destination::Named(Permits::Any)).await;
    let mut up = Up::new();
    listeners.connect(Some(Arc::clone(&up.ours.transport)));
    for (said, reason, answer) in [
        (
            &b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x01"[..],
            Some((RefusalCode::ConnectFailed, "Connection refused")),
            &b"\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"[..],
        ),
        (
            b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x01",
            Some((RefusalCode::Prohibited, "open failed")),
            b"\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00",
        ),
        (
            b"\x04\x01\x00\x01\x7f\x00\x00\x01\x00",
            Some((RefusalCode::ConnectFailed, "Connection refused")),
            b"\x00\x5b\x00\x00\x00\x00\x00\x00",
        ),
        (
            b"\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x01",
            None,
            b"\x05\x00\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00",
        ),
    ] {
        let mut visitor = visit(addr).await;
        visitor.write_all(said).await.unwrap();
        if let Some((code, words)) = reason {
            up.asked().await.answer.refuse(code, words);
        }
        let mut got = Vec::new();
        within(visitor.read_to_end(&mut got)).await.unwrap();
        assert_eq!(got, answer, "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dynamic_visitor_who_says_nothing_is_sent_away() {
    let (_listeners, addr) = start(Destination::Named(Permits::Any)).await;
    for said in [
        &b""[..],
        b"\x05",
        b"\x04\x01\x00\x50\x01\x02\x03\x04never-ended",
    ] {
        let mut visitor = visit(addr).await;
        visitor.write_all(said).await.unwrap();
        assert_reset(&mut visitor).await;
    }
}

/// Otherwise one dead target would take every place of the connection, its forwards and probes included.
#[tokio::test]
async fn a_target_that_does_not_answer_takes_few_places() {
    let (listeners, addr) = local().await;
    let mut up = Up::new();
    listeners.connect(Some(Arc::clone(&up.ours.transport)));
    let mut visitors = Vec::new();
    for _ in 0..OPENS + 10 {
        visitors.push(visit(addr).await);
    }
    let mut asked = Vec::new();
    for _ in 0..OPENS {
        asked.push(up.asked().await);
    }
    // The next comes when one of them was answered, and not before.
    assert!(up.peer.requests.try_recv().is_err());
    for _ in 0..10 {
        let first = asked.remove(0);
        first.answer.refuse(RefusalCode::ConnectFailed, "no");
        asked.push(up.asked().await);
    }
}
