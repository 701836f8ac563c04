//! TLS that is passed through as it is, to whoever has the certificate of the name that it is for.
//!
//! The hello is read and kept, and is the first that whoever serves the name hears. All others go on to the handshake
//! here, which reads the hello again.

use std::sync::atomic::Ordering;

use adit_model::lease::Holding;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::connection::Came;
use super::worker::Core;
use crate::access_log::{AccessLog as _, End, Entry, TracingLog};
use crate::copy::{CopyEnd, Meters, copy};
use crate::dial::{Carrier, DialError};
use crate::listen;
use crate::route::Route;
use crate::sni::{self, Hello, Progress};
use crate::tls::Ahead;
use crate::visitor::Visitor;
use crate::wire::{MadeOf, Wire};

/// What a hello has at the most, usually: browsers' have 1,800 bytes with post-quantum keys.
const USUAL: usize = 2 << 10;

/// Whose a visitor is.
pub(super) enum Passing {
    /// Somebody else's, who has served it.
    Ended,
    /// Nobody's: it has not said whose in time.
    Late,
    /// Ours, with what it has said already.
    Ours(Ahead),
}

/// Reads what a visitor says first, and passes it on if the name is one of those that are. Who says nothing that could
/// be passed on is left to the handshake, which tells it what is wrong.
///
/// # Cancel safety
/// Dropping the future breaks the connection off.
pub(super) async fn pass(core: &Core, came: &Came, mut socket: TcpStream) -> Passing {
    if core.routes.borrow().passing_count() == 0 {
        return Passing::Ours(Ahead::new(Bytes::new(), socket));
    }
    let mut said = BytesMut::with_capacity(USUAL);
    let hello = timeout(core.settings.head_time, hello(&mut socket, &mut said)).await;
    let Ok(hello) = hello else {
        return Passing::Late;
    };
    let said = said.freeze();
    // Proofs for certificates are the gateway's own business (security rule G64).
    let name = hello
        .filter(|hello| !hello.is_challenge)
        .and_then(|hello| hello.name);
    let route = name.and_then(|name| core.routes.borrow().passed(&name).cloned());
    let Some(route) = route else {
        return Passing::Ours(Ahead::new(said, socket));
    };
    let mut stay = Stay {
        visitor: Visitor {
            holding: Holding::Port(0),
            origin: came.peer,
            listener: came.listener,
            via: came.via,
        },
        meters: Meters::default(),
        since: Instant::now(),
        end: End::Broken,
    };
    let mut wire = Wire::new(MadeOf::Tcp(socket));
    stay.end = carry(core, &route, &said, &mut wire, &mut stay).await;
    if matches!(stay.end, End::Served | End::Closed) {
        wire.finish();
    }
    Passing::Ended
}

/// Nothing where the visitor says something else, or leaves.
async fn hello(socket: &mut TcpStream, said: &mut BytesMut) -> Option<Hello> {
    loop {
        if socket.read_buf(said).await.ok()? == 0 {
            return None;
        }
        match sni::read(said).ok()? {
            Progress::Whole(hello) => return Some(hello),
            Progress::Partial => {}
        }
    }
}

async fn carry(
    core: &Core,
    route: &Route,
    said: &[u8],
    visitor: &mut Wire,
    stay: &mut Stay,
) -> End {
    if !route.access.admits(stay.visitor.origin) {
        return End::Denied;
    }
    let mut carrier = match dial(core, route, stay).await {
        Ok(carrier) => carrier,
        Err(error) => return End::Dial(error),
    };
    let told = timeout(core.settings.stall_time, async {
        let mut carrier = carrier.lend();
        carrier.write_all(said).await?;
        carrier.flush().await
    });
    match told.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return End::CarrierReset(error),
        Err(_) => return End::Idle,
    }
    let first = u64::try_from(said.len()).unwrap_or(u64::MAX);
    stay.meters.from_visitor.fetch_add(first, Ordering::Relaxed);
    let copied = copy(
        visitor.lend(),
        carrier.lend(),
        &core.buffers,
        &stay.meters,
        None,
    )
    .await;
    match copied {
        CopyEnd::Done => {
            carrier.finish();
            End::Served
        }
        CopyEnd::CarrierClosed => {
            carrier.finish();
            End::Closed
        }
        CopyEnd::VisitorBroke(error) => End::VisitorReset(error),
        CopyEnd::CarrierBroke(error) => End::CarrierReset(error),
        CopyEnd::Idle => End::Idle,
    }
}

/// The first of those that may be asked who answers.
async fn dial(core: &Core, route: &Route, stay: &mut Stay) -> Result<Wire, DialError> {
    let mut why = DialError::Late;
    for holding in core.order(&route.upstream) {
        stay.visitor.holding = holding.clone();
        let dialled = timeout(core.settings.dial_time, core.dial.dial(&stay.visitor)).await;
        match dialled.unwrap_or(Err(DialError::Late)) {
            Ok(carrier) => {
                if let Carrier::Tcp(socket) = &carrier {
                    listen::dialled(socket);
                }
                return Ok(Wire::from(carrier));
            }
            Err(error) => why = error,
        }
    }
    Err(why)
}

/// A visitor's stay. However it ends, a line is written.
struct Stay {
    visitor: Visitor,
    meters: Meters,
    since: Instant,
    end: End,
}

impl Drop for Stay {
    fn drop(&mut self) {
        let (from_visitor, to_visitor) = self.meters.read();
        TracingLog.left(&Entry {
            visitor: &self.visitor,
            lasted: self.since.elapsed(),
            from_visitor,
            to_visitor,
            end: &self.end,
        });
    }
}
