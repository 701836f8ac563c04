//! The cells of the table: what there is to try with a pair, and how one try is made.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adit_testkit::seeded::SeededRandom;
use adit_tunnel::transport::ssh::Driver;
use adit_tunnel::transport::{
    Bind, Connection, Origin, PeerRequest, StreamHead, StreamKind, Target,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::exchange::{CELL_DEADLINE, exchange};
use crate::keys::Keys;
use crate::ours::{Ours, can_be_host_key};
use crate::peer::{Client, Fault, Order, Running, Server, Skills};
use crate::probe::Offer;
use crate::table::Extent;
use crate::terms::{Known, Login, Terms};

/// One cell, before it is tried.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    /// What is varied, and to what: the row of the table.
    pub(crate) axis: &'static str,
    pub(crate) value: String,
    pub(crate) terms: Terms,
    load: Load,
    /// Why the peer is to blame when it fails.
    pub(crate) fault: Option<&'static str>,
}

/// What a cell moves, and how.
#[derive(Debug, Clone, Copy)]
struct Load {
    bytes: usize,
    rekeys: Rekeys,
    is_remote_forward: bool,
}

/// Who asks for new keys while it moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rekeys {
    Nobody,
    We,
    ThePeer,
}

const PLAIN: Load = Load {
    bytes: 256 << 10,
    rekeys: Rekeys::Nobody,
    is_remote_forward: false,
};
const LONG: usize = 8 << 20;
const REKEY_BYTES: u64 = 1 << 20;
/// Key exchanges in a long cell: the first, and with 8 MiB each way and new keys every MiB of one
/// way at least this many more. (A peer that counts both ways, or packets, makes more of them.)
const EXCHANGES: usize = 4;

/// What to try with a pair: its default with everything a load can be, then each value of each
/// algorithm and login varied alone, then random combinations.
pub(crate) fn cells(
    known: &Known,
    skills: Skills,
    faults: &[Fault],
    extent: Extent,
) -> Result<Vec<Cell>, String> {
    let terms = known.default_terms()?;
    let mut cells = Vec::new();
    let mut load = |value: &str, load| {
        cells.push(Cell {
            axis: LOAD,
            value: value.to_owned(),
            terms,
            load,
            fault: None,
        });
    };
    let long = |rekeys| Load {
        bytes: LONG,
        rekeys,
        ..PLAIN
    };
    load(LOADS[0], long(Rekeys::We));
    if skills.rekeys {
        load(LOADS[1], long(Rekeys::ThePeer));
    }
    if skills.listens {
        let is_remote_forward = true;
        load(
            LOADS[2],
            Load {
                is_remote_forward,
                ..PLAIN
            },
        );
    }
    let mut vary = |axis, value: String, terms| {
        let fault = fault(faults, axis, &value);
        cells.push(Cell {
            axis,
            value,
            terms,
            load: PLAIN,
            fault,
        });
    };
    for kex in known.kex.iter().copied() {
        vary("key exchange", kex.to_string(), Terms { kex, ..terms });
    }
    for cipher in known.cipher.iter().copied() {
        if cipher.is_aead() || !known.mac.is_empty() {
            vary("cipher", cipher.to_string(), Terms { cipher, ..terms });
        }
    }
    for mac in known.mac.iter().copied() {
        if let Some(cipher) = known
            .cipher
            .iter()
            .copied()
            .find(|cipher| !cipher.is_aead())
        {
            vary(
                "MAC",
                mac.to_string(),
                Terms {
                    cipher,
                    mac,
                    ..terms
                },
            );
        }
    }
    for host_key in known.host_key.iter().copied() {
        vary(
            "host key",
            host_key.to_string(),
            Terms { host_key, ..terms },
        );
    }
    for login in known.login.iter().copied() {
        vary("login", login.to_string(), Terms { login, ..terms });
    }
    let mut sound = known.clone();
    sound
        .host_key
        .retain(|key| fault(faults, "host key", key.name()).is_none());
    sound
        .login
        .retain(|login| fault(faults, "login", &login.to_string()).is_none());
    let mut source = SeededRandom::new(extent.seed);
    for number in 0..extent.random {
        let mut terms = sound.random_terms(&mut source)?;
        if known.mac.is_empty() {
            terms.cipher = known.default_terms()?.cipher;
        }
        vary(
            RANDOM,
            format!("seed {}, number {number}", extent.seed),
            terms,
        );
    }
    Ok(cells)
}

