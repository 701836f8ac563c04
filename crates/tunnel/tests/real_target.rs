//! Checks of targets at the real programs: what is found there, and what is left behind there.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot do without it says so"
)]

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use adit_testkit::mariadb::MariaDb;
use adit_testkit::namespace::Namespace;
use adit_testkit::postgres::Postgres;
use adit_testkit::process::Process;
use adit_testkit::sshd::Sshd;
use adit_testkit::{require, wait};
use adit_tunnel::agent::target::{DEADLINE, Health, Kind, check};
use adit_tunnel::transport::Target;

/// For a target that will not answer anyway.
const SHORT: Duration = Duration::from_millis(300);

fn tcp(host: impl Into<IpAddr>, port: u16) -> Target {
    Target::Tcp {
        host: host.into().to_string(),
        port,
    }
}

fn unix(path: &std::path::Path) -> Target {
    Target::Unix {
        path: path.to_str().unwrap().to_owned(),
    }
}

fn kind(text: &str) -> Kind {
    text.parse().unwrap()
}

/// Checks so often from inside a namespace, and gives what was found last.
fn check_in(namespace: &Namespace, text: &str, target: &Target, times: usize) -> Health {
    let (kind, target) = (kind(text), target.clone());
    let runtime = namespace.runtime();
    let checking = runtime.spawn(async move {
        let mut found = Health::Refused;
        for _ in 0..times {
            found = check(&kind, &target, DEADLINE).await;
        }
        found
    });
    runtime.block_on(checking).unwrap()
}

#[track_caller]
fn detail(health: &Health) -> &str {
    let Health::Well { detail, .. } = health else {
        panic!("{health}");
    };
    detail
}

#[track_caller]
fn said(health: &Health) -> &str {
    let Health::Ill { said } = health else {
        panic!("{health}");
    };
    said
}

/// Lines of a log with this in them.
fn count(log: &str, words: &str) -> usize {
    log.lines().filter(|line| line.contains(words)).count()
}

#[tokio::test]
async fn a_mariadb_at_a_unix_socket_is_well() {
    require!("mariadbd", "mariadb-install-db", "mariadb");
    let server = MariaDb::builder().start();
    let found = check(&kind("mysql"), &unix(&server.socket_path()), DEADLINE).await;
    let version = server.query("SELECT SUBSTRING_INDEX(VERSION(), '-', 1)");
    assert_eq!(detail(&found), format!("MariaDB {version}"));
}

#[test]
fn two_hundred_checks_do_not_make_mariadb_lock_their_host_out() {
    require!(root);
    require!(
        "ip",
        "nsenter",
        "unshare",
        "mariadbd",
        "mariadb-install-db",
        "mariadb"
    );
    let (agent, service) = (Namespace::new(), Namespace::new());
    let subnet = agent.join(&service);
    let (from, to) = (subnet.v4(1), subnet.v4(2));
    let server = MariaDb::builder()
        .option("--max-connect-errors=10")
        .option("--performance-schema=ON")
        // Only of hosts whose names it finds does it count errors.
        .hosts(&format!("127.0.0.1 localhost\n{from} agent.lab\n"))
        .start_in(&service, to.into());
    server.query("CREATE USER visitor@'%'");
    let target = tcp(to, MariaDb::PORT);
    let errors = || {
        let errors = server.query("SELECT SUM_CONNECT_ERRORS FROM performance_schema.host_cache");
        errors.parse::<u64>().unwrap()
    };

    let found = check_in(&agent, "mysql", &target, 200);
    assert!(detail(&found).starts_with("MariaDB "), "{found}");
    assert_eq!(errors(), 0);
    // What does remain, as the module says.
    let log = server.log();
    assert_eq!(count(&log, "Aborted connection"), 0, "{log}");
    assert_eq!(count(&log, "Access denied for user ''@'agent.lab'"), 200);
    assert_eq!(server.status("Aborted_connects"), 200);
    assert_eq!(server.status("Aborted_connects_preauth"), 0);

    // And this is what happens to whoever just goes.
    for _ in 0..10 {
        agent.enter(|| {
            let mut socket = TcpStream::connect((to, MariaDb::PORT)).unwrap();
            assert_eq!(socket.read(&mut [0]).unwrap(), 1);
        });
    }
    wait::until("the errors are counted", || match errors() {
        10 => Ok(()),
        other => Err(other),
    });
    let found = check_in(&agent, "mysql", &target, 1);
    assert!(said(&found).starts_with("1129: Host "), "{found}");
    server.query("FLUSH HOSTS");
    assert!(check_in(&agent, "mysql", &target, 1).is_well());
}

#[test]
fn a_mariadb_that_knows_no_such_host_says_so() {
    require!(root);
    require!("ip", "nsenter", "mariadbd", "mariadb-install-db", "mariadb");
    let (agent, service) = (Namespace::new(), Namespace::new());
    let to = agent.join(&service).v4(2);
    let server = MariaDb::builder()
        .option("--skip-name-resolve")
        .start_in(&service, to.into());
    let found = check_in(&agent, "mysql", &tcp(to, MariaDb::PORT), 1);
    assert!(said(&found).starts_with("1130: Host "), "{found}");
    drop(server);
}

