//! Visitors of a raw listener, from their first byte to their line in the access log.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use adit_edge::access::Access;
use adit_edge::dial::{Carrier, Dial, DialError, Io, Later};
use adit_edge::rule::Rules;
use adit_edge::stream::Settings;
use adit_edge::visitor::{Endpoint, Visitor};
use adit_testkit::wait;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::lab::{Lab, Options, listen};

/// More than sockets and buffers hold.
const MUCH: usize = 8 << 20;

fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| ((at * 31) >> 3).to_le_bytes()[0])
        .collect()
}

async fn is_reset(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let error = stream.read_to_end(&mut rest).await.unwrap_err();
    assert_eq!(
        error.kind(),
        std::io::ErrorKind::ConnectionReset,
        "{rest:?}"
    );
}

#[tokio::test]
async fn each_half_delivers_every_byte_and_ends_by_itself() {
    for is_socket in [true, false] {
        let service = listen().await;
        let lab = Lab::before(&service, is_socket, &Options::default());
        let (mut visitor, mut served) = lab.visit(&service).await;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut asked = Vec::new();
            served.read_to_end(&mut asked).await.unwrap();
            // Only now that the visitor has said all does the answer begin.
            served.write_all(&pattern(MUCH)).await.unwrap();
            served.shutdown().await.unwrap();
            assert!(asked == pattern(MUCH / 2));
        });
        visitor.write_all(&pattern(MUCH / 2)).await.unwrap();
        visitor.shutdown().await.unwrap();
        let mut answer = Vec::new();
        visitor.read_to_end(&mut answer).await.unwrap();
        assert!(answer == pattern(MUCH));
        tasks.join_next().await.unwrap().unwrap();
        let lines = lab.log.lines(1).await;
        assert_eq!(lines[0].end, "served");
        assert_eq!(lines[0].from_visitor, MUCH as u64 / 2);
        assert_eq!(lines[0].to_visitor, MUCH as u64);
        assert_eq!(
            lines[0].visitor.origin,
            Endpoint::Tcp(visitor.local_addr().unwrap())
        );
        assert_eq!(lines[0].visitor.listener, Endpoint::Tcp(lab.address));
    }
}

#[tokio::test]
async fn the_service_may_speak_first_and_end_first() {
    for is_socket in [true, false] {
        let service = listen().await;
        let lab = Lab::before(&service, is_socket, &Options::default());
        let (mut visitor, mut served) = lab.visit(&service).await;
        served.write_all(b"220 hello").await.unwrap();
        served.shutdown().await.unwrap();
        let mut greeting = String::new();
        visitor.read_to_string(&mut greeting).await.unwrap();
        assert_eq!(greeting, "220 hello");
        visitor.write_all(b"still here").await.unwrap();
        visitor.shutdown().await.unwrap();
        let mut said = String::new();
        served.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "still here");
        assert_eq!(lab.log.lines(1).await[0].end, "served");
    }
}

#[tokio::test]
async fn a_reset_of_the_visitor_reaches_the_service() {
    for is_socket in [true, false] {
        let service = listen().await;
        let lab = Lab::before(&service, is_socket, &Options::default());
        let (visitor, mut served) = lab.visit(&service).await;
        visitor.set_zero_linger().unwrap();
        drop(visitor);
        is_reset(&mut served).await;
        let lines = lab.log.lines(1).await;
        assert!(lines[0].end.starts_with("visitor broke off"), "{lines:?}");
    }
}

#[tokio::test]
async fn a_reset_of_the_service_reaches_the_visitor() {
    for is_socket in [true, false] {
        let service = listen().await;
        let lab = Lab::before(&service, is_socket, &Options::default());
        let (mut visitor, mut served) = lab.visit(&service).await;
        served.write_all(b"x").await.unwrap();
        visitor.read_u8().await.unwrap();
        served.set_zero_linger().unwrap();
        drop(served);
        is_reset(&mut visitor).await;
        let lines = lab.log.lines(1).await;
        assert!(lines[0].end.starts_with("other end broke off"), "{lines:?}");
    }
}

