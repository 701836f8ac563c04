//! A connection that is only looked through: what it is granted is given back, and visitors that come
//! meanwhile are turned away, so that no service hears of it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adit_tunnel::agent::probe::outside::{self, Look};
use adit_tunnel::agent::probe::{self, Probe, Prober};
use adit_tunnel::agent::supervise::Connected;
use adit_tunnel::transport::{
    Bind, CloseReason, Connection, ForwardError, OpenError, Origin, PeerRequest, Requests,
    StreamHead, StreamKind, Target, Transport,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::path::{Grant, Listener, Outside, Sight};

/// How long the server may take for an answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long the connection may take to say goodbye.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);
/// Whom the server is told that we open for, as `ssh -W` has it.
const ORIGIN: (&str, u16) = ("127.0.0.1", 65_535);

/// The connection. Dropping it ends it at once.
pub(super) struct Link {
    transport: Arc<dyn Transport>,
    out: Out,
    /// What drives it, and what receives the server's questions.
    tasks: JoinSet<()>,
    /// How long a probe may be out.
    deadline: Duration,
}

/// The probe that is out, and the forward that it comes back by.
type Out = Arc<Mutex<Option<(Bind, Probe)>>>;

impl Link {
    pub(super) fn new(connected: Connected) -> Self {
        let Connected { connection, task } = connected;
        let Connection {
            transport,
            requests,
        } = connection;
        let out = Out::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(task.await) });
        tasks.spawn(receive(requests, Arc::clone(&out)));
        Self {
            transport,
            out,
            tasks,
            deadline: probe::DEADLINE,
        }
    }

    /// Asks for a forward, and where it is refused for what there is to know of the reason: SSH tells none.
    pub(super) async fn ask(&mut self, bind: &Bind) -> Grant {
        let start = Instant::now();
        let answer = self.asked(bind.clone()).await;
        // It takes three round trips, and a slow line varies.
        let slow = start.elapsed().saturating_mul(6);
        self.deadline = slow.clamp(probe::DEADLINE, probe::LONGEST_DEADLINE);
        match answer {
            Ok(port) => Grant::Granted {
                bind: if bind.port() == Some(0) {
                    bind.with_port(port)
                } else {
                    bind.clone()
                },
                time: start.elapsed(),
            },
            Err(ForwardError::Refused) => self.refused(bind).await,
            Err(error) => Grant::Lost(error.to_string()),
        }
    }

    /// What there is to know of a forward that is refused, without asking for it again.
    pub(super) async fn refused(&self, bind: &Bind) -> Grant {
        let is_port = bind.port().is_some_and(|port| port != 0);
        let other = is_port && {
            let any = bind.with_port(0);
            let port = self.asked(any.clone()).await;
            if let Ok(port) = port {
                self.give_back(&any.with_port(port)).await;
            }
            port.is_ok()
        };
        let listener = match probe::way(bind) {
            Some(way) => self.open(way).await,
            None => Listener::Unknown(String::from("its path is not absolute")),
        };
        Grant::Refused { other, listener }
    }

    /// Gives a forward back.
    pub(super) async fn give_back(&self, bind: &Bind) {
        let cancelled = timeout(DEADLINE, self.transport.cancel(bind.clone())).await;
        if !matches!(cancelled, Ok(Ok(_))) {
            // It goes with the connection at the latest.
            tracing::debug!(%bind, "forward was not given back");
        }
    }

    /// Has the server connect to a target, and leaves.
    pub(super) async fn open(&self, target: Target) -> Listener {
        let start = Instant::now();
        let (host, port) = ORIGIN;
        let opening = self.transport.open(StreamHead {
            kind: StreamKind::Direct(target),
            origin: Origin {
                host: host.to_owned(),
                port,
            },
        });
        match timeout(DEADLINE, opening).await {
            Ok(Ok(_)) => Listener::Answers(start.elapsed()),
            Ok(Err(error)) => Listener::of(&error),
            Err(_) => Listener::Nobody(format!("no answer in {} s", DEADLINE.as_secs())),
        }
    }

    /// Sends a probe to a target of the server's side, for it to come back by a forward that was granted.
    pub(super) async fn probe(&self, prober: &Prober, granted: &Bind, target: Target) -> Sight {
        let Ok(probe) = prober.probe(self.deadline) else {
            return Sight::Prohibited;
        };
        self.expect(granted, &probe);
        let (host, port) = ORIGIN;
        let opening = self.transport.open(StreamHead {
            kind: StreamKind::Direct(target),
            origin: Origin {
                host: host.to_owned(),
                port,
            },
        });
        let asked = async {
            match opening.await {
                Ok(mut stream) => probe.ask(&mut stream).await,
                Err(error) => Sight::of_refusal(&error),
            }
        };
        let sight = timeout(DEADLINE, asked).await;
        self.expect_nothing();
        sight.unwrap_or(Sight::Silent)
    }

    /// Sends a probe from here to where visitors would come, for it to come back by the forward.
    pub(super) async fn probe_outside(
        &self,
        prober: &Prober,
        granted: &Bind,
        host: &str,
    ) -> Outside {
        let (Some(port), Ok(probe)) = (granted.port(), prober.probe(self.deadline)) else {
            return Outside::NotLooked;
        };
        self.expect(granted, &probe);
        let version = outside::version(granted);
        let outside = match outside::look(host, port, version, self.deadline, &probe).await {
            Look::Answered(sight) => Outside::Answered(sight),
            Look::Refused => Outside::Refused,
            Look::Blind(version) => Outside::Blind(version),
            Look::Silent | _ => Outside::Silent,
        };
        self.expect_nothing();
        outside
    }

    /// Says goodbye. When this returns, the connection and all that it held has ended.
    pub(super) async fn close(mut self) {
        self.transport.close(CloseReason::Stopping);
        let mut end = self.transport.end();
        drop(self.transport);
        if timeout(CLOSE_DEADLINE, end.wait()).await.is_err() {
            tracing::debug!("connection did not say goodbye in time");
        }
        self.tasks.shutdown().await;
    }

    async fn asked(&self, bind: Bind) -> Result<u16, ForwardError> {
        let asked = timeout(DEADLINE, self.transport.forward(bind)).await;
        asked.unwrap_or(Err(ForwardError::Closed))
    }

    fn expect(&self, granted: &Bind, probe: &Probe) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        *out = Some((granted.clone(), probe.clone()));
    }

    fn expect_nothing(&self) {
        *self.out.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Listener {
    fn of(error: &OpenError) -> Self {
        match Sight::of_refusal(error) {
            Sight::Nobody(reason) => Self::Nobody(reason),
            Sight::Prohibited => Self::Prohibited,
            Sight::Up(_) | Sight::Foreign | Sight::Silent | Sight::LoopbackOnly | _ => {
                Self::Unknown(error.to_string())
            }
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.transport).finish()
    }
}

/// Lets in who may bring the probe that is out, and nobody else.
async fn receive(mut requests: Requests, out: Out) {
    let mut held = JoinSet::new();
    loop {
        tokio::select! {
            request = requests.recv() => match request {
                Some(PeerRequest::Open(request)) => {
                    let expected = out.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let Some((bind, probe)) = expected else { continue };
                    if request.head.kind == StreamKind::Forwarded(bind) {
                        let mut stream = request.answer.accept();
                        held.spawn(async move {
                            probe.hold(&mut stream, probe.deadline()).await;
                        });
                    }
                }
                // Dropped, it is refused.
                Some(_) => {}
                None => return,
            },
            Some(_) = held.join_next() => {}
        }
    }
}
