//! A tunnel of a machine whose own network changes, at a stock sshd. Nobody helps it; how long each took is
//! printed.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use adit_testkit::namespace::{Namespace, Subnet};
use adit_testkit::process::Process;
use adit_testkit::sshd::Sshd;
use adit_testkit::{echo, require, wait};

/// A private network with a tunnel to a public host, a cable between them, and an echo at each.
struct Lab {
    inside: Namespace,
    public: Namespace,
    cable: Subnet,
    sshd: Sshd,
    adit: Process,
}

/// The sshd's own address, to which nothing but a route leads.
const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// Where the echo listens, on both sides.
const ECHO: &str = "127.0.0.1:8080";

impl Lab {
    /// `config` is what the destination's configuration has besides how to log in. `wlan0` is there, without
    /// an address.
    #[expect(clippy::unwrap_used, reason = "part of a test")]
    fn new(config: &str) -> Self {
        let (inside, public) = (Namespace::new(), Namespace::new());
        let cable = inside.join(&public);
        public.ip(&["addr", "add", &format!("{SERVER}/32"), "dev", "lo"]);
        route(&inside, "add", cable);
        let ends = ["type", "veth", "peer", "name", "wlan1"];
        inside.ip(&[&["link", "add", "wlan0"], &ends[..]].concat());
        inside.ip(&["link", "set", "wlan0", "up"]);
        inside.ip(&["link", "set", "wlan1", "up"]);
        let sshd = Sshd::builder()
            .config_line("ClientAliveInterval 1\nClientAliveCountMax 2")
            .start_in(&public, SERVER.into());
        for namespace in [&inside, &public] {
            let service = namespace.enter(|| TcpListener::bind(ECHO).unwrap());
            echo::serve(service, Vec::new());
        }
        let file = sshd.folder().join("config");
        let text = format!(
            "Host gw\n HostName {SERVER}\n User {}\n IdentityFile {}\n UserKnownHostsFile {}\n{config}",
            sshd.user(),
            sshd.user_key().private_path().display(),
            sshd.known_hosts_path().display(),
        );
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command.args(["forward", "-F"]).arg(&file).arg("gw");
        let adit = Process::spawn(&mut inside.wrap(&command));
        Self {
            inside,
            public,
            cable,
            sshd,
            adit,
        }
    }

    /// Waits until the program has said this so often, and gives the lines that say it.
    fn said(&self, words: &str, count: usize) -> Vec<String> {
        wait::until(words, || {
            let stderr = self.adit.stderr();
            let lines = stderr.lines().filter(|line| line.contains(words));
            let lines: Vec<String> = lines.map(str::to_owned).collect();
            if lines.len() >= count {
                Ok(lines)
            } else {
                Err(stderr)
            }
        })
    }

    fn address(&self, verb: &str, address: &str, device: &str) {
        self.inside.ip(&["addr", verb, address, "dev", device]);
    }

    /// The cable's end inside.
    fn device(&self) -> String {
        format!("veth{}", self.cable.v4(1).octets()[2])
    }

    /// A visitor inside, once somebody listens.
    fn visitor(&self, addr: &str) -> TcpStream {
        let addr: SocketAddr = addr.parse().unwrap_or_else(|_| unreachable!());
        wait::until("a visitor is let in", || {
            self.inside.enter(|| TcpStream::connect(addr))
        })
    }
}

/// The way to the sshd.
fn route(inside: &Namespace, verb: &str, cable: Subnet) {
    let gateway = IpAddr::from(cable.v4(2)).to_string();
    inside.ip(&["route", verb, "default", "via", &gateway]);
}

/// Sends a little, finishes, and gets it back.
#[expect(clippy::unwrap_used, reason = "part of a test")]
fn speak(mut visitor: TcpStream) {
    visitor.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    visitor.write_all(b"hello").unwrap();
    visitor.shutdown(Shutdown::Write).unwrap();
    let mut got = Vec::new();
    visitor.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"hello");
}

#[expect(clippy::print_stdout, reason = "a time is printed")]
fn report(what: &str, since: Instant) -> Duration {
    let took = since.elapsed();
    println!("{what}: after {:.2} s", took.as_secs_f64());
    took
}

#[expect(clippy::disallowed_methods, reason = "a time is printed")]
fn now() -> Instant {
    Instant::now()
}

/// Seed 003: the manager's `wlan0` gets another address, and the worker is still reached at port 8001.
#[test]
fn a_forward_at_an_interface_follows_its_address() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let lab = Lab::new(&format!(" LocalForward %wlan0:8001 {ECHO}\n"));
    lab.said(
        "local forward waiting, wlan0: the interface has no address: %wlan0:8001 -> ",
        1,
    );
    lab.said(" connected ", 1);
    lab.address("add", "192.0.2.24/24", "wlan0");
    let start = now();
    let early = lab.visitor("192.0.2.24:8001");
    report("first lease: a visitor is let in", start);
    lab.said("local forward up: %wlan0:8001 -> ", 1);
    lab.address("del", "192.0.2.24/24", "wlan0");
    lab.address("add", "192.0.2.57/24", "wlan0");
    let start = now();
    let late = lab.visitor("192.0.2.57:8001");
    let took = report("new lease: a visitor is let in", start);
    assert!(took < Duration::from_secs(2), "{took:?}");
    speak(late);
    // Who was connected is not cut off: with the address its path is back.
    lab.address("add", "192.0.2.24/24", "wlan0");
    speak(early);
    lab.inside.ip(&["link", "del", "wlan0"]);
    let start = now();
    lab.said("wlan0: there is no such interface: %wlan0:8001 -> ", 1);
    report("interface is removed: said", start);
    assert_eq!(
        lab.said(" connected ", 1).len(),
        1,
        "one connection all along"
    );
}

