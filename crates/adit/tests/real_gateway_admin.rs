//! The commands that look after a gateway, with the program itself and stock ssh.
#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::port::Port;
use adit_testkit::process::Process;
use adit_testkit::{echo, require, wait};

/// What is taken away is gone within a second; five on a machine that does much else.
const GONE: Duration = Duration::from_secs(5);

/// A data directory with two ports for forwards, and the gateway that runs with it.
struct Gateway {
    folder: tempfile::TempDir,
    ports: [Port; 2],
    running: Option<(Process, SocketAddr)>,
}

impl Gateway {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            ports: [(); 2].map(|()| Port::reserve()),
            running: None,
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("gateway.yml")
    }

    fn port(&self, index: usize) -> u16 {
        self.ports[index].number()
    }

    fn key(&self, name: &str) -> KeyPair {
        KeyPair::generate(self.folder.path(), name, KeyKind::Ed25519)
    }

    fn start(&mut self) {
        let ports = format!("{},{}", self.port(0), self.port(1));
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command
            .args(["serve", "--ssh", "127.0.0.1:0", "--ports", &ports, "--data"])
            .arg(self.data());
        if self.config().exists() {
            command.arg("--config").arg(self.config());
        }
        let mut process = Process::spawn(&mut command);
        process.wait_for_text("try: ");
        let told = process.stderr();
        let start = "listening for ssh at ";
        let address = told.lines().find_map(|line| line.split_once(start));
        let (_, address) = address.unwrap_or_else(|| panic!("{told}"));
        self.running = Some((process, address.trim().parse().unwrap()));
    }

    fn stderr(&self) -> String {
        let running = self.running.as_ref();
        running.map_or_else(String::new, |(process, _)| process.stderr())
    }

    /// Exit status, standard output and standard error of a command.
    fn admin(&self, words: &[&str]) -> (ExitStatus, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command
            .args(words)
            .env("ADIT_DATA", self.data())
            .env_remove("ADIT_DATABASE_URL");
        let mut process = Process::spawn(&mut command);
        let status = process.wait(wait::DEADLINE);
        (status, process.stdout(), process.stderr())
    }

    /// Standard output of a command that does what it is told.
    #[track_caller]
    fn done(&self, words: &[&str]) -> String {
        let (status, stdout, stderr) = self.admin(words);
        assert!(
            status.success(),
            "{words:?}: {stdout}{stderr}\ngateway: {}",
            self.stderr()
        );
        stdout
    }

    /// Standard error of a command that fails.
    #[track_caller]
    fn refused(&self, words: &[&str]) -> String {
        let (status, stdout, stderr) = self.admin(words);
        assert_eq!(status.code(), Some(1), "{words:?}: {stdout}{stderr}");
        stderr
    }

    /// The lease of a port, as `lease list --json` has it.
    fn lease(&self, port: u16) -> Option<serde_json::Value> {
        let all = self.done(&["lease", "list", "--json"]);
        let all = all.lines().map(|line| serde_json::from_str(line).unwrap());
        let port = port.to_string();
        let mut all = all.filter(|row: &serde_json::Value| row["holding"] == *port);
        all.next()
    }

    #[track_caller]
    fn wait_for_lease(&self, port: u16, state: &str) -> serde_json::Value {
        wait::until(&format!("port {port} is {state}"), || {
            let lease = self.lease(port);
            match lease {
                Some(row) if row["state"] == state => Ok(row),
                other => Err((other, self.stderr())),
            }
        })
    }

    /// A stock ssh that forwards a port to a service here, and ends if it may not.
    fn ssh(&self, key: &KeyPair, port: u16, service: u16) -> Process {
        let (_, address) = self.running.as_ref().unwrap();
        let mut command = Command::new("ssh");
        command
            .args(["-N", "-F", "none", "-o", "IdentitiesOnly=yes", "-i"])
            .arg(key.private_path())
            .args(["-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes"])
            .args(["-o", "UserKnownHostsFile=/dev/null"])
            .args(["-o", "ExitOnForwardFailure=yes", "-R"])
            .arg(format!("{port}:127.0.0.1:{service}"))
            .args(["-p", &address.port().to_string(), "anybody@127.0.0.1"])
            .env_remove("SSH_AUTH_SOCK");
        Process::spawn(&mut command)
    }

    /// The same, once a visitor is served by it.
    #[track_caller]
    fn up(&self, key: &KeyPair, port: u16, service: u16) -> Process {
        let mut ssh = self.ssh(key, port, service);
        wait::until("a visitor is served", || {
            assert!(
                ssh.exit_status().is_none(),
                "{}\n{}",
                ssh.stderr(),
                self.stderr()
            );
            visit(port).ok_or_else(|| ssh.stderr())
        });
        ssh
    }
}

fn visit(port: u16) -> Option<()> {
    let mut visitor = TcpStream::connect(("127.0.0.1", port)).ok()?;
    visitor.set_read_timeout(Some(wait::DEADLINE)).ok()?;
    visitor.write_all(b"hello").ok()?;
    visitor.shutdown(Shutdown::Write).ok()?;
    let mut answer = Vec::new();
    visitor.read_to_end(&mut answer).ok()?;
    (answer == b"hello").then_some(())
}