#[tokio::test]
async fn a_visitor_who_has_said_all_and_then_breaks_off_is_noticed() {
    for is_socket in [true, false] {
        let service = listen().await;
        let lab = Lab::before(&service, is_socket, &Options::default());
        let (mut visitor, mut served) = lab.visit(&service).await;
        visitor.write_all(b"q").await.unwrap();
        visitor.shutdown().await.unwrap();
        let mut asked = Vec::new();
        served.read_to_end(&mut asked).await.unwrap();
        visitor.set_zero_linger().unwrap();
        drop(visitor);
        // The service says nothing, so nothing but the reset itself can tell.
        served.ready(Interest::ERROR).await.unwrap();
        let error = served.take_error().unwrap().unwrap();
        // What Linux calls a reset behind an end of file.
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        assert_eq!(lab.log.lines(1).await[0].from_visitor, 1);
    }
}

#[tokio::test]
async fn a_slow_reader_is_waited_for_and_costs_nobody_else() {
    let service = listen().await;
    let lab = Lab::before(&service, false, &Options::default());
    let (slow, mut pouring) = lab.visit(&service).await;
    let mut tasks = JoinSet::new();
    let (said, mut stalled) = tokio::sync::watch::channel(0_usize);
    tasks.spawn(async move {
        let bytes = pattern(65_536);
        loop {
            if pouring.write_all(&bytes).await.is_err() {
                return;
            }
            said.send_modify(|sent| *sent += bytes.len());
        }
    });
    // The service is stopped by what the sockets and one buffer hold.
    loop {
        let quiet = tokio::time::timeout(Duration::from_millis(300), stalled.changed()).await;
        if quiet.is_err() {
            break;
        }
    }
    let held = *stalled.borrow();
    assert!(held < 64 << 20, "{held} bytes are held for one slow reader");
    let (mut quick, mut served) = lab.visit(&service).await;
    for round in 0..100_u8 {
        quick.write_all(&[round]).await.unwrap();
        assert_eq!(served.read_u8().await.unwrap(), round);
        served.write_all(&[round]).await.unwrap();
        assert_eq!(quick.read_u8().await.unwrap(), round);
    }
    drop(slow);
    tasks.join_next().await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_visitors_at_once_are_each_served_their_own() {
    // An address that no other test visits: one who tries a port that was a test's of another would be one too many.
    let own = "127.0.0.83:0";
    let service = TcpListener::bind(own).await.unwrap();
    let options = Options {
        bind: own,
        settings: Settings {
            visitors: 2_000,
            visitors_each: 2_000,
            ..Settings::within(4_096)
        },
        ..Options::default()
    };
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit {
            current: Some(8_192),
            maximum: rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum,
        },
    )
    .unwrap();
    let lab = Lab::before(&service, false, &options);
    let mut services = JoinSet::new();
    services.spawn(async move {
        let mut echoes = JoinSet::new();
        for _ in 0..1_000 {
            let (mut socket, _) = service.accept().await.unwrap();
            echoes.spawn(async move {
                let (mut from, mut to) = socket.split();
                tokio::io::copy(&mut from, &mut to).await.unwrap();
                to.shutdown().await.unwrap();
            });
        }
        while echoes.join_next().await.is_some() {}
    });
    let mut visitors = JoinSet::new();
    for number in 0..1_000_u32 {
        let address = lab.address;
        visitors.spawn(async move {
            let mut socket = TcpStream::connect(address).await.unwrap();
            let words = number.to_be_bytes().repeat(1_000);
            socket.write_all(&words).await.unwrap();
            let mut back = vec![0; words.len()];
            socket.read_exact(&mut back).await.unwrap();
            assert!(back == words, "visitor {number} got another's bytes");
            socket
        });
    }
    let sockets = visitors.join_all().await;
    assert_eq!(lab.server.counts().visitors, 1_000);
    drop(sockets);
    let lines = lab.log.lines(1_000).await;
    assert!(
        lines
            .iter()
            .all(|line| line.end == "served" && line.from_visitor == 4_000)
    );
    let counts = lab.server.counts();
    assert_eq!(
        (counts.visitors, counts.accepted, counts.broken_off),
        (0, 1_000, 0)
    );
    assert_eq!(
        (counts.from_visitors, counts.to_visitors),
        (4_000_000, 4_000_000)
    );
}

