//! What a subscriber is told, and what of the kernel's hints is a change.

use std::time::Duration;

use adit_testkit::namespace::Namespace;
use adit_testkit::require;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::fake::Fake;
use super::watcher::LONGEST;
use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_change_says_what_was_lost_and_several_are_one() {
    let (fake, mut network) = Fake::new();
    fake.set(&[("eth0", &["192.0.2.1", "2001:db8::1"])]);
    let moved = Change {
        has_moved: true,
        ..Change::default()
    };
    assert_eq!(network.changed().await, moved);
    let mut late = network.subscribe();
    fake.set(&[("eth0", &["192.0.2.1"]), ("docker0", &["172.17.0.1"])]);
    fake.set(&[("eth0", &["192.0.2.1"])]);
    fake.sleep();
    let lost = Change {
        lost: vec![ip("2001:db8::1")],
        has_moved: false,
        was_asleep: true,
        is_outage: false,
    };
    assert_eq!(network.changed().await, lost);
    assert_eq!(late.changed().await, lost);
    fake.change_route();
    assert_eq!(network.changed().await, Change::default());
    fake.unplug("eth0");
    let outage = Change {
        is_outage: true,
        ..Change::default()
    };
    assert_eq!(network.changed().await, outage);
    // Back again is a change like any other.
    fake.set(&[("eth0", &["192.0.2.1"])]);
    assert_eq!(network.changed().await, Change::default());
    assert_eq!(network.has(ip("192.0.2.1")), Some(true));
    assert_eq!(network.has(ip("::ffff:192.0.2.1")), Some(true));
    assert_eq!(network.has(ip("2001:db8::1")), Some(false));
}

#[tokio::test]
async fn an_interface_has_addresses_or_a_reason_why_not() {
    let (fake, network) = Fake::new();
    let wlan0 = InterfaceName::new("wlan0").unwrap();
    assert_eq!(network.addresses_of(&wlan0), Err(NoAddress::NoInterface));
    fake.set(&[("lo", &["127.0.0.1"]), ("wlan0", &["fe80::1"])]);
    assert_eq!(network.addresses_of(&wlan0), Err(NoAddress::None));
    fake.set(&[("lo", &["127.0.0.1"]), ("wlan0", &["fe80::1", "192.0.2.1"])]);
    assert_eq!(network.addresses_of(&wlan0), Ok(vec![ip("192.0.2.1")]));
    let unwatched = Network::unwatched();
    assert_eq!(unwatched.addresses_of(&wlan0), Err(NoAddress::Unknown));
    assert_eq!(unwatched.has(ip("127.0.0.1")), None);
}

#[tokio::test(start_paused = true)]
async fn an_unwatched_network_never_changes() {
    let mut network = Network::unwatched();
    let changed = timeout(Duration::from_hours(1), network.changed()).await;
    changed.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_the_system_lets_watch_nothing_ends_and_nobody_minds() {
    let (states, mut network) = Network::of(State::default());
    let watcher = Watcher {
        kernel: None,
        resume: None,
        states,
    };
    watcher.run(CancellationToken::new()).await;
    let changed = timeout(Duration::from_hours(1), network.changed()).await;
    changed.unwrap_err();
}

/// How long nothing may be told where nothing is a change: more than a burst is gathered.
const NOTHING: Duration = Duration::from_millis(500);

async fn told(network: &mut Network) -> Change {
    let changed = timeout(Duration::from_secs(10), network.changed()).await;
    changed.expect("the change is told")
}

async fn not_told(network: &mut Network) {
    if let Ok(change) = timeout(NOTHING, network.changed()).await {
        panic!("{change:?} is no change");
    }
}

mod lab {
    use super::*;

    /// In a namespace of its own: what the kernel really says.
    #[test]
    fn changes_of_a_real_network_are_told_once_and_lifetimes_are_none() {
        require!(root);
        require!("ip");
        let (namespace, other) = (Namespace::new(), Namespace::new());
        let runtime = namespace.runtime();
        let stop = CancellationToken::new();
        let (watcher, mut network) = runtime
            .block_on(runtime.spawn(async { Watcher::start() }))
            .unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn_on(watcher.run(stop.clone()), runtime.handle());
        let eth0 = InterfaceName::new("eth0").unwrap();
        runtime.block_on(async {
            let peer = ["peer", "name", "eth0", "netns", other.name()];
            namespace.ip(&[&["link", "add", "eth0", "type", "veth"], &peer[..]].concat());
            told(&mut network).await;
            assert_eq!(network.addresses_of(&eth0), Err(NoAddress::None));
            other.ip(&["link", "set", "eth0", "up"]);
            namespace.ip(&["link", "set", "eth0", "up"]);
            // The link's own IPv6 address comes when it is known that nobody else has it.
            while timeout(2 * LONGEST, network.changed()).await.is_ok() {}
            namespace.ip(&["addr", "add", "192.0.2.1/24", "dev", "eth0"]);
            assert!(told(&mut network).await.has_moved);
            assert_eq!(network.addresses_of(&eth0), Ok(vec![ip("192.0.2.1")]));
            not_told(&mut network).await;
            let lifetimes = ["valid_lft", "3600", "preferred_lft", "1800"];
            let again = ["addr", "change", "192.0.2.1/24", "dev", "eth0"];
            namespace.ip(&[&again[..], &lifetimes[..]].concat());
            not_told(&mut network).await;
            // A route is a change when it comes, not when it is made anew, and when it goes.
            let route = ["default", "via", "192.0.2.9"];
            namespace.ip(&[&["route", "add"], &route[..]].concat());
            assert_eq!(told(&mut network).await, Change::default());
            namespace.ip(&[&["route", "replace"], &route[..]].concat());
            not_told(&mut network).await;
            namespace.ip(&["route", "del", "default"]);
            assert_eq!(told(&mut network).await, Change::default());
            // What comes within a moment is one change.
            namespace.enter(|| {
                namespace.ip(&["addr", "del", "192.0.2.1/24", "dev", "eth0"]);
                namespace.ip(&["addr", "add", "192.0.2.2/24", "dev", "eth0"]);
            });
            let moved = Change {
                lost: vec![ip("192.0.2.1")],
                has_moved: true,
                was_asleep: false,
                is_outage: false,
            };
            assert_eq!(told(&mut network).await, moved);
            // The other end goes, and with it the carrier.
            other.ip(&["link", "set", "eth0", "down"]);
            assert!(told(&mut network).await.is_outage);
            namespace.ip(&["link", "del", "eth0"]);
            told(&mut network).await;
            assert_eq!(network.addresses_of(&eth0), Err(NoAddress::NoInterface));
            stop.cancel();
            tasks.join_next().await.unwrap().unwrap();
        });
    }
}
