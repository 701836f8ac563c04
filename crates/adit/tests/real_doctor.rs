//! `adit doctor` against stock servers that are well, and that have each of the usual complaints.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use adit_testkit::echo::service as echo_service;
use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::link::{End, Link};
use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::sshd::Sshd;
use adit_testkit::{echo, require, wait};
use rustix::process::Signal;

/// What it said.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Said {
    fn of(command: &mut Command) -> Self {
        let mut adit = Process::spawn(command.env_remove("SSH_AUTH_SOCK"));
        let status = adit.wait(wait::DEADLINE);
        Self {
            code: status.code(),
            stdout: adit.stdout(),
            stderr: adit.stderr(),
        }
    }

    /// The first line of a check, and what to change below it.
    fn line(&self, start: &str) -> String {
        let mut lines = self
            .stdout
            .lines()
            .skip_while(|line| !line.starts_with(start));
        let line = lines.next();
        let line =
            line.unwrap_or_else(|| panic!("no line {start:?}: {}{}", self.stdout, self.stderr));
        let change = lines.next().filter(|line| line.starts_with(' '));
        format!("{line}\n{}", change.unwrap_or_default())
    }

    /// It failed by that check, whose line has these parts.
    fn fails(&self, check: &str, parts: &[&str]) {
        assert_eq!(self.code, Some(1), "{}{}", self.stdout, self.stderr);
        let line = self.line(&format!("FAIL  {check}"));
        for part in parts {
            assert!(line.contains(part), "{part} is not in {}", self.stdout);
        }
    }

    /// How often a state was told.
    fn count(&self, state: &str) -> usize {
        let lines = self.stdout.lines();
        lines.filter(|line| line.starts_with(state)).count()
    }
}

/// `adit doctor` of that server, by its key, without the machine's configuration.
fn doctor(sshd: &Sshd, words: &[&str]) -> Said {
    Said::of(&mut command(sshd, &sshd.known_hosts_path(), words))
}

fn command(sshd: &Sshd, known_hosts: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command
        .args([
            "doctor",
            "-F",
            "none",
            "-p",
            &sshd.addr().port().to_string(),
            "-i",
        ])
        .arg(sshd.user_key().private_path())
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
        .args(words)
        .arg(format!("{}@127.0.0.1", sshd.user()));
    command
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn a_healthy_server_is_well_and_nothing_is_left_behind() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let (port, echo) = (free_port(), echo_service());
    let said = doctor(&sshd, &[]);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    assert_eq!(said.count("FAIL"), 0, "{}", said.stdout);
    for start in [
        "ok    clock",
        "ok    settings",
        "ok    name",
        "ok    reach",
        "ok    host key",
        "ok    login",
        "ok    keep-alive",
        "ok    forwarding",
        "ok    path",
    ] {
        said.line(start);
    }
    assert!(
        said.line("ok    host key").contains("SHA256:"),
        "{}",
        said.stdout
    );
    let key = sshd.user_key().private_path().display().to_string();
    assert!(said.line("ok    login").contains(&key), "{}", said.stdout);

    let (remote, local) = (
        format!("{port}:127.0.0.1:{echo}"),
        format!("{}:127.0.0.1:{echo}", free_port()),
    );
    let said = doctor(&sshd, &["--json", "-R", &remote, "-L", &local, "-D", "0"]);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    for line in said.stdout.lines() {
        let diagnosis: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(diagnosis["target"], "127.0.0.1", "{line}");
        assert_ne!(diagnosis["state"], "fail", "{line}");
        assert!(
            diagnosis["check"].is_string() && diagnosis["seen"].is_string(),
            "{line}"
        );
    }
    for part in [
        "\"target\"",
        "\"path\"",
        "\"open\"",
        "\"listen\"",
        "round trip",
    ] {
        assert!(said.stdout.contains(part), "{part}: {}", said.stdout);
    }
    drop(TcpListener::bind(("127.0.0.1", port)).unwrap());
    wait::until("the end of every connection", || {
        match sshd.connection_count() {
            0 => Ok(()),
            left => Err(left),
        }
    });
}