#[tokio::test]
async fn who_is_not_let_in_is_reset_and_never_dialled_for() {
    let service = listen().await;
    let lab = Lab::before(&service, true, &Options::default());
    lab.admit(Access::only(vec!["192.0.2.0/24".parse().unwrap()]));
    let mut visitor = TcpStream::connect(lab.address).await.unwrap();
    is_reset(&mut visitor).await;
    assert_eq!(lab.log.lines(1).await[0].end, "not let in");
    lab.admit(Access::everyone());
    drop(lab.visit(&service).await);
    assert_eq!(lab.server.counts().turned_away, 1);
}

#[tokio::test]
async fn a_list_that_nobody_keeps_lets_nobody_in() {
    let service = listen().await;
    let mut lab = Lab::before(&service, true, &Options::default());
    let (gone, _) = tokio::sync::watch::channel(Arc::new(Rules::new([])));
    drop(std::mem::replace(&mut lab.rules, gone));
    let mut visitor = TcpStream::connect(lab.address).await.unwrap();
    is_reset(&mut visitor).await;
    assert_eq!(lab.log.lines(1).await[0].end, "not let in");
}

/// A byte stream whose other end has closed, and that says so.
#[derive(Debug)]
struct Closed;

impl Dial for Closed {
    fn dial<'a>(&'a self, _: &'a Visitor) -> Later<'a, Result<Carrier, DialError>> {
        Box::pin(async { Ok(Carrier::Other(Box::new(Self))) })
    }
}

