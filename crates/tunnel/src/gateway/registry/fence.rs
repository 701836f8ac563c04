//! The fence around a connection that serves a lease: once it has fallen, nothing gets through it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::transport::{ByteStream, Cutter};

/// Knows every byte stream that was opened through it, and cuts them all off at once.
#[derive(Debug)]
pub(super) struct Fence {
    streams: Arc<Mutex<Streams>>,
    fallen: CancellationToken,
}

#[derive(Debug, Default)]
struct Streams {
    has_fallen: bool,
    open: HashMap<u64, Cutter>,
    next: u64,
}

/// A byte stream that the fence knows. Dropped, it is forgotten.
#[derive(Debug)]
pub(super) struct Pass {
    streams: Arc<Mutex<Streams>>,
    number: u64,
}

impl Fence {
    pub(super) fn new() -> Self {
        Self {
            streams: Arc::new(Mutex::new(Streams::default())),
            fallen: CancellationToken::new(),
        }
    }

    /// Takes a stream in, unless it is too late.
    pub(super) fn admit(&self, stream: &ByteStream) -> Option<Pass> {
        let mut streams = lock(&self.streams);
        if streams.has_fallen {
            return None;
        }
        let number = streams.next;
        streams.next = number.saturating_add(1);
        streams.open.insert(number, stream.cutter());
        Some(Pass {
            streams: Arc::clone(&self.streams),
            number,
        })
    }

    /// Cuts every stream off. When this returns, none of them delivers anything, and there will be no others.
    pub(super) fn fall(&self) {
        let open = {
            let mut streams = lock(&self.streams);
            streams.has_fallen = true;
            std::mem::take(&mut streams.open)
        };
        for cutter in open.into_values() {
            cutter.cut();
        }
        self.fallen.cancel();
    }

    /// Waits until it has fallen; returns at once when it has.
    pub(super) async fn fallen(&self) {
        self.fallen.cancelled().await;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        lock(&self.streams).open.remove(&self.number);
    }
}

fn lock(streams: &Mutex<Streams>) -> MutexGuard<'_, Streams> {
    // No step between two assignments to it can panic.
    streams.lock().unwrap_or_else(PoisonError::into_inner)
}