#[test]
fn a_server_that_does_not_allow_forwards_is_told_by_what_forbids_it() {
    require!("sshd");
    let (port, other) = (free_port().to_string(), free_port().to_string());
    let forward = format!("{port}:127.0.0.1:{}", echo_service());
    let none = Sshd::builder().config_line("AllowTcpForwarding no").start();
    for words in [&[][..], &["-R", &forward]] {
        doctor(&none, words).fails("forwarding", &["AllowTcpForwarding yes", "sshd_config"]);
    }
    let local = Sshd::builder()
        .config_line("AllowTcpForwarding local")
        .start();
    doctor(&local, &["-R", &forward]).fails("forwarding", &["AllowTcpForwarding"]);
    let list = format!("PermitListen localhost:{other}");
    let one = Sshd::builder().config_line(&list).start();
    let wanted = format!("PermitListen localhost:{port}");
    doctor(&one, &["-R", &forward]).fails("forwarding", &[&wanted]);
    let permitted = format!("{other}:127.0.0.1:{}", echo_service());
    assert_eq!(doctor(&one, &["-R", &permitted]).code, Some(0));

    // Forwards are granted, and nobody may look from inside.
    let remote = Sshd::builder()
        .config_line("AllowTcpForwarding remote")
        .start();
    let said = doctor(&remote, &["-R", &forward]);
    assert_eq!(said.code, Some(0), "{}", said.stdout);
    assert!(
        said.line("warn  path").contains("not checked"),
        "{}",
        said.stdout
    );
    let open = format!("0:127.0.0.1:{}", echo_service());
    doctor(&remote, &["-L", &open]).fails("open", &["PermitOpen"]);
}

#[test]
fn a_port_that_somebody_has_is_told_from_one_that_is_not_allowed() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    // Both addresses of localhost, or the one that is left is granted.
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = foreign.local_addr().unwrap().port();
    let forward = format!("127.0.0.1:{port}:127.0.0.1:{}", echo_service());
    let said = doctor(&sshd, &["-R", &forward]);
    let look = format!("ss -tlnp 'sport = :{port}'");
    said.fails("port", &["is taken", &look]);
    assert!(
        said.line("warn  stale").contains("ClientAliveInterval 10"),
        "{}",
        said.stdout
    );

    // Granted for one family alone, while somebody else has the other.
    if TcpListener::bind("[::1]:0").is_ok() {
        let forward = format!("localhost:{port}:127.0.0.1:{}", echo_service());
        drop(foreign);
        let foreign = TcpListener::bind(("127.0.0.1", port)).unwrap();
        echo::serve(foreign, Vec::new());
        doctor(&sshd, &["-R", &forward]).fails("path", &["somebody else has a part"]);
    }
}

/// The trap of every reverse tunnel: the server does not know that its client has gone.
#[test]
fn a_port_that_a_dead_connection_holds_is_told_with_what_frees_it() {
    require!("sshd", "ssh");
    let sshd = Sshd::builder().start();
    let port = free_port();
    let forward = format!("127.0.0.1:{port}:127.0.0.1:{}", echo_service());
    let mut ssh = Process::spawn(&mut sshd.ssh(&["-v", "-N", "-R", &forward]));
    ssh.wait_for_text("remote forward success");
    ssh.signal(Signal::STOP);
    let said = doctor(&sshd, &["-R", &forward]);
    said.fails("port", &["is taken"]);
    let line = said.line("warn  stale");
    assert!(
        line.contains("died unseen") && line.contains("ClientAliveInterval"),
        "{line}"
    );
}

/// Each connection that is left before its login is counted against us.
#[test]
fn a_look_costs_one_login_and_any_of_the_hosts_keys_may_be_pinned() {
    require!("sshd", "ssh-keygen");
    let kinds = [KeyKind::Ed25519, KeyKind::EcdsaP256];
    let sshd = Sshd::builder().host_keys(&kinds).start();
    let said = doctor(&sshd, &[]);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    let log = sshd.log();
    assert_eq!(log.matches("Accepted publickey").count(), 1, "{log}");
    assert_eq!(log.matches("host key is not").count(), 0, "{log}");
    let mut command = Command::new("ssh-keygen");
    let output = command
        .arg("-lf")
        .arg(sshd.host_keys()[1].public_path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let fingerprint = text.split(' ').nth(1).unwrap();
    let said = doctor(&sshd, &["--host-key", fingerprint]);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    let line = said.line("ok    host key");
    assert!(
        line.contains(fingerprint) && line.contains("pinned"),
        "{line}"
    );
    let other = "SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM";
    doctor(&sshd, &["--host-key", other]).fails("host key", &[other, fingerprint]);
}

#[test]
fn a_forward_for_everybody_that_only_the_server_itself_reaches_is_a_failure() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    for (bind, lines, code, start, part) in [
        (
            "*",
            "GatewayPorts no",
            1,
            "FAIL  public",
            "GatewayPorts clientspecified",
        ),
        (
            "*",
            "GatewayPorts clientspecified",
            0,
            "ok    public",
            "visitors reach",
        ),
        (
            "localhost",
            "GatewayPorts no",
            0,
            "ok    public",
            "on the server alone",
        ),
        (
            "localhost",
            "GatewayPorts yes",
            0,
            "warn  public",
            "GatewayPorts yes",
        ),
    ] {
        let (inside, public) = (Namespace::new(), Namespace::new());
        let link = Link::new(&inside, &public, 1);
        let addr = link.ip(End::Right);
        let sshd = Sshd::builder().config_line(lines).start_in(&public, addr);
        let service = inside.enter(|| TcpListener::bind("127.0.0.1:8080").unwrap());
        echo::serve(service, Vec::new());
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command
            .args(["doctor", "-F", "none", "-i"])
            .arg(sshd.user_key().private_path())
            .arg("-o")
            .arg(format!(
                "UserKnownHostsFile={}",
                sshd.known_hosts_path().display()
            ))
            .args(["-R", &format!("{bind}:9000:127.0.0.1:8080")])
            .arg(format!("{}@{addr}", sshd.user()));
        let said = Said::of(&mut inside.wrap(&command));
        assert_eq!(
            said.code,
            Some(code),
            "{bind} {lines}: {}{}",
            said.stdout,
            said.stderr
        );
        assert!(said.line(start).contains(part), "{}", said.stdout);
    }
}