fn fault(faults: &[Fault], axis: &str, value: &str) -> Option<&'static str> {
    let mut fitting = faults.iter();
    let found = fitting.find(|fault| fault.axis == axis && value.ends_with(fault.ending));
    found.map(|fault| fault.reason)
}

/// The axis of loads.
pub(crate) const LOAD: &str = "load";
/// Its values.
pub(crate) const LOADS: [&str; 3] = [
    "8 MiB, we renew the keys",
    "8 MiB, the peer renews the keys",
    "the peer listens for us",
];
/// The axis of random combinations.
pub(crate) const RANDOM: &str = "random";

/// What our client and that server know.
pub(crate) async fn known_with_server(
    keys: &Keys,
    server: &mut impl Server,
    ours: Terms,
) -> Result<Known, String> {
    let order = Order {
        keys,
        terms: ours,
        rekey_bytes: None,
    };
    let (stream, running) = server.connect(&order).await?;
    let offer = within(Offer::read(stream)).await;
    let offer = offer.map_err(|error| format!("{error}: {}", running.words()))?;
    let mut known = offer.known(server.logins());
    for key in server.further_host_keys() {
        if !known.host_key.contains(&key) {
            known.host_key.push(key);
        }
    }
    Ok(known)
}

/// What our server and that client know.
pub(crate) async fn known_with_client(
    keys: &Keys,
    client: &impl Client,
    ours: Terms,
) -> Result<Known, String> {
    let listener = listen().await?;
    let order = Order {
        keys,
        terms: ours,
        rekey_bytes: None,
    };
    let mut running = client.start(&order, port(&listener), 1).await?;
    let offer = within(async {
        let stream = accept(&listener, &mut running).await?;
        Offer::read(stream).await
    });
    let offer = offer.await;
    let offer = offer.map_err(|error| format!("{error}: {}", running.words()))?;
    let mut known = offer.known(client.logins());
    known.host_key.retain(|key| can_be_host_key(*key));
    Ok(known)
}

/// Tries a cell of our client with a server.
pub(crate) async fn try_server(
    keys: &Keys,
    server: &mut impl Server,
    cell: &Cell,
    is_strict: bool,
) -> Result<(), String> {
    let order = cell.order(keys);
    let ours = cell.ours(keys, is_strict);
    let (stream, running) = server.connect(&order).await?;
    let done = within(async {
        let (connection, driver) = ours.connect(stream).await?;
        let mut live = Live::new(connection, driver);
        let (near, far) = if cell.load.is_remote_forward {
            live.through_their_listener().await?
        } else {
            live.through_our_stream().await?
        };
        let exchanged = exchange(near, far, cell.load.bytes).await;
        exchanged.map_err(|error| live.with_end(error))
    })
    .await;
    done.and_then(|()| cell.check(&ours))
        .map_err(|error| report(&error, &running))
}

/// Tries a cell of our server with a client.
pub(crate) async fn try_client(
    keys: &Keys,
    client: &impl Client,
    cell: &Cell,
    is_strict: bool,
) -> Result<(), String> {
    let (listener, service) = (listen().await?, listen().await?);
    let order = cell.order(keys);
    let ours = cell.ours(keys, is_strict);
    let mut running = client
        .start(&order, port(&listener), port(&service))
        .await?;
    let done = within(async {
        let stream = accept(&listener, &mut running).await?;
        let (connection, driver) = ours.accept(stream).await?;
        let mut live = Live::new(connection, driver);
        let near = live.as_the_client_likes().await?;
        let far = accept(&service, &mut running).await?;
        let exchanged = exchange(near, far, cell.load.bytes).await;
        exchanged.map_err(|error| live.with_end(error))
    })
    .await;
    done.and_then(|()| cell.check(&ours))
        .map_err(|error| report(&error, &running))
}

impl Cell {
    fn order<'a>(&self, keys: &'a Keys) -> Order<'a> {
        Order {
            keys,
            terms: self.terms,
            rekey_bytes: (self.load.rekeys == Rekeys::ThePeer).then_some(REKEY_BYTES),
        }
    }

    fn ours<'a>(&self, keys: &'a Keys, is_strict: bool) -> Ours<'a> {
        Ours {
            keys,
            terms: self.terms,
            rekey_bytes: (self.load.rekeys == Rekeys::We).then_some(REKEY_BYTES),
            is_strict,
            exchanges: Arc::new(AtomicUsize::new(0)),
        }
    }

    /// Whether the keys were renewed as often as they had to be, or not at all.
    fn check(&self, ours: &Ours<'_>) -> Result<(), String> {
        let count = ours.exchanges.load(Ordering::Relaxed);
        let is_right = if self.load.rekeys == Rekeys::Nobody {
            count == 1
        } else {
            count > EXCHANGES
        };
        if is_right {
            Ok(())
        } else {
            Err(format!("{count} key exchanges"))
        }
    }
}

