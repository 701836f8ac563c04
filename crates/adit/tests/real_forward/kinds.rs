//! Every kind of forward to one target, from and to ports and Unix sockets.

use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixListener, UnixStream};

use adit_testkit::echo::{named_service, serve_unix};

use super::*;

/// A visitor's socket, or a service's.
trait Socket: Read + Write {
    fn finish(&self);
}

impl Socket for TcpStream {
    fn finish(&self) {
        self.shutdown(Shutdown::Write).unwrap();
    }
}

impl Socket for UnixStream {
    fn finish(&self) {
        self.shutdown(Shutdown::Write).unwrap();
    }
}

/// What is up, as adit says it: the words before `forward up`, and the bind, as often as it was said.
fn said(adit: &Process) -> Vec<(String, String)> {
    let stderr = adit.stderr();
    let lines = stderr.lines().filter_map(|line| {
        let (kind, rest) = line.split_once("forward up: ")?;
        let (bind, _) = rest.split_once(" -> ")?;
        let is_kind = ["", "local ", "dynamic "].contains(&kind);
        is_kind.then(|| (kind.to_owned(), bind.to_owned()))
    });
    lines.collect()
}

pub(super) fn wait_for_said(adit: &mut Process, count: usize) -> Vec<(String, String)> {
    wait::until("forwards that are up", || {
        let said = said(adit);
        match adit.exit_status() {
            Some(status) => panic!("adit ended ({status}): {}", adit.stderr()),
            None if said.len() >= count => Ok(said),
            None => Err(adit.stderr()),
        }
    })
}

/// Visits a port or a path, finishes what is sent and gives what comes back.
fn ask(bind: &str, sent: &[u8]) -> Vec<u8> {
    let mut visitor: Box<dyn Socket> = if bind.starts_with('/') {
        let visitor = UnixStream::connect(bind).unwrap();
        visitor.set_read_timeout(Some(wait::DEADLINE)).unwrap();
        Box::new(visitor)
    } else {
        let visitor = TcpStream::connect(bind).unwrap();
        visitor.set_read_timeout(Some(wait::DEADLINE)).unwrap();
        Box::new(visitor)
    };
    visitor.write_all(sent).unwrap();
    visitor.finish();
    let mut got = Vec::new();
    visitor.read_to_end(&mut got).unwrap();
    got
}

/// Visits an echo service.
fn exchange(bind: &str, sent: &[u8]) {
    let got = ask(bind, sent);
    assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
}

fn bytes(length: u32, seed: u32) -> Vec<u8> {
    let words = (0..length).map(|word| word.wrapping_mul(seed | 1));
    words.flat_map(u32::to_be_bytes).collect()
}

#[test]
fn every_kind_carries_bytes_both_ways_and_half_by_half() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (service, port) = (path("service"), echo_service());
    serve_unix(UnixListener::bind(Path::new(&service)).unwrap());
    let key = key(&sshd);
    for (option, kind) in [("-R", ""), ("-L", "local ")] {
        for forward in [
            format!("127.0.0.1:0:127.0.0.1:{port}"),
            format!("127.0.0.1:0:{service}"),
            format!("{}:127.0.0.1:{port}", path(&format!("to-port{option}"))),
            format!("{}:{service}", path(&format!("to-path{option}"))),
        ] {
            let arguments = ["-i", &key, option, &forward];
            let mut adit = adit(&sshd, &sshd.known_hosts_path(), &arguments);
            let said = wait_for_said(&mut adit, 1);
            let (word, bind) = &said[0];
            assert_eq!(word, kind, "{forward}");
            for length in [0, 1, 250_000] {
                exchange(bind, &bytes(length, 1));
            }
            if bind.starts_with('/') && option == "-L" {
                let mode = std::fs::metadata(bind).unwrap().mode();
                assert_eq!(mode & 0o777, 0o600, "{bind}");
            }
            adit.signal(Signal::TERM);
            let status = adit.wait(wait::DEADLINE);
            assert!(status.success(), "{status}: {}", adit.stderr());
            assert!(
                option == "-R" || !Path::new(bind).exists(),
                "{bind} is left"
            );
        }
    }
}