#[test]
fn a_login_that_is_refused_says_what_was_offered_and_what_lets_in() {
    require!("sshd", "ssh-keygen");
    let sshd = Sshd::builder().start();
    let stranger = KeyPair::generate(sshd.folder(), "stranger", KeyKind::Ed25519);
    let (port, known_hosts) = (sshd.addr().port().to_string(), sshd.known_hosts_path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command
        .args(["doctor", "-F", "none", "-p", &port, "-i"])
        .arg(stranger.private_path())
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
        .arg(format!("{}@127.0.0.1", sshd.user()));
    let said = Said::of(&mut command);
    said.fails(
        "login",
        &[
            "stranger",
            "is not known there",
            "authorized_keys",
            "publickey",
        ],
    );
    assert_eq!(said.count("ok    forwarding"), 0, "{}", said.stdout);
}

#[test]
fn a_host_key_is_known_new_or_changed_and_nothing_is_written() {
    require!("sshd", "ssh-keygen");
    let (sshd, other) = (Sshd::builder().start(), Sshd::builder().start());
    let file = sshd.folder().join("hosts");
    let said = Said::of(&mut command(&sshd, &file, &[]));
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    let line = said.line("warn  host key");
    let trust = format!("adit trust 127.0.0.1:{} SHA256:", sshd.addr().port());
    assert!(line.contains("is new") && line.contains(&trust), "{line}");
    said.line("ok    login");
    assert!(!file.exists());
    let words = ["-o", "StrictHostKeyChecking=yes"];
    Said::of(&mut command(&sshd, &file, &words)).fails("host key", &["adit trust"]);

    let line = format!(
        "[127.0.0.1]:{} {}\n",
        sshd.addr().port(),
        other.host_keys()[0].public_key()
    );
    std::fs::write(&file, &line).unwrap();
    let said = Said::of(&mut command(&sshd, &file, &[]));
    said.fails("host key", &["has changed", "ssh-keygen -R"]);
    assert_eq!(said.count("ok    login"), 0, "{}", said.stdout);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), line);
}

/// A password is not for a host that nobody has looked at, not even to see whether it is right.
#[test]
fn no_password_is_sent_to_a_new_host() {
    require!("sshd", "setsid");
    let sshd = Sshd::builder()
        .config_line("PasswordAuthentication yes")
        .start();
    let file = sshd.folder().join("hosts");
    let stranger = KeyPair::generate(sshd.folder(), "stranger", KeyKind::Ed25519);
    let adit = command(&sshd, &file, &[]);
    let own = sshd.user_key().private_path();
    let mut command = Command::new("setsid");
    command.arg("-w").arg(adit.get_program());
    for word in adit.get_args() {
        command.arg(if word == own {
            stranger.private_path().as_os_str()
        } else {
            word
        });
    }
    let said = Said::of(command.env("ADIT_PASSWORD", "hunter4711"));
    said.fails("login", &["stranger"]);
    assert!(!sshd.log().contains("Failed password"), "{}", sshd.log());
    assert!(!said.stdout.contains("hunter4711"), "{}", said.stdout);
}

#[test]
fn a_host_that_is_not_there_is_told_by_its_name_or_its_address() {
    require!("sshd");
    let mut sshd = Sshd::builder().start();
    sshd.close_port();
    let said = doctor(&sshd, &[]);
    let port = format!("port {}", sshd.addr().port());
    said.fails("reach", &["connection refused", &port]);
    assert_eq!(said.count("ok    host key"), 0, "{}", said.stdout);
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    let key = sshd.user_key().private_path();
    command
        .args(["doctor", "-F", "none", "-i"])
        .arg(key)
        .arg("me@nowhere.invalid");
    let said = Said::of(&mut command);
    said.fails("name", &["nowhere.invalid", "getent hosts"]);
    assert_eq!(said.count("ok    reach"), 0, "{}", said.stdout);
}