#[tokio::test]
async fn a_postgres_at_a_unix_socket_is_well() {
    require!(postgres);
    let server = Postgres::builder().start();
    let found = check(&kind("postgres"), &unix(&server.socket_path()), DEADLINE).await;
    assert_eq!(detail(&found), "PostgreSQL");
}

#[test]
fn a_postgres_with_tls_or_without_logs_nothing_of_a_check() {
    require!(root);
    require!(postgres);
    require!("ip", "nsenter", "openssl");
    for builder in [Postgres::builder(), Postgres::builder().tls()] {
        let host = Namespace::new();
        let server = builder.start_in(&host, Ipv4Addr::LOCALHOST.into());
        // Whatever it says about its start is said when it serves.
        server.query("SELECT 1");
        let before = server.log();
        let target = tcp(Ipv4Addr::LOCALHOST, Postgres::PORT);
        let found = check_in(&host, "postgres", &target, 20);
        assert_eq!(detail(&found), "PostgreSQL");
        assert_eq!(server.log(), before);
    }
}

#[tokio::test]
async fn an_sshd_writes_one_line_for_a_check() {
    require!("sshd", "ssh-keygen");
    let sshd = Sshd::builder().config_line("LogLevel INFO").start();
    let target = tcp(sshd.addr().ip(), sshd.addr().port());
    for checks in 1..=3 {
        let found = check(&kind("ssh"), &target, DEADLINE).await;
        assert!(detail(&found).starts_with("SSH-2.0-OpenSSH_"), "{found}");
        wait::until("its connection has ended", || {
            match sshd.connection_count() {
                0 => Ok(()),
                other => Err(other),
            }
        });
        let log = sshd.log();
        assert_eq!(log.lines().count(), checks, "{log}");
        assert_eq!(count(&log, "Connection closed by"), checks, "{log}");
    }
    let found = check(&kind("http"), &target, DEADLINE).await;
    let Health::Wrong { heard } = found else {
        panic!("{found}");
    };
    assert!(heard.starts_with("SSH-2.0-OpenSSH_"), "{heard}");
}

#[test]
fn an_sshd_without_a_place_is_ill() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let host = Namespace::new();
    let sshd = Sshd::builder()
        .config_line("MaxStartups 1")
        // Of this keyword sshd 9.2 takes the last value, not the first.
        .last_config_lines("MaxStartups 1")
        .start_in(&host, Ipv4Addr::LOCALHOST.into());
    let mut first = host.enter(|| TcpStream::connect(sshd.addr()).unwrap());
    assert_eq!(first.read(&mut [0]).unwrap(), 1);
    let found = check_in(&host, "ssh", &tcp(Ipv4Addr::LOCALHOST, 22), 1);
    assert_eq!(said(&found), "Exceeded MaxStartups");
}

#[tokio::test]
async fn a_web_server_is_asked_for_a_page() {
    let python = require!("python3");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("health"), "fine\n").unwrap();
    let mut server = Process::spawn(
        Command::new(python)
            .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"])
            .arg("--directory")
            .arg(folder.path()),
    );
    let words = server.wait_for_text("Serving HTTP on 127.0.0.1 port ");
    let (_, port) = words.split_once(" port ").unwrap();
    let port = port.split(' ').next().unwrap().parse().unwrap();
    let target = tcp(Ipv4Addr::LOCALHOST, port);
    let found = async |text| check(&kind(text), &target, DEADLINE).await;
    assert_eq!(detail(&found("http").await), "HTTP 200");
    assert_eq!(detail(&found("http:/health").await), "HTTP 200");
    assert_eq!(
        said(&found("http://www.example.net/gone").await),
        "HTTP 404"
    );
    assert_eq!(detail(&found("tcp").await), "accepts");
    server.wait_for_text("\"GET /gone HTTP/1.1\" 404");

    // It does not speak before it is asked, as MySQL would.
    let found = check(&kind("mysql"), &target, SHORT).await;
    assert_eq!(found, Health::Hangs);
    let found = check(&kind("ssh"), &target, DEADLINE).await;
    assert!(matches!(found, Health::Wrong { .. }), "{found}");
}

#[tokio::test]
async fn a_target_that_is_not_there_refuses_and_one_that_never_answers_hangs() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = tcp(Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port());
    for text in ["http", "ssh", "mysql", "postgres"] {
        let found = check(&kind(text), &target, SHORT).await;
        assert_eq!(found, Health::Hangs, "{text}");
    }
    drop(listener);
    for text in ["tcp", "http", "ssh", "mysql", "postgres"] {
        let found = check(&kind(text), &target, SHORT).await;
        assert_eq!(found, Health::Refused, "{text}");
    }
}