fn fingerprint(key: &KeyPair) -> String {
    let mut command = Command::new("ssh-keygen");
    let output = command.arg("-lf").arg(key.public_path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(' ').nth(1).unwrap().to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn what_an_operator_takes_away_is_gone_within_a_second() {
    require!("ssh", "ssh-keygen");
    let mut gateway = Gateway::new();
    let (port, service) = (gateway.port(0), echo::service());
    let key = gateway.key("alice");
    let (public, fingerprint) = (key.public_path(), fingerprint(&key));
    let number = port.to_string();
    let let_in = |gateway: &Gateway| {
        gateway.done(&["key", "add", "alice", text(&public)]);
        gateway.done(&["grant", "add", "alice", "--ports", &number]);
    };
    // While no gateway runs.
    gateway.done(&["user", "add", "alice"]);
    let_in(&gateway);
    gateway.start();

    let gone = |what: &str, words: &[&str]| {
        let mut ssh = gateway.up(&key, port, service);
        // One who stays.
        let mut visitor = TcpStream::connect(("127.0.0.1", port)).unwrap();
        visitor.set_read_timeout(Some(GONE)).unwrap();
        let lease = gateway.wait_for_lease(port, "held");
        assert_eq!(lease["principal"], "alice", "{lease}");
        assert_eq!(lease["key"], *fingerprint, "{lease}");
        gateway.done(words);
        let start = Instant::now();
        ssh.wait(GONE);
        let rest = visitor.read(&mut [0; 1]);
        assert!(!matches!(rest, Ok(1..)), "{rest:?}");
        wait::until_within(GONE, "nobody listens", || {
            let connected = TcpStream::connect(("127.0.0.1", port));
            connected.map_or(Ok(()), Err)
        });
        println!("{what}: gone after {:?}", start.elapsed());
    };
    gone("grant", &["grant", "remove", "alice", "--ports", &number]);
    gateway.done(&["grant", "add", "alice", "--ports", &number]);
    gone("key", &["key", "remove", &fingerprint]);
    gateway.done(&["key", "add", "alice", text(&public)]);
    gone("user", &["user", "disable", "alice"]);
    gateway.done(&["user", "enable", "alice"]);
    gone("removed user", &["user", "remove", "alice"]);
    let stderr = gateway.refused(&["user", "show", "alice"]);
    assert!(stderr.contains("nobody is called alice"), "{stderr}");

    // Somebody of the same name is somebody else.
    gateway.done(&["user", "add", "alice"]);
    let_in(&gateway);
    let mut ssh = gateway.ssh(&key, port, service);
    assert!(!ssh.wait(wait::DEADLINE).success());
    assert!(
        ssh.stderr().contains("remote port forwarding failed"),
        "{}",
        ssh.stderr()
    );
}

#[test]
fn leases_are_shown_kept_from_others_and_freed() {
    require!("ssh", "ssh-keygen");
    let mut gateway = Gateway::new();
    let ([first, second], service) = ([gateway.port(0), gateway.port(1)], echo::service());
    let keys = ["alice", "bob"].map(|name| {
        let key = gateway.key(name);
        gateway.done(&["device", "add", name]);
        gateway.done(&["key", "add", name, text(&key.public_path())]);
        let ports = format!("{first},{second}");
        gateway.done(&["grant", "add", name, "--ports", &ports]);
        key
    });
    gateway.start();
    let refused = |key: &KeyPair, port: u16| {
        let mut ssh = gateway.ssh(key, port, service);
        assert!(!ssh.wait(wait::DEADLINE).success(), "{}", gateway.stderr());
    };

    // Whoever is cut off is waited for.
    let mut ssh = gateway.up(&keys[0], first, service);
    ssh.kill();
    let lease = gateway.wait_for_lease(first, "grace");
    assert!(lease["until"].is_string(), "{lease}");
    refused(&keys[1], first);
    // What ended is kept from others, until an operator says otherwise.
    gateway.done(&["device", "disable", "alice"]);
    gateway.wait_for_lease(first, "quarantine");
    refused(&keys[1], first);
    let table = gateway.done(&["lease", "list"]);
    for part in [first.to_string().as_str(), "alice", "quarantine"] {
        assert!(table.contains(part), "{part} is not in {table}");
    }
    gateway.done(&["lease", "remove", &first.to_string()]);
    assert_eq!(gateway.lease(first), None);
    let ssh = gateway.up(&keys[1], first, service);
    let shown = gateway.done(&["lease", "show", &first.to_string(), "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["principal"], "bob", "{shown}");
    assert_eq!(shown["user"], "anybody", "{shown}");
    // From its holder, too.
    gateway.done(&["lease", "remove", &first.to_string()]);
    drop(ssh);
    let stderr = gateway.refused(&["lease", "remove", "9"]);
    assert!(stderr.contains("nobody has 9"), "{stderr}");

    // A reservation keeps others out, and not its owner.
    gateway.done(&["device", "enable", "alice"]);
    gateway.done(&["reservation", "add", "alice", &second.to_string()]);
    let stderr = gateway.refused(&["reservation", "add", "bob", &second.to_string()]);
    assert!(stderr.contains("for alice"), "{stderr}");
    refused(&keys[1], second);
    drop(gateway.up(&keys[0], second, service));
    let all = gateway.done(&["reservation", "list", "--json"]);
    let one: serde_json::Value = serde_json::from_str(&all).unwrap();
    assert_eq!(one["ports"], second.to_string(), "{one}");
    let number = one["id"].to_string();
    gateway.done(&["reservation", "remove", &number]);
    assert_eq!(gateway.done(&["reservation", "list", "--json"]), "");
}

#[test]
fn a_key_is_of_one_principal_and_private_keys_are_not_taken() {
    require!("ssh-keygen");
    let mut gateway = Gateway::new();
    let key = gateway.key("alice");
    gateway.done(&["user", "add", "alice"]);
    gateway.done(&["device", "add", "red001"]);
    gateway.done(&["key", "add", "alice", text(&key.public_path())]);
    for is_running in [false, true] {
        if is_running {
            gateway.start();
        }
        let stderr = gateway.refused(&["key", "add", "red001", text(&key.public_path())]);
        assert!(stderr.contains("is alice's already"), "{stderr}");
        let stderr = gateway.refused(&["key", "add", "red001", text(key.private_path())]);
        assert!(stderr.contains("private key"), "{stderr}");
        let stderr = gateway.refused(&["user", "add", "red001"]);
        assert!(stderr.contains("red001 is taken"), "{stderr}");
        let stderr = gateway.refused(&["user", "show", "red001"]);
        assert!(stderr.contains("adit device"), "{stderr}");
        for words in [
            &["user", "list", "--json"][..],
            &["device", "show", "red001", "--json"],
            &["key", "list", "--json"],
            &["grant", "list", "--json"],
            &["audit", "list", "--json"],
        ] {
            let all = gateway.done(words);
            let rows = all
                .lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            assert!(rows.count() >= 1, "{words:?}: {all}");
            assert!(!all.contains("PRIVATE"), "{all}");
        }
    }
}

#[test]
fn bad_reload_refused_whole() {
    let mut gateway = Gateway::new();
    let stderr = gateway.refused(&["reload"]);
    assert!(stderr.contains("no gateway's data"), "{stderr}");
    let write = |text: &str| std::fs::write(gateway.config(), text).unwrap();
    write("drain: 5s\n");
    let config = gateway.config();
    gateway.done(&["user", "add", "alice"]);
    let stderr = gateway.refused(&["reload"]);
    assert!(stderr.contains("no gateway runs"), "{stderr}");
    gateway.start();
    let write = |text: &str| std::fs::write(&config, text).unwrap();
    assert!(gateway.done(&["reload"]).contains("read again"));
    for bad in ["drain: 5s\nnonsense: 1\n", "drain: [\n"] {
        write(bad);
        let stderr = gateway.refused(&["reload"]);
        assert!(stderr.contains("nothing is changed"), "{stderr}");
        assert!(stderr.contains("gateway.yml"), "{stderr}");
    }
    std::fs::set_permissions(&config, Permissions::from_mode(0o666)).unwrap();
    write("drain: 6s\n");
    let stderr = gateway.refused(&["reload"]);
    assert!(stderr.contains("chmod go-w"), "{stderr}");
    std::fs::set_permissions(&config, Permissions::from_mode(0o644)).unwrap();
    gateway.done(&["reload"]);
    let (process, _) = gateway.running.as_mut().unwrap();
    assert_eq!(process.exit_status(), None);
}

#[test]
fn another_user_gets_no_answer() {
    require!(root);
    require!("python3");
    let mut gateway = Gateway::new();
    gateway.start();
    let socket = gateway.data().join("control.sock");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&gateway.data()), 0o700);
    assert_eq!(mode(&socket) & 0o077, 0);
    // Even where somebody has opened all doors.
    for path in [gateway.folder.path(), &gateway.data(), &socket] {
        std::fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    }
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_UNIX)\n\
        s.connect(sys.argv[1])\n\
        try:\n\
        \x20   s.sendall(b'{\"verb\":\"order\",\"order\":{\"lease\":{\"list\":{}}}}\\n')\n\
        \x20   print(s.makefile().read())\n\
        except OSError:\n\
        \x20   pass\n";
    let ask = |uid: u32| {
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(&socket).uid(uid).gid(uid);
        let mut asker = Process::spawn(command.current_dir("/"));
        assert!(asker.wait(wait::DEADLINE).success(), "{}", asker.stderr());
        asker.stdout().trim().to_owned()
    };
    assert_eq!(ask(65_534), "");
    assert_eq!(ask(0), "{\"done\":null}");
}
