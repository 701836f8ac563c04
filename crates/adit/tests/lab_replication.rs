//! Databases that are copied through a tunnel, over a line that goes dark: the primary stands in a private
//! network, and its replica, on a public host with a stock sshd, reaches it by `adit forward -R` alone.
//!
//! The sshd never asks whether its peer is there (`ClientAliveInterval 0`), so it goes on holding the port
//! for a session that is dead. When the line is back nobody gives a command, and the replica has all that
//! was written meanwhile within five seconds. How long it took is printed. `ADIT_CUT` is the length of the
//! cut in seconds, 30 by default.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "times are measured and printed"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use adit_testkit::link::{End, Link};
use adit_testkit::mariadb::MariaDb;
use adit_testkit::namespace::Namespace;
use adit_testkit::postgres::Postgres;
use adit_testkit::process::Process;
use adit_testkit::sshd::Sshd;
use adit_testkit::{require, wait};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How soon after the line the replica must have all.
const SOON: Duration = Duration::from_secs(5);

/// The two hosts, the line between them, and the tunnel that leads a port of the public one to the same port
/// of the private one.
struct Lab {
    inside: Namespace,
    public: Namespace,
    link: Link,
    sshd: Sshd,
    port: u16,
}

impl Lab {
    fn new(port: u16) -> Self {
        let (inside, public) = (Namespace::new(), Namespace::new());
        let link = Link::new(&inside, &public, 1);
        let sshd = Sshd::builder()
            .config_line("ClientAliveInterval 0\nTCPKeepAlive no")
            .start_in(&public, link.ip(End::Right));
        Self {
            inside,
            public,
            link,
            sshd,
            port,
        }
    }

    /// Starts the tunnel, and waits until it is up.
    fn tunnel(&self) -> Process {
        let known_hosts = self.sshd.known_hosts_path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command
            .args(["forward", "-F", "none", "-i"])
            .arg(self.sshd.user_key().private_path())
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
            .arg("-R")
            .arg(format!("{0}:localhost:{0}", self.port))
            .arg(format!("{}@{}", self.sshd.user(), self.sshd.addr().ip()));
        let mut adit = Process::spawn(&mut self.inside.wrap(&command));
        adit.wait_for_text("forward up: ");
        adit
    }

    /// Where the replica finds the primary.
    fn primary(&self) -> SocketAddr {
        SocketAddr::new(LOOPBACK, self.port)
    }
}

/// Two databases, one the copy of the other.
trait Pair: Sync {
    /// Writes a row, and takes a moment for it.
    fn write(&self);
    /// The number of the last row of the primary.
    fn written(&self) -> u64;
    /// The number of the last row of the replica.
    fn copied(&self) -> u64;
    /// What the replica says of itself.
    fn state(&self) -> String;
    /// Checksums of both.
    fn checksums(&self) -> [String; 2];
}

/// Cuts the line while rows are written, mends it, and looks how long the replica takes.
fn cut_and_mend(what: &str, lab: &Lab, pair: &dyn Pair) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                pair.write();
            }
        });
        // Whatever fails in here, the writer ends.
        let _stop = Stop(&is_over);
        let catches_up = |within, with: u64| {
            wait::until_within(within, "the replica has it all", || match pair.copied() {
                copied if copied >= with => Ok(()),
                copied => Err(format!("{copied} of {with}: {}", pair.state())),
            });
        };
        catches_up(wait::DEADLINE, pair.written() + 1);

        lab.link.blackout_both();
        let (before, start) = (pair.written(), Instant::now());
        let cut = cut();
        wait::until_within(cut * 2, "the cut has lasted", || match start.elapsed() {
            elapsed if elapsed >= cut => Ok(()),
            elapsed => Err(elapsed),
        });
        let (copied, written) = (pair.copied(), pair.written());
        assert!(copied <= before, "nothing comes through a dark line");
        assert!(written > before + 10, "rows were written meanwhile");
        assert_eq!(lab.sshd.connection_count(), 1, "sshd has noticed nothing");

        let start = Instant::now();
        lab.link.restore();
        catches_up(wait::DEADLINE, written);
        let took = start.elapsed();
        println!(
            "{what}: line dark for {} s, {} rows behind, caught up {:.2} s after it was back",
            cut.as_secs(),
            written - copied,
            took.as_secs_f64(),
        );
        assert!(took <= SOON, "{took:?}");
    });
    let written = pair.written();
    wait::until("the last row is copied", || match pair.copied() {
        copied if copied == written => Ok(()),
        copied => Err(copied),
    });
    let [primary, replica] = pair.checksums();
    assert_eq!(primary, replica);
    println!("{what}: {written} rows, checksum {primary} on both sides");
}