/// AT7, and V1: ssh goes on without such a forward and says nothing more of it.
#[test]
fn an_address_that_is_absent_is_waited_for() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let lab = Lab::new(&format!(" LocalForward 192.0.2.1:8001 {ECHO}\n"));
    let absent = "local forward waiting, this machine does not have the address 192.0.2.1: \
                  192.0.2.1:8001 -> ";
    lab.said(absent, 1);
    lab.said(" connected ", 1);
    lab.address("add", "192.0.2.1/24", "wlan0");
    let start = now();
    let visitor = lab.visitor("192.0.2.1:8001");
    let took = report("absent address: a visitor is let in", start);
    assert!(took < Duration::from_secs(2), "{took:?}");
    speak(visitor);
    lab.said("local forward up: 192.0.2.1:8001 -> ", 1);
    // It goes, and it comes back.
    lab.address("del", "192.0.2.1/24", "wlan0");
    lab.said(absent, 2);
    lab.address("add", "192.0.2.1/24", "wlan0");
    speak(lab.visitor("192.0.2.1:8001"));
    lab.said("local forward up: 192.0.2.1:8001 -> ", 2);
}

/// The longest wait so far that the program said it would make.
fn longest_wait(stderr: &str) -> u64 {
    let waits = stderr.split("delay_ms=").skip(1);
    let numbers = waits.filter_map(|rest| {
        let end = rest.find(|it: char| !it.is_ascii_digit());
        rest.get(..end.unwrap_or(rest.len()))?.parse().ok()
    });
    numbers.max().unwrap_or_default()
}

#[test]
fn a_route_that_comes_back_ends_the_wait() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let lab = Lab::new(&format!(" RemoteForward 127.0.0.1:0 {ECHO}\n"));
    lab.said("forward up: ", 1);
    let start = now();
    route(&lab.inside, "del", lab.cable);
    lab.said("connection ended", 1);
    let took = report("no route: noticed", start);
    assert!(took < Duration::from_secs(5), "{took:?}");
    // Until it waits for long: half of each wait is by chance.
    let wait = wait::until("a long wait", || {
        let stderr = lab.adit.stderr();
        match longest_wait(&stderr) {
            long @ 4_000.. => Ok(Duration::from_millis(long)),
            _ => Err(stderr),
        }
    });
    let start = now();
    route(&lab.inside, "add", lab.cable);
    lab.said("forward up: ", 2);
    let took = report("route is back: forward is up", start);
    assert!(took < wait, "{took:?} of {wait:?}");
    assert!(took < Duration::from_millis(3_500), "{took:?}");
}

/// The keep-alive of the defaults would take half a minute.
#[test]
fn a_connection_whose_address_is_gone_ends_at_once_and_another_is_made_from_the_next() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let lab = Lab::new(&format!(" RemoteForward 127.0.0.1:0 {ECHO}\n"));
    lab.said("forward up: ", 1);
    let device = lab.device();
    let start = now();
    lab.address("del", &format!("{}/24", lab.cable.v4(1)), &device);
    let ended = lab.said("connection ended", 1);
    let took = report("address removed: noticed", start);
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(ended[0].contains("has lost the address"), "{ended:?}");
    lab.address("add", &format!("{}/24", lab.cable.v4(7)), &device);
    // The route went with the address, and nobody tells of that.
    let start = now();
    route(&lab.inside, "add", lab.cable);
    lab.said(" connected ", 2);
    let took = report("new address: logged in", start);
    assert!(took < Duration::from_secs(4), "{took:?}");
    // The port is free once the sshd has noticed: nothing bears the old address any more.
    lab.said("forward up: ", 2);
    report("new address: forward is up", start);
}

#[test]
fn an_interface_that_is_not_in_the_way_costs_a_question_and_no_more() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let lab = Lab::new(&format!(" RemoteForward 127.0.0.1:0 {ECHO}\n"));
    let ups = lab.said("forward up: ", 1);
    let questions = || lab.sshd.log().matches("keepalive@openssh.com").count();
    let before = questions();
    lab.inside.ip(&["link", "add", "docker0", "type", "bridge"]);
    lab.inside.ip(&["link", "set", "docker0", "up"]);
    lab.address("add", "172.17.0.1/16", "docker0");
    wait::until("the peer is asked", || match questions() {
        more if more > before => Ok(()),
        same => Err(same),
    });
    // Long enough for the question to have had no answer.
    let deadline = now() + Duration::from_secs(3);
    wait::until("it goes on", || {
        if now() > deadline { Ok(()) } else { Err(()) }
    });
    let stderr = lab.adit.stderr();
    assert!(!stderr.contains("connection ended"), "{stderr}");
    let asked = questions() - before;
    // A bridge that is made, brought up, given an address, and gives itself another: on a busy machine each is a
    // change by itself. A visitor's first bytes bring questions of their own.
    assert!((1..=6).contains(&asked), "{asked} questions");
    let (_, bind) = ups[0].split_once("forward up: ").unwrap_or_default();
    let (bind, _) = bind.split_once(' ').unwrap_or_default();
    let bind: SocketAddr = bind.parse().unwrap_or_else(|_| panic!("{ups:?}"));
    let visitor = lab.public.enter(|| TcpStream::connect(bind));
    speak(visitor.unwrap_or_else(|error| panic!("{error}")));
}
