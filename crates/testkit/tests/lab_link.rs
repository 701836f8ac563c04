//! Namespaces and the line between them, proved by real TCP and UDP.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use adit_testkit::link::{Counts, Direction, End, Impairment, Link, Rate};
use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::{require, wait};

/// A TCP connection from `from` at `local` to `to`, both ends with a read deadline.
#[expect(clippy::unwrap_used, reason = "part of a test")]
fn connect(from: &Namespace, to: &Namespace, addr: IpAddr) -> (TcpStream, TcpStream) {
    let listener = to.enter(|| TcpListener::bind((addr, 0)).unwrap());
    let target = listener.local_addr().unwrap();
    let near = from.enter(|| TcpStream::connect_timeout(&target, wait::DEADLINE).unwrap());
    let (far, _) = listener.accept().unwrap();
    for stream in [&near, &far] {
        stream.set_read_timeout(Some(wait::DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
    }
    (near, far)
}

/// How long one byte takes there and back.
#[expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "part of a test in real time"
)]
fn round_trip(near: &mut TcpStream, far: &mut TcpStream) -> Duration {
    let (start, mut byte) = (Instant::now(), [0]);
    near.write_all(b"?").unwrap();
    far.read_exact(&mut byte).unwrap();
    far.write_all(b"!").unwrap();
    near.read_exact(&mut byte).unwrap();
    start.elapsed()
}

/// Whether a byte comes within 300 ms, which is six round trips of the lines here.
#[expect(clippy::unwrap_used, reason = "part of a test")]
fn hears(stream: &mut TcpStream) -> bool {
    stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let heard = stream.read_exact(&mut [0]);
    stream.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    match heard {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            false
        }
    }
}

/// Sends `count` datagrams of 1,000 bytes of IP to the right at once, and gives the counts when all are accounted for.
#[expect(clippy::unwrap_used, reason = "part of a test")]
fn shower(left: &Namespace, link: &Link, count: u64) -> Counts {
    let before = link.counts(Direction::LeftToRight);
    let socket = left.enter(|| UdpSocket::bind((link.ip(End::Left), 0)).unwrap());
    for _ in 0..count {
        socket.send_to(&[0; 972], (link.ip(End::Right), 9)).unwrap();
    }
    wait::until("every datagram is accounted for", || {
        let now = link.counts(Direction::LeftToRight);
        let since = Counts {
            delivered: now.delivered - before.delivered,
            lost: now.lost - before.lost,
            dropped: now.dropped - before.dropped,
            darkened: now.darkened - before.darkened,
        };
        let all = since.delivered + since.lost + since.dropped + since.darkened;
        if all >= count { Ok(since) } else { Err(since) }
    })
}

fn delay(ms: u64) -> Impairment {
    Impairment {
        delay: Duration::from_millis(ms),
        ..Impairment::default()
    }
}

#[test]
fn programs_threads_and_runtimes_run_inside_a_namespace() {
    require!(root);
    require!("ip", "nsenter", "sh");
    let namespace = Namespace::new();
    // Port 80 is free inside, whatever runs outside.
    let listener = namespace.enter(|| TcpListener::bind("127.0.0.1:80").unwrap());
    let runtime = namespace.runtime();
    let connected = runtime.spawn(tokio::net::TcpStream::connect("127.0.0.1:80"));
    runtime.block_on(connected).unwrap().unwrap();
    let (_, peer) = listener.accept().unwrap();
    assert!(peer.ip().is_loopback());

    let mut process = Process::spawn(namespace.command("ip").args(["-brief", "link"]));
    process.wait(wait::DEADLINE);
    let links = process.stdout();
    assert!(
        links.starts_with("lo ") && links.lines().count() == 1,
        "{links}"
    );
}

#[test]
fn nothing_of_a_namespace_is_left_after_drop() {
    require!(root);
    require!("ip", "nsenter");
    let namespace = Namespace::new();
    let path = std::path::Path::new("/run/netns").join(namespace.name());
    let mut sleeper = namespace.command("sleep").arg("1000").spawn().unwrap();
    wait::until("the sleeper is inside", || {
        let ended = sleeper.try_wait().unwrap();
        assert_eq!(ended, None);
        let link = std::fs::read_link(format!("/proc/{}/ns/net", sleeper.id())).unwrap();
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        if link == own { Err(link) } else { Ok(()) }
    });
    assert!(path.exists());
    drop(namespace);
    assert!(!path.exists());
    assert!(
        !sleeper.wait().unwrap().success(),
        "the program inside was ended"
    );
}

#[test]
fn a_cable_joins_two_namespaces_by_both_families() {
    require!(root);
    require!("ip", "nsenter");
    let (left, right) = (Namespace::new(), Namespace::new());
    let subnet = left.join(&right);
    for addr in [IpAddr::from(subnet.v4(2)), subnet.v6(2).into()] {
        let (mut near, mut far) = connect(&left, &right, addr);
        round_trip(&mut near, &mut far);
    }
}

