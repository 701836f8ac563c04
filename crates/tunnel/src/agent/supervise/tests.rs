//! A tunnel over memory: the test plays the peer, the local service and the network.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::*;
use crate::agent::forward::{Destination, Permits};
use crate::agent::probe::Prober;
use crate::transport::{
    ByteStream, CloseReason, ForwardRequest, OpenError, Origin, PeerRequest, RefusalCode,
    StreamHead, StreamKind, Target, Transport, memory,
};

/// Makes memory connections and hands the peer's ends to the test; fails as it is told.
struct Network {
    peers: mpsc::Sender<Connection>,
    failures: Mutex<Vec<ConnectError>>,
    public_host: Option<&'static str>,
}

impl Connect for Network {
    async fn connect(&self) -> Result<Connected, ConnectError> {
        if let Some(error) = self.failures.lock().unwrap().pop() {
            return Err(error);
        }
        let (connection, peer, driver) = memory::pair();
        self.peers.send(peer).await.unwrap();
        Ok(Connected {
            connection,
            task: Box::pin(async {
                driver.run().await;
                None
            }),
        })
    }

    fn public_host(&self) -> Option<&str> {
        self.public_host
    }
}

mod asking;
mod changing;
mod control;
mod patience;
mod probing;
mod strangers;

/// A tunnel that runs, and what the test needs to play with it.
struct Lab {
    peers: mpsc::Receiver<Connection>,
    events: watch::Receiver<Vec<String>>,
    stop: CancellationToken,
    run: JoinSet<Result<(), RunError>>,
}

impl Lab {
    fn new(forwards: Vec<Forward>, failures: Vec<ConnectError>) -> Self {
        Self::with(forwards, failures, None)
    }

    fn with(forwards: Vec<Forward>, failures: Vec<ConnectError>, prober: Option<Prober>) -> Self {
        Self::at(None, forwards, failures, prober)
    }

    /// The same with a peer that can be dialled from here by that name.
    fn at(
        public_host: Option<&'static str>,
        forwards: Vec<Forward>,
        failures: Vec<ConnectError>,
        prober: Option<Prober>,
    ) -> Self {
        let (peers_sender, peers) = mpsc::channel(8);
        let network = Network {
            peers: peers_sender,
            failures: Mutex::new(failures),
            public_host,
        };
        let (log, events) = watch::channel(Vec::new());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let stopped = stop.clone();
        tasks.spawn(async move {
            let note = move |event: Event<'_>| log.send_modify(|log| log.push(word(&event)));
            let probing = prober.as_ref().map(|prober| Probing {
                prober,
                interval: Duration::from_secs(300),
            });
            let instruments = Instruments {
                probing,
                ..Instruments::default()
            };
            run(&network, forwards, instruments, &note, stopped).await
        });
        Self {
            peers,
            events,
            stop,
            run: tasks,
        }
    }

    async fn peer(&mut self) -> Connection {
        within(self.peers.recv()).await.unwrap()
    }

    /// Waits until the events so far end with this one.
    async fn until(&self, last: &str) {
        let mut events = self.events.clone();
        let ends_so = |events: &Vec<String>| events.last().is_some_and(|event| event == last);
        let waited = timeout(Duration::from_hours(1), events.wait_for(ends_so)).await;
        assert!(
            waited.is_ok(),
            "{last:?} is not the end of {:?}",
            self.events()
        );
    }

    fn events(&self) -> Vec<String> {
        self.events.borrow().clone()
    }

    async fn result(&mut self) -> Result<(), RunError> {
        within(self.run.join_next()).await.unwrap().unwrap()
    }
}

