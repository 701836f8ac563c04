//! Seed 004 with containers: a primary database behind NAT, its replica in the cloud, one docker each, and between them
//! compose.client.yml and compose.server.yml (AT34). The line is cut, and the client is made anew elsewhere: the replica
//! has all within five seconds of the line's return, and nobody gives a command (AT31). `ADIT_CUT` is the length of the
//! cut in seconds, 10 if nothing is said.

use std::time::{Duration, Instant};

use adit_testkit::namespace::Namespace;
use adit_testkit::{require, wait};

use crate::ground::{Site, host_key, require_docker, root};

/// How soon after the line the replica must have all.
const SOON: Duration = Duration::from_secs(5);
/// What makes a database and runs it. Nothing of it outlives the test.
const DATABASE: &str = "mariadb-install-db --no-defaults --skip-test-db --auth-root-authentication-method=normal --user=root \
                        --datadir=/var/db --debug-no-sync >/tmp/install 2>&1 || { cat /tmp/install; exit 1; }
exec mariadbd --no-defaults --user=root --datadir=/var/db --socket=/tmp/db.sock --debug-no-sync --innodb-buffer-pool-size=16M";

/// A host with a docker, and a database in its network `wp`.
struct Side {
    site: Site,
    database: &'static str,
}

impl Side {
    fn new(
        host: &Namespace,
        program: &std::path::Path,
        database: &'static str,
        options: &str,
    ) -> Self {
        let site = Site::new(host, program);
        site.docker.run(&["network", "create", "wp"]);
        site.start(
            database,
            "wp",
            &["sh", "-c", &format!("{DATABASE} {options}")],
        );
        Self { site, database }
    }

    fn wait_for_database(&self) {
        wait::until_within(wait::DEADLINE * 2, "a database that answers", || {
            let output = self
                .site
                .docker
                .output(&query_words(self.database, "SELECT 1"));
            if output.status.success() {
                Ok(())
            } else {
                Err(self.site.docker.log(self.database))
            }
        });
    }

    #[track_caller]
    fn query(&self, statements: &str) -> String {
        self.site
            .docker
            .run(&query_words(self.database, statements))
    }
}

fn query_words<'a>(database: &'a str, statements: &'a str) -> [&'a str; 9] {
    let client = ["exec", database, "mariadb", "--no-defaults", "--user=root"];
    let [exec, database, program, defaults, user] = client;
    let [socket, batch, execute] = ["--socket=/tmp/db.sock", "-BN", "--execute"];
    [
        exec, database, program, defaults, user, socket, batch, execute, statements,
    ]
}

/// The guide's block that begins with this word.
fn statements(first: &str) -> String {
    let text = std::fs::read_to_string(root().join("docs/guide/database-replica.md")).unwrap();
    let mut blocks = text
        .split("```sql\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap());
    blocks
        .find(|block| block.starts_with(first))
        .unwrap()
        .to_owned()
}

/// The options that the guide gives a server.
fn options(server: &str) -> String {
    let text = std::fs::read_to_string(root().join("docs/guide/database-replica.md")).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("| {server} | `")))
        .unwrap();
    line.split('`').nth(1).unwrap().to_owned()
}

/// Both sides, and the tunnel between them.
struct Pair {
    home: Side,
    cloud: Side,
    pin: String,
    uid: String,
}

impl Pair {
    fn new(program: &std::path::Path) -> Self {
        let (home, cloud) = (Namespace::new(), Namespace::new());
        let subnet = cloud.join(&home);
        let home = Side::new(&home, program, "master-db", &options("Primary"));
        let cloud = Side::new(&cloud, program, "slave-db", &options("Replica"));
        let uid = String::from("1000");
        let key = home.site.key("client", &uid);
        cloud.site.let_in(&[&key]);
        home.site.write(
            "ssh-client/config",
            &format!(
                "Host remote-server\n  HostName {}\n  Port 2222\n  User backup\n  IdentityFile ~/.ssh/id_ed25519\n",
                subnet.v4(1)
            ),
        );
        home.site.give("ssh-client", &uid);
        let server = [("DATABASE_NETWORK", "wp")];
        cloud
            .site
            .compose("compose.server.yml", &["up", "--detach"], &server);
        let log = cloud
            .site
            .docker
            .wait_for_log("test_adit-server_1", "try: ssh");
        let pair = Self {
            home,
            cloud,
            pin: host_key(&log),
            uid,
        };
        pair.up();
        pair
    }

