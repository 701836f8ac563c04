//! Buffers between sockets: large ones while there are any, a small one always.
//!
//! A buffer is taken when there may be something to read and is given back as soon as there is not, so that a
//! visitor who is quiet has none. Those who hold on to theirs are slow readers. They use up the large ones at worst,
//! and what is left to others is slower and never nothing.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a large buffer (measured: half again as much work done by the same processor as with 8 KiB, and a
/// larger one adds little through a tunnel).
pub(crate) const LARGE: usize = 65_536;
/// Bytes of a small one.
pub(crate) const SMALL: usize = 4_096;
/// Large buffers that are kept while nobody uses them.
const KEPT: usize = 64;

/// Where buffers come from.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    free: Mutex<Vec<Box<[u8]>>>,
    /// Large buffers that are taken now.
    taken: AtomicUsize,
    /// Most of them.
    limit: usize,
}

/// A buffer; dropped, it is given back.
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    /// Where it goes; a small one goes nowhere.
    home: Option<Arc<Inner>>,
}

impl Pool {
    /// With so many large buffers at most.
    pub(crate) fn new(limit: usize) -> Self {
        Self(Arc::new(Inner {
            free: Mutex::new(Vec::new()),
            taken: AtomicUsize::new(0),
            limit,
        }))
    }

    /// A buffer.
    pub(crate) fn take(&self) -> Buffer {
        let inner = &self.0;
        let has_room = inner
            .taken
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < inner.limit).then(|| taken.saturating_add(1))
            })
            .is_ok();
        if !has_room {
            return Buffer {
                bytes: vec![0; SMALL].into_boxed_slice(),
                home: None,
            };
        }
        let kept = inner
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        Buffer {
            bytes: kept.unwrap_or_else(|| vec![0; LARGE].into_boxed_slice()),
            home: Some(Arc::clone(inner)),
        }
    }
}

impl Buffer {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(home) = self.home.take() else {
            return;
        };
        home.taken.fetch_sub(1, Ordering::Relaxed);
        let mut free = home.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("taken", &self.0.taken)
            .field("limit", &self.0.limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_when_the_large_ones_are_taken_gets_a_small_one() {
        let pool = Pool::new(2);
        let held = [pool.take(), pool.take()];
        assert!(held.iter().all(|buffer| buffer.bytes().len() == LARGE));
        assert_eq!(pool.take().bytes().len(), SMALL);
        drop(held);
        assert_eq!(pool.take().bytes().len(), LARGE);
        assert_eq!(pool.0.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_kept_of_a_rush_is_little() {
        let pool = Pool::new(1_000);
        let held: Vec<_> = (0..1_000).map(|_| pool.take()).collect();
        drop(held);
        assert_eq!(pool.0.free.lock().unwrap().len(), KEPT);
    }
}