fn word(event: &Event<'_>) -> String {
    match event {
        Event::Connected => String::from("connected"),
        Event::ForwardUp { forward, .. } => format!("up {forward}"),
        Event::ForwardProved {
            forward, finding, ..
        } => match finding.part() {
            Some(version) => format!("up {forward} over {version} alone"),
            None => format!("up {forward}"),
        },
        Event::ForwardBound { forward, .. } => format!("bound {forward}"),
        Event::ForwardUnproved {
            forward, finding, ..
        } => format!("unproved {forward}: {finding}"),
        Event::ForwardRefused { forward, .. } => format!("refused {}", forward.bind),
        Event::ForwardHeld {
            forward, holder, ..
        } => format!("held {} by {holder:?}", forward.bind),
        Event::ForwardWaiting {
            forward, reason, ..
        } => format!("waiting {}: {reason}", forward.bind),
        Event::ForwardListens { forward, .. } => format!("listens {}", forward.bind),
        Event::ForwardDenied {
            forward, reason, ..
        } => format!("denied {}: {reason}", forward.bind),
        Event::Granted { grant } => String::from(*grant),
        Event::ForwardNamed { forward, named, .. } => {
            let urls = named.urls.iter().map(|url| url.shown().to_string());
            let urls = urls.collect::<Vec<_>>().join(" ");
            format!("named {}: {} {urls}", forward.bind, named.name.shown())
        }
        Event::Superseded { by } => format!("superseded: {by}"),
        Event::Returned { holding } => format!("returned: {holding}"),
        Event::RetryAfter { .. } => String::from("told to wait"),
        Event::PortLost { bind } => format!("lost {bind}"),
        Event::Ended { .. } => String::from("ended"),
        Event::Failed { .. } => String::from("failed"),
        Event::Waiting { .. } => String::from("waiting"),
        Event::Identified { identity } => format!("known as {}", identity.name.shown()),
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    // Twice the wait after a refusal, and more.
    let result = timeout(Duration::from_hours(1), future).await;
    result.expect("nothing came of it in an hour")
}

fn bind(host: &str, port: u16) -> Bind {
    let host = host.to_owned();
    Bind::Tcp { host, port }
}

fn forward(host: &str, port: u16, target: u16) -> Forward {
    Forward {
        listens: Listens::There,
        bind: bind(host, port),
        to: Destination::One(Target::Tcp {
            host: String::from("127.0.0.1"),
            port: target,
        }),
    }
}

async fn asked(peer: &mut Connection) -> ForwardRequest {
    match within(peer.requests.recv()).await {
        Some(PeerRequest::Forward(request)) => request,
        other => panic!("{other:?} instead of a forward"),
    }
}

async fn visit(transport: &dyn Transport, kind: StreamKind) -> Result<ByteStream, OpenError> {
    let origin = Origin {
        host: String::from("192.0.2.9"),
        port: 5,
    };
    within(transport.open(StreamHead { kind, origin })).await
}

/// A service that answers what it was asked, and its port.
async fn service(tasks: &mut JoinSet<()>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            echo(socket).await;
        }
    });
    port
}

async fn echo(mut socket: TcpStream) {
    let mut question = Vec::new();
    socket.read_to_end(&mut question).await.unwrap();
    socket.write_all(&question).await.unwrap();
}