/// Each service answers with its own name, so that a byte that went astray would be seen.
#[test]
fn many_forwards_of_one_connection_do_not_mix() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let folder = tempfile::tempdir().unwrap();
    let key = key(&sshd);
    let mut arguments = vec![String::from("-i"), key];
    for number in 0..6 {
        let option = if number % 2 == 0 { "-L" } else { "-R" };
        let bind = match number {
            0..4 => String::from("127.0.0.1:0"),
            _ => folder
                .path()
                .join(number.to_string())
                .to_str()
                .unwrap()
                .to_owned(),
        };
        let forward = format!("{bind}:127.0.0.1:{}", named_service());
        arguments.extend([option.to_owned(), forward]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut adit = adit(&sshd, &sshd.known_hosts_path(), &arguments);
    wait_for_said(&mut adit, 6);
    let stderr = adit.stderr();
    let ups: Vec<(&str, &str)> = stderr
        .lines()
        .filter_map(|line| line.split_once("forward up: ")?.1.split_once(" -> "))
        .collect();
    assert_eq!(ups.len(), 6, "{stderr}");
    thread::scope(|scope| {
        for (bind, target) in &ups {
            for visit in 0..8 {
                scope.spawn(move || ask_for_name(bind, target, visit));
            }
        }
    });
    assert_eq!(sshd.connection_count(), 1);
}

fn ask_for_name(bind: &str, target: &str, seed: u32) {
    let sent = bytes(20_000, seed);
    let got = ask(bind, &sent);
    let (_, port) = target.rsplit_once(':').unwrap();
    let expected = [&sent[..], port.as_bytes()].concat();
    assert!(got == expected, "{} bytes from {bind}", got.len());
}

#[test]
fn a_local_port_outlives_its_connection_and_who_comes_meanwhile_is_served() {
    require!("sshd");
    let mut sshd = Sshd::builder().start();
    let forward = format!("127.0.0.1:0:127.0.0.1:{}", echo_service());
    let key = key(&sshd);
    let arguments = ["-i", &key, "-L", &forward];
    let mut adit = adit(&sshd, &sshd.known_hosts_path(), &arguments);
    let (_, bind) = wait_for_said(&mut adit, 1).remove(0);
    exchange(&bind, b"before");
    sshd.close_port();
    sshd.kill_connections();
    adit.wait_for_text("connection ended");
    thread::scope(|scope| {
        let early = scope.spawn(|| exchange(&bind, b"meanwhile"));
        sshd.open_port();
        early.join().unwrap();
    });
    exchange(&bind, b"after");
    assert_eq!(wait_for_said(&mut adit, 2)[1].1, bind);
}

/// A socket's file tells nothing about who listens there; asking does.
#[test]
fn a_socket_that_a_killed_adit_left_is_replaced_and_one_in_use_is_not() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("here").to_str().unwrap().to_owned();
    let forward = format!("{here}:127.0.0.1:{}", echo_service());
    let (key, known_hosts) = (key(&sshd), sshd.known_hosts_path());
    let arguments = ["-i", &key, "-L", &forward];
    let mut killed = adit(&sshd, &known_hosts, &arguments);
    wait_for_said(&mut killed, 1);
    killed.kill();
    assert!(Path::new(&here).exists(), "nobody cleaned up");
    let mut second = adit(&sshd, &known_hosts, &arguments);
    wait_for_said(&mut second, 1);
    let mut third = adit(&sshd, &known_hosts, &arguments);
    assert_eq!(third.wait(wait::DEADLINE).code(), Some(1));
    let stderr = third.stderr();
    let holder = format!("which adit (process {}) holds", second.id().as_raw_pid());
    assert!(stderr.contains(&holder), "{stderr}");
    exchange(&here, b"question");
}

/// A stock sshd leaves the socket of a connection that has ended, and takes it back if it is told to.
#[test]
fn a_socket_at_the_sshd_comes_back_after_a_cut_where_the_sshd_lets_it() {
    require!("sshd");
    let sshd = Sshd::builder()
        .config_line("StreamLocalBindUnlink yes")
        .start();
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("there").to_str().unwrap().to_owned();
    let forward = format!("{there}:127.0.0.1:{}", echo_service());
    let key = key(&sshd);
    let arguments = ["-i", &key, "-R", &forward];
    let mut adit = adit(&sshd, &sshd.known_hosts_path(), &arguments);
    wait_for_said(&mut adit, 1);
    exchange(&there, b"before");
    sshd.kill_connections();
    wait_for_said(&mut adit, 2);
    exchange(&there, b"after");
}

#[test]
fn every_address_may_be_of_ipv6() {
    require!("sshd");
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        println!("skip: this machine has no IPv6");
        return;
    };
    let target = listener.local_addr().unwrap();
    thread::spawn(move || {
        for visitor in listener.incoming() {
            let mut visitor = visitor.unwrap();
            let mut bytes = Vec::new();
            if visitor.read_to_end(&mut bytes).is_ok() {
                drop(visitor.write_all(&bytes));
            }
        }
    });
    let sshd = Sshd::builder().start();
    let forward = format!("[::1]:0:{target}");
    let key = key(&sshd);
    let arguments = ["-i", &key, "-R", &forward, "-L", &forward];
    let mut adit = adit(&sshd, &sshd.known_hosts_path(), &arguments);
    for (_, bind) in wait_for_said(&mut adit, 2) {
        assert!(bind.starts_with("[::1]:"), "{bind}");
        exchange(&bind, b"question");
    }
}

