//! A peer on the way to another: logged in at like any, then asked to dial on.
//!
//! The next connection's bytes are a byte stream of this one (`direct-tcpip`, as `ssh -W` opens it),
//! so the hop sees nothing of what is said beyond it. Its task runs in the task of the connection
//! that it carries: the far one ends first and the near one after it. Only the nearest hop hears a
//! goodbye for sure: a stock sshd that hears one drops what it has not passed on, so that who is
//! behind it sees the end of the socket. If what is beyond falls silent, no goodbye is said at all: the
//! socket to the nearest hop is held, and reset once the way is back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::debug;

use crate::agent::supervise::{ConnectError, Connected, ConnectionTask, Peer};
use crate::transport::ssh::Held;
use crate::transport::{
    ByteStream, CloseReason, Connection, ConnectionEnd, OpenError, Origin, RefusalCode, Requests,
    StreamHead, StreamKind, Target, Transport,
};

/// Why a hop did not lead on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JumpError {
    /// It was not reached itself, or did not let us in.
    #[error("no connection to the hop {hop}")]
    Hop {
        /// The hop.
        hop: String,
        /// Why not.
        #[source]
        source: Box<ConnectError>,
    },
    /// It may not dial on for us.
    #[error(
        "hop {hop} does not lead to {target}: it does not allow that (AllowTcpForwarding, \
         PermitOpen)"
    )]
    Prohibited {
        /// The hop.
        hop: String,
        /// Where it should have led.
        target: Target,
        /// Its words.
        #[source]
        source: OpenError,
    },
    /// It could not reach the next.
    #[error("hop {hop} does not lead to {target}")]
    Open {
        /// The hop.
        hop: String,
        /// Where it should have led.
        target: Target,
        /// Why it did not.
        #[source]
        source: OpenError,
    },
    /// It did not say in time whether it reached the next.
    #[error("hop {hop} did not reach {target} within {} s", deadline.as_secs())]
    TimedOut {
        /// The hop.
        hop: String,
        /// Where it should have led.
        target: Target,
        /// The time there was.
        deadline: Duration,
    },
    /// Its connection ended during the login at the next.
    #[error("connection to the hop {hop} has ended")]
    Ended {
        /// The hop.
        hop: String,
        /// Why.
        #[source]
        end: ConnectionEnd,
    },
}

impl JumpError {
    /// Whether a person must do something before another attempt makes sense.
    pub(super) fn is_permanent(&self) -> bool {
        match self {
            Self::Hop { source, .. } => source.is_permanent(),
            Self::Prohibited { .. } => true,
            Self::Open { .. } | Self::TimedOut { .. } | Self::Ended { .. } => false,
        }
    }
}

/// How long a hop may take to say goodbye.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);
/// Who a hop is told that its next connection is for: what `ssh -W` says.
const ORIGIN: (&str, u16) = ("127.0.0.1", 65_535);

/// The connection to a hop. Dropping it ends the connection at once.
pub(in crate::agent) struct Hop {
    name: String,
    transport: Arc<dyn Transport>,
    requests: Requests,
    /// Its task, with all that is before it; none once it has ended.
    task: Option<ConnectionTask>,
    /// What its task has left.
    held: Option<Held>,
}

impl Hop {
    pub(super) fn new(peer: &Peer, connected: Connected) -> Self {
        let Connected { connection, task } = connected;
        let Connection {
            transport,
            requests,
        } = connection;
        Self {
            name: peer.to_string(),
            transport,
            requests,
            task: Some(task),
            held: None,
        }
    }

    /// Has it dial on. If that fails, its connection has ended when this returns.
    pub(super) async fn open(
        mut self,
        host: &str,
        port: u16,
        deadline: Duration,
    ) -> Result<(ByteStream, Self), JumpError> {
        let target = Target::Tcp {
            host: host.to_owned(),
            port,
        };
        let (origin, origin_port) = ORIGIN;
        let opening = self.transport.open(StreamHead {
            kind: StreamKind::Direct(target.clone()),
            origin: Origin {
                host: origin.to_owned(),
                port: origin_port,
            },
        });
        let opened = tokio::select! {
            biased;
            opened = timeout(deadline, opening) => opened,
            // An opening of a connection that has ended fails at once.
            () = self.go_on() => Ok(Err(OpenError::Closed)),
        };
        let hop = self.name.clone();
        let error = match opened {
            Ok(Ok(stream)) => return Ok((stream, self)),
            Ok(Err(source)) => match (self.transport.end().now(), source) {
                (Some(end), _) => JumpError::Ended { hop, end },
                (None, source) if is_prohibited(&source) => JumpError::Prohibited {
                    hop,
                    target,
                    source,
                },
                (None, source) => JumpError::Open {
                    hop,
                    target,
                    source,
                },
            },
            Err(_) => JumpError::TimedOut {
                hop,
                target,
                deadline,
            },
        };
        drop(self.end().await);
        Err(error)
    }