/// A connection of ours and its task.
struct Live {
    connection: Connection,
    _task: JoinSet<()>,
}

impl Live {
    fn new(connection: Connection, driver: Driver<TcpStream>) -> Self {
        let mut task = JoinSet::new();
        task.spawn(async move {
            driver.run().await;
        });
        Self {
            connection,
            _task: task,
        }
    }

    /// A stream to a service that the server dials: `direct-tcpip`.
    async fn through_our_stream(&self) -> Result<(Pipe, TcpStream), String> {
        let service = listen().await?;
        let head = StreamHead {
            kind: StreamKind::Direct(Target::Tcp {
                host: String::from("127.0.0.1"),
                port: port(&service),
            }),
            origin: origin(),
        };
        let opening = self.connection.transport.open(head);
        let near = opening.await.map_err(|error| self.with_end(error))?;
        let (far, _) = service.accept().await.map_err(|error| error.to_string())?;
        Ok((near, far))
    }

    /// A stream from a visitor of a port that the server listens at: `forwarded-tcpip`.
    async fn through_their_listener(&mut self) -> Result<(Pipe, TcpStream), String> {
        let asking = self.connection.transport.forward(Bind::Tcp {
            host: String::from("127.0.0.1"),
            port: 0,
        });
        let port = asking.await.map_err(|error| self.with_end(error))?;
        let visitor = TcpStream::connect(("127.0.0.1", port)).await;
        let visitor = visitor.map_err(|error| format!("port {port}: {error}"))?;
        match self.connection.requests.recv().await {
            Some(PeerRequest::Open(request)) => Ok((request.answer.accept(), visitor)),
            other => Err(self.with_end(format!("{other:?} instead of a visitor"))),
        }
    }

    /// A stream that the client asks for, or one through a forward that it asks for.
    async fn as_the_client_likes(&mut self) -> Result<Pipe, String> {
        match self.connection.requests.recv().await {
            Some(PeerRequest::Open(request)) => Ok(request.answer.accept()),
            Some(PeerRequest::Forward(request)) => {
                let port = request.bind.port().filter(|port| *port > 0);
                let port = port.unwrap_or(4022);
                request.answer.grant(port);
                let head = StreamHead {
                    kind: StreamKind::Forwarded(request.bind.with_port(port)),
                    origin: origin(),
                };
                let opening = self.connection.transport.open(head);
                opening.await.map_err(|error| self.with_end(error))
            }
            other => Err(self.with_end(format!("{other:?} instead of a forward"))),
        }
    }

    /// An error, and how the connection ended if it has.
    fn with_end(&self, error: impl std::fmt::Display) -> String {
        match self.connection.transport.end().now() {
            Some(end) => format!("{error}; {end:?}"),
            None => error.to_string(),
        }
    }
}

type Pipe = adit_tunnel::transport::ByteStream;

fn origin() -> Origin {
    Origin {
        host: String::from("127.0.0.1"),
        port: 40_000,
    }
}

/// The next who connects, unless the peer has ended.
async fn accept(listener: &TcpListener, running: &mut Running) -> Result<TcpStream, String> {
    tokio::select! {
        accepted = listener.accept() => {
            accepted.map(|(stream, _)| stream).map_err(|error| error.to_string())
        }
        () = running.ended() => Err(String::from("the peer's program ended")),
    }
}

async fn listen() -> Result<TcpListener, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    listener.map_err(|error| error.to_string())
}

fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().map_or(0, |addr| addr.port())
}

async fn within<T>(future: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let done = timeout(CELL_DEADLINE, future).await;
    done.unwrap_or_else(|_| Err(format!("not done in {} s", CELL_DEADLINE.as_secs())))
}

fn report(error: &str, running: &Running) -> String {
    format!("{error} [peer: {}]", running.words())
}

/// Terms to ask a peer for its own with: what every one of them knows.
pub(crate) fn probing_terms() -> Terms {
    use adit_ssh::algorithm::{CipherAlgorithm, KexAlgorithm, KeyAlgorithm, MacAlgorithm};

    Terms {
        kex: KexAlgorithm::Curve25519,
        host_key: KeyAlgorithm::Ed25519,
        cipher: CipherAlgorithm::Aes128Ctr,
        mac: MacAlgorithm::HmacSha256Etm,
        login: Login::Key(KeyAlgorithm::Ed25519),
    }
}
