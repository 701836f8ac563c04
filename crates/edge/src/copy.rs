//! The copier: moves bytes between a visitor and a carrier, both ways, until both halves have ended.
//!
//! Each half ends by itself: an end of file on one side becomes a shutdown on the other, behind every byte before
//! it. A side that takes no more may still have something to say, so the other half goes on until it has ended; only
//! then is the whole at its end. A carrier that is cut off ends both at once, and what it gave is thrown away. A side that has said its last word and then breaks off is noticed although nobody
//! reads from it.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::pool::{Buffer, Pool};
use crate::wire::Lent;

/// Bytes that were taken from a side by the other, counted as they go.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    /// Bytes that the carrier took.
    pub(crate) from_visitor: AtomicU64,
    /// Bytes that the visitor took.
    pub(crate) to_visitor: AtomicU64,
}

impl Meters {
    /// From the visitor, and to it.
    pub(crate) fn read(&self) -> (u64, u64) {
        (
            self.from_visitor.load(Ordering::Relaxed),
            self.to_visitor.load(Ordering::Relaxed),
        )
    }
}

/// How a copy ended.
#[derive(Debug)]
pub(crate) enum CopyEnd {
    /// Both halves ended in good order.
    Done,
    /// The carrier took no more and then ended in good order: all that it said was delivered.
    CarrierClosed,
    /// The visitor broke off.
    VisitorBroke(io::Error),
    /// The carrier broke off.
    CarrierBroke(io::Error),
    /// Neither said anything for as long as is allowed.
    Idle,
}

/// Rounds in one direction before others on this thread have their turn.
const ROUNDS: usize = 16;

/// Copies until both halves have ended. Both sides are left to the caller: to be finished after
/// [`CopyEnd::Done`] and [`CopyEnd::CarrierClosed`], to be dropped, which resets them, after all others.
///
/// Without `idle` it has no deadline: a quiet pair may stay quiet for days.
///
/// # Cancel safety
/// Dropping the future loses bytes on their way.
pub(crate) async fn copy(
    mut visitor: Lent<'_>,
    mut carrier: Lent<'_>,
    pool: &Pool,
    meters: &Meters,
    idle: Option<Duration>,
) -> CopyEnd {
    let mut visitor_breaks = pin!(visitor.watch().broken());
    let mut carrier_breaks = pin!(carrier.watch().broken());
    let mut from_visitor = Direction::new(&meters.from_visitor);
    let mut to_visitor = Direction::new(&meters.to_visitor);
    let mut quiet = pin!(Quiet::new(idle));
    std::future::poll_fn(|cx| {
        // First of all and whatever waits: a visitor who does not read must neither stay nor get what is held.
        if let Poll::Ready(error) = carrier.poll_cut(cx) {
            return Poll::Ready(CopyEnd::CarrierBroke(error));
        }
        from_visitor.advance(cx, pool, &mut visitor, &mut carrier);
        to_visitor.advance(cx, pool, &mut carrier, &mut visitor);
        if let Some(end) = judge(&mut from_visitor.state, &mut to_visitor.state) {
            return Poll::Ready(end);
        }
        // While a side is read from, its reads tell, behind the bytes that came before.
        if from_visitor.state.has_read_all()
            && let Poll::Ready(error) = visitor_breaks.as_mut().poll(cx)
        {
            return Poll::Ready(CopyEnd::VisitorBroke(error));
        }
        // A carrier that has said all and takes no more has closed.
        if matches!(to_visitor.state, State::Ended)
            && (carrier.poll_closed(cx).is_ready() || carrier_breaks.as_mut().poll(cx).is_ready())
        {
            return Poll::Ready(CopyEnd::CarrierClosed);
        }
        let has_moved =
            std::mem::take(&mut from_visitor.has_moved) | std::mem::take(&mut to_visitor.has_moved);
        ready!(quiet.as_mut().poll(cx, has_moved));
        Poll::Ready(CopyEnd::Idle)
    })
    .await
}

