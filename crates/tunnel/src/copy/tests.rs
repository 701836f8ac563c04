//! The copier between a stream of the memory transport and sockets with faults.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::transport::{Origin, PeerRequest, StreamHead, StreamKind, Target, memory};

/// A stream of a memory pair: the copier's end and the visitor's.
async fn stream(tasks: &mut JoinSet<()>) -> (ByteStream, ByteStream) {
    let (near, mut far, driver) = memory::pair();
    tasks.spawn(driver.run());
    let head = StreamHead {
        kind: StreamKind::Direct(Target::Unix {
            path: String::from("/x"),
        }),
        origin: Origin {
            host: String::new(),
            port: 0,
        },
    };
    let accept = async {
        let Some(PeerRequest::Open(request)) = far.requests.recv().await else {
            panic!("no open came");
        };
        request.answer.accept()
    };
    let (opened, accepted) = tokio::join!(near.transport.open(head), accept);
    tasks.spawn(async move {
        // Keeps both handles, and with them the connection, while the test runs.
        let _handles = (near, far);
        std::future::pending::<()>().await;
    });
    (accepted, opened.unwrap())
}

/// A socket that takes and gives as little as it pleases, and is not always ready.
struct Faulty {
    inside: DuplexStream,
    turn: usize,
}

impl Faulty {
    /// What to do now: nothing, or at most so many bytes.
    fn next(&mut self, cx: &Context<'_>) -> Option<usize> {
        self.turn += 1;
        if self.turn.is_multiple_of(3) {
            cx.waker().wake_by_ref();
            return None;
        }
        Some(1 + self.turn * 7_919 % 5_000)
    }
}

impl AsyncRead for Faulty {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(most) = self.next(cx) else {
            return Poll::Pending;
        };
        let mut bytes = vec![0; most.min(buffer.remaining())];
        let mut part = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.inside).poll_read(cx, &mut part))?;
        buffer.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Faulty {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(most) = self.next(cx) else {
            return Poll::Pending;
        };
        let part = &bytes[..most.min(bytes.len())];
        Pin::new(&mut self.inside).poll_write(cx, part)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter())
            .copied()
            .collect();
        self.poll_write(cx, &all)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inside).poll_shutdown(cx)
    }
}

fn bytes(length: usize, step: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from(at * step % 251).unwrap())
        .collect()
}