    fn client(&self, words: &[&str]) {
        let folder = self.home.site.shown("ssh-client");
        let variables = [
            ("ADIT_UID", self.uid.as_str()),
            ("DATABASE_NETWORK", "wp"),
            ("SSH_CONFIG_NAME", "remote-server"),
            ("SSH_REVERSE_HOST", "master-db"),
            ("ADIT_HOST_KEY", &self.pin),
            ("SSH_FOLDER", &folder),
        ];
        self.home
            .site
            .compose("compose.client.yml", words, &variables);
    }

    fn up(&self) {
        self.client(&["up", "--detach"]);
    }

    fn replicate(&self) {
        for side in [&self.home, &self.cloud] {
            side.wait_for_database();
        }
        self.home.query(&statements("CREATE USER"));
        self.home.query(
            "CREATE DATABASE lab; CREATE TABLE lab.entry (n BIGINT AUTO_INCREMENT PRIMARY KEY, text CHAR(36))",
        );
        self.home
            .site
            .docker
            .wait_for_log(CLIENT, "3306 -> master-db:3306");
        self.cloud.query(&statements("CHANGE MASTER"));
        self.write();
        self.wait_for_copy(wait::DEADLINE);
    }

    fn write(&self) {
        self.home
            .query("INSERT INTO lab.entry (text) VALUES (UUID())");
    }

    /// Waits until the replica has all that the primary has.
    #[track_caller]
    fn wait_for_copy(&self, within: Duration) {
        let last = "SELECT COALESCE(MAX(n), 0) FROM lab.entry";
        let written = self.home.query(last);
        wait::until_within(within, "the replica has it all", || {
            let output = self
                .cloud
                .site
                .docker
                .output(&query_words("slave-db", last));
            let copied = String::from_utf8_lossy(&output.stdout)
                .trim_end()
                .to_owned();
            if copied == written {
                return Ok(());
            }
            let state = self.cloud.query("SHOW SLAVE STATUS\\G");
            let rows = state
                .lines()
                .filter(|line| line.contains("_State") || line.contains("Last_IO"));
            let client = self.home.site.docker.log(CLIENT);
            Err((copied, rows.collect::<String>(), client))
        });
    }

    /// Says how long the replica took, after what.
    #[track_caller]
    fn measure(&self, what: &str) {
        let start = Instant::now();
        self.wait_for_copy(SOON);
        eprintln!(
            "{what}: the replica had all {} ms after",
            start.elapsed().as_millis()
        );
    }
}

/// The client's container, as docker-compose calls it.
const CLIENT: &str = "test_adit-client_1";

/// How long the line is cut.
fn cut() -> Duration {
    let seconds = std::env::var("ADIT_CUT")
        .ok()
        .and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(10))
}

#[test]
fn seed_004_at34_at31_a_replica_catches_up_after_a_cut_and_after_a_new_client() {
    let program = require_docker!();
    require!("mariadbd", "mariadb-install-db", "mariadb");
    let pair = Pair::new(&program);
    pair.replicate();
    let docker = &pair.home.site.docker;

    docker.run(&["network", "disconnect", "wp", CLIENT]);
    let start = Instant::now();
    wait::until_within(cut() * 2, "the cut has lasted", || {
        pair.write();
        match start.elapsed() {
            elapsed if elapsed >= cut() => Ok(()),
            elapsed => Err(elapsed),
        }
    });
    docker.run(&["network", "connect", "wp", CLIENT]);
    pair.measure(&format!("a cut of {} s", cut().as_secs()));

    let before = docker.address(CLIENT, "wp");
    pair.client(&["rm", "--stop", "--force"]);
    pair.write();
    // Somebody else has its address.
    pair.home.site.start("squatter", "wp", &["sleep", "1000"]);
    pair.up();
    assert_ne!(docker.address(CLIENT, "wp"), before);
    pair.measure("a new client");
    assert_eq!(pair.home.query(CHECKSUM), pair.cloud.query(CHECKSUM));

    // What it is for: nobody who is no administrator writes there.
    let read_only = pair.cloud.query("SELECT @@read_only");
    assert_eq!(read_only, "1");
}

const CHECKSUM: &str = "CHECKSUM TABLE lab.entry";