#[test]
fn a_tcp_exchange_sees_the_delay_of_both_directions() {
    require!(root);
    require!("ip", "nsenter");
    let (left, right) = (Namespace::new(), Namespace::new());
    let link = Link::new(&left, &right, 1);
    for addr in [link.ip(End::Right), link.v6(End::Right).into()] {
        link.set_both(Impairment::default());
        let (mut near, mut far) = connect(&left, &right, addr);
        link.set(Direction::LeftToRight, delay(60));
        link.set(Direction::RightToLeft, delay(40));
        let fastest = (0..5)
            .map(|_| round_trip(&mut near, &mut far))
            .min()
            .unwrap();
        let milliseconds = fastest.as_millis();
        assert!(
            (100..200).contains(&milliseconds),
            "{milliseconds} ms to {addr}"
        );
    }
}

#[test]
fn a_blackout_stops_a_connection_which_goes_on_after_it() {
    require!(root);
    require!("ip", "nsenter");
    let (left, right) = (Namespace::new(), Namespace::new());
    let link = Link::new(&left, &right, 1);
    link.set_both(delay(25));
    let (mut near, mut far) = connect(&left, &right, link.ip(End::Right));
    link.blackout_both();
    near.write_all(b"x").unwrap();
    assert!(!hears(&mut far));
    assert_ne!(link.counts(Direction::LeftToRight).darkened, 0);
    link.restore();
    far.read_exact(&mut [0]).unwrap();
    round_trip(&mut near, &mut far);
}

#[test]
fn a_blackout_of_one_direction_leaves_the_other() {
    require!(root);
    require!("ip", "nsenter");
    let (left, right) = (Namespace::new(), Namespace::new());
    let link = Link::new(&left, &right, 1);
    let (mut near, mut far) = connect(&left, &right, link.ip(End::Right));
    link.blackout(Direction::RightToLeft);
    near.write_all(b"x").unwrap();
    far.read_exact(&mut [0]).unwrap(); // The way there is open.
    far.write_all(b"x").unwrap();
    assert!(!hears(&mut near), "the way back is not");
    link.restore();
    near.read_exact(&mut [0]).unwrap();
}

#[test]
fn loss_is_what_the_settings_say() {
    require!(root);
    require!("ip", "nsenter");
    let (left, right) = (Namespace::new(), Namespace::new());
    let link = Link::new(&left, &right, 1);
    assert_eq!(shower(&left, &link, 2_000).lost, 0);
    link.set_both(Impairment {
        loss_per_million: 100_000,
        ..Impairment::default()
    });
    let counts = shower(&left, &link, 2_000);
    assert!((130..270).contains(&counts.lost), "{counts:?}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a rate is measured in real time")]
fn a_narrow_place_passes_its_rate_and_drops_what_its_queue_cannot_hold() {
    require!(root);
    require!("ip", "nsenter");
    let (left, right) = (Namespace::new(), Namespace::new());
    let link = Link::new(&left, &right, 1);
    let rate = Rate {
        bytes_per_second: 50_000,
        queue_bytes: 20_000,
    };
    link.set_both(Impairment {
        rate: Some(rate),
        ..Impairment::default()
    });
    let start = Instant::now();
    let counts = shower(&left, &link, 200);
    let elapsed = start.elapsed().as_secs_f64();
    // Twenty fit into the queue, and fifty leave it in a second.
    let most = 21.0 + 50.0 * elapsed;
    let delivered = u32::try_from(counts.delivered).unwrap();
    assert!(
        delivered >= 15 && f64::from(delivered) <= most,
        "{counts:?} in {elapsed} s"
    );
    assert_ne!(counts.dropped, 0);
    assert!(
        elapsed >= 0.3,
        "twenty packets need 0.4 s, these took {elapsed}"
    );
}

#[test]
fn a_changed_address_silences_old_connections_and_serves_new_ones() {
    require!(root);
    require!("ip", "nsenter");
    let (left, right) = (Namespace::new(), Namespace::new());
    let mut link = Link::new(&left, &right, 1);
    let (mut near, mut far) = connect(&left, &right, link.ip(End::Right));
    let old = link.ip(End::Left);
    link.change_address(End::Left);
    let new = link.ip(End::Left);
    assert_ne!(old, new);

    near.write_all(b"x").ok();
    assert!(!hears(&mut far), "an old connection is silent");
    let (_near, far) = connect(&left, &right, link.ip(End::Right));
    assert_eq!(
        far.peer_addr().map(|addr: SocketAddr| addr.ip()).unwrap(),
        new
    );
}
