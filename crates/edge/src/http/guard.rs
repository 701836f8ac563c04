//! Stands between a visitor's socket and hyper: only requests that have one reading get through.
//!
//! What is no request is replaced by one that the answering side knows by its number and answers with the reason, so
//! that answers stay in order behind those of earlier requests; nothing more is read then.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::frame::{Frame, HEAD_BYTES, Part};
use super::line::Line;

/// A socket, judged.
#[derive(Debug)]
pub(crate) struct Guard<S> {
    socket: S,
    /// Read and not handed on.
    ahead: BytesMut,
    /// Of those, what may be.
    judged: usize,
    frame: Frame,
    line: Arc<Line>,
    is_refused: bool,
    /// Whether the visitor has said its last byte.
    has_ended: bool,
}

/// Bytes that are asked for at a time.
const READ: usize = 4 << 10;
/// The same of a body in chunks.
const READ_CHUNKS: usize = 16 << 10;

/// Stands for a request that is none.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n";

impl<S> Guard<S> {
    pub(crate) fn new(socket: S, line: Arc<Line>) -> Self {
        Self {
            socket,
            ahead: BytesMut::new(),
            judged: 0,
            frame: Frame::new(),
            line,
            is_refused: false,
            has_ended: false,
        }
    }

    /// The socket and what was read from it ahead.
    pub(crate) fn into_parts(self) -> (S, BytesMut) {
        (self.socket, self.ahead)
    }

    /// What both sides of the connection know.
    pub(crate) const fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// The socket, for a last word.
    pub(crate) const fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Whether nothing is on its way: no byte of a request was read, and all answers have left.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.ahead.is_empty()
            && self.frame.is_between()
            && !self.is_refused
            && self.line.stuck().is_none()
    }

    /// Gives up what is not needed while nothing is asked.
    pub(crate) fn rest(&mut self) {
        self.ahead = BytesMut::new();
    }

    /// Whether the socket took less than it was given.
    fn tell(&self, is_stuck: bool) {
        if is_stuck {
            self.line.sticks();
        } else {
            self.line.moves();
        }
    }

    /// A head that does not come is one that is refused.
    fn judge(&mut self) -> usize {
        if self.is_refused {
            return 0;
        }
        let is_head = self.frame.is_between();
        match self.frame.advance(&self.ahead) {
            Ok(0) => {
                if is_head && !self.ahead.is_empty() {
                    self.line.head_begins();
                }
                0
            }
            Ok(judged) => {
                if is_head {
                    self.line.head_ends();
                }
                judged
            }
            Err(_) if !is_head => {
                // Within a body there is no request to stand in for: what is read ends here.
                self.is_refused = true;
                self.ahead.clear();
                0
            }
            Err(why) => {
                self.line.refuse(why);
                self.is_refused = true;
                self.ahead.clear();
                self.ahead.extend_from_slice(STAND_IN);
                STAND_IN.len()
            }
        }
    }
}

impl<S: AsyncRead + Unpin> Guard<S> {
    /// Waits for the first bytes of the next request. Ready without one where the visitor has ended. Nothing is held
    /// for it before they come.
    pub(crate) fn poll_begins(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            let mut bytes = [MaybeUninit::uninit(); READ];
            let mut first = ReadBuf::uninit(&mut bytes);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut first))?;
            self.ahead.extend_from_slice(first.filled());
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing is handed on while a request is answered; but whether its visitor breaks off is looked at. One who has
    /// said its last byte may still listen. Says whether the socket wakes whoever waits: else nothing more is read.
    fn poll_watch(&mut self, cx: &mut Context<'_>, most: usize) -> io::Result<bool> {
        while !self.has_ended && self.ahead.len() < most {
            match self.poll_ahead(cx, READ)? {
                Poll::Ready(0) => {
                    self.has_ended = true;
                    self.line.falls_silent();
                }
                Poll::Ready(_) => {}
                Poll::Pending => return Ok(self.ahead.is_empty()),
            }
        }
        Ok(false)
    }

    /// Straight to where it is wanted. What is not this body's any more is put back.
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        left: u64,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let length = read.len().min(most);
        self.ahead
            .extend_from_slice(read.get(length..).unwrap_or_default());
        buffer.set_filled(before.saturating_add(length));
        self.frame.skip(u64::try_from(length).unwrap_or(u64::MAX));
        Poll::Ready(Ok(()))
    }

    fn poll_ahead(&mut self, cx: &mut Context<'_>, size: usize) -> io::Result<Poll<usize>> {
        self.ahead.reserve(size);
        match poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.ahead) {
            Poll::Ready(read) => read.map(Poll::Ready),
            Poll::Pending => Ok(Poll::Pending),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.judged == 0 {
                this.judged = this.judge();
            }
            if this.judged > 0 {
                let length = this.judged.min(buffer.remaining());
                buffer.put_slice(this.ahead.get(..length).unwrap_or_default());
                this.ahead.advance(length);
                this.judged = this.judged.saturating_sub(length);
                return Poll::Ready(Ok(()));
            }
            if this.is_refused {
                return if this.frame.is_between() {
                    Poll::Pending
                } else {
                    Poll::Ready(Err(io::ErrorKind::InvalidData.into()))
                };
            }
            if this.frame.is_between() && this.line.is_answering() {
                if this.poll_watch(cx, READ)? || this.line.await_answer(cx.waker()) {
                    return Poll::Pending;
                }
                // It has ended just now.
                continue;
            }
            match this.frame.part() {
                // Straight to where it is wanted, but no byte that is not this body's.
                Part::Body(left) => return this.poll_body(cx, buffer, left),
                Part::Opaque => return Pin::new(&mut this.socket).poll_read(cx, buffer),
                Part::Held => {
                    let Some(is_granted) = this.line.decided(cx.waker()) else {
                        // Behind the wish may stand what is for the other protocol.
                        this.poll_watch(cx, HEAD_BYTES)?;
                        return Poll::Pending;
                    };
                    this.frame.resume(is_granted);
                }
                part @ (Part::Head(_) | Part::Chunks(_)) => {
                    let size = if matches!(part, Part::Head(_)) {
                        READ
                    } else {
                        READ_CHUNKS
                    };
                    if ready!(this.poll_ahead(cx, size)?) == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.tell(written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, pieces);
        self.tell(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.tell(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
