//! Carriers that lend their memory.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use adit_edge::dial::{Carrier, Dial, DialError, Drain, Fill, Io, Later};
use adit_edge::visitor::Visitor;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use crate::lab::{Lab, Options};

/// Leads to what says back what it was told.
#[derive(Debug)]
struct ToEcho;

/// It keeps no more than [`ROOM`], lends a few bytes of it at a time, and is never read or written otherwise.
#[derive(Debug, Default)]
struct Echo {
    kept: VecDeque<u8>,
    has_ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

const ROOM: usize = 50_000;
const AT_A_TIME: usize = 3_000;

impl Dial for ToEcho {
    fn dial<'a>(&'a self, _: &'a Visitor) -> Later<'a, Result<Carrier, DialError>> {
        Box::pin(async { Ok(Carrier::Other(Box::new(Echo::default()))) })
    }
}

impl Io for Echo {
    fn lends(&self) -> bool {
        true
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, fill: Fill<'_>) -> Poll<io::Result<usize>> {
        let most = AT_A_TIME.min(ROOM.saturating_sub(self.kept.len()));
        if most == 0 {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut room = vec![0; most];
        let (first, second) = room.split_at_mut(most / 2);
        let count = fill(cx, &mut [IoSliceMut::new(first), IoSliceMut::new(second)]);
        if count == 0 {
            return Poll::Pending;
        }
        self.kept.extend(room.iter().take(count));
        self.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>, drain: Drain<'_>) -> Poll<io::Result<usize>> {
        if self.kept.is_empty() {
            self.reader = Some(cx.waker().clone());
            return if self.has_ended {
                Poll::Ready(Ok(0))
            } else {
                Poll::Pending
            };
        }
        let (first, second) = self.kept.as_slices();
        let count = drain(cx, &[IoSlice::new(first), IoSlice::new(second)]);
        if count == 0 {
            return Poll::Pending;
        }
        self.kept.drain(..count);
        self.writer.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }
}

impl AsyncRead for Echo {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

impl AsyncWrite for Echo {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.has_ended = true;
        self.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn every_byte_goes_through_lent_memory_and_back_until_both_halves_have_ended() {
    let lab = Lab::start(ToEcho, &Options::default());
    let visitor = TcpStream::connect(lab.address).await.unwrap();
    let (mut read, mut write) = visitor.into_split();
    let sent: Vec<u8> = (0..=250).cycle().take(3 << 20).collect();
    let said = sent.clone();
    let saying = async {
        write.write_all(&said).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    let (read, ()) = tokio::join!(read.read_to_end(&mut got), saying);
    read.unwrap();
    assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
    let line = lab.log.lines(1).await.remove(0);
    let length = sent.len() as u64;
    assert_eq!((line.from_visitor, line.to_visitor), (length, length));
}
