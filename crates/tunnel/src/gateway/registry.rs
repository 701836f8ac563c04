//! The registry: which connection serves each lease now, and the way of a visitor to it.
//!
//! Every lease that has a listener has a *slot* here. Its serving connection comes and goes; visitors who come
//! meanwhile wait at the slot, for a while and not too many. A slot ends when its lease does, or when the holding
//! goes to another principal: who waits there is sent away, and is never led to the next owner (security rule G12).
//!
//! What a connection serves lies behind a fence: once that has fallen, none of the byte streams that were
//! opened through it carries anything any more, and no other gets through (security rule G11).

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use adit_model::id::{Epoch, PrincipalId};
use adit_model::lease::Holding;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use self::fence::{Fence, Pass};
use super::after;
use super::probe::Probes;
use crate::transport::{
    Bind, ByteStream, OpenError, Origin, RefusalCode, StreamHead, StreamKind, Transport,
};

mod fence;

/// Leads visitors to connections.
#[derive(Debug, Default)]
pub struct Registry {
    slots: Mutex<Slots>,
    probes: Probes,
}

#[derive(Debug, Default)]
struct Slots {
    by_holding: HashMap<Holding, Slot>,
    /// Who serves what has no slot while it gets another listener.
    aside: HashMap<Holding, Arc<Serving>>,
    /// Visitors that wait at any of them.
    waiting: u32,
    /// And at those of each owner.
    waiting_of: HashMap<PrincipalId, u32>,
}

#[derive(Debug)]
struct Slot {
    owner: PrincipalId,
    /// Who serves it. Its end tells those who wait that there is nothing to wait for.
    serving: watch::Sender<Option<Arc<Serving>>>,
    waiting: u32,
}

/// A connection that serves a lease.
#[derive(Debug)]
pub(super) struct Serving {
    /// As which holder.
    pub(super) epoch: Epoch,
    /// The connection.
    pub(super) transport: Arc<dyn Transport>,
    /// What it asked for, word for word, with the port that was granted.
    pub(super) bind: Bind,
    fence: Fence,
}

/// A visitor's byte stream. It is reset in the instant in which its connection loses the lease.
pub struct Fenced {
    stream: ByteStream,
    epoch: Epoch,
    _pass: Pass,
}

/// Why a visitor is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unserved {
    /// There is no such lease, or it ended while the visitor waited.
    #[error("nobody holds it")]
    NoLease,
    /// Its owner did not come back in time.
    #[error("its tunnel is away")]
    Away,
    /// Too many visitors wait for its owner already.
    #[error("its tunnel is away, and too many wait for it")]
    Crowded,
    /// The owner's connection has no place for another stream.
    #[error("its tunnel carries as many streams as it can")]
    Shortage,
    /// The owner refused it; it could not reach its own service, for example.
    #[error("its tunnel refused the stream ({code}): {reason}")]
    Refused {
        /// The reason by its number.
        code: RefusalCode,
        /// The owner's own words, escaped and cut.
        reason: String,
    },
    /// The owner did not answer in time.
    #[error("its tunnel did not answer in time")]
    Slow,
}

/// How long a visitor waits for an owner who is away (security rule G15).
pub const HOLD: Duration = Duration::from_secs(5);
/// Visitors that wait for one owner (security rule G15).
pub const WAITING_FOR_ONE: u32 = 256;
/// Visitors that wait for any owner (security rule G15).
pub const WAITING_FOR_ALL: u32 = 4_096;
/// Of the places that would be free without its own, a lease has one part of so many at the most: it takes fifty
/// leases to have them all, not sixteen.
const SHARE: u32 = 8;
/// And all leases of one owner together one part of so many, however many leases it has.
const OWNER_SHARE: u32 = 4;
/// How long an owner has to open a stream, all its reconnections in between included. An adit agent gives its own
/// service 10 s to accept; a stock ssh gives it what TCP does, and a visitor who waited half a minute has left.
pub const OPEN: Duration = Duration::from_secs(30);

