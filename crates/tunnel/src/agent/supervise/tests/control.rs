//! A tunnel whose peer says that it is an adit gateway, played by the test: what that one can have the agent do,
//! and what it cannot.

use super::*;
use crate::control::{
    Instance, NAME, Named, Outcome, Place, Talk, Text, ToAgent, ToGateway, VERSION,
};
use crate::transport::OpenRequest;

/// Makes connections to a peer that is an adit.
struct OwnNetwork {
    peers: mpsc::Sender<Connection>,
}

impl Connect for OwnNetwork {
    async fn connect(&self) -> Result<Connected, ConnectError> {
        let (connection, peer, driver) = memory::own_pair();
        self.peers.send(peer).await.unwrap();
        let task = Box::pin(async {
            driver.run().await;
            None
        });
        Ok(Connected { connection, task })
    }
}

/// A tunnel of one forward, `*:8080`, to a port of this machine.
fn lab(target: u16) -> Lab {
    let (peers_sender, peers) = mpsc::channel(8);
    let (log, events) = watch::channel(Vec::new());
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let stopped = stop.clone();
    tasks.spawn(async move {
        let network = OwnNetwork {
            peers: peers_sender,
        };
        let prober = Prober::new().unwrap();
        let note = move |event: Event<'_>| log.send_modify(|log| log.push(word(&event)));
        let instruments = Instruments {
            probing: Some(Probing {
                prober: &prober,
                interval: Duration::from_secs(300),
            }),
            ..Instruments::default()
        };
        let forwards = vec![forward("", 8080, target)];
        run(&network, forwards, instruments, &note, stopped).await
    });
    Lab {
        peers,
        events,
        stop,
        run: tasks,
    }
}

/// A gateway's end of one connection.
struct Gateway {
    peer: Connection,
    /// Streams that were opened, and not asked about by the test yet.
    opened: Vec<OpenRequest>,
}

impl Gateway {
    /// Grants the forward, and takes the request for the subsystem.
    async fn of(lab: &mut Lab) -> (Self, OpenRequest) {
        let mut gateway = Self {
            peer: lab.peer().await,
            opened: Vec::new(),
        };
        let (mut is_granted, mut subsystem) = (false, None);
        while !is_granted || subsystem.is_none() {
            match within(gateway.peer.requests.recv()).await {
                Some(PeerRequest::Forward(request)) => {
                    request.answer.grant(8080);
                    is_granted = true;
                }
                Some(PeerRequest::Open(request))
                    if request.head.kind == StreamKind::Subsystem(NAME) =>
                {
                    subsystem = Some(request);
                }
                Some(PeerRequest::Open(request)) => gateway.opened.push(request),
                other => panic!("{other:?}"),
            }
        }
        (gateway, subsystem.unwrap())
    }

    /// The same, with greetings.
    async fn greeted(lab: &mut Lab) -> (Self, Talk<ByteStream>) {
        let (gateway, subsystem) = Self::of(lab).await;
        let mut talk = Talk::new(subsystem.answer.accept());
        let hello: ToGateway = within(talk.hear()).await.unwrap();
        assert!(
            matches!(
                hello,
                ToGateway::Hello {
                    version: VERSION,
                    ..
                }
            ),
            "{hello:?}"
        );
        talk.say(&ToAgent::Welcome { version: 1 }).await.unwrap();
        (gateway, talk)
    }

    async fn probe(&self) -> Result<ByteStream, OpenError> {
        let kind = StreamKind::Probe {
            host: String::new(),
            port: 8080,
        };
        visit(&*self.peer.transport, kind).await
    }
}

fn place() -> Place {
    Place::from(&bind("", 8080))
}

/// G24: a port that nobody listens at is the target; had anybody dialled it, that would be told.
#[tokio::test]
async fn a_forward_is_up_once_the_gateways_probe_came_round_and_its_target_hears_nothing() {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = target.local_addr().unwrap().port();
    let mut lab = lab(port);
    let (gateway, mut talk) = Gateway::greeted(&mut lab).await;
    let asked: ToGateway = within(talk.hear()).await.unwrap();
    assert_eq!(asked, ToGateway::Probe { forward: place() });
    let mut probe = gateway.probe().await.unwrap();
    probe.write_all(b"nonce").await.unwrap();
    let mut back = [0; 5];
    within(probe.read_exact(&mut back)).await.unwrap();
    assert_eq!(&back, b"nonce");
    assert!(!lab.events().iter().any(|event| event.starts_with("up ")));
    let outcome = Outcome::Up;
    let probed = ToAgent::Probed {
        forward: place(),
        outcome,
    };
    talk.say(&probed).await.unwrap();
    lab.until(&format!("up *:8080 -> 127.0.0.1:{port}")).await;
    // A visitor comes to the target first.
    let kind = StreamKind::Forwarded(bind("", 8080));
    let mut visitor = visit(&*gateway.peer.transport, kind).await.unwrap();
    visitor.write_all(b"hello").await.unwrap();
    let (mut socket, _) = within(target.accept()).await.unwrap();
    let mut said = [0; 5];
    within(socket.read_exact(&mut said)).await.unwrap();
    assert_eq!(&said, b"hello");
    assert!(gateway.opened.is_empty(), "{:?}", gateway.opened);
}

