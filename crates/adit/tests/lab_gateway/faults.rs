//! A gateway that is short of descriptors, of room for its data, or without its database.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_testkit::mariadb::MariaDb;
use adit_testkit::namespace::Namespace;
use adit_testkit::postgres::Postgres;
use adit_testkit::process::{self, Process};
use adit_testkit::{measure, require, wait};
use rustix::process::{Pid, Signal};

use crate::lab::{Gateway, Machine, Plan, forward, hello, now, pass, print, read};

const PORT: u16 = 10_001;
/// A port that nobody has held yet.
const OTHER: u16 = 10_002;

/// The gateway's own process, below whatever started it.
fn program(gateway: &Gateway) -> Pid {
    let tree = process::tree(gateway.process.id());
    *tree.last().unwrap()
}

#[test]
fn without_descriptors_it_says_so_rests_and_recovers() {
    require!(root);
    require!("ip", "nsenter", "ssh", "ssh-keygen", "prlimit");
    let public = Namespace::new();
    let machine = Machine::new(&public, "box");
    let plan = Plan {
        owners: 1,
        prefix: &["prlimit", "--nofile=64:64"],
        ..Plan::default()
    };
    let gateway = Gateway::start(&public, &plan);
    let words = ["-R", &forward(PORT)];
    let mut ssh = Process::spawn(&mut gateway.ssh(&machine, 0, &words));
    gateway.answers(PORT, &hello("box"));
    let crowd = |port: u16, count: usize| -> Vec<TcpStream> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let connect = || {
            (0..count)
                .map(|_| TcpStream::connect(addr).unwrap())
                .collect()
        };
        gateway.namespace.enter(connect)
    };
    let crowds = [crowd(2_222, 100), crowd(PORT, 100)];
    gateway.said(&["descriptors", "open files"]);
    let pid = program(&gateway);
    let before = measure::cpu_time(pid).unwrap();
    pass(Duration::from_secs(3));
    let used = measure::cpu_time(pid).unwrap() - before;
    print(&format!(
        "without descriptors: {used:.2?} of processor time in 3 s"
    ));
    assert!(used < Duration::from_millis(600), "{used:?}");
    drop(crowds);
    gateway.answers(PORT, &hello("box"));
    assert_eq!(
        ssh.exit_status(),
        None,
        "the tunnel lives: {}",
        ssh.stderr()
    );
}