impl Registry {
    /// Opens a byte stream to whoever holds the lease, and waits for a holder for a while.
    ///
    /// No byte of the visitor is on its way before this returns, so it tries again when the holder changes
    /// meanwhile.
    ///
    /// # Errors
    /// See [`Unserved`].
    ///
    /// # Cancel safety
    /// Dropping it is the cancel.
    pub async fn open(&self, holding: &Holding, origin: Origin) -> Result<Fenced, Unserved> {
        let deadline = after(OPEN);
        let mut serving = self.watch(holding).ok_or(Unserved::NoLease)?;
        loop {
            let now = serving.borrow_and_update().clone();
            let Some(now) = now else {
                self.hold(holding, &mut serving, deadline).await?;
                continue;
            };
            let head = StreamHead {
                kind: StreamKind::Forwarded(now.bind.clone()),
                origin: origin.clone(),
            };
            let opened = tokio::select! {
                opened = now.transport.open(head) => opened,
                // Who is fenced out never answers what was asked of it.
                () = now.fence.fallen() => Err(OpenError::Closed),
                () = tokio::time::sleep_until(deadline) => return Err(Unserved::Slow),
            };
            match opened {
                Ok(stream) => {
                    if let Some(pass) = now.fence.admit(&stream) {
                        return Ok(Fenced {
                            stream,
                            epoch: now.epoch,
                            _pass: pass,
                        });
                    }
                    // It fell in between; dropping the stream resets it.
                }
                // The connection has ended, and its lease is told in a moment.
                Err(OpenError::Closed) => {
                    if matches!(serving.has_changed(), Ok(false)) {
                        self.hold(holding, &mut serving, deadline).await?;
                    }
                }
                Err(OpenError::Refused { code, reason }) => {
                    return Err(Unserved::Refused { code, reason });
                }
                Err(OpenError::Shortage) => return Err(Unserved::Shortage),
            }
        }
    }

    /// Opens a stream to whoever holds the lease now, who is to say by it that visitors get through.
    ///
    /// # Errors
    /// See [`Unserved`]. An owner who is away is not waited for, and only TCP is probed.
    ///
    /// # Cancel safety
    /// Dropping it is the cancel.
    pub async fn probe(&self, holding: &Holding) -> Result<Fenced, Unserved> {
        let serving = self.watch(holding).ok_or(Unserved::NoLease)?;
        let serving = serving.borrow().clone().ok_or(Unserved::Away)?;
        let Bind::Tcp { host, port } = serving.bind.clone() else {
            return Err(Unserved::NoLease);
        };
        let head = StreamHead {
            kind: StreamKind::Probe { host, port },
            origin: Origin {
                host: String::new(),
                port: 0,
            },
        };
        let opened = tokio::select! {
            opened = serving.transport.open(head) => opened,
            () = serving.fence.fallen() => Err(OpenError::Closed),
        };
        let stream = opened.map_err(|error| match error {
            OpenError::Closed => Unserved::Away,
            OpenError::Shortage => Unserved::Shortage,
            OpenError::Refused { code, reason } => Unserved::Refused { code, reason },
        })?;
        let pass = serving.fence.admit(&stream).ok_or(Unserved::Away)?;
        Ok(Fenced {
            stream,
            epoch: serving.epoch,
            _pass: pass,
        })
    }

    /// The visits that this gateway makes itself.
    pub const fn probes(&self) -> &Probes {
        &self.probes
    }

    /// Visitors that wait for an owner of that lease.
    pub fn waiting(&self, holding: &Holding) -> u32 {
        let slots = self.slots();
        slots.by_holding.get(holding).map_or(0, |slot| slot.waiting)
    }

    /// Makes a slot for a lease: its visitors wait from here on. One that is there stays.
    pub(super) fn begin(&self, holding: &Holding, owner: PrincipalId) {
        let mut slots = self.slots();
        let aside = slots.aside.remove(holding);
        let slot = slots.by_holding.entry(holding.clone());
        slot.or_insert_with(|| Slot {
            owner,
            serving: watch::Sender::new(aside),
            waiting: 0,
        });
    }

    /// The listener of a lease closes, to listen elsewhere: who waits is sent away, and nobody is led to the
    /// lease before it [begins](Self::begin) again. Visitors of the one listener would else be served as if they
    /// had come to the other, which they may not reach at all. Who serves the lease goes on then, and the
    /// streams that it has go on meanwhile.
    pub(super) fn relocate(&self, holding: &Holding) {
        let mut slots = self.slots();
        if let Some(slot) = slots.take(holding)
            && let Some(serving) = slot.serving.send_replace(None)
        {
            slots.aside.insert(holding.clone(), serving);
        }
    }

    /// Fences out whoever served the lease, and only then lets another connection serve it.
    pub(super) fn serve(
        &self,
        holding: &Holding,
        owner: PrincipalId,
        epoch: Epoch,
        bind: Bind,
        transport: Arc<dyn Transport>,
    ) {
        self.begin(holding, owner);
        let slots = self.slots();
        let Some(slot) = slots.by_holding.get(holding) else {
            return;
        };
        slot.fence_out();
        slot.serving.send_replace(Some(Arc::new(Serving {
            epoch,
            transport,
            bind,
            fence: Fence::new(),
        })));
    }

    /// Fences out whoever serves the lease. Visitors wait from here on.
    pub(super) fn vacate(&self, holding: &Holding) {
        let mut slots = self.slots();
        if let Some(slot) = slots.by_holding.get(holding) {
            slot.fence_out();
        }
        if let Some(serving) = slots.aside.remove(holding) {
            serving.fence.fall();
        }
    }