/// G30: whatever a gateway says or opens, the agent dials what its own forwards lead to, for visitors of theirs.
#[tokio::test]
async fn a_hostile_gateway_cannot_have_the_agent_dial() {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = target.local_addr().unwrap().port();
    let mut lab = lab(port);
    let (mut gateway, mut talk) = Gateway::greeted(&mut lab).await;
    within(talk.hear::<ToGateway>()).await.unwrap();
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = Target::Tcp {
        host: String::from("127.0.0.1"),
        port: other.local_addr().unwrap().port(),
    };
    for kind in [
        StreamKind::Direct(at),
        StreamKind::Probe {
            host: String::new(),
            port: 8081,
        },
        StreamKind::Subsystem("exec"),
        StreamKind::Subsystem(NAME),
    ] {
        let refused = visit(&*gateway.peer.transport, kind).await;
        assert!(
            matches!(refused, Err(OpenError::Refused { .. })),
            "{refused:?}"
        );
    }
    // A probe that was asked for gives back what came, and no more than a little of it.
    let mut probe = gateway.probe().await.unwrap();
    let much = [b'x'; 1_000];
    probe.write_all(&much).await.unwrap();
    let mut back = Vec::new();
    let end = within(probe.read_to_end(&mut back)).await;
    assert!(back.len() <= 64, "{} bytes, {end:?}", back.len());
    // What it says of forwards that there are not is nobody's.
    let forward = Place::from(&bind("169.254.169.254", 80));
    let reason = Text::new("go there");
    for message in [
        ToAgent::Refused {
            forward: forward.clone(),
            reason,
        },
        ToAgent::Probed {
            forward,
            outcome: Outcome::Up,
        },
    ] {
        talk.say(&message).await.unwrap();
    }
    // What is no message ends the subsystem, and not the tunnel.
    talk.say(&"exec").await.unwrap();
    assert!(within(talk.hear::<ToGateway>()).await.is_err());
    let in_band = within(gateway.peer.requests.recv()).await;
    assert!(
        matches!(&in_band, Some(PeerRequest::Open(request)) if matches!(request.head.kind, StreamKind::Direct(_))),
        "{in_band:?}"
    );
    // Without anybody's asking there is no probe to be answered.
    assert!(gateway.probe().await.is_err());
    for listener in [target, other] {
        listener.into_std().unwrap().accept().unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_refuses_control_is_asked_once_and_probed_in_band() {
    let mut lab = lab(9);
    let (mut gateway, subsystem) = Gateway::of(&mut lab).await;
    subsystem
        .answer
        .refuse(RefusalCode::UnknownKind, "no such subsystem");
    for _ in 0..3 {
        let Some(PeerRequest::Open(request)) = within(gateway.peer.requests.recv()).await else {
            panic!("no probe");
        };
        assert!(matches!(request.head.kind, StreamKind::Direct(_)));
        request.answer.refuse(RefusalCode::ConnectFailed, "refused");
    }
}

/// Before the grant has arrived, too: the two come by different ways.
#[tokio::test(start_paused = true)]
async fn a_name_is_told_with_its_forward_and_that_of_another_is_nobodys() {
    let mut lab = lab(9);
    let (_gateway, subsystem) = Gateway::of(&mut lab).await;
    let mut talk = Talk::new(subsystem.answer.accept());
    within(talk.hear::<ToGateway>()).await.unwrap();
    talk.say(&ToAgent::Welcome { version: 3 }).await.unwrap();
    let named = |forward, name: &str| {
        ToAgent::Named(Named {
            forward,
            name: Text::new(name),
            urls: vec![Text::new(&format!("http://{name}.gw.example/"))],
        })
    };
    let other = Place::from(&bind("localhost", 80));
    talk.say(&named(other, "bank")).await.unwrap();
    talk.say(&named(place(), "q4\x1b")).await.unwrap();
    lab.until("named *:8080: q4\\u{1b} http://q4\\u{1b}.gw.example/")
        .await;
    assert!(!lab.events().iter().any(|event| event.contains("bank")));
}

/// One of the second version says nothing that it does not have.
#[tokio::test(start_paused = true)]
async fn a_name_in_a_version_without_names_ends_the_subsystem() {
    let mut lab = lab(9);
    let (_gateway, subsystem) = Gateway::of(&mut lab).await;
    let mut talk = Talk::new(subsystem.answer.accept());
    within(talk.hear::<ToGateway>()).await.unwrap();
    talk.say(&ToAgent::Welcome { version: 2 }).await.unwrap();
    let named = Named {
        forward: place(),
        name: Text::new("q4"),
        urls: Vec::new(),
    };
    talk.say(&ToAgent::Named(named)).await.unwrap();
    while within(talk.hear::<ToGateway>()).await.is_ok() {}
    assert!(!lab.events().iter().any(|event| event.starts_with("named")));
}

#[tokio::test(start_paused = true)]
async fn a_stock_server_is_never_asked_for_control() {
    let mut lab = Lab::new(vec![forward("", 8080, 9)], Vec::new());
    let mut peer = lab.peer().await;
    asked(&mut peer).await.answer.grant(8080);
    lab.until("up *:8080 -> 127.0.0.1:9").await;
    assert!(peer.requests.try_recv().is_err());
}

/// G32.
#[tokio::test(start_paused = true)]
async fn who_is_told_to_come_back_later_does_even_by_the_last_word_of_a_connection() {
    for (said, least, most) in [(7, 7, 9), (u32::MAX, 290, 301)] {
        let mut lab = lab(9);
        let (gateway, mut talk) = Gateway::greeted(&mut lab).await;
        let told = Instant::now();
        let message = ToAgent::RetryAfter { seconds: said };
        talk.say(&message).await.unwrap();
        gateway.peer.transport.close(CloseReason::Stopping);
        lab.peer().await;
        let waited = told.elapsed().as_secs();
        assert!((least..=most).contains(&waited), "{waited} s for {said}");
    }
}

/// G32: the tunnel says who has it and how it goes on, and does not take turns with the other machine.
#[tokio::test(start_paused = true)]
async fn who_is_superseded_by_another_machine_says_by_whom_and_stays_away_for_minutes() {
    let mut lab = lab(9);
    let (gateway, mut talk) = Gateway::greeted(&mut lab).await;
    let told = Instant::now();
    let message = ToAgent::Superseded {
        holding: Text::new("port 8080"),
        by: Some(Instance::new(7)),
        from: Text::new("192.0.2.7:4000"),
        since: Text::new("2026-11-22T00:00:00Z"),
    };
    talk.say(&message).await.unwrap();
    gateway.peer.transport.close(CloseReason::Superseded);
    lab.peer().await;
    assert!(told.elapsed() >= Duration::from_secs(300));
    let events = lab.events();
    let by = "superseded: port 8080 was taken over by another connection of the same principal, from \
              192.0.2.7:4000 (agent 00000000000000000000000000000007), at 2026-11-22T00:00:00Z";
    assert!(events.iter().any(|event| event == by), "{events:?}");
}

/// What came back is ours: the end of the connection after that is any end.
#[tokio::test(start_paused = true)]
async fn who_has_its_lease_back_does_not_stay_away() {
    let mut lab = lab(9);
    let (gateway, subsystem) = Gateway::of(&mut lab).await;
    let mut talk = Talk::new(subsystem.answer.accept());
    within(talk.hear::<ToGateway>()).await.unwrap();
    let version = VERSION;
    talk.say(&ToAgent::Welcome { version }).await.unwrap();
    let facts: ToGateway = within(talk.hear()).await.unwrap();
    assert!(matches!(facts, ToGateway::Facts(_)), "{facts:?}");
    let told = Instant::now();
    let holding = Text::new("port 8080");
    let superseded = ToAgent::Superseded {
        holding: holding.clone(),
        by: Some(Instance::new(7)),
        from: Text::new("192.0.2.7:4000"),
        since: Text::new("2026-11-22T00:00:00Z"),
    };
    talk.say(&superseded).await.unwrap();
    talk.say(&ToAgent::Returned { holding }).await.unwrap();
    gateway.peer.transport.close(CloseReason::Stopping);
    lab.peer().await;
    assert!(told.elapsed() < Duration::from_secs(30));
    let events = lab.events();
    let told = "returned: port 8080";
    assert!(events.iter().any(|event| event == told), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_gateway_says_of_a_refusal_is_told_with_its_forward() {
    let mut lab = lab(9);
    let mut peer = lab.peer().await;
    let mut talk = None;
    let mut is_refused = false;
    while talk.is_none() || !is_refused {
        match within(peer.requests.recv()).await {
            Some(PeerRequest::Forward(request)) => {
                request.answer.refuse();
                is_refused = true;
            }
            Some(PeerRequest::Open(request))
                if request.head.kind == StreamKind::Subsystem(NAME) =>
            {
                talk = Some(Talk::new(request.answer.accept()));
            }
            other => drop(other),
        }
    }
    let mut talk = talk.unwrap();
    within(talk.hear::<ToGateway>()).await.unwrap();
    talk.say(&ToAgent::Welcome { version: 1 }).await.unwrap();
    let reason = Text::new("port 8080 is in use\x1b[2J");
    let forward = place();
    let refused = ToAgent::Refused { forward, reason };
    talk.say(&refused).await.unwrap();
    let told = "denied *:8080: port 8080 is in use\\u{1b}[2J";
    let has = |events: &Vec<String>| events.iter().any(|event| event == told);
    let mut events = lab.events.clone();
    within(events.wait_for(has)).await.unwrap();
}
