//! A panic in the task of one connection: that connection ends, everybody who waits for it learns so,
//! and the others go on.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use adit_tunnel::transport::ssh::{Carrier, Memory};
use adit_tunnel::transport::{Bind, ConnectionEnd, ForwardError, OpenError, PeerRequest};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf,
};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use crate::acceptor::{Acceptor, head};
use crate::ssh::log_in_with;

/// Where a carrier panics, once it is armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Read,
    Write,
}

/// A pipe that panics when it is told to: what a mistake in the engine, in the cryptography or in
/// the loop would look like from outside.
struct Faulty {
    inner: DuplexStream,
    fault: Fault,
    is_armed: Arc<AtomicBool>,
}

impl Faulty {
    fn check(&self, fault: Fault) {
        let is_due = self.fault == fault && self.is_armed.load(Ordering::Acquire);
        assert!(!is_due, "a mistake of ours");
    }
}

impl AsyncRead for Faulty {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(Fault::Read);
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Faulty {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(Fault::Write);
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl Carrier for Faulty {}

async fn within<T>(future: impl Future<Output = T>) -> T {
    let result = timeout(Duration::from_secs(60), future).await;
    result.expect("nothing came of it in a minute")
}

/// How the first of these tasks ended, which must be by a panic.
async fn panic_of(tasks: &mut JoinSet<ConnectionEnd>) -> JoinError {
    let ended = within(tasks.join_next()).await.expect("a task is there");
    ended.expect_err("the task has panicked")
}

#[tokio::test(start_paused = true)]
async fn s110_panic_in_one_connection_only() {
    for fault in [Fault::Read, Fault::Write] {
        // Both connections live on the same memory, as all of a process do.
        let memory = Memory::of_this_machine();
        let all_memory = memory.budget.left();
        let is_armed = Arc::new(AtomicBool::new(false));
        let (inner, peer) = tokio::io::duplex(100_000);
        let faulty = Faulty {
            inner,
            fault,
            is_armed: Arc::clone(&is_armed),
        };
        let ((near, near_driver), (mut far, far_driver)) =
            log_in_with(faulty, peer, memory.clone()).await;
        let mut near_task = JoinSet::new();
        near_task.spawn(near_driver.run());
        let mut far_task = JoinSet::new();
        far_task.spawn(far_driver.run());

        let (client, server) = tokio::io::duplex(100_000);
        let ((sibling, sibling_driver), (sibling_far, sibling_far_driver)) =
            log_in_with(client, server, memory.clone()).await;
        let mut sibling_tasks = JoinSet::new();
        sibling_tasks.spawn(sibling_driver.run());
        sibling_tasks.spawn(sibling_far_driver.run());
        let sibling_acceptor = Acceptor::new(sibling_far.requests);

        // The doomed one has a stream, an open and a forward that wait for their answers.
        let open = async {
            let open = near.transport.open(head(1));
            let accept = async {
                match far.requests.recv().await {
                    Some(PeerRequest::Open(request)) => request.answer.accept(),
                    other => panic!("{other:?} instead of a stream"),
                }
            };
            tokio::join!(open, accept)
        };
        let (stream, mut far_stream) = within(open).await;
        let mut stream = stream.unwrap();
        far_stream.write_all(b"before").await.unwrap();
        let mut before = [0; 6];
        within(stream.read_exact(&mut before)).await.unwrap();
        let mut waiting = JoinSet::new();
        let (transport, opening) = (Arc::clone(&near.transport), near.transport.open(head(2)));
        waiting.spawn(async move { opening.await.map(drop).unwrap_err() == OpenError::Closed });
        waiting.spawn(async move {
            let (host, port) = (String::from("localhost"), 0);
            let asked = transport.forward(Bind::Tcp { host, port }).await;
            asked == Err(ForwardError::Closed)
        });
        let mut unanswered = Vec::new();
        for _ in 0..2 {
            unanswered.push(within(far.requests.recv()).await.unwrap());
        }

        is_armed.store(true, Ordering::Release);
        // Either way there is something to read, and something to write.
        far_stream.write_all(b"and then").await.unwrap();
        stream.write_all(b"and then").await.unwrap();
        assert!(panic_of(&mut near_task).await.is_panic(), "{fault:?}");

        let end = within(near.transport.end().wait()).await;
        assert!(matches!(end, ConnectionEnd::Abandoned), "{end}");
        assert!(near.transport.end().now().is_some());
        while let Some(has_learnt) = within(waiting.join_next()).await {
            assert!(has_learnt.unwrap(), "who waited is told");
        }
        let late = within(near.transport.open(head(3))).await;
        assert_eq!(late.map(drop), Err(OpenError::Closed));
        let mut rest = Vec::new();
        let read = within(stream.read_to_end(&mut rest)).await;
        let kind = read.expect_err("its stream is lost").kind();
        assert_eq!(kind, io::ErrorKind::ConnectionAborted);
        // The peer sees the connection go, and its questions can still be answered into the void.
        let far_end = within(far_task.join_next()).await.unwrap().unwrap();
        assert!(matches!(far_end, ConnectionEnd::Lost(_)), "{far_end}");
        drop(unanswered);

        // The other has noticed nothing.
        for token in 1..4 {
            let open = async {
                tokio::join!(
                    sibling.transport.open(head(token)),
                    sibling_acceptor.accept(token)
                )
            };
            let (near_stream, mut far_stream) = within(open).await;
            let mut near_stream = near_stream.unwrap();
            near_stream.write_all(&vec![7; 50_000]).await.unwrap();
            near_stream.shutdown().await.unwrap();
            let mut got = Vec::new();
            within(far_stream.read_to_end(&mut got)).await.unwrap();
            assert_eq!(got.len(), 50_000);
        }
        assert!(sibling_tasks.try_join_next().is_none(), "{fault:?}");
        // What the dead one had promised is there for others.
        sibling_tasks.shutdown().await;
        drop((near, far));
        assert_eq!(memory.budget.left(), all_memory, "{fault:?}");
    }
}