/// The sshd says no to all that we open there; what it opens here goes on.
#[test]
fn what_the_sshd_does_not_allow_is_told_in_its_words() {
    require!("sshd");
    let sshd = Sshd::builder()
        .config_line("AllowTcpForwarding remote")
        .start();
    let service = format!("127.0.0.1:0:127.0.0.1:{}", echo_service());
    let key = key(&sshd);
    let arguments = ["-i", &key, "-L", &service, "-R", &service];
    let mut adit = adit(&sshd, &sshd.known_hosts_path(), &arguments);
    let said = wait_for_said(&mut adit, 1);
    let mut visitor = TcpStream::connect(&said[0].1).unwrap();
    visitor.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    assert!(visitor.read(&mut [0]).is_err());
    adit.wait_for_text("administratively prohibited");
    // Nor does it let a probe through, so nobody knows whether visitors are; it is not called up.
    let stderr = adit.wait_for_text("forward bound, path not checked");
    let line = stderr
        .lines()
        .find(|line| line.starts_with("forward bound"));
    let (_, forward) = line.unwrap().rsplit_once("): ").unwrap();
    let (bind, _) = forward.split_once(" -> ").unwrap();
    exchange(bind, b"question");
}

/// A peer that does not reach its service, or may not, closes that one visitor.
#[test]
fn a_target_that_is_down_resets_its_visitor_alone_and_the_reason_is_told() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = closed.local_addr().unwrap();
    drop(closed);
    let down = format!("127.0.0.1:0:{nobody}");
    let alive = format!("127.0.0.1:0:127.0.0.1:{}", echo_service());
    let key = key(&sshd);
    let arguments = ["-i", &key, "-L", &down, "-L", &alive];
    let mut adit = adit(&sshd, &sshd.known_hosts_path(), &arguments);
    let said = wait_for_said(&mut adit, 2);
    let mut visitor = TcpStream::connect(&said[0].1).unwrap();
    visitor.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    let error = visitor.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let stderr = adit.wait_for_text("visitor was turned away");
    assert!(stderr.contains("Connection refused"), "{stderr}");
    exchange(&said[1].1, b"alive");
    assert_eq!(sshd.connection_count(), 1);
}

#[test]
fn a_local_port_that_is_held_ends_it_and_its_holder_is_named() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = holder.local_addr().unwrap();
    let forward = format!("{addr}:localhost:1");
    let key = key(&sshd);
    let arguments = ["-i", &key, "-L", &forward];
    let mut adit = adit(&sshd, &sshd.known_hosts_path(), &arguments);
    assert_eq!(adit.wait(wait::DEADLINE).code(), Some(1));
    let stderr = adit.stderr();
    let own = format!("(process {})", std::process::id());
    let expected = format!("adit: cannot listen on {addr}, which ");
    let last = stderr.lines().last().unwrap();
    assert!(
        last.starts_with(&expected) && last.contains(&own),
        "{stderr}"
    );
    assert_eq!(sshd.connection_count(), 0, "it never connected");
}

#[test]
fn forwards_of_the_configuration_are_set_up_too() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, echo) = (free.local_addr().unwrap().port(), echo_service());
    drop(free);
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    let config = folder.path().join("config");
    let text = format!(
        "LocalForward {} 127.0.0.1:{echo}\nDynamicForward 127.0.0.1:{port}\n\
         RemoteForward {} 127.0.0.1:{echo}\n",
        here.display(),
        there.display(),
    );
    std::fs::write(&config, text).unwrap();
    let (key, known_hosts) = (key(&sshd), sshd.known_hosts_path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command
        .args([
            "forward",
            "-i",
            &key,
            "-p",
            &sshd.addr().port().to_string(),
            "-F",
        ])
        .arg(&config)
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
        .arg(format!("{}@{}", sshd.user(), sshd.addr().ip()));
    let mut adit = Process::spawn(&mut command);
    let said = wait_for_said(&mut adit, 3);
    let up = |word: &str, bind: String| (word.to_owned(), bind);
    let expected = [
        up("local ", here.display().to_string()),
        up("dynamic ", format!("127.0.0.1:{port}")),
        up("", there.display().to_string()),
    ];
    assert_eq!(said, expected);
    for (_, bind) in [&said[0], &said[2]] {
        exchange(bind, b"question");
    }
    assert!(!adit.stderr().contains("does not use"), "{}", adit.stderr());
}
