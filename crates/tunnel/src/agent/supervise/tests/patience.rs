//! What a tunnel costs others in the long run: no restarts where nothing is wrong, and no penalties of its server
//! where something is.

use tokio::io::copy_bidirectional;

use super::*;

/// AT16: the round trip is proved a hundred times, over eight hours, and nothing else happens.
#[tokio::test(start_paused = true)]
async fn a_hundred_probes_of_a_healthy_tunnel_change_nothing() {
    let prober = Prober::new().unwrap();
    let forwards = vec![forward("127.0.0.1", 8080, 9)];
    let mut lab = Lab::with(forwards, Vec::new(), Some(prober));
    let mut peer = lab.peer().await;
    asked(&mut peer).await.answer.grant(8080);
    for _ in 0..100 {
        let request = match within(peer.requests.recv()).await {
            Some(PeerRequest::Open(request)) => request,
            other => panic!("{other:?} instead of a probe"),
        };
        let mut there = request.answer.accept();
        let origin = Origin {
            host: String::from("127.0.0.1"),
            port: 5,
        };
        let kind = StreamKind::Forwarded(bind("127.0.0.1", 8080));
        let back = peer.transport.open(StreamHead { kind, origin });
        let mut back = within(back).await.unwrap();
        drop(within(copy_bidirectional(&mut there, &mut back)).await);
    }
    let forward = "127.0.0.1:8080 -> 127.0.0.1:9";
    let expected = [
        String::from("connected"),
        format!("bound {forward}"),
        format!("up {forward}"),
    ];
    // Each proof is told, with its time.
    let mut events = lab.events();
    events.dedup();
    assert_eq!(events, expected);
    assert!(lab.peers.try_recv().is_err(), "it never logged in again");
}

/// What an sshd holds against an address: `PerSourcePenalties` of OpenSSH 10, with its defaults (sshd_config(5)).
/// Penalties add up, time takes them away, and from [`FELT`](Self::FELT) on connections are refused.
#[derive(Debug, Default)]
struct Penalties {
    until: Option<Instant>,
    worst: Duration,
}

impl Penalties {
    const FELT: Duration = Duration::from_secs(15);
    /// `authfail`: it left without a login after a try.
    const REFUSED: Duration = Duration::from_secs(5);
    /// `noauth`: it left before any.
    const LEFT: Duration = Duration::from_secs(1);
    /// `grace-exceeded`: it neither logged in nor left.
    const TOO_LONG: Duration = Duration::from_secs(10);

    fn add(&mut self, penalty: Duration) {
        let now = Instant::now();
        let until = self.until.map_or(now, |until| until.max(now)) + penalty;
        self.until = Some(until);
        self.worst = self.worst.max(until - now);
    }
}

/// What becomes of an attempt.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// It logs in and is cut so much later.
    Cut(Duration),
    /// It is cut in the middle of its login.
    CutEarly,
    /// The line goes dark in the middle of its login, which is given up after half a minute. The server waits
    /// for its own two minutes.
    Dark,
    /// The server takes the key no more.
    Refused,
}

/// A server that is reached and goes wrong in one way after another.
struct Faulty {
    fates: Vec<Fate>,
    next: Mutex<usize>,
    penalties: Arc<Mutex<Penalties>>,
    attempts: Arc<Mutex<usize>>,
    /// Ends of connections to come.
    cuts: Mutex<JoinSet<()>>,
}

impl Faulty {
    fn fate(&self) -> Fate {
        *self.attempts.lock().unwrap() += 1;
        let mut next = self.next.lock().unwrap();
        let fate = match *next {
            // The first login succeeds, or it would not go on at all.
            0 => Fate::Cut(Duration::from_secs(1)),
            number => self.fates[(number - 1) % self.fates.len()],
        };
        *next += 1;
        fate
    }

    fn penalise(&self, penalty: Duration) {
        self.penalties.lock().unwrap().add(penalty);
    }
}

impl Connect for Faulty {
    async fn connect(&self) -> Result<Connected, ConnectError> {
        let failed = || ConnectError::Handshake("the line".into());
        match self.fate() {
            Fate::Cut(after) => {
                let (connection, peer, driver) = memory::pair();
                self.cuts.lock().unwrap().spawn(async move {
                    sleep(after).await;
                    peer.transport.close(CloseReason::Stopping);
                    peer.transport.end().wait().await;
                });
                Ok(Connected {
                    connection,
                    task: Box::pin(async {
                        driver.run().await;
                        None
                    }),
                })
            }
            Fate::CutEarly => {
                self.penalise(Penalties::LEFT);
                Err(failed())
            }
            Fate::Dark => {
                let penalties = Arc::clone(&self.penalties);
                self.cuts.lock().unwrap().spawn(async move {
                    sleep(Duration::from_secs(120)).await;
                    penalties.lock().unwrap().add(Penalties::TOO_LONG);
                });
                sleep(Duration::from_secs(30)).await;
                Err(failed())
            }
            Fate::Refused => {
                self.penalise(Penalties::REFUSED);
                let user = String::from("me");
                let source = "the key is not accepted".into();
                Err(ConnectError::Login { user, source })
            }
        }
    }
}

/// An hour of faults does not get our address penalised: neither by each in a row nor by all of them in turn.
#[tokio::test(start_paused = true)]
async fn an_hour_of_faults_is_not_held_against_our_address() {
    let short = Fate::Cut(Duration::from_secs(1));
    let long = Fate::Cut(Duration::from_secs(61));
    for fates in [
        vec![Fate::CutEarly],
        vec![Fate::Dark],
        vec![Fate::Refused],
        vec![short],
        vec![Fate::CutEarly, Fate::Dark],
        // A minute up makes the waits short again, which is the worst that a line can do.
        vec![long, Fate::CutEarly, Fate::CutEarly, Fate::CutEarly],
        vec![long, Fate::Dark, Fate::CutEarly],
        vec![long, Fate::Refused, Fate::CutEarly, Fate::Dark, short],
    ] {
        let penalties = Arc::<Mutex<Penalties>>::default();
        let attempts = Arc::<Mutex<usize>>::default();
        let server = Faulty {
            fates: fates.clone(),
            next: Mutex::default(),
            penalties: Arc::clone(&penalties),
            attempts: Arc::clone(&attempts),
            cuts: Mutex::default(),
        };
        let quiet = |_: Event<'_>| {};
        let forwards = vec![forward("", 1, 9)];
        let tunnel = run(
            &server,
            forwards,
            Instruments::default(),
            &quiet,
            CancellationToken::new(),
        );
        let hour = Duration::from_hours(1);
        assert!(timeout(hour, tunnel).await.is_err(), "it never gives up");
        let worst = penalties.lock().unwrap().worst;
        let attempts = *attempts.lock().unwrap();
        println!(
            "{fates:?}: {attempts} attempts, at worst {worst:?} of {:?}",
            Penalties::FELT
        );
        assert!(worst < Penalties::FELT, "{fates:?}: {worst:?}");
        assert!(attempts > 5, "{fates:?}: {attempts}");
    }
}
