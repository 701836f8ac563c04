//! Visitors whose carrier is cut off under them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use adit_edge::dial::{Carrier, Dial, DialError, Io, Later};
use adit_edge::visitor::Visitor;
use adit_testkit::wait;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpSocket;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::lab::{Lab, Options};

/// Leads to what says the same for ever, until it is cut off.
#[derive(Debug, Default)]
struct Chatter(CancellationToken);

/// What it leads to.
struct Chat(Pin<Box<WaitForCancellationFutureOwned>>);

impl Dial for Chatter {
    fn dial<'a>(&'a self, _: &'a Visitor) -> Later<'a, Result<Carrier, DialError>> {
        let cut = self.0.clone();
        Box::pin(async {
            Ok(Carrier::Other(Box::new(Chat(Box::pin(
                cut.cancelled_owned(),
            )))))
        })
    }
}

impl Io for Chat {
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.0
            .as_mut()
            .poll(cx)
            .map(|()| io::Error::other("the lease is another's"))
    }
}

impl AsyncRead for Chat {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = buffer.remaining();
        buffer.put_slice(&vec![b'x'; length]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Chat {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// How soon a visitor is gone whose tenant has lost its right (security rule G05).
const SOON: Duration = Duration::from_secs(1);

#[tokio::test]
async fn g05_a_visitor_who_never_reads_is_reset_when_its_carrier_is_cut() {
    let chatter = Chatter::default();
    let cut = chatter.0.clone();
    let lab = Lab::start(chatter, &Options::default());
    // A small window, so that most of what is on its way waits on this side.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let visitor = socket.connect(lab.address).await.unwrap();
    // Some has come, so the copy is at work; nobody reads any of it.
    visitor.readable().await.unwrap();
    let counted = wait::until_async("a visitor who is being served", || async {
        let counts = lab.server.counts();
        (counts.visitors == 1).then_some(counts).ok_or(counts)
    })
    .await;
    assert_eq!(counted.broken_off, 0);
    cut.cancel();
    tokio::time::timeout(SOON, visitor.ready(Interest::ERROR))
        .await
        .expect("the visitor is reset in time")
        .unwrap();
    let line = lab.log.lines(1).await.remove(0);
    assert!(line.end.contains("the lease is another's"), "{line:?}");
    let mut visitor = visitor;
    let mut got = 0;
    let mut bytes = vec![0; 65_536];
    while let Ok(count @ 1..) = visitor.read(&mut bytes).await {
        got += count as u64;
    }
    // No more than had reached this very socket by then: what waited for it here was thrown away.
    assert!(got < line.to_visitor, "{got} of {}", line.to_visitor);
    assert_eq!(lab.server.counts().visitors, 0);
}