    /// Drives the connection until it has ended. It has nothing to ask of us: all is refused.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn go_on(&mut self) {
        while let Some(task) = &mut self.task {
            tokio::select! {
                biased;
                held = task => {
                    self.held = held;
                    self.task = None;
                }
                Some(request) = self.requests.recv() => {
                    debug!(hop = self.name, "hop asked for something and is refused");
                    drop(request);
                }
            }
        }
        debug!(hop = self.name, "connection to a hop has ended");
    }

    /// Why the connection ended, if it did.
    pub(super) fn reason(&self) -> Option<JumpError> {
        let hop = self.name.clone();
        let end = self.transport.end().now()?;
        Some(JumpError::Ended { hop, end })
    }

    /// Says goodbye, once what went through it has done so. Gives what is to be held if it had fallen
    /// silent.
    pub(super) async fn end(self) -> Option<Held> {
        self.close(CloseReason::Stopping).await
    }

    /// Says nothing, since `carried`, which went through it, has fallen silent, and gives what is to be
    /// held.
    pub(super) async fn hold(self, carried: Held) -> Option<Held> {
        let held = self.close(CloseReason::Silent).await;
        // Not before: its channel would be closed, and by the hop the way beyond.
        drop(carried);
        held
    }

    async fn close(mut self, reason: CloseReason) -> Option<Held> {
        self.transport.close(reason);
        if timeout(CLOSE_DEADLINE, self.go_on()).await.is_err() {
            debug!(hop = self.name, "hop's connection did not end in time");
        }
        self.held
    }
}

/// Whether the hop said that it is not allowed.
fn is_prohibited(error: &OpenError) -> bool {
    matches!(
        error,
        OpenError::Refused {
            code: RefusalCode::Prohibited,
            ..
        }
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::transport::{PeerRequest, memory};

    const DEADLINE: Duration = Duration::from_secs(15);

    /// A hop, and its own end of the connection to it.
    fn hop() -> (Hop, Connection) {
        let (connection, far, driver) = memory::pair();
        let peer = Peer {
            host: String::from("bastion"),
            port: 22,
            user: String::from("me"),
        };
        let task = Box::pin(async {
            driver.run().await;
            None
        });
        (Hop::new(&peer, Connected { connection, task }), far)
    }

    async fn asked(far: &mut Connection) -> crate::transport::OpenRequest {
        match far.requests.recv().await {
            Some(PeerRequest::Open(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_hop_is_asked_for_the_next_by_its_name_and_leads_there() {
        let (hop, mut far) = hop();
        let accept = async {
            let request = asked(&mut far).await;
            let expected = Target::Tcp {
                host: String::from("db.lan"),
                port: 2222,
            };
            assert_eq!(request.head.kind, StreamKind::Direct(expected));
            request.answer.accept()
        };
        let (opened, mut stream) = tokio::join!(hop.open("db.lan", 2222, DEADLINE), accept);
        let (mut near, mut hop) = opened.unwrap();
        near.write_all(b"there").await.unwrap();
        let mut got = [0; 5];
        tokio::select! {
            read = stream.read_exact(&mut got) => drop(read.unwrap()),
            () = hop.go_on() => panic!("the hop's connection has ended"),
        }
        assert_eq!(&got, b"there");
        drop(hop.end().await);
        let end = far.transport.end().now();
        assert!(matches!(end, Some(ConnectionEnd::Theirs { .. })), "{end:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hop_that_does_not_lead_on_is_told_from_one_that_may_not_and_one_that_is_gone() {
        enum Does {
            Refuse(RefusalCode),
            Nothing,
            Leave,
        }
        for (does, expected, is_permanent) in [
            (
                Does::Refuse(RefusalCode::ConnectFailed),
                "hop bastion port 22 as me does not lead to db:22",
                false,
            ),
            (
                Does::Refuse(RefusalCode::Prohibited),
                "hop bastion port 22 as me does not lead to db:22: it does not allow that \
                 (AllowTcpForwarding, PermitOpen)",
                true,
            ),
            (
                Does::Nothing,
                "hop bastion port 22 as me did not reach db:22 within 15 s",
                false,
            ),
            (
                Does::Leave,
                "connection to the hop bastion port 22 as me has ended",
                false,
            ),
        ] {
            let (hop, mut far) = hop();
            let answer = async {
                let request = asked(&mut far).await;
                match does {
                    Does::Refuse(code) => request.answer.refuse(code, "no"),
                    Does::Nothing => {
                        far.transport.end().wait().await;
                        drop(request);
                    }
                    Does::Leave => far.transport.close(CloseReason::Stopping),
                }
            };
            let (opened, ()) = tokio::join!(hop.open("db", 22, DEADLINE), answer);
            let error = opened.map(drop).unwrap_err();
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.is_permanent(), is_permanent, "{error}");
            assert!(far.transport.end().now().is_some(), "nothing is left open");
        }
    }

    #[tokio::test]
    async fn a_hop_may_ask_for_nothing() {
        let (mut hop, far) = hop();
        let opening = far.transport.open(StreamHead {
            kind: StreamKind::Direct(Target::Tcp {
                host: String::from("localhost"),
                port: 22,
            }),
            origin: Origin {
                host: String::new(),
                port: 0,
            },
        });
        let refused = tokio::select! {
            opened = opening => opened.map(drop),
            () = hop.go_on() => panic!("the hop's connection has ended"),
        };
        assert!(matches!(refused, Err(OpenError::Refused { .. })));
    }
}
