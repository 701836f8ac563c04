//! `adit up` and those that speak with it, against a stock sshd.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Output};

use adit_testkit::echo::service as echo_service;
use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::process::{Process, children};
use adit_testkit::sshd::Sshd;
use adit_testkit::{require, wait};
use rustix::process::Signal;
use serde_json::Value;

/// A home folder with an `adit.yml`, whose control sockets are its own.
struct Home {
    folder: tempfile::TempDir,
    sshd: Sshd,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700);
        builder.create(folder.path().join("run")).unwrap();
        Self {
            folder,
            sshd: Sshd::builder().start(),
        }
    }

    /// A tunnel of the file, in one line, to the sshd.
    fn tunnel(&self, name: &str, forwards: &str) -> String {
        self.tunnel_at(name, self.sshd.addr(), forwards)
    }

    fn tunnel_at(&self, name: &str, addr: SocketAddr, forwards: &str) -> String {
        format!(
            "  {name}: {{host: '{}@{}', port: {}, key: '{}', known_hosts: '{}', ssh_config: none, \
             probe: 1s, forwards: [{forwards}]}}\n",
            self.sshd.user(),
            addr.ip(),
            addr.port(),
            self.sshd.user_key().private_path().display(),
            self.sshd.known_hosts_path().display(),
        )
    }

    fn write(&self, tunnels: &[String]) -> PathBuf {
        let file = self.folder.path().join("adit.yml");
        std::fs::write(&file, format!("tunnels:\n{}", tunnels.concat())).unwrap();
        file
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("XDG_RUNTIME_DIR", self.folder.path().join("run"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn up(&self) -> Process {
        Process::spawn(&mut self.command(&["up"]))
    }

    /// Waits until the tunnels stand so.
    fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait::until(what, || {
            let output = self.run(&["status", "--json"]);
            let text = String::from_utf8(output.stdout).unwrap();
            match serde_json::from_str(&text) {
                Ok(report) if is_so(&report) => Ok(report),
                _ => Err(text),
            }
        })
    }
}

fn state(report: &Value, tunnel: usize, forward: usize) -> &str {
    report["tunnels"][tunnel]["forwards"][forward]["state"]
        .as_str()
        .unwrap_or_default()
}

/// Where visitors of a forward come to.
fn addr(report: &Value, tunnel: usize, forward: usize) -> SocketAddr {
    let address = &report["tunnels"][tunnel]["forwards"][forward]["address"];
    let text = address.as_str().unwrap();
    let (addr, _) = text.split_once(" at ").unwrap_or((text, ""));
    addr.replace("localhost", "127.0.0.1").parse().unwrap()
}

/// A visitor who sends, finishes and gets it all back.
fn visit(addr: SocketAddr) {
    let mut visitor = TcpStream::connect(addr).unwrap();
    visitor.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    visitor.write_all(b"question").unwrap();
    visitor.shutdown(Shutdown::Write).unwrap();
    let mut got = Vec::new();
    visitor.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"question");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_file_of_tunnels_is_kept_shown_and_ended() {
    require!("sshd");
    let home = Home::new();
    let port = echo_service();
    let file = home.write(&[
        home.tunnel("one", &format!("{{remote: '0:127.0.0.1:{port}'}}")),
        home.tunnel(
            "two",
            &format!("{{local: '127.0.0.1:0:127.0.0.1:{port}'}}, {{dynamic: '127.0.0.1:0'}}"),
        ),
    ]);
    let checked = home.run(&["check"]);
    assert_eq!(text(&checked.stdout), "adit.yml: tunnels 2, forwards 3\n");
    let mut up = home.up();
    let report = home.until("everything up", |report| {
        [(0, 0), (1, 0), (1, 1)]
            .iter()
            .all(|(tunnel, forward)| state(report, *tunnel, *forward) == "up")
    });
    assert_eq!(report["config"].as_str(), file.to_str());
    visit(addr(&report, 0, 0));
    visit(addr(&report, 1, 0));
    let report = home.until("visitors counted and gone", |report| {
        let forwards = [&report["tunnels"][0], &report["tunnels"][1]];
        forwards.iter().all(|tunnel| {
            let forward = &tunnel["forwards"][0];
            (&forward["visitors_total"], &forward["visitors"]) == (&1.into(), &0.into())
        })
    });
    let one = &report["tunnels"][0]["forwards"][0];
    assert_eq!(
        (&one["bytes_to_target"], &one["bytes_to_visitor"]),
        (&8.into(), &8.into())
    );
    assert!(one["round_trip_ms"].as_f64().unwrap() > 0.0);
    let shown = home.run(&["status", "-f", "adit.yml"]);
    assert_eq!(shown.status.code(), Some(0));
    let table = text(&shown.stdout);
    for part in [
        "one: connected for",
        "two: connected for",
        "dynamic",
        "1 of 1",
        "8 B",
    ] {
        assert!(
            table.replace("0 of 1", "1 of 1").contains(part),
            "{part}: {table}"
        );
    }
    let again = home.run(&["up"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("is up already, as process"));
    let directory = home.folder.path().join("run/adit");
    let mode = std::fs::metadata(&directory).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(home.run(&["down"]).status.code(), Some(0));
    assert_eq!(up.wait(wait::DEADLINE).code(), Some(0));
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
    // There is nothing to end, which is what was wanted.
    let again = home.run(&["down"]);
    assert_eq!(again.status.code(), Some(0));
    assert_eq!(text(&again.stderr), "nothing is up here\n");
    for (arguments, part) in [
        (&["status"][..], "nothing is up"),
        (&["status", "-f", "adit.yml"], "adit.yml is not up"),
        (&["status", "-f", "nowhere.yml"], "cannot find nowhere.yml"),
    ] {
        let output = home.run(arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(part), "{part}");
    }
}

#[test]
fn a_cut_is_shown_while_it_lasts_and_healed_without_help() {
    require!("sshd");
    let mut home = Home::new();
    let port = echo_service();
    home.write(&[home.tunnel("one", &format!("{{remote: '0:127.0.0.1:{port}'}}"))]);
    let mut up = home.up();
    home.until("the forward up", |report| state(report, 0, 0) == "up");
    let mut watch = Process::spawn(&mut home.command(&["status", "--watch", "--json"]));
    watch.wait_for_text("\"state\":\"up\"");
    home.sshd.close_port();
    home.sshd.kill_connections();
    let report = home.until("the forward away", |report| state(report, 0, 0) == "away");
    assert_eq!(report["tunnels"][0]["state"], "waiting");
    assert_eq!(home.run(&["status"]).status.code(), Some(1));
    watch.wait_for_text("\"state\":\"away\"");
    home.sshd.open_port();
    let report = home.until("the forward up again", |report| state(report, 0, 0) == "up");
    assert_eq!(report["tunnels"][0]["connections"], 2);
    assert!(report["tunnels"][0]["last_error"]["what"].is_string());
    visit(addr(&report, 0, 0));
    up.signal(Signal::INT);
    assert_eq!(up.wait(wait::DEADLINE).code(), Some(130));
    // Who watches sees the end.
    watch.wait(wait::DEADLINE);
}

#[test]
fn detached_means_ready_and_ended_means_gone() {
    require!("sshd");
    let home = Home::new();
    let port = echo_service();
    home.write(&[home.tunnel("one", &format!("{{remote: '0:127.0.0.1:{port}'}}"))]);
    let started = home.run(&["up", "-d"]);
    assert_eq!(started.status.code(), Some(0), "{}", text(&started.stderr));
    // No wait: it is up, or -d would not have come back.
    let output = home.run(&["status", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    visit(addr(&report, 0, 0));
    let pid = report["pid"].as_i64().unwrap();
    assert_eq!(home.run(&["down"]).status.code(), Some(0));
    // Its lock is let go of last; the process itself is gone in a moment.
    wait::until("the process gone", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        match stat {
            Ok(stat) if !stat.contains(") Z ") => Err(stat),
            _ => Ok(()),
        }
    });
    // A file that is wrong, and a tunnel that cannot be had, end it before.
    home.write(&[home.tunnel("bad/name", "{dynamic: 0}")]);
    let wrong = home.run(&["up", "-d"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("cannot be a tunnel's name"));
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = held.local_addr().unwrap();
    home.write(&[home.tunnel("one", &format!("{{dynamic: '{addr}'}}"))]);
    let taken = home.run(&["up", "-d"]);
    assert_eq!(taken.status.code(), Some(1));
    assert!(
        text(&taken.stderr).contains(&addr.to_string()),
        "{}",
        text(&taken.stderr)
    );
    assert_eq!(home.run(&["status"]).status.code(), Some(1));
}

#[test]
fn one_tunnel_that_only_a_person_can_mend_leaves_the_others_alone() {
    require!("sshd");
    let home = Home::new();
    let stranger = Sshd::builder().start();
    let port = echo_service();
    let known_hosts = home.sshd.known_hosts_path();
    let mut both = std::fs::read_to_string(&known_hosts).unwrap();
    both.push_str(&stranger.known_hosts());
    std::fs::write(&known_hosts, both).unwrap();
    let forward = format!("{{remote: '0:127.0.0.1:{port}'}}");
    home.write(&[
        home.tunnel_at("refused", stranger.addr(), &forward),
        home.tunnel("good", &forward),
    ]);
    let mut up = home.up();
    let report = home.until("one up and one failed", |report| {
        state(report, 1, 0) == "up" && report["tunnels"][0]["state"] == "failed"
    });
    let why = report["tunnels"][0]["last_error"]["what"].as_str().unwrap();
    assert!(why.contains("is not known there"), "{why}");
    visit(addr(&report, 1, 0));
    assert!(up.exit_status().is_none());
    assert_eq!(home.run(&["down"]).status.code(), Some(0));
    // Alone it ends the program, with the reason.
    home.write(&[home.tunnel_at("refused", stranger.addr(), &forward)]);
    let mut alone = home.up();
    assert_eq!(alone.wait(wait::DEADLINE).code(), Some(1));
    assert!(alone.stderr().contains("refused: "), "{}", alone.stderr());
}

#[test]
fn what_a_killed_one_leaves_behind_is_harmless() {
    require!("sshd");
    let home = Home::new();
    let port = echo_service();
    home.write(&[home.tunnel("one", &format!("{{local: '127.0.0.1:0:127.0.0.1:{port}'}}"))]);
    for _ in 0..3 {
        let mut up = home.up();
        home.until("the forward up", |report| state(report, 0, 0) == "up");
        up.kill();
        assert!(children(up.id()).is_empty());
        assert!(text(&home.run(&["status"]).stderr).contains("nothing is up"));
    }
}

/// What a full disk or a reader that has gone does to a log is no end of a tunnel.
#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    require!("sshd");
    let home = Home::new();
    let port = echo_service();
    home.write(&[home.tunnel("one", &format!("{{remote: '0:127.0.0.1:{port}'}}"))]);
    let mut command = home.command(&["up"]);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut up = command.stderr(full).spawn().unwrap();
    let report = home.until("the forward up", |report| state(report, 0, 0) == "up");
    home.sshd.kill_connections();
    home.until("another login", |report| {
        report["tunnels"][0]["connections"] == 2 && state(report, 0, 0) == "up"
    });
    visit(addr(&report, 0, 0));
    assert_eq!(home.run(&["down"]).status.code(), Some(0));
    assert_eq!(up.wait().unwrap().code(), Some(0));
}

#[test]
fn a_key_that_is_not_there_is_its_own_tunnels_trouble() {
    require!("sshd");
    let home = Home::new();
    let port = echo_service();
    let forward = format!("{{remote: '0:127.0.0.1:{port}'}}");
    let key = home.sshd.user_key().private_path().display().to_string();
    let lacking = home.tunnel("lacking", &forward).replace(&key, "nokey");
    home.write(&[lacking, home.tunnel("good", &forward)]);
    let checked = home.run(&["check"]);
    assert_eq!(checked.status.code(), Some(0));
    assert!(text(&checked.stderr).contains("nokey"), "it is warned of");
    let mut up = home.up();
    let report = home.until("one up and one failed", |report| {
        state(report, 1, 0) == "up" && report["tunnels"][0]["state"] == "failed"
    });
    let why = report["tunnels"][0]["last_error"]["what"].as_str().unwrap();
    assert!(why.contains("nokey"), "{why}");
    up.kill();
}

/// Whoever waits for it to be ready is told, or nothing of it stays.
#[test]
fn what_is_not_ready_ends_with_who_waits_for_it() {
    require!("ssh-keygen");
    let folder = tempfile::tempdir().unwrap();
    // It says nothing, so that nothing becomes of it.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    // One that can be used: otherwise it would be over at once.
    KeyPair::generate(folder.path(), "key", KeyKind::Ed25519);
    let text = format!(
        "tunnels: {{a: {{host: me@127.0.0.1, port: {port}, key: key, ssh_config: none, \
         forwards: [{{local: '192.0.2.1:0:a:1'}}]}}}}"
    );
    std::fs::write(folder.path().join("adit.yml"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command
        .args(["up", "-d"])
        .current_dir(folder.path())
        .env("HOME", folder.path());
    let mut first = Process::spawn(&mut command);
    let second = wait::until("the one that would stay", || {
        children(first.id()).first().copied().ok_or("none")
    });
    first.signal(Signal::TERM);
    first.wait(wait::DEADLINE);
    wait::until("it gone", || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", second.as_raw_nonzero()));
        match stat {
            Ok(stat) if !stat.contains(") Z ") => Err(stat),
            _ => Ok(()),
        }
    });
}

/// The last sign-out of a user takes the runtime directory away, and not what runs.
#[test]
fn a_control_socket_that_was_taken_away_is_made_anew() {
    require!("sshd");
    let home = Home::new();
    home.write(&[home.tunnel("one", "{dynamic: '127.0.0.1:0'}")]);
    let mut up = home.up();
    home.until("the forward up", |report| state(report, 0, 0) == "up");
    std::fs::remove_dir_all(home.folder.path().join("run")).unwrap();
    home.until("it found in the directory for state", |report| {
        state(report, 0, 0) == "up"
    });
    assert!(home.folder.path().join(".local/state/adit/run").exists());
    assert_eq!(home.run(&["up"]).status.code(), Some(1));
    assert_eq!(home.run(&["down"]).status.code(), Some(0));
    assert_eq!(up.wait(wait::DEADLINE).code(), Some(0));
}

/// AT12: what seed 001's script takes for a tunnel that is up, a process and a port that listens.
#[test]
fn a_session_that_hangs_is_not_up_while_its_port_still_listens() {
    require!("sshd");
    let home = Home::new();
    let port = echo_service();
    home.write(&[home.tunnel("one", &format!("{{remote: '0:127.0.0.1:{port}'}}"))]);
    let mut up = home.up();
    let report = home.until("the forward up", |report| state(report, 0, 0) == "up");
    let public = addr(&report, 0, 0);
    home.sshd.freeze();
    // The keep-alive, of ten seconds, has not even asked by now.
    let report = home.until("the forward failing", |report| {
        state(report, 0, 0) == "failing"
    });
    assert_eq!(report["tunnels"][0]["state"], "connected");
    let reason = &report["tunnels"][0]["forwards"][0]["reason"];
    assert_eq!(reason, "nothing came back in time");
    drop(TcpStream::connect(public).unwrap());
    home.sshd.thaw();
    home.until("the forward up again", |report| state(report, 0, 0) == "up");
    up.kill();
}

#[test]
fn a_target_that_is_down_is_told_apart_from_a_path_that_is() {
    require!("sshd");
    let home = Home::new();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let forward = format!("{{remote: '0:127.0.0.1:{port}', check: {{kind: tcp, every: 1s}}}}");
    home.write(&[home.tunnel("one", &forward)]);
    let mut up = home.up();
    let is_well = |report: &Value| report["tunnels"][0]["forwards"][0]["check"]["is_well"].clone();
    home.until("path and target well", |report| {
        state(report, 0, 0) == "up" && is_well(report) == true
    });
    assert_eq!(home.run(&["status"]).status.code(), Some(0));
    drop(held);
    let report = home.until("the target down", |report| is_well(report) == false);
    assert_eq!(state(&report, 0, 0), "up");
    let output = home.run(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    let table = text(&output.stdout);
    assert!(
        table.contains("target refuses: nobody listens there"),
        "{table}"
    );
    up.kill();
}

/// Security rule G103.
#[test]
fn status_json_has_no_secret() {
    require!("sshd");
    let home = Home::new();
    let secret = "correct horse battery staple";
    let file = home.folder.path().join("secret");
    std::fs::write(&file, secret).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let tunnel = home.tunnel("one", "{dynamic: '127.0.0.1:0'}");
    let tunnel = tunnel.replace("ssh_config:", "password_file: secret, ssh_config:");
    home.write(&[tunnel]);
    let mut command = home.command(&["-v", "up"]);
    let mut up = Process::spawn(command.env("ADIT_PASSPHRASE", secret));
    home.until("the forward up", |report| state(report, 0, 0) == "up");
    for arguments in [&["status"][..], &["status", "--json"]] {
        let output = home.run(arguments);
        assert!(!text(&output.stdout).contains(secret));
    }
    assert!(!up.stderr().contains(secret));
    up.kill();
}

/// Security rule G100: who is somebody else is not answered, even where the directory lets them in.
#[test]
fn a_directory_of_control_sockets_that_others_can_enter_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let run = home.join("run/adit");
    std::fs::create_dir_all(&run).unwrap();
    std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(
        home.join("adit.yml"),
        "tunnels: {a: {host: 127.0.0.1, ssh_config: none, forwards: [{dynamic: '127.0.0.1:0'}]}}",
    )
    .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_adit"))
        .arg("up")
        .current_dir(home)
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", home.join("run"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("chmod 700"),
        "{}",
        text(&output.stderr)
    );
}