impl Io for Closed {
    fn poll_closed(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

impl AsyncRead for Closed {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Closed {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_visitor_who_keeps_a_closed_stream_open_is_not_kept() {
    let lab = Lab::start(Closed, &Options::default());
    let mut visitor = TcpStream::connect(lab.address).await.unwrap();
    assert_eq!(visitor.read(&mut [0]).await.unwrap(), 0);
    // Nothing is said and nothing is closed here, and yet it ends.
    assert_eq!(lab.log.lines(1).await[0].end, "closed by the other end");
    drop(visitor);
}

/// Never finds anybody, or panics over it.
#[derive(Debug)]
enum Nobody {
    Refuses,
    Hangs,
    Panics,
}

impl Dial for Nobody {
    fn dial<'a>(&'a self, _: &'a Visitor) -> Later<'a, Result<Carrier, DialError>> {
        Box::pin(async move {
            match self {
                Self::Refuses => Err(DialError::Unserved {
                    reason: "the agent is away".to_owned(),
                }),
                Self::Hangs => std::future::pending().await,
                Self::Panics => panic!("a bug"),
            }
        })
    }
}

#[tokio::test]
async fn a_visitor_whom_nobody_serves_is_reset() {
    for (nobody, words) in [
        (
            Nobody::Refuses,
            "not dialled: nobody serves it now: the agent is away",
        ),
        (Nobody::Hangs, "not dialled: no answer in time"),
        (Nobody::Panics, "broken off by a bug"),
    ] {
        let options = Options {
            settings: Settings {
                dial_time: Duration::from_millis(20),
                ..Settings::within(1_024)
            },
            ..Options::default()
        };
        let lab = Lab::start(nobody, &options);
        for number in 1..=2 {
            let mut visitor = TcpStream::connect(lab.address).await.unwrap();
            is_reset(&mut visitor).await;
            assert_eq!(lab.log.lines(number).await[number - 1].end, words);
        }
        assert_eq!(lab.server.counts().visitors, 0);
    }
}

#[tokio::test]
async fn a_visitor_who_leaves_while_dialled_for_is_not_waited_for() {
    let lab = Lab::start(Nobody::Hangs, &Options::default());
    let visitor = TcpStream::connect(lab.address).await.unwrap();
    visitor.set_zero_linger().unwrap();
    drop(visitor);
    let lines = lab.log.lines(1).await;
    assert!(lines[0].end.starts_with("visitor broke off"), "{lines:?}");
}

#[tokio::test]
async fn who_comes_when_all_room_is_taken_waits_for_it() {
    let service = listen().await;
    for (visitors, visitors_each) in [(1, 9), (9, 1)] {
        let options = Options {
            settings: Settings {
                visitors,
                visitors_each,
                ..Settings::within(1_024)
            },
            ..Options::default()
        };
        let lab = Lab::before(&service, true, &options);
        let (first, served) = lab.visit(&service).await;
        let mut second = TcpStream::connect(lab.address).await.unwrap();
        second.write_all(b"2").await.unwrap();
        wait::until_async("a listener that waits", || async {
            match lab.server.counts().full {
                1 => Ok(()),
                other => Err(other),
            }
        })
        .await;
        assert_eq!(lab.server.counts().visitors, 1);
        drop((first, served));
        let (mut served, _) = service.accept().await.unwrap();
        assert_eq!(served.read_u8().await.unwrap(), b'2');
    }
}

#[tokio::test]
async fn a_quiet_visitor_is_sent_away_only_where_that_is_asked_for() {
    let service = listen().await;
    let options = Options {
        settings: Settings {
            idle_time: Some(Duration::from_millis(200)),
            ..Settings::within(1_024)
        },
        ..Options::default()
    };
    let lab = Lab::before(&service, false, &options);
    let (mut visitor, mut served) = lab.visit(&service).await;
    let began = tokio::time::Instant::now();
    for _ in 0..5 {
        tokio::time::timeout(Duration::from_millis(80), visitor.readable())
            .await
            .ok();
        visitor.write_all(b"x").await.unwrap();
        served.read_u8().await.unwrap();
    }
    is_reset(&mut visitor).await;
    is_reset(&mut served).await;
    assert!(began.elapsed() >= Duration::from_millis(600));
    assert_eq!(lab.log.lines(1).await[0].end, "idle");
}

#[tokio::test]
async fn when_serving_ends_the_port_is_free_and_visitors_stay() {
    let service = listen().await;
    let mut lab = Lab::before(&service, false, &Options::default());
    let (mut visitor, mut served) = lab.visit(&service).await;
    lab.stop.cancel();
    lab.serving.join_next().await.unwrap().unwrap();
    assert!(TcpStream::connect(lab.address).await.is_err());
    drop(std::net::TcpListener::bind(lab.address).unwrap());
    visitor.write_all(b"x").await.unwrap();
    assert_eq!(served.read_u8().await.unwrap(), b'x');
    drop((visitor, served));
    lab.server.drain(wait::DEADLINE).await;
    assert_eq!(lab.log.lines(1).await[0].end, "served");
}

#[tokio::test]
async fn who_is_left_when_the_drain_time_is_over_is_reset() {
    let service = listen().await;
    let lab = Lab::before(&service, true, &Options::default());
    let (mut visitor, mut served) = lab.visit(&service).await;
    lab.server.drain(Duration::from_millis(1)).await;
    assert_eq!(lab.server.counts().visitors, 0);
    is_reset(&mut visitor).await;
    is_reset(&mut served).await;
    assert_eq!(lab.log.lines(1).await[0].end, "gateway stopped");
}

#[tokio::test]
async fn a_service_that_closes_while_the_visitor_speaks_has_its_last_words_delivered() {
    for is_socket in [true, false] {
        let service = listen().await;
        let lab = Lab::before(&service, is_socket, &Options::default());
        let (visitor, mut served) = lab.visit(&service).await;
        let (mut reading, mut writing) = visitor.into_split();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let bytes = pattern(65_536);
            while writing.write_all(&bytes).await.is_ok() {}
        });
        served.read_u8().await.unwrap();
        served.write_all(b"413 too much").await.unwrap();
        served.shutdown().await.unwrap();
        let mut words = String::new();
        reading.read_to_string(&mut words).await.unwrap();
        assert_eq!(words, "413 too much");
        // It closes over unread bytes: from here on whatever the visitor says is answered with a reset.
        drop(served);
        drop(reading);
        tasks.shutdown().await;
        assert_eq!(lab.log.lines(1).await[0].end, "closed by the other end");
    }
}
