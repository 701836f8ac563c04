//! What has gone through a forward, counted as it goes, for whoever shows it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpStream;

use super::visitors::{Entered, Visitors};
use crate::transport::Origin;

/// The visitors and bytes of one forward, over all connections of its tunnel. Bytes count once their
/// end has taken them.
#[derive(Debug, Default)]
pub struct Meter {
    now: AtomicU64,
    visitors: AtomicU64,
    to_target: AtomicU64,
    to_visitor: AtomicU64,
}

/// What a meter shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// Visitors that are here now.
    pub now: u64,
    /// Visitors that came so far.
    pub visitors: u64,
    /// Bytes from visitors to the target.
    pub to_target: u64,
    /// Bytes from the target to visitors.
    pub to_visitor: u64,
}

/// A visitor's stay, which ends when this is dropped.
#[derive(Debug)]
pub struct Visit {
    meter: Arc<Meter>,
    /// Where its service can look it up, and where it is.
    known: Option<(Visitors, Origin)>,
}

impl Meter {
    /// What it shows now. Numbers of one reading may be a moment apart.
    pub fn read(&self) -> Reading {
        Reading {
            now: self.now.load(Ordering::Relaxed),
            visitors: self.visitors.load(Ordering::Relaxed),
            to_target: self.to_target.load(Ordering::Relaxed),
            to_visitor: self.to_visitor.load(Ordering::Relaxed),
        }
    }

    /// A visitor is here.
    pub fn visit(self: Arc<Self>) -> Visit {
        self.visitors.fetch_add(1, Ordering::Relaxed);
        self.now.fetch_add(1, Ordering::Relaxed);
        Visit {
            meter: self,
            known: None,
        }
    }
}

impl Visit {
    /// The same of a visitor from there, whom its service can look up in that table.
    #[must_use]
    pub fn known_to(mut self, visitors: Visitors, origin: Origin) -> Self {
        self.known = Some((visitors, origin));
        self
    }

    /// Enters the visitor where its service can look it up, before its first byte goes there.
    pub(crate) fn enter(&self, service: &TcpStream) -> io::Result<Option<Entered>> {
        let Some((visitors, origin)) = &self.known else {
            return Ok(None);
        };
        let (near, far) = (service.local_addr()?, service.peer_addr()?);
        let entered = visitors.enter(near, far, origin);
        entered.map(Some).map_err(io::Error::other)
    }

    /// Where bytes to the target are counted.
    pub(crate) fn to_target(&self) -> &AtomicU64 {
        &self.meter.to_target
    }

    /// Where bytes to the visitor are counted.
    pub(crate) fn to_visitor(&self) -> &AtomicU64 {
        &self.meter.to_visitor
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.meter.now.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_is_counted_for_good_and_is_here_until_it_goes() {
        let meter = Arc::new(Meter::default());
        let (one, other) = (Arc::clone(&meter).visit(), Arc::clone(&meter).visit());
        one.to_target().fetch_add(3, Ordering::Relaxed);
        other.to_visitor().fetch_add(4, Ordering::Relaxed);
        drop(one);
        let expected = Reading {
            now: 1,
            visitors: 2,
            to_target: 3,
            to_visitor: 4,
        };
        assert_eq!(meter.read(), expected);
    }
}
