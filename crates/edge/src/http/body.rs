//! Bodies on their way: a request's to the upstream, an answer's to the visitor.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::stall;
use super::stay::Stay;
use super::upstream::Place;
use crate::header;

/// Why a request's body ended before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyEnd {
    /// The visitor broke off, or sent what is no body.
    #[error("the visitor broke off")]
    Broken,
    /// Nothing came for as long as is allowed.
    #[error("the visitor did not go on in time")]
    Late,
}

/// How much of a request's body has gone on.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    bytes: AtomicU64,
    is_whole: AtomicBool,
}

impl Sent {
    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// So many bytes are known otherwise.
    pub(crate) fn set(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Whether nothing of it is to come.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A request's body.
#[derive(Debug)]
pub(crate) struct Question {
    incoming: Option<Incoming>,
    /// Whether what comes behind the last byte goes on too; only HTTP/2 upstreams are asked such.
    with_trailers: bool,
    stall: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
    sent: Arc<Sent>,
}

impl Question {
    pub(crate) fn new(
        incoming: Incoming,
        with_trailers: bool,
        stall: Duration,
        sent: Arc<Sent>,
    ) -> Self {
        let incoming = (!incoming.is_end_stream()).then_some(incoming);
        sent.is_whole.store(incoming.is_none(), Ordering::Relaxed);
        Self {
            incoming,
            with_trailers,
            stall,
            waiting: None,
            is_waiting: false,
            sent,
        }
    }

    /// The same again, where there is none.
    pub(crate) fn again(&self) -> Option<Self> {
        self.is_empty().then(|| Self {
            incoming: None,
            with_trailers: self.with_trailers,
            stall: self.stall,
            waiting: None,
            is_waiting: false,
            sent: Arc::clone(&self.sent),
        })
    }

    /// How much of it has gone on.
    pub(crate) fn sent(&self) -> &Arc<Sent> {
        &self.sent
    }

    /// Whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.incoming.is_none()
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyEnd>>> {
        let until = || Instant::now().checked_add(self.stall);
        match (&mut self.waiting, self.is_waiting) {
            (Some(sleep), false) => {
                if let Some(until) = until() {
                    sleep.as_mut().reset(until);
                }
            }
            (None, _) => self.waiting = Some(Box::pin(tokio::time::sleep(self.stall))),
            (Some(_), true) => {}
        }
        self.is_waiting = true;
        if let Some(sleep) = &mut self.waiting {
            ready!(sleep.as_mut().poll(cx));
        }
        Poll::Ready(Some(Err(BodyEnd::Late)))
    }
}

impl Body for Question {
    type Data = Bytes;
    type Error = BodyEnd;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyEnd>>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        match Pin::new(&mut *incoming).poll_frame(cx) {
            Poll::Pending => self.wait(cx),
            Poll::Ready(frame) => {
                let is_whole = frame.is_none() || incoming.is_end_stream();
                self.is_waiting = false;
                let frame = match frame {
                    Some(Ok(frame)) => {
                        self.sent.add(frame.data_ref().map_or(0, Bytes::len));
                        (self.with_trailers || frame.is_data()).then_some(Ok(frame))
                    }
                    Some(Err(_)) => return Poll::Ready(Some(Err(BodyEnd::Broken))),
                    None => None,
                };
                if is_whole {
                    self.sent.is_whole.store(true, Ordering::Relaxed);
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.incoming.as_ref().map(Body::size_hint);
        hint.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}

/// An answer's body, with all that is there for as long as it is on its way.
#[derive(Debug)]
pub(crate) struct Answer {
    kind: Kind,
    stay: Option<Box<Stay>>,
}

#[derive(Debug)]
enum Kind {
    Empty,
    Page(Option<Bytes>),
    Upstream {
        incoming: Incoming,
        has_ended: bool,
        place: Option<Place>,
    },
}

impl Answer {
    /// None, behind which another protocol begins.
    pub(crate) const fn empty() -> Self {
        Self {
            kind: Kind::Empty,
            stay: None,
        }
    }

    /// None, to a request for the head alone.
    pub(crate) const fn head(stay: Box<Stay>) -> Self {
        Self {
            kind: Kind::Empty,
            stay: Some(stay),
        }
    }

    /// A page of ours.
    pub(crate) fn page(text: String, stay: Box<Stay>) -> Self {
        Self {
            kind: Kind::Page(Some(Bytes::from(text))),
            stay: Some(stay),
        }
    }

    /// What an upstream says.
    pub(crate) const fn upstream(
        incoming: Incoming,
        place: Option<Place>,
        stay: Box<Stay>,
    ) -> Self {
        Self {
            kind: Kind::Upstream {
                incoming,
                has_ended: false,
                place,
            },
            stay: Some(stay),
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let frame = match &mut this.kind {
            Kind::Empty => None,
            Kind::Page(page) => page.take().map(|page| Ok(Frame::data(page))),
            Kind::Upstream {
                incoming,
                has_ended,
                ..
            } => {
                stall::waits_within();
                let frame = ready!(Pin::new(incoming).poll_frame(cx));
                *has_ended = frame.is_none();
                frame.map(|frame| frame.map(clean))
            }
        };
        stall::waits_for_visitor();
        if let (Some(stay), Some(frame)) = (&mut this.stay, &frame) {
            match frame {
                Ok(frame) => stay.gave(frame.data_ref().map_or(0, Bytes::len)),
                Err(_) => stay.is_cut(),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Page(page) => page.is_none(),
            Kind::Upstream { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Page(page) => {
                let length = page.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Kind::Upstream { incoming, .. } => incoming.size_hint(),
        }
    }
}

/// What stands behind an answer's body is for the visitor alone, too.
fn clean(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            header::trailers_to_visitor(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Kind::Upstream {
            incoming,
            has_ended,
            place,
        } = &mut self.kind
            && (*has_ended || incoming.is_end_stream())
        {
            let Some(stay) = &mut self.stay else {
                return;
            };
            stay.is_whole();
            // What was answered early still reads: what is left of the body could be taken for a request.
            if stay.sent.is_whole()
                && let Some(place) = place.take()
            {
                place.give_back();
            }
        }
    }
}
