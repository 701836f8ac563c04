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
}

mod changing;
mod patience;
mod probing;

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
        let (peers_sender, peers) = mpsc::channel(8);
        let network = Network {
            peers: peers_sender,
            failures: Mutex::new(failures),
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
        Event::ForwardWaiting {
            forward, reason, ..
        } => format!("waiting {}: {reason}", forward.bind),
        Event::PortLost { bind } => format!("lost {bind}"),
        Event::Ended { .. } => String::from("ended"),
        Event::Failed { .. } => String::from("failed"),
        Event::Waiting { .. } => String::from("waiting"),
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
async fn forwards_are_asked_for_in_order_and_word_for_word() {
    let forwards = vec![
        forward("", 1, 9),
        forward("localhost", 2, 9),
        forward("::", 0, 9),
    ];
    let wanted: Vec<Bind> = forwards.iter().map(|one| one.bind.clone()).collect();
    let mut lab = Lab::new(forwards, Vec::new());
    let mut peer = lab.peer().await;
    for bind in wanted {
        let request = asked(&mut peer).await;
        assert_eq!(request.bind, bind);
        request
            .answer
            .grant(bind.port().filter(|port| *port > 0).unwrap_or(4_000));
    }
    lab.until("up [::]:4000 -> 127.0.0.1:9").await;
}

/// Against a stock sshd that still holds the port of the dead connection (E11 of the field study).
#[tokio::test(start_paused = true)]
async fn a_refused_forward_is_asked_for_again_on_the_same_connection() {
    let mut lab = Lab::new(vec![forward("", 1, 9), forward("", 2, 9)], Vec::new());
    let mut peer = lab.peer().await;
    asked(&mut peer).await.answer.refuse();
    asked(&mut peer).await.answer.grant(2);
    lab.until("up *:2 -> 127.0.0.1:9").await;
    let mut last = Instant::now();
    for attempt in 0..40 {
        let request = asked(&mut peer).await;
        assert_eq!(request.bind, bind("", 1));
        let wait = last.elapsed();
        last = Instant::now();
        let shortest = Duration::from_secs(u64::from(attempt > 0));
        assert!(
            wait >= shortest && wait <= Duration::from_secs(2),
            "{wait:?}"
        );
        request.answer.refuse();
    }
    asked(&mut peer).await.answer.grant(1);
    lab.until("up *:1 -> 127.0.0.1:9").await;
    let told = lab
        .events()
        .iter()
        .filter(|event| *event == "refused *:1")
        .count();
    assert_eq!(told, 1, "a person is told once");
    assert!(lab.peers.try_recv().is_err(), "it never logged in again");
}

#[tokio::test(start_paused = true)]
async fn port_zero_asks_for_the_port_that_it_had() {
    let mut lab = Lab::new(vec![forward("", 0, 9)], Vec::new());
    let mut peer = lab.peer().await;
    asked(&mut peer).await.answer.grant(41_000);
    lab.until("up *:41000 -> 127.0.0.1:9").await;
    drop(peer);
    let mut peer = lab.peer().await;
    let again = asked(&mut peer).await;
    assert_eq!(again.bind, bind("", 41_000));
    again.answer.grant(41_000);
    lab.until("up *:41000 -> 127.0.0.1:9").await;
    // Somebody else has it for good.
    drop(peer);
    let mut peer = lab.peer().await;
    let start = Instant::now();
    let other = loop {
        let request = asked(&mut peer).await;
        if request.bind == bind("", 0) {
            break request;
        }
        assert_eq!(request.bind, bind("", 41_000));
        request.answer.refuse();
    };
    assert!(start.elapsed() >= Duration::from_secs(150));
    other.answer.grant(42_000);
    lab.until("up *:42000 -> 127.0.0.1:9").await;
    assert!(lab.events().contains(&String::from("lost *:41000")));
}

/// S94: the peer reaches what it was asked to, and nothing else.
#[tokio::test]
async fn hostile_server_cannot_reach_lan() {
    let mut tasks = JoinSet::new();
    let port = service(&mut tasks).await;
    let mut lab = Lab::new(vec![forward("localhost", 8080, port)], Vec::new());
    let mut peer = lab.peer().await;
    asked(&mut peer).await.answer.grant(8080);
    lab.until(&format!("up localhost:8080 -> 127.0.0.1:{port}"))
        .await;
    let path = String::from("/run/docker.sock");
    for kind in [
        StreamKind::Direct(Target::Tcp {
            host: String::from("127.0.0.1"),
            port,
        }),
        StreamKind::Direct(Target::Unix { path: path.clone() }),
        StreamKind::Forwarded(Bind::Unix { path }),
        StreamKind::Forwarded(bind("localhost", 8081)),
        StreamKind::Forwarded(bind("127.0.0.1", 8080)),
        StreamKind::Forwarded(bind("LOCALHOST", 8080)),
        StreamKind::Forwarded(bind("", 8080)),
    ] {
        match visit(&*peer.transport, kind.clone()).await {
            Err(OpenError::Refused { code, .. }) => assert_eq!(code, RefusalCode::Prohibited),
            other => panic!("{kind:?} gave {other:?}"),
        }
    }
    assert!(within(peer.transport.forward(bind("", 1))).await.is_err());
}

/// The grant and the first visitor may arrive in one read of the socket.
#[tokio::test]
async fn a_visitor_right_behind_the_grant_is_served() {
    let mut tasks = JoinSet::new();
    let port = service(&mut tasks).await;
    let mut lab = Lab::new(vec![forward("", 0, port)], Vec::new());
    let mut peer = lab.peer().await;
    let request = asked(&mut peer).await;
    let transport = Arc::clone(&peer.transport);
    let mut visitors = JoinSet::new();
    visitors.spawn(async move {
        let kind = StreamKind::Forwarded(bind("", 40_123));
        let visitor = visit(&*transport, kind).await;
        assert_eq!(question(visitor.unwrap()).await, b"question");
    });
    // The visitor stands before the door until the grant comes, wherever the scheduler begins.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    request.answer.grant(40_123);
    let ended = within(visitors.join_next()).await;
    ended.unwrap().unwrap();
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

/// G58: `-R port` lets nobody anywhere by itself.
#[tokio::test]
async fn remote_socks_default_denies() {
    let mut tasks = JoinSet::new();
    let port = service(&mut tasks).await;
    let permit = format!("127.0.0.1:{port}").parse().unwrap();
    for (permits, code) in [(vec![], 2), (vec![permit], 0)] {
        let there = Forward {
            listens: Listens::There,
            bind: bind("", 1080),
            to: Destination::Named(Permits::Only(permits)),
        };
        let mut lab = Lab::new(vec![there], Vec::new());
        let mut peer = lab.peer().await;
        asked(&mut peer).await.answer.grant(1080);
        lab.until("up *:1080 -> SOCKS").await;
        let visitor = visit(&*peer.transport, StreamKind::Forwarded(bind("", 1080)));
        let mut visitor = visitor.await.unwrap();
        let [high, low] = port.to_be_bytes();
        let said = [5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, high, low];
        visitor.write_all(&said).await.unwrap();
        let mut answers = [0; 12];
        visitor.read_exact(&mut answers).await.unwrap();
        assert_eq!(answers, [5, 0, 5, code, 0, 1, 0, 0, 0, 0, 0, 0]);
        if code == 0 {
            assert_eq!(question(visitor).await, b"question");
        } else {
            assert_eq!(visitor.read(&mut answers).await.unwrap(), 0);
        }
    }
}

/// G58 again: a proxy for the peer's own machine is none for others, though `GatewayPorts yes` lets them in.
#[tokio::test]
async fn a_proxy_at_the_loopback_serves_nobody_from_elsewhere() {
    for (host, origin, is_served) in [
        ("localhost", "127.0.0.1", true),
        ("localhost", "::1", true),
        ("localhost", "192.0.2.9", false),
        ("127.0.0.1", "2001:db8::9", false),
        ("localhost", "", false),
        ("localhost", "localhost", false),
        // It was asked for by name.
        ("", "192.0.2.9", true),
    ] {
        let there = Forward {
            listens: Listens::There,
            bind: bind(host, 1080),
            to: Destination::Named(Permits::Only(Vec::new())),
        };
        let mut lab = Lab::new(vec![there.clone()], Vec::new());
        let mut peer = lab.peer().await;
        asked(&mut peer).await.answer.grant(1080);
        lab.until(&format!("up {there}")).await;
        let head = StreamHead {
            kind: StreamKind::Forwarded(bind(host, 1080)),
            origin: Origin {
                host: origin.to_owned(),
                port: 5,
            },
        };
        match within(peer.transport.open(head)).await {
            Ok(_) => assert!(is_served, "{host} {origin}"),
            Err(error) => assert!(!is_served, "{host} {origin}: {error}"),
        }
    }
}