async fn question(mut visitor: ByteStream) -> Vec<u8> {
    visitor.write_all(b"question").await.unwrap();
    visitor.shutdown().await.unwrap();
    let mut answer = Vec::new();
    visitor.read_to_end(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_visitor_reaches_the_service_again_after_a_cut() {
    let mut tasks = JoinSet::new();
    let port = service(&mut tasks).await;
    let mut lab = Lab::new(vec![forward("localhost", 8080, port)], Vec::new());
    for _ in 0..2 {
        let mut peer = lab.peer().await;
        asked(&mut peer).await.answer.grant(8080);
        let visitor = visit(
            &*peer.transport,
            StreamKind::Forwarded(bind("localhost", 8080)),
        );
        let answer = question(visitor.await.unwrap()).await;
        assert_eq!(answer, b"question");
        peer.transport.close(CloseReason::Stopping);
    }
    lab.until("waiting").await;
    let once = [
        String::from("connected"),
        format!("up localhost:8080 -> 127.0.0.1:{port}"),
        String::from("ended"),
        String::from("waiting"),
    ];
    assert_eq!(lab.events(), [once.clone(), once].concat());
}

#[tokio::test(start_paused = true)]
async fn what_only_a_person_can_mend_ends_the_first_attempt_alone() {
    let fatal = || ConnectError::Login {
        user: String::from("me"),
        source: "no key was accepted".into(),
    };
    let passing = || ConnectError::Handshake("cut".into());
    let mut lab = Lab::new(vec![], vec![fatal()]);
    assert!(matches!(
        lab.result().await,
        Err(RunError::Connect(ConnectError::Login { .. }))
    ));
    let mut lab = Lab::new(vec![], vec![passing(), passing()]);
    let peer = lab.peer().await;
    lab.until("connected").await;
    assert_eq!(
        lab.events(),
        ["failed", "waiting", "failed", "waiting", "connected"]
    );
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_the_tunnel_was_up_is_waited_out() {
    let (peers_sender, mut peers) = mpsc::channel(8);
    let network = Arc::new(Network {
        peers: peers_sender,
        failures: Mutex::new(Vec::new()),
        public_host: None,
    });
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let (running, stopped) = (Arc::clone(&network), stop.clone());
    tasks.spawn(async move {
        run(
            &*running,
            Vec::new(),
            Instruments::default(),
            &|_| (),
            stopped,
        )
        .await
        .unwrap();
    });
    let peer = within(peers.recv()).await.unwrap();
    for _ in 0..3 {
        network.failures.lock().unwrap().push(ConnectError::Login {
            user: String::from("me"),
            source: "database is away".into(),
        });
    }
    drop(peer);
    within(peers.recv()).await.unwrap();
    assert!(network.failures.lock().unwrap().is_empty());
    stop.cancel();
    within(tasks.join_next()).await.unwrap().unwrap();
}

#[tokio::test]
async fn stop_says_goodbye_and_ends_every_visitor() {
    let mut tasks = JoinSet::new();
    let port = service(&mut tasks).await;
    let mut lab = Lab::new(vec![forward("", 7, port)], Vec::new());
    let mut peer = lab.peer().await;
    asked(&mut peer).await.answer.grant(7);
    let visitor = visit(&*peer.transport, StreamKind::Forwarded(bind("", 7)));
    let mut visitor = visitor.await.unwrap();
    lab.stop.cancel();
    lab.result().await.unwrap();
    let end = within(peer.transport.end().wait()).await;
    assert!(matches!(end, ConnectionEnd::Theirs { .. }), "{end:?}");
    assert!(visitor.read_u8().await.is_err());
}

/// Drives its connections until it is told that their tasks have a mistake.
struct Falling {
    network: Network,
    falls: Arc<Notify>,
}

impl Connect for Falling {
    async fn connect(&self) -> Result<Connected, ConnectError> {
        let Connected { connection, task } = self.network.connect().await?;
        let falls = Arc::clone(&self.falls);
        let task = Box::pin(async move {
            tokio::select! {
                held = task => held,
                () = falls.notified() => panic!("a mistake of ours"),
            }
        });
        Ok(Connected { connection, task })
    }
}

#[tokio::test]
async fn s110_a_tunnel_outlives_a_panic_of_its_connection() {
    let mut tasks = JoinSet::new();
    let port = service(&mut tasks).await;
    let (peers_sender, mut peers) = mpsc::channel(8);
    let falls = Arc::new(Notify::new());
    let network = Network {
        peers: peers_sender,
        failures: Mutex::new(Vec::new()),
        public_host: None,
    };
    let connect = Falling {
        network,
        falls: Arc::clone(&falls),
    };
    let (log, events) = watch::channel(Vec::new());
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tasks.spawn(async move {
        let note = move |event: Event<'_>| log.send_modify(|log| log.push(word(&event)));
        let forwards = vec![forward("", 7, port)];
        run(&connect, forwards, Instruments::default(), &note, stopped)
            .await
            .unwrap();
    });
    for round in 0..3 {
        let mut peer = within(peers.recv()).await.unwrap();
        asked(&mut peer).await.answer.grant(7);
        let visitor = visit(&*peer.transport, StreamKind::Forwarded(bind("", 7)));
        let visitor = within(visitor).await.unwrap();
        if round < 2 {
            falls.notify_one();
            let end = within(peer.transport.end().wait()).await;
            assert!(!matches!(end, ConnectionEnd::Ours(_)), "{end}");
        } else {
            assert_eq!(question(visitor).await, b"question");
        }
    }
    stop.cancel();
    let ended = events
        .borrow()
        .iter()
        .filter(|event| *event == "ended")
        .count();
    assert_eq!(ended, 2, "{:?}", events.borrow());
}

/// The listener is the tunnel's, not a connection's.
#[tokio::test]
async fn what_listens_here_stays_over_connections_and_is_told_with_each() {
    let here = Forward {
        listens: Listens::Here,
        bind: bind("127.0.0.1", 0),
        to: Destination::One(Target::Tcp {
            host: String::from("db.lan"),
            port: 5432,
        }),
    };
    let mut lab = Lab::new(vec![here], Vec::new());
    let mut known = None;
    for _ in 0..2 {
        let mut peer = lab.peer().await;
        let mut events = lab.events.clone();
        let is_up = |events: &Vec<String>| events.last().is_some_and(|it| it.starts_with("up "));
        let up = within(events.wait_for(is_up))
            .await
            .unwrap()
            .last()
            .unwrap()
            .clone();
        assert_eq!(
            *known.get_or_insert_with(|| up.clone()),
            up,
            "the same port each time"
        );
        let (addr, _) = up.strip_prefix("up ").unwrap().split_once(" -> ").unwrap();
        let mut visitor = TcpStream::connect(addr).await.unwrap();
        let Some(PeerRequest::Open(request)) = within(peer.requests.recv()).await else {
            panic!("no visitor came");
        };
        let mut stream = request.answer.accept();
        visitor.write_all(b"!").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'!');
        peer.transport.close(CloseReason::Stopping);
        lab.until("waiting").await;
    }
    lab.stop.cancel();
    lab.result().await.unwrap();
    let up = known.unwrap();
    let (addr, _) = up.strip_prefix("up ").unwrap().split_once(" -> ").unwrap();
    assert!(TcpStream::connect(addr).await.is_err(), "nothing is left");
}

#[tokio::test]
async fn a_forward_that_cannot_listen_ends_it_before_it_connects() {
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = Forward {
        listens: Listens::Here,
        bind: bind("127.0.0.1", holder.local_addr().unwrap().port()),
        to: Destination::Named(Permits::Any),
    };
    let mut lab = Lab::new(vec![here], Vec::new());
    let result = lab.result().await;
    assert!(matches!(result, Err(RunError::Listen(_))), "{result:?}");
    assert!(lab.peers.recv().await.is_none(), "it never connected");
}
