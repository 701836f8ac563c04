//! Cuts a stream off from outside: neither end gets a byte of the other any more.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::shared::{InboundEnd, Shared, StreamEnd};

/// Cuts one [`ByteStream`](super::ByteStream) off, whoever holds it.
pub(crate) struct Cutter(Weak<Shared>);

impl Cutter {
    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        Self(Arc::downgrade(shared))
    }

    /// Resets the stream. When this returns, nothing that the peer has sent reaches the application any
    /// more, and nothing that the application has written the peer, unless it is sealed already.
    pub(crate) fn cut(&self) {
        let Some(shared) = self.0.upgrade() else {
            return;
        };
        let mut state = shared.state();
        shared.is_cut.store(true, Ordering::Release);
        state.is_cut = true;
        state.inbound_end = Some(InboundEnd::Error(StreamEnd::Cut));
        state.outbound_end = Some(StreamEnd::Cut);
        state.inbound_bytes = 0;
        let inbound = std::mem::take(&mut state.inbound);
        let outbound = state.drop_outbound();
        let wakers = [
            state.reader.take(),
            state.writer.take(),
            state.watcher.take(),
        ];
        shared.list(state);
        drop((inbound, outbound));
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
    }
}

impl fmt::Debug for Cutter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cutter")
    }
}