    /// The lease has ended: whoever served it is fenced out, and who waits is sent away.
    pub(super) fn end(&self, holding: &Holding) {
        let mut slots = self.slots();
        if let Some(slot) = slots.take(holding) {
            slot.fence_out();
        }
        if let Some(serving) = slots.aside.remove(holding) {
            serving.fence.fall();
        }
    }

    fn watch(&self, holding: &Holding) -> Option<watch::Receiver<Option<Arc<Serving>>>> {
        let slots = self.slots();
        let slot = slots.by_holding.get(holding)?;
        Some(slot.serving.subscribe())
    }

    /// Waits for a change of who serves.
    async fn hold(
        &self,
        holding: &Holding,
        serving: &mut watch::Receiver<Option<Arc<Serving>>>,
        deadline: Instant,
    ) -> Result<(), Unserved> {
        let _place = self.place(holding, serving)?;
        let until = deadline.min(after(HOLD));
        match timeout_at(until, serving.changed()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Unserved::NoLease),
            Err(_) => Err(Unserved::Away),
        }
    }

    /// A place among those who wait, at the very slot that is watched.
    fn place<'a>(
        &'a self,
        holding: &'a Holding,
        serving: &watch::Receiver<Option<Arc<Serving>>>,
    ) -> Result<Place<'a>, Unserved> {
        let mut slots = self.slots();
        let Slots {
            by_holding,
            waiting,
            waiting_of,
            ..
        } = &mut *slots;
        let slot = by_holding.get_mut(holding);
        let slot = slot.filter(|slot| serving.same_channel(&slot.serving.subscribe()));
        let slot = slot.ok_or(Unserved::NoLease)?;
        let free = WAITING_FOR_ALL.saturating_sub(*waiting);
        let share = free.saturating_add(slot.waiting).div_ceil(SHARE);
        let of_owner = waiting_of.get(&slot.owner).copied().unwrap_or_default();
        let share_of_owner = free.saturating_add(of_owner).div_ceil(OWNER_SHARE);
        if free == 0 || slot.waiting >= share.min(WAITING_FOR_ONE) || of_owner >= share_of_owner {
            return Err(Unserved::Crowded);
        }
        waiting_of.insert(slot.owner, of_owner.saturating_add(1));
        slot.waiting = slot.waiting.saturating_add(1);
        *waiting = waiting.saturating_add(1);
        Ok(Place {
            registry: self,
            holding,
            serving: serving.clone(),
        })
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        // No step between two assignments to it can panic.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    /// Takes a slot out, and its places with it.
    fn take(&mut self, holding: &Holding) -> Option<Slot> {
        let slot = self.by_holding.remove(holding)?;
        self.waiting = self.waiting.saturating_sub(slot.waiting);
        leave(&mut self.waiting_of, slot.owner, slot.waiting);
        Some(slot)
    }
}

/// So many visitors of an owner's leases wait no more.
fn leave(waiting_of: &mut HashMap<PrincipalId, u32>, owner: PrincipalId, count: u32) {
    if let Some(waiting) = waiting_of.get_mut(&owner) {
        *waiting = waiting.saturating_sub(count);
        if *waiting == 0 {
            waiting_of.remove(&owner);
        }
    }
}

impl Slot {
    fn fence_out(&self) {
        if let Some(serving) = self.serving.send_replace(None) {
            serving.fence.fall();
        }
    }
}

/// A place among those who wait. Given back when dropped.
struct Place<'a> {
    registry: &'a Registry,
    holding: &'a Holding,
    serving: watch::Receiver<Option<Arc<Serving>>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut slots = self.registry.slots();
        let Slots {
            by_holding,
            waiting,
            waiting_of,
            ..
        } = &mut *slots;
        // A slot that has ended took its places with it.
        let slot = by_holding
            .get_mut(self.holding)
            .filter(|slot| self.serving.same_channel(&slot.serving.subscribe()));
        if let Some(slot) = slot {
            slot.waiting = slot.waiting.saturating_sub(1);
            *waiting = waiting.saturating_sub(1);
            leave(waiting_of, slot.owner, 1);
        }
    }
}

impl Fenced {
    /// The stream, for a copy that copies nothing. The fence holds for it too.
    pub const fn stream_mut(&mut self) -> &mut ByteStream {
        &mut self.stream
    }

    /// Ready once its connection has lost the lease, or has ended: what was read from it and not delivered yet
    /// is not to be delivered any more. May be polled beside reads and writes.
    pub fn poll_cut(&self, cx: &Context<'_>) -> Poll<io::Error> {
        self.stream.poll_cut(cx)
    }

    /// The same as a future, which keeps no hold of the stream. Of both, one task may wait at a time.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    pub fn cut(&self) -> impl Future<Output = io::Error> + Send + use<> {
        self.stream.cut()
    }

    /// The holder that it leads to.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl AsyncRead for Fenced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Fenced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl fmt::Debug for Fenced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fenced({:?}, epoch {})", self.stream, self.epoch)
    }
}

#[cfg(test)]
pub(crate) mod tests;