/// Ends the writer.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn cut() -> Duration {
    let seconds = std::env::var("ADIT_CUT").map_or(30, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

/// A MariaDB and its replica.
struct MariaPair {
    primary: MariaDb,
    replica: MariaDb,
}

impl MariaPair {
    fn last(server: &MariaDb) -> u64 {
        let row = server.query("SELECT COALESCE(MAX(n), 0) FROM lab.entry");
        row.parse().unwrap()
    }

    fn checksum(server: &MariaDb) -> String {
        server.query("CHECKSUM TABLE lab.entry")
    }
}

impl Pair for MariaPair {
    fn write(&self) {
        let row = "INSERT INTO lab.entry (text) VALUES (UUID()); DO SLEEP(0.05)";
        self.primary.query(row);
    }

    fn written(&self) -> u64 {
        Self::last(&self.primary)
    }

    fn copied(&self) -> u64 {
        Self::last(&self.replica)
    }

    fn state(&self) -> String {
        let rows = ["Slave_IO_State", "Last_IO_Error", "Last_SQL_Error"];
        let words = rows.map(|name| self.replica.replica_status(name).unwrap_or_default());
        words.join("; ")
    }

    fn checksums(&self) -> [String; 2] {
        [&self.primary, &self.replica].map(Self::checksum)
    }
}

#[test]
fn a_mariadb_replica_catches_up_by_itself_after_a_dark_line() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    require!("mariadbd", "mariadb-install-db", "mariadb");
    let lab = Lab::new(MariaDb::PORT);
    let primary = MariaDb::builder()
        .option("--server-id=1")
        .option("--log-bin")
        .start_in(&lab.inside, LOOPBACK);
    primary.query(
        "CREATE DATABASE lab; \
         CREATE TABLE lab.entry (n BIGINT AUTO_INCREMENT PRIMARY KEY, text CHAR(36)); \
         CREATE USER replica@localhost IDENTIFIED BY 'secret'; \
         GRANT REPLICATION SLAVE ON *.* TO replica@localhost",
    );
    let replica = MariaDb::builder()
        .option("--server-id=2")
        // The primary beats half as often (5 s). By default the replica waits for a minute before it takes
        // a silent line for dead, which is long for one that need not be told of its end.
        .option("--slave-net-timeout=10")
        .start_in(&lab.public, lab.link.ip(End::Right));
    let _adit = lab.tunnel();
    replica.query(&format!(
        "CHANGE MASTER TO MASTER_HOST='{}', MASTER_PORT={}, MASTER_USER='replica', \
         MASTER_PASSWORD='secret', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1; START SLAVE",
        lab.primary().ip(),
        lab.primary().port(),
    ));
    wait::until("the replica has the table", || {
        let tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema='lab'";
        match replica.query(tables).as_str() {
            "1" => Ok(()),
            _ => Err(replica.replica_status("Last_IO_Error")),
        }
    });
    cut_and_mend("MariaDB", &lab, &MariaPair { primary, replica });
}

/// A PostgreSQL and its streaming replica.
struct PostgresPair {
    primary: Postgres,
    replica: Postgres,
}

impl PostgresPair {
    fn last(server: &Postgres) -> u64 {
        let row = server.query("SELECT COALESCE(MAX(n), 0) FROM entry");
        row.parse().unwrap()
    }

    fn checksum(server: &Postgres) -> String {
        server.query("SELECT md5(string_agg(n || ' ' || text, ',' ORDER BY n)) FROM entry")
    }
}

impl Pair for PostgresPair {
    fn write(&self) {
        self.primary
            .query("INSERT INTO entry (text) VALUES (gen_random_uuid()::text)");
        self.primary.query("SELECT pg_sleep(0.05)");
    }

    fn written(&self) -> u64 {
        Self::last(&self.primary)
    }

    fn copied(&self) -> u64 {
        Self::last(&self.replica)
    }

    fn state(&self) -> String {
        self.replica.log()
    }

    fn checksums(&self) -> [String; 2] {
        [&self.primary, &self.replica].map(Self::checksum)
    }
}

#[test]
fn a_postgres_replica_is_made_through_the_tunnel_and_catches_up_by_itself() {
    require!(root);
    require!(postgres);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let lab = Lab::new(Postgres::PORT);
    let primary = Postgres::builder().start_in(&lab.inside, LOOPBACK);
    primary.query("CREATE TABLE entry (n BIGSERIAL PRIMARY KEY, text TEXT)");
    let _adit = lab.tunnel();
    let replica = Postgres::builder()
        // As MASTER_CONNECT_RETRY=1 and slave_net_timeout of the other; the defaults are 5 s and 60 s.
        .setting("wal_retrieve_retry_interval=1s")
        .setting("wal_receiver_timeout=10s")
        .start_replica_in(&lab.public, lab.primary());
    cut_and_mend("PostgreSQL", &lab, &PostgresPair { primary, replica });
}