/// What both halves together come to, if it is over.
fn judge(from_visitor: &mut State, to_visitor: &mut State) -> Option<CopyEnd> {
    if let State::SourceBroke(error) = from_visitor {
        return Some(CopyEnd::VisitorBroke(take(error)));
    }
    if let State::SourceBroke(error) = to_visitor {
        return Some(CopyEnd::CarrierBroke(take(error)));
    }
    match (from_visitor, to_visitor) {
        (State::Ended, State::Ended) => Some(CopyEnd::Done),
        // Closing while the other still speaks is how most services and every SSH channel end.
        (State::SinkBroke(error), State::Ended) if error.kind() == io::ErrorKind::BrokenPipe => {
            Some(CopyEnd::CarrierClosed)
        }
        (State::SinkBroke(error), State::Ended) => Some(CopyEnd::CarrierBroke(take(error))),
        (State::Ended | State::SinkBroke(_), State::SinkBroke(error)) => {
            Some(CopyEnd::VisitorBroke(take(error)))
        }
        _ => None,
    }
}

fn take(error: &mut io::Error) -> io::Error {
    std::mem::replace(error, io::ErrorKind::Other.into())
}

/// One half.
struct Direction<'a> {
    held: Option<Held>,
    state: State,
    meter: &'a AtomicU64,
    has_moved: bool,
    /// Whether the sink has bytes that it may keep to itself until it is told.
    is_unflushed: bool,
}

/// Bytes that the sink has not taken yet.
struct Held {
    buffer: Buffer,
    start: usize,
    end: usize,
}

/// What came of one round.
enum Step {
    Moved,
    /// The source has nothing now.
    Waits,
    Over(State),
}

enum State {
    Moving,
    /// The source has ended; the sink is being told.
    Ending,
    Ended,
    SourceBroke(io::Error),
    SinkBroke(io::Error),
}

impl State {
    const fn has_read_all(&self) -> bool {
        matches!(self, Self::Ending | Self::Ended)
    }
}

impl<'a> Direction<'a> {
    const fn new(meter: &'a AtomicU64) -> Self {
        Self {
            held: None,
            state: State::Moving,
            meter,
            has_moved: false,
            is_unflushed: false,
        }
    }

    /// Moves what can be moved now.
    fn advance(
        &mut self,
        cx: &mut Context<'_>,
        pool: &Pool,
        source: &mut Lent<'_>,
        sink: &mut Lent<'_>,
    ) {
        if matches!(self.state, State::Moving)
            && let Poll::Ready(state) = self.poll_move(cx, pool, source, sink)
        {
            self.state = state;
            self.held = None;
        }
        if matches!(self.state, State::Ending)
            && let Poll::Ready(ended) = Pin::new(sink).poll_shutdown(cx)
        {
            // Who is gone needs not to be told.
            self.state = match ended {
                Err(error) if error.kind() != io::ErrorKind::NotConnected => {
                    State::SinkBroke(error)
                }
                _ => State::Ended,
            };
        }
    }

    fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        pool: &Pool,
        source: &mut Lent<'_>,
        sink: &mut Lent<'_>,
    ) -> Poll<State> {
        for _ in 0..ROUNDS {
            let step = if sink.lender().is_some() {
                self.poll_fill(cx, source, sink)
            } else if source.lender().is_some() {
                self.poll_drain(cx, source, sink)
            } else {
                self.poll_through(cx, pool, source, sink)
            };
            match ready!(step) {
                Step::Moved => {}
                Step::Waits => return self.poll_flush(cx, sink),
                Step::Over(state) => return Poll::Ready(state),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Through a buffer of ours. Pending while the sink takes nothing.
    fn poll_through(
        &mut self,
        cx: &mut Context<'_>,
        pool: &Pool,
        source: &mut Lent<'_>,
        sink: &mut Lent<'_>,
    ) -> Poll<Step> {
        if let Err(error) = ready!(self.poll_write(cx, sink)) {
            return Poll::Ready(Step::Over(State::SinkBroke(error)));
        }
        let mut buffer = pool.take();
        let mut read = ReadBuf::new(buffer.bytes_mut());
        Poll::Ready(match Pin::new(source).poll_read(cx, &mut read) {
            Poll::Pending => Step::Waits,
            Poll::Ready(Err(error)) => Step::Over(State::SourceBroke(error)),
            Poll::Ready(Ok(())) => match read.filled().len() {
                0 => Step::Over(State::Ending),
                end => {
                    self.has_moved = true;
                    self.held = Some(Held {
                        buffer,
                        start: 0,
                        end,
                    });
                    Step::Moved
                }
            },
        })
    }

    /// Straight into what the sink lends. Pending while it has no room.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Lent<'_>,
        sink: &mut Lent<'_>,
    ) -> Poll<Step> {
        let Some(lender) = sink.lender() else {
            return Poll::Ready(Step::Waits);
        };
        let mut read = None;
        let filled = lender.poll_fill(cx, &mut |cx, rooms| {
            let outcome = source.poll_read_vectored(cx, rooms);
            let count = match &outcome {
                Poll::Ready(Ok(count)) => *count,
                Poll::Ready(Err(_)) | Poll::Pending => 0,
            };
            read = Some(outcome);
            count
        });
        Poll::Ready(match (filled, read) {
            (Poll::Ready(Ok(count)), _) => {
                self.moved(count);
                Step::Moved
            }
            (Poll::Ready(Err(error)), _) => Step::Over(State::SinkBroke(error)),
            (Poll::Pending, None) => return Poll::Pending,
            (Poll::Pending, Some(Poll::Pending)) => Step::Waits,
            (Poll::Pending, Some(Poll::Ready(Ok(_)))) => Step::Over(State::Ending),
            (Poll::Pending, Some(Poll::Ready(Err(error)))) => Step::Over(State::SourceBroke(error)),
        })
    }

    /// Straight from what the source lends. Pending while the sink takes nothing.
    fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Lent<'_>,
        sink: &mut Lent<'_>,
    ) -> Poll<Step> {
        let Some(lender) = source.lender() else {
            return Poll::Ready(Step::Waits);
        };
        let mut written = None;
        let drained = lender.poll_drain(cx, &mut |cx, slices| {
            let outcome = Pin::new(&mut *sink).poll_write_vectored(cx, slices);
            let count = match &outcome {
                Poll::Ready(Ok(count)) => *count,
                Poll::Ready(Err(_)) | Poll::Pending => 0,
            };
            written = Some(outcome);
            count
        });
        Poll::Ready(match (drained, written) {
            (Poll::Ready(Ok(0)), _) => Step::Over(State::Ending),
            (Poll::Ready(Ok(count)), _) => {
                self.moved(count);
                Step::Moved
            }
            (Poll::Ready(Err(error)), _) => Step::Over(State::SourceBroke(error)),
            (Poll::Pending, None) => Step::Waits,
            (Poll::Pending, Some(Poll::Pending)) => return Poll::Pending,
            (Poll::Pending, Some(Poll::Ready(Ok(_)))) => {
                Step::Over(State::SinkBroke(io::ErrorKind::WriteZero.into()))
            }
            (Poll::Pending, Some(Poll::Ready(Err(error)))) => Step::Over(State::SinkBroke(error)),
        })
    }

    /// The sink took bytes.
    fn moved(&mut self, count: usize) {
        self.has_moved = true;
        self.is_unflushed = true;
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.meter.fetch_add(count, Ordering::Relaxed);
    }

    /// Writes what is held until the sink takes no more for now.
    fn poll_write(&mut self, cx: &mut Context<'_>, sink: &mut Lent<'_>) -> Poll<io::Result<()>> {
        while let Some(held) = &mut self.held {
            let bytes = held
                .buffer
                .bytes()
                .get(held.start..held.end)
                .unwrap_or_default();
            if bytes.is_empty() {
                self.held = None;
                break;
            }
            let written = ready!(Pin::new(&mut *sink).poll_write(cx, bytes))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            held.start = held.start.saturating_add(written);
            self.moved(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing can be read now, so nothing is kept back either.
    fn poll_flush(&mut self, cx: &mut Context<'_>, sink: &mut Lent<'_>) -> Poll<State> {
        if self.is_unflushed {
            if let Err(error) = ready!(Pin::new(sink).poll_flush(cx)) {
                return Poll::Ready(State::SinkBroke(error));
            }
            self.is_unflushed = false;
        }
        Poll::Pending
    }
}

/// How long nobody has said anything.
enum Quiet {
    /// It does not matter.
    Always,
    Until {
        /// Moved on when it is reached, not at each byte.
        sleep: Pin<Box<Sleep>>,
        allowed: Duration,
        moved_at: Instant,
    },
}

impl Quiet {
    fn new(allowed: Option<Duration>) -> Self {
        allowed.map_or(Self::Always, |allowed| Self::Until {
            sleep: Box::pin(tokio::time::sleep(allowed)),
            allowed,
            moved_at: Instant::now(),
        })
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, has_moved: bool) -> Poll<()> {
        let Self::Until {
            sleep,
            allowed,
            moved_at,
        } = &mut *self
        else {
            return Poll::Pending;
        };
        if has_moved {
            *moved_at = Instant::now();
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            let deadline = moved_at.checked_add(*allowed).unwrap_or_else(Instant::now);
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}
