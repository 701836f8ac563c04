//! Those who drip: a byte now and then, so as to hold a place for as long as they like (slow-loris).

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::require;

use crate::lab::{Gateway, Machine, Plan, forward, hello, now, pass, print};

const PORT: u16 = 10_001;
const OTHER: u16 = 10_002;
const METRICS: u16 = 9_464;

/// Connections that say a byte at a time.
struct Drip(Vec<TcpStream>);

impl Drip {
    /// So many, to an address in the gateway's own namespace.
    fn begin(gateway: &Gateway, port: u16, count: usize) -> Self {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let connect = || {
            let connect = |_| {
                let socket = TcpStream::connect(addr).unwrap();
                socket.set_nonblocking(true).unwrap();
                socket
            };
            (0..count).map(connect).collect()
        };
        Self(gateway.namespace.enter(connect))
    }

    /// Each says this; those that were closed are counted no more.
    fn say(&mut self, byte: u8) {
        self.0.retain_mut(|socket| {
            let is_written = socket.write_all(&[byte]).is_ok();
            let mut heard = [0; 4_096];
            let is_open = match socket.read(&mut heard) {
                Ok(count) => count > 0,
                Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            };
            is_written && is_open
        });
    }

    /// Says this again and again until all were closed; how long that took.
    fn until_closed(&mut self, byte: u8, most: Duration) -> Duration {
        let start = now();
        while !self.0.is_empty() {
            let left = self.0.len();
            assert!(start.elapsed() < most, "{left} are still there");
            self.say(byte);
            pass(Duration::from_millis(250));
        }
        start.elapsed()
    }
}

#[test]
fn who_drips_into_the_ssh_port_is_sent_away_in_time_and_an_owner_logs_in_beside() {
    require!(root);
    require!("ip", "nsenter", "ssh", "ssh-keygen");
    let public = Namespace::new();
    let machine = Machine::new(&public, "box");
    let plan = Plan {
        owners: 1,
        ..Plan::default()
    };
    let gateway = Gateway::start(&public, &plan);
    // An identification that never ends, and one that is followed by a packet that never does.
    let mut early = Drip::begin(&gateway, 2_222, 200);
    let mut late = Drip::begin(&gateway, 2_222, 200);
    for byte in b"SSH-2.0-slow\r\n\0\0\x03\xfc\x04\x14" {
        late.say(*byte);
    }
    for byte in b"SSH-2.0-" {
        early.say(*byte);
    }
    let start = now();
    let _ssh = Process::spawn(&mut gateway.ssh(&machine, 0, &["-R", &forward(PORT)]));
    gateway.answers(PORT, &hello("box"));
    let took = start.elapsed();
    let most = Duration::from_secs(60);
    let ended = early
        .until_closed(b'a', most)
        .max(late.until_closed(b'\0', most));
    print(&format!(
        "beside 400 who drip: a visitor is answered {:.2} s after ssh started; they were closed after {:.1} s",
        took.as_secs_f64(),
        ended.as_secs_f64()
    ));
    assert!(took < Duration::from_secs(2), "{took:?}");
    gateway.answers(PORT, &hello("box"));
}

/// A visitor may take all day over what it says: that is its target's to judge. What it cannot take is another
/// port's room.
#[test]
fn who_drips_into_a_public_port_takes_the_room_of_no_other_port() {
    require!(root);
    require!("ip", "nsenter", "ssh", "ssh-keygen", "prlimit");
    let public = Namespace::new();
    let machine = Machine::new(&public, "box");
    let plan = Plan {
        owners: 1,
        // Room for 384 visitors, 48 of them at one port.
        prefix: &["prlimit", "--nofile=1024:1024"],
        ..Plan::default()
    };
    let gateway = Gateway::start(&public, &plan);
    let words = ["-R", &forward(PORT), "-R", &forward(OTHER)];
    let mut ssh = Process::spawn(&mut gateway.ssh(&machine, 0, &words));
    gateway.answers(PORT, &hello("box"));
    gateway.answers(OTHER, &hello("box"));
    let mut drip = Drip::begin(&gateway, PORT, 300);
    for _ in 0..8 {
        drip.say(b'a');
        gateway.answers(OTHER, &hello("box"));
        pass(Duration::from_millis(250));
    }
    drop(drip);
    gateway.answers(PORT, &hello("box"));
    assert_eq!(ssh.exit_status(), None, "{}", ssh.stderr());
}

#[test]
fn who_drips_into_the_metrics_port_is_sent_away_and_who_scrapes_is_answered() {
    require!(root);
    require!("ip", "nsenter", "ssh-keygen");
    let public = Namespace::new();
    let settings = format!("metrics: 127.0.0.1:{METRICS}\n");
    let plan = Plan {
        settings: &settings,
        ..Plan::default()
    };
    let gateway = Gateway::start(&public, &plan);
    let start = now();
    // More than may be there at a time.
    let mut drip = Drip::begin(&gateway, METRICS, 24);
    for byte in b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nSlow: " {
        drip.say(*byte);
    }
    let mut scraper = gateway.namespace.enter(|| {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, METRICS));
        TcpStream::connect(addr).unwrap()
    });
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    scraper.write_all(request).unwrap();
    let ended = drip.until_closed(b'a', Duration::from_secs(60));
    let mut answer = String::new();
    scraper.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("alive\n"), "{answer}");
    print(&format!(
        "24 who drip into the metrics port were closed after {:.1} s, and a scraper was answered after {:.1} s at most",
        ended.as_secs_f64(),
        start.elapsed().as_secs_f64()
    ));
    // Ten seconds for those who have a place, and as long again for who waited for one.
    assert!(ended < Duration::from_secs(30), "{ended:?}");
}
