//! Listeners whose addresses come and go. Every address of 127.0.0.0/8 can be bound; which of them an
//! interface bears, the test says.

use std::sync::Mutex;

use super::*;
use crate::agent::network::fake::Fake;

/// Forwards whose events the test reads.
struct Lab {
    listeners: Arc<Listeners>,
    events: Arc<Mutex<Vec<String>>>,
    network: Fake,
    _telling: JoinSet<()>,
}

impl Lab {
    async fn new(network: (Fake, Network), forwards: Vec<Forward>) -> Self {
        let listeners = Listeners::start(counted(forwards), &network.1, &Shared::default())
            .await
            .unwrap();
        let listeners = Arc::new(listeners);
        let events: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut telling = JoinSet::new();
        let (told, all) = (Arc::clone(&events), Arc::clone(&listeners));
        telling.spawn(async move {
            let note = |event: Event<'_>| told.lock().unwrap().push(word(&event));
            match all.keep_telling(&note).await {}
        });
        Self {
            listeners,
            events,
            network: network.0,
            _telling: telling,
        }
    }

    /// Waits until the last event is this one.
    async fn until(&self, last: &str) {
        within(async {
            loop {
                let events = self.events.lock().unwrap().clone();
                if events.last().is_some_and(|event| event == last) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a listener has no other events"
)]
fn word(event: &Event<'_>) -> String {
    match event {
        Event::ForwardUp { forward, .. } => format!("up {}", forward.bind),
        Event::ForwardWaiting {
            forward, reason, ..
        } => format!("waiting {}: {reason}", forward.bind),
        Event::ForwardListens { forward, .. } => format!("listens {}", forward.bind),
        other => panic!("{other:?} of a listener"),
    }
}

fn at(host: &str, port: u16) -> Forward {
    Forward {
        bind: Bind::Tcp {
            host: host.to_owned(),
            port,
        },
        ..forward(Destination::One(target()))
    }
}

/// A port that nobody has, at none of the loopback's addresses.
async fn free_port() -> u16 {
    let free = TcpListener::bind("0.0.0.0:0").await.unwrap();
    free.local_addr().unwrap().port()
}

async fn is_open(ip: &str, port: u16) -> bool {
    TcpStream::connect((ip, port)).await.is_ok()
}

#[tokio::test]
async fn an_interface_is_followed_and_visitors_who_are_connected_stay() {
    let port = free_port().await;
    let network = Fake::new();
    network.0.set(&[("wlan0", &["127.7.0.1"])]);
    let lab = Lab::new(network, vec![at("%wlan0", port)]).await;
    let mut up = Up::new();
    lab.listeners.connect(Some(Arc::clone(&up.ours.transport)));
    let mut visitor = visit(SocketAddr::new("127.7.0.1".parse().unwrap(), port)).await;
    let stream = up.asked().await.answer.accept();
    lab.network.set(&[("wlan0", &["127.7.0.2"])]);
    within(async { while !is_open("127.7.0.2", port).await {} }).await;
    assert!(!is_open("127.7.0.1", port).await);
    up.task.spawn(answer(stream));
    assert_eq!(question(&mut visitor).await.unwrap(), b"answer to question");
    // Two of them, and none; the interface goes, and comes back.
    lab.network.set(&[("wlan0", &["127.7.0.2", "127.7.0.3"])]);
    within(async { while !is_open("127.7.0.3", port).await {} }).await;
    assert!(is_open("127.7.0.2", port).await);
    assert_eq!(lab.events().len(), 1, "it has always been up");
    lab.network.set(&[("wlan0", &[])]);
    let bind = format!("%wlan0:{port}");
    let no_address = format!("waiting {bind}: wlan0: the interface has no address");
    lab.until(&no_address).await;
    assert!(!is_open("127.7.0.2", port).await);
    lab.network.set(&[]);
    let no_interface = format!("waiting {bind}: wlan0: there is no such interface");
    lab.until(&no_interface).await;
    lab.network.set(&[("wlan0", &["127.7.0.1"])]);
    lab.until(&format!("up {bind}")).await;
    assert!(is_open("127.7.0.1", port).await);
    let up = format!("up {bind}");
    assert_eq!(lab.events(), [up.clone(), no_address, no_interface, up]);
}

#[tokio::test]
async fn an_interface_that_is_not_there_is_waited_for_before_any_connection() {
    let port = free_port().await;
    let lab = Lab::new(Fake::new(), vec![at("%wlan0", port)]).await;
    let bind = format!("%wlan0:{port}");
    lab.until(&format!(
        "waiting {bind}: wlan0: there is no such interface"
    ))
    .await;
    lab.network.set(&[("wlan0", &["127.7.1.1"])]);
    within(async { while !is_open("127.7.1.1", port).await {} }).await;
    // Up is told with the connection.
    lab.until(&format!("listens {bind}")).await;
    assert_eq!(lab.events().len(), 2);
    let up = Up::new();
    lab.listeners.connect(Some(Arc::clone(&up.ours.transport)));
    lab.listeners
        .tell(&|event| assert_eq!(word(&event), format!("up {bind}")));
}

#[tokio::test]
async fn a_port_that_is_held_when_an_address_comes_is_waited_for_and_its_holder_named() {
    let port = free_port().await;
    let network = Fake::new();
    let lab = Lab::new(network, vec![at("%wlan0", port)]).await;
    let holder = TcpListener::bind(("127.7.2.1", port)).await.unwrap();
    lab.network.set(&[("wlan0", &["127.7.2.1", "127.7.2.2"])]);
    within(async { while !is_open("127.7.2.2", port).await {} }).await;
    let own = format!("(process {})", std::process::id());
    within(async {
        loop {
            let events = lab.events();
            let last = events.last().unwrap();
            if last.contains(&format!("cannot listen on 127.7.2.1:{port}, which ")) {
                assert!(last.contains(&own), "{last}");
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(holder);
    lab.network.change_route();
    let up = Up::new();
    lab.listeners.connect(Some(Arc::clone(&up.ours.transport)));
    within(async {
        while lab.listeners.standings.now()[0].waiting.is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(is_open("127.7.2.1", port).await);
}

#[tokio::test]
async fn a_port_that_is_held_at_the_start_is_an_error() {
    let holder = TcpListener::bind("127.7.3.1:0").await.unwrap();
    let port = holder.local_addr().unwrap().port();
    let network = Fake::new();
    network.0.set(&[("wlan0", &["127.7.3.1"])]);
    for host in ["%wlan0", "127.7.3.1"] {
        let started =
            Listeners::start(counted([at(host, port)]), &network.1, &Shared::default()).await;
        let error = started.unwrap_err().to_string();
        assert!(
            error.contains(&format!("127.7.3.1:{port}, which ")),
            "{error}"
        );
    }
    let started = Listeners::start(counted([at("%", port)]), &network.1, &Shared::default()).await;
    let error = started.unwrap_err();
    assert!(matches!(error, ListenError::Interface(_)), "{error}");
}

#[tokio::test]
async fn an_address_that_is_not_there_is_waited_for_and_one_that_goes_is_not_up() {
    let lab = Lab::new(Fake::new(), vec![at("192.0.2.1", 8080)]).await;
    let absent = "waiting 192.0.2.1:8080: this machine does not have the address 192.0.2.1";
    lab.until(absent).await;
    // What an interface bears goes with it, and what none bears stays.
    let (fake, network) = Fake::new();
    fake.set(&[("eth0", &["127.7.4.1"])]);
    let forwards = vec![at("127.7.4.1", 0), at("127.7.4.2", 0)];
    let lab = Lab::new((fake, network), forwards).await;
    let ports: Vec<u16> = (lab.listeners.standings.now().iter())
        .map(|standing| standing.forward.bind.port().unwrap())
        .collect();
    lab.network.set(&[]);
    // Here it can be bound all the same, by the same port.
    within(async { while !is_open("127.7.4.1", ports[0]).await {} }).await;
    assert!(is_open("127.7.4.2", ports[1]).await);
}

#[tokio::test(start_paused = true)]
async fn without_a_watch_an_interface_is_waited_for_in_vain_and_says_so() {
    let listeners = Listeners::start(
        counted([at("%lo", 0)]),
        &Network::unwatched(),
        &Shared::default(),
    )
    .await;
    let standings = listeners.unwrap().standings.now();
    let waiting = standings[0].waiting.as_ref().unwrap().to_string();
    assert_eq!(
        waiting,
        "lo: the system does not tell which addresses its interfaces have"
    );
}