async fn exchange(end: &mut (impl AsyncRead + AsyncWrite + Unpin), sent: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(end);
    let mut got = Vec::new();
    let write = async {
        writer.write_all(sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let (read, ()) = tokio::join!(reader.read_to_end(&mut got), write);
    read.unwrap();
    got
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(addr), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

#[tokio::test]
async fn every_byte_arrives_both_ways_through_short_reads_and_writes() {
    let mut tasks = JoinSet::new();
    let (stream, mut visitor) = stream(&mut tasks).await;
    let (inside, mut service) = duplex(10_000);
    let mut socket = Faulty { inside, turn: 0 };
    let (there, back) = (bytes(1_000_000, 3), bytes(600_000, 7));
    let (copied, got_service, got_visitor) = tokio::join!(
        copy(stream, &mut socket),
        exchange(&mut service, &back),
        exchange(&mut visitor, &there),
    );
    copied.end.unwrap();
    assert_eq!((copied.to_socket, copied.to_stream), (1_000_000, 600_000));
    assert!(got_service == there && got_visitor == back);
}

#[tokio::test]
async fn every_byte_arrives_both_ways_through_tcp() {
    let mut tasks = JoinSet::new();
    let (stream, mut visitor) = stream(&mut tasks).await;
    let (mut socket, mut service) = tcp_pair().await;
    let (there, back) = (bytes(5_000_000, 3), bytes(5_000_000, 7));
    let (copied, got_service, got_visitor) = tokio::join!(
        copy(stream, &mut socket),
        exchange(&mut service, &back),
        exchange(&mut visitor, &there),
    );
    copied.end.unwrap();
    assert!(got_service == there && got_visitor == back);
}

#[tokio::test]
async fn a_request_that_ends_first_gets_its_answer() {
    let mut tasks = JoinSet::new();
    let (stream, mut visitor) = stream(&mut tasks).await;
    let (mut socket, mut service) = tcp_pair().await;
    let client = async {
        visitor.write_all(b"question").await.unwrap();
        visitor.shutdown().await.unwrap();
        let mut answer = Vec::new();
        visitor.read_to_end(&mut answer).await.unwrap();
        answer
    };
    let server = async {
        let mut question = Vec::new();
        service.read_to_end(&mut question).await.unwrap();
        service.write_all(&question).await.unwrap();
        drop(service);
    };
    let (copied, answer, ()) = tokio::join!(copy(stream, &mut socket), client, server);
    copied.end.unwrap();
    assert_eq!(answer, b"question");
}

#[tokio::test]
async fn a_visitor_who_breaks_off_ends_the_copy_as_broken() {
    let mut tasks = JoinSet::new();
    let (stream, mut visitor) = stream(&mut tasks).await;
    let (mut socket, mut service) = tcp_pair().await;
    visitor.write_all(b"begun").await.unwrap();
    let client = async {
        let mut begun = [0; 5];
        service.read_exact(&mut begun).await.unwrap();
        assert_eq!(&begun, b"begun");
        drop(visitor);
    };
    let (copied, ()) = tokio::join!(copy(stream, &mut socket), client);
    assert!(matches!(copied.end, Err(CopyError::Stream(_))));
    assert_eq!(copied.to_socket, 5);
}

#[tokio::test]
async fn a_service_that_breaks_off_resets_the_visitor() {
    let mut tasks = JoinSet::new();
    let (stream, mut visitor) = stream(&mut tasks).await;
    let (mut socket, service) = tcp_pair().await;
    service.set_zero_linger().unwrap();
    drop(service);
    let copied = copy(stream, &mut socket).await;
    assert!(matches!(copied.end, Err(CopyError::Socket(_))));
    let error = visitor.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

/// A service that has closed its ears but goes on talking, as one does that answers a request early.
#[tokio::test]
async fn what_a_deaf_service_still_says_reaches_the_visitor() {
    struct Deaf(DuplexStream);
    impl AsyncRead for Deaf {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }
    impl AsyncWrite for Deaf {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
    let mut tasks = JoinSet::new();
    let (stream, mut visitor) = stream(&mut tasks).await;
    let (inside, mut service) = duplex(10_000);
    let mut socket = Deaf(inside);
    let said = bytes(200_000, 5);
    visitor.write_all(b"too much").await.unwrap();
    let speaking = async {
        service.write_all(&said).await.unwrap();
        drop(service);
    };
    let listening = async {
        let mut heard = Vec::new();
        visitor.read_to_end(&mut heard).await.unwrap();
        heard
    };
    let (copied, heard, ()) = tokio::join!(copy(stream, &mut socket), listening, speaking);
    assert!(matches!(copied.end, Err(CopyError::Socket(_))));
    assert!(heard == said, "{} bytes were heard", heard.len());
}

/// The peer closes for good after its last byte while we still send, as sshd does when its own
/// visitor has gone: what it had sent must reach the service.
#[tokio::test]
async fn what_came_before_a_close_reaches_the_socket() {
    let mut tasks = JoinSet::new();
    let (stream, mut visitor) = stream(&mut tasks).await;
    let (mut socket, mut service) = tcp_pair().await;
    let sent = bytes(300_000, 3);
    visitor.write_all(&sent).await.unwrap();
    visitor.shutdown().await.unwrap();
    drop(visitor);
    let server = async {
        let mut got = Vec::new();
        service.read_to_end(&mut got).await.unwrap();
        service.write_all(&bytes(65_536, 1)).await.unwrap();
        got
    };
    let (copied, got) = tokio::join!(copy(stream, &mut socket), server);
    copied.end.unwrap();
    assert!(got == sent);
}