#[test]
fn a_service_that_is_down_is_a_failure_though_the_server_is_well() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let down = free_port();
    let said = doctor(&sshd, &["-R", &format!("0:127.0.0.1:{down}")]);
    said.fails("target", &[&format!("sport = :{down}"), "refuses"]);
    said.line("ok    path");
    doctor(&sshd, &["-L", &format!("0:127.0.0.1:{down}")]).fails("open", &["refused"]);
    let socket = sshd.folder().join("socket");
    let said = doctor(
        &sshd,
        &[
            "-R",
            &format!("{}:127.0.0.1:{}", socket.display(), echo_service()),
        ],
    );
    assert_eq!(said.code, Some(0), "{}", said.stdout);
    assert!(
        said.line("warn  forwarding")
            .contains("StreamLocalBindUnlink"),
        "{}",
        said.stdout
    );
    assert!(!socket.exists());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let words = ["-L", &format!("{port}:127.0.0.1:{}", echo_service())];
    doctor(&sshd, &words).fails("listen", &["in use"]);
}

/// A file with one tunnel, and what shows its `up` to no other test.
fn file(sshd: &Sshd, name: &str, remote: &str) -> PathBuf {
    let file = sshd.folder().join("adit.yml");
    let text = format!(
        "tunnels:\n  {name}:\n    host: {}@127.0.0.1\n    port: {}\n    key: {}\n    known_hosts: {}\n    \
         ssh_config: none\n    forwards:\n      - remote: {remote}\n",
        sshd.user(),
        sshd.addr().port(),
        sshd.user_key().private_path().display(),
        sshd.known_hosts_path().display(),
    );
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn what_our_own_up_keeps_is_told_and_not_touched() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let port = free_port();
    let file = file(
        &sshd,
        "web",
        &format!("127.0.0.1:{port}:127.0.0.1:{}", echo_service()),
    );
    let adit = |word: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command.arg(word).arg("-f").arg(&file);
        command.env("XDG_RUNTIME_DIR", sshd.folder());
        command
    };
    // Without it, the port is asked for, and given back.
    let said = Said::of(adit("doctor").arg("web"));
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    said.line("ok    path");
    let mut up = Process::spawn(&mut adit("up"));
    up.wait_for_text("forward up: ");
    for words in [&["web"][..], &[]] {
        let said = Said::of(adit("doctor").args(words));
        assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
        let line = said.line("ok    path");
        assert!(line.contains("our own adit up"), "{line}");
    }
    let stderr = up.stderr();
    for part in ["refused", "not up", "ended"] {
        assert!(!stderr.contains(part), "{stderr}");
    }
    up.signal(Signal::TERM);
    up.wait(wait::DEADLINE);
    let said = Said::of(adit("doctor").arg("wep"));
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("no tunnel wep"), "{}", said.stderr);
}

#[test]
fn a_hop_that_does_not_let_us_in_is_named() {
    require!("sshd", "ssh-keygen");
    let [bastion, target] = [(); 2].map(|()| Sshd::builder().start());
    let config = target.folder().join("config");
    let block = |name: &str, sshd: &Sshd, key: &Path, more: &str| {
        format!(
            "Host {name}\n HostName 127.0.0.1\n Port {}\n User {}\n IdentityFile {}\n \
             UserKnownHostsFile {}\n{more}",
            sshd.addr().port(),
            sshd.user(),
            key.display(),
            sshd.known_hosts_path().display(),
        )
    };
    let jump = " ProxyJump bastion\n";
    let key = target.user_key().private_path();
    let adit = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command.args(["doctor", "-F"]).arg(&config).arg("target");
        Said::of(&mut command)
    };
    let text = [
        block("target", &target, key, jump),
        block("bastion", &bastion, key, ""),
    ];
    std::fs::write(&config, text.concat()).unwrap();
    adit().fails(
        "reach",
        &["hop 127.0.0.1", "is not known there", "adit doctor"],
    );
    let good = bastion.user_key().private_path();
    let text = [
        block("target", &target, key, jump),
        block("bastion", &bastion, good, ""),
    ];
    std::fs::write(&config, text.concat()).unwrap();
    let said = adit();
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    assert!(said.line("ok    name").contains("hop"), "{}", said.stdout);
}

#[test]
fn a_server_that_hangs_up_at_once_is_told_with_what_does_that() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            drop(stream);
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate(folder.path(), "key", KeyKind::Ed25519);
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command.args([
        "doctor",
        "-F",
        "none",
        "-o",
        "UserKnownHostsFile=none",
        "-p",
        &port,
        "-i",
    ]);
    let said = Said::of(command.arg(key.private_path()).arg("me@127.0.0.1"));
    said.fails("login", &["MaxStartups", "PerSourcePenalties"]);
}