#[test]
fn with_a_full_disk_an_owner_has_its_port_again_and_nobody_gets_a_new_one() {
    require!(root);
    require!("ip", "nsenter", "ssh", "ssh-keygen", "unshare", "mount");
    let public = Namespace::new();
    let machine = Machine::new(&public, "box");
    let plan = Plan {
        owners: 2,
        prefix: &["unshare", "--mount", "sh", "-c", SMALL, "small"],
        ..Plan::default()
    };
    let gateway = Gateway::start(&public, &plan);
    let words = ["-R", &forward(PORT)];
    let mut ssh = Process::spawn(&mut gateway.ssh(&machine, 0, &words));
    gateway.answers(PORT, &hello("box"));
    // The disk as the gateway sees it.
    let root = PathBuf::from(format!("/proc/{}/root", program(&gateway).as_raw_nonzero()));
    let data = root.join(gateway.data().strip_prefix("/").unwrap());
    let filler = data.join("filler");
    let error = std::io::copy(
        &mut std::io::repeat(0),
        &mut std::fs::File::create(&filler).unwrap(),
    );
    assert_eq!(error.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    ssh.kill();
    let _ssh = Process::spawn(&mut gateway.ssh(&machine, 0, &words));
    gateway.answers(PORT, &hello("box"));
    let new = refused(&gateway, &machine);
    print(&format!("with a full disk: {new}"));
    std::fs::remove_file(&filler).unwrap();
    granted(&gateway, &machine);
}

#[test]
fn without_postgresql_for_a_minute_an_owner_has_its_port_again_and_nobody_gets_a_new_one() {
    require!(root);
    require!("ip", "nsenter", "ssh", "ssh-keygen");
    require!(postgres);
    let public = Namespace::new();
    let postgres = Postgres::builder().start_in(&public, Ipv4Addr::LOCALHOST.into());
    let url = "postgres://postgres@127.0.0.1:5432/postgres";
    let data = postgres.socket_path().with_file_name("data");
    without(
        &public,
        url,
        &data.join("postmaster.pid"),
        Duration::from_secs(60),
    );
}

#[test]
fn without_mariadb_an_owner_has_its_port_again_and_nobody_gets_a_new_one() {
    require!(root);
    require!("ip", "nsenter", "ssh", "ssh-keygen");
    require!("mariadbd", "mariadb-install-db", "mariadb");
    let public = Namespace::new();
    let mariadb = MariaDb::builder().start_in(&public, Ipv4Addr::LOCALHOST.into());
    mariadb.query(
        "CREATE DATABASE adit; CREATE USER adit@'127.0.0.1'; GRANT ALL ON adit.* TO adit@'127.0.0.1'",
    );
    let url = "mysql://adit@127.0.0.1:3306/adit";
    let pid = mariadb.socket_path().with_file_name("pid");
    without(&public, url, &pid, Duration::ZERO);
}

/// A gateway whose database hangs for so long at least; `pid` is the file with its process.
fn without(public: &Namespace, url: &str, pid: &Path, gone: Duration) {
    let machine = Machine::new(public, "box");
    let plan = Plan {
        owners: 2,
        database: Some(url),
        ..Plan::default()
    };
    let gateway = Gateway::start(public, &plan);
    let words = ["-R", &forward(PORT)];
    let mut ssh = Process::spawn(&mut gateway.ssh(&machine, 0, &words));
    gateway.answers(PORT, &hello("box"));
    let server = processes(pid);
    process::signal_all(&server, Signal::STOP);
    ssh.kill();
    let start = now();
    let mut ssh = Process::spawn(&mut gateway.ssh(&machine, 0, &words));
    gateway.answers(PORT, &hello("box"));
    let took = start.elapsed();
    print(&format!(
        "without its database: a known port is back after {:.2} s",
        took.as_secs_f64()
    ));
    let new = refused(&gateway, &machine);
    print(&format!("without its database: {new}"));
    pass(gone.saturating_sub(start.elapsed()));
    // At the end of it as at its beginning.
    ssh.kill();
    let _ssh = Process::spawn(&mut gateway.ssh(&machine, 0, &words));
    gateway.answers(PORT, &hello("box"));
    process::signal_all(&server, Signal::CONT);
    granted(&gateway, &machine);
}

/// All processes of a database, whose first one is in that file.
fn processes(file: &Path) -> Vec<Pid> {
    let text = read(file);
    let pid = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok());
    process::tree(pid.and_then(Pid::from_raw).unwrap())
}

/// Asks for ports that nobody has had until one is refused; what the gateway says of that.
fn refused(gateway: &Gateway, machine: &Machine) -> String {
    let words: Vec<String> = (0..8).map(|more| forward(OTHER + more)).collect();
    let words: Vec<&str> = words
        .iter()
        .flat_map(|word| ["-R", word.as_str()])
        .collect();
    // The gateway takes its time over it, and an ssh that asks for a sign of life meanwhile waits for its turn.
    let words = [&["-o", "ServerAliveInterval=30"], words.as_slice()].concat();
    let mut ssh = gateway.ssh(machine, 1, &words);
    let mut ssh = Process::spawn(&mut ssh);
    let status = wait::until("an ssh that is refused ends", || {
        let status = ssh.exit_status();
        status.ok_or_else(|| (ssh.stderr(), gateway.process.stderr()))
    });
    assert!(!status.success());
    assert!(
        ssh.stderr().contains("remote port forwarding failed"),
        "{}",
        ssh.stderr()
    );
    gateway.said(&["forward is refused"])
}

/// New ports are to be had again.
fn granted(gateway: &Gateway, machine: &Machine) {
    let words = ["-R", &forward(10_900)];
    let _ssh = Process::spawn(&mut gateway.looped(machine, 1, &words));
    gateway.answers(10_900, &hello("box"));
}

/// Runs a gateway whose data directory, the word behind `--data`, is a small disk of its own.
const SMALL: &str = r#"
dir= last=
for word; do [ "$last" = --data ] && dir=$word; last=$word; done
mkdir -m 700 "$dir" && mount -t tmpfs -o size=2m,mode=0700 none "$dir" && exec "$@"
"#;
