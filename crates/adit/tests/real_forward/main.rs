//! `adit forward` against a stock sshd, from the command line to the visitor.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use adit_testkit::echo::service as echo_service;
use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::process::Process;
use adit_testkit::sshd::Sshd;
use adit_testkit::{require, wait};
use rustix::process::Signal;

mod kinds;
mod socks;
mod stdio;

/// `adit forward` with that known_hosts file.
fn adit(sshd: &Sshd, known_hosts: &Path, arguments: &[&str]) -> Process {
    Process::spawn(&mut adit_command(sshd, known_hosts, arguments))
}

fn adit_command(sshd: &Sshd, known_hosts: &Path, arguments: &[&str]) -> Command {
    let known_hosts = format!("UserKnownHostsFile={}", known_hosts.display());
    let port = sshd.addr().port().to_string();
    let destination = format!("{}@{}", sshd.user(), sshd.addr().ip());
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command
        .arg("forward")
        .args(["-F", "none", "-p", &port, "-o", &known_hosts])
        .args(arguments)
        .arg(destination);
    command
}

/// Where visitors come, each time it was said.
fn ups(adit: &Process) -> Vec<SocketAddr> {
    let stderr = adit.stderr();
    let addrs = stderr.lines().filter_map(|line| {
        let (addr, _) = line.strip_prefix("forward up: ")?.split_once(" -> ")?;
        addr.parse().ok()
    });
    addrs.collect()
}

fn wait_for_up(adit: &mut Process, count: usize) -> SocketAddr {
    wait::until("a forward that is up", || {
        let ups = ups(adit);
        match adit.exit_status() {
            Some(status) => panic!("adit ended ({status}): {}", adit.stderr()),
            None if ups.len() >= count => Ok(ups[count - 1]),
            None => Err(adit.stderr()),
        }
    })
}

/// A visitor who sends, finishes and gets it all back.
fn visit(addr: SocketAddr, length: u32) {
    let sent: Vec<u8> = (0..length).flat_map(u32::to_be_bytes).collect();
    let mut visitor = TcpStream::connect(addr).unwrap();
    visitor.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    visitor.write_all(&sent).unwrap();
    visitor.shutdown(Shutdown::Write).unwrap();
    let mut got = Vec::new();
    visitor.read_to_end(&mut got).unwrap();
    assert!(
        got == sent,
        "{} of {} bytes came back",
        got.len(),
        sent.len()
    );
}

fn key(sshd: &Sshd) -> String {
    sshd.user_key().private_path().to_str().unwrap().to_owned()
}

#[test]
fn a_visitor_is_served_and_after_a_cut_at_the_same_port() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let forward = format!("127.0.0.1:0:localhost:{}", echo_service());
    let known_hosts = sshd.folder().join("new/known_hosts");
    let key = key(&sshd);
    let accept = "StrictHostKeyChecking=accept-new";
    let mut adit = adit(
        &sshd,
        &known_hosts,
        &["-i", &key, "-R", &forward, "-o", accept],
    );
    let addr = wait_for_up(&mut adit, 1);
    visit(addr, 1);
    visit(addr, 250_000);
    assert_eq!(
        std::fs::read_to_string(&known_hosts).unwrap(),
        sshd.known_hosts()
    );
    sshd.kill_connections();
    assert_eq!(wait_for_up(&mut adit, 2), addr);
    visit(addr, 1_000);
    adit.signal(Signal::TERM);
    let status = adit.wait(wait::DEADLINE);
    assert!(status.success(), "{status}: {}", adit.stderr());
}

#[test]
fn a_host_of_the_configuration_needs_no_other_word() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let config = sshd.folder().join("config");
    let (port, echo) = (sshd.addr().port(), echo_service());
    let text = format!(
        "Host db\n HostName {}\n Port {port}\n User {}\n IdentityFile {}\n UserKnownHostsFile {}\n\
         \x20RemoteForward 127.0.0.1:0 localhost:{echo}\n",
        sshd.addr().ip(),
        sshd.user(),
        key(&sshd),
        sshd.known_hosts_path().display(),
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    let mut adit = Process::spawn(command.arg("forward").arg("-F").arg(&config).arg("db"));
    visit(wait_for_up(&mut adit, 1), 1_000);
    adit.signal(Signal::TERM);
    let status = adit.wait(wait::DEADLINE);
    assert!(status.success(), "{status}: {}", adit.stderr());
}

/// As Linux tells.
fn has_aes_instructions() -> bool {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let has = |feature| text.split_whitespace().any(|word| word == feature);
    has("aes") && (has("pclmulqdq") || has("pmull"))
}

/// As on a small ARM board. The variables are those by which aws-lc itself is told, so that whatever
/// AES there is runs without instructions too.
#[test]
fn without_aes_instructions_chacha20_is_negotiated_and_moves_bytes() {
    const MASKS: [(&str, &str); 2] = [
        ("OPENSSL_ia32cap", "~0x200000200000000"),
        ("OPENSSL_armcap", "~0x24"),
    ];
    require!("sshd");
    let sshd = Sshd::builder().start();
    let forward = format!("127.0.0.1:0:localhost:{}", echo_service());
    let (known_hosts, key) = (sshd.known_hosts_path(), key(&sshd));
    let (chacha, aes) = ("chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com");
    // First as it is, so that the mask is seen to be what changes it.
    let unmasked = if has_aes_instructions() {
        "aes128-gcm@openssh.com"
    } else {
        chacha
    };
    for (masks, options, cipher) in [
        (&[][..], &[][..], unmasked),
        (&MASKS[..], &[][..], chacha),
        // Slow is not absent: what is asked for by name works without instructions, too.
        (&MASKS[..], &["-o", "Ciphers=aes256-gcm@openssh.com"], aes),
        (&MASKS[..], &["-o", "Ciphers=aes128-ctr"], "aes128-ctr"),
    ] {
        let arguments = [&["-i", &key, "-R", &forward], options].concat();
        let mut command = adit_command(&sshd, &known_hosts, &arguments);
        command
            .env_remove("OPENSSL_ia32cap")
            .env_remove("OPENSSL_armcap")
            .envs(masks.iter().copied());
        let mut adit = Process::spawn(&mut command);
        visit(wait_for_up(&mut adit, 1), 250_000);
        for way in ["client->server", "server->client"] {
            let line = format!("kex: {way} cipher: {cipher} ");
            assert!(sshd.log().contains(&line), "{line} in {}", sshd.log());
        }
    }
}

/// A stock sshd may hold the port of a connection that died unseen: only asking again helps.
#[test]
fn a_port_that_is_held_is_asked_for_until_it_is_free() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let forward = format!("127.0.0.1:{port}:localhost:{}", echo_service());
    let key = key(&sshd);
    let mut adit = adit(
        &sshd,
        &sshd.known_hosts_path(),
        &["-i", &key, "-R", &forward],
    );
    wait::until("a refusal", || {
        let stderr = adit.stderr();
        if stderr.contains("server refused the forward") {
            Ok(())
        } else {
            Err(stderr)
        }
    });
    drop(holder);
    visit(wait_for_up(&mut adit, 1), 1_000);
    assert_eq!(sshd.connection_count(), 1, "it logged in once");
}

#[test]
fn several_forwards_share_a_connection() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let forward = format!("127.0.0.1:0:127.0.0.1:{}", echo_service());
    let key = key(&sshd);
    let arguments = ["-i", &key, "-R", &forward, "-R", &forward, "-R", &forward];
    let mut adit = adit(&sshd, &sshd.known_hosts_path(), &arguments);
    wait_for_up(&mut adit, 3);
    thread::scope(|scope| {
        for addr in ups(&adit) {
            for _ in 0..8 {
                scope.spawn(move || visit(addr, 30_000));
            }
        }
    });
    assert_eq!(sshd.connection_count(), 1);
}

#[test]
fn what_only_a_person_can_mend_ends_it_with_words() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let other = Sshd::builder().start();
    let shown = sshd.host_keys()[0].public_key();
    let wrong = sshd.folder().join("wrong");
    let host = format!("[127.0.0.1]:{}", sshd.addr().port());
    let known = other.host_keys()[0].public_key();
    std::fs::write(&wrong, format!("{host} {known}\n")).unwrap();
    let revoked = sshd.folder().join("revoked");
    std::fs::write(
        &revoked,
        format!("{}@revoked * {shown}\n", sshd.known_hosts()),
    )
    .unwrap();
    let nowhere = sshd.folder().join("nowhere");
    let stranger = key(&other);
    let own = key(&sshd);
    let known_hosts = sshd.known_hosts_path();
    let accept = "StrictHostKeyChecking=accept-new";
    for (known_hosts, key, option, words) in [
        (&nowhere, &own, "StrictHostKeyChecking=yes", "is not known"),
        (&wrong, &own, accept, "has changed"),
        (&revoked, &own, accept, "is revoked"),
        (&known_hosts, &stranger, accept, "is not known there"),
    ] {
        let arguments = ["-R", "0:localhost:1", "-i", key, "-o", option];
        let mut adit = adit(&sshd, known_hosts, &arguments);
        let status = adit.wait(wait::DEADLINE);
        let stderr = adit.stderr();
        assert_eq!(status.code(), Some(1), "{stderr}");
        let last = stderr.lines().last().unwrap();
        assert!(
            last.starts_with("adit: ") && last.contains(words),
            "{stderr}"
        );
        assert!(last.contains("SHA256:"), "{stderr}");
    }
    assert!(!nowhere.exists(), "a refused host is not written down");
}

/// Both documented sources of keys, `-i` and the home folder: the key that is there is the one that
/// is used, and a wrong one is refused whatever lies elsewhere.
#[test]
fn s80_every_credential_source_refuses_wrong() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let other = Sshd::builder().start();
    let (own, stranger) = (key(&sshd), key(&other));
    let forward = format!("127.0.0.1:0:127.0.0.1:{}", echo_service());
    for (named, at_home, is_good) in [
        (Some(&own), &stranger, true),
        (Some(&stranger), &own, false),
        (None, &own, true),
        (None, &stranger, false),
    ] {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".ssh");
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(at_home, folder.join("id_ed25519")).unwrap();
        let mut arguments = vec!["-R", &forward];
        arguments.extend(named.into_iter().flat_map(|key| ["-i", key]));
        let mut command = adit_command(&sshd, &sshd.known_hosts_path(), &arguments);
        let mut adit = Process::spawn(command.env("HOME", home.path()));
        if is_good {
            visit(wait_for_up(&mut adit, 1), 1_000);
        } else {
            let status = adit.wait(wait::DEADLINE);
            let stderr = adit.stderr();
            assert_eq!(status.code(), Some(1), "{stderr}");
            assert!(stderr.contains("is not known there"), "{stderr}");
        }
    }
}

#[test]
fn a_host_is_trusted_by_the_authority_of_its_certificate() {
    require!("sshd", "ssh-keygen");
    let sshd = Sshd::builder().start();
    let authority = KeyPair::generate(sshd.folder(), "authority", KeyKind::Ed25519);
    let host_key = sshd.host_keys()[0].public_path();
    let names = ["-h", "-I", "lab", "-n", "127.0.0.1"];
    let certificate = authority.certify(&host_key, &names);
    sshd.add_config_line(&format!("HostCertificate {}", certificate.display()));
    let known_hosts = sshd.folder().join("authorities");
    let line = format!("@cert-authority * {}\n", authority.public_line());
    std::fs::write(&known_hosts, line).unwrap();
    let port = echo_service();
    let forward = format!("127.0.0.1:0:127.0.0.1:{port}");
    let mut adit = adit(
        &sshd,
        &known_hosts,
        &["-R", &forward, "-i", key(&sshd).as_str()],
    );
    visit(wait_for_up(&mut adit, 1), 1_000);
}

#[test]
fn the_command_line_is_checked_before_anything_is_done() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    let mut adit =
        Process::spawn(command.args(["forward", "-F", "none", "-R", "1:2", "me@localhost"]));
    assert_eq!(adit.wait(wait::DEADLINE).code(), Some(2));
}

/// Processes whose command line has that text.
fn with_argument(text: &str) -> Vec<rustix::process::Pid> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let name = entry.unwrap().file_name();
        let Ok(number) = name.to_string_lossy().parse::<i32>() else {
            continue;
        };
        // It may be gone by now.
        let words = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&words).contains(text) {
            found.extend(rustix::process::Pid::from_raw(number));
        }
    }
    found
}

#[test]
fn with_f_it_returns_once_all_is_up_and_the_tunnel_stays() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let forward = format!("127.0.0.1:0:localhost:{}", echo_service());
    let (known_hosts, key) = (sshd.known_hosts_path(), key(&sshd));
    let words = ["-fNTnC", "-M", "0", "-i", &key, "-R", &forward];
    let output = adit_command(&sshd, &known_hosts, &words).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert_eq!(output.stdout, b"");
    assert!(stderr.contains("without meaning here: -T"), "{stderr}");
    let up = stderr
        .lines()
        .find_map(|line| line.strip_prefix("forward up: "));
    let (addr, _) = up.unwrap().split_once(" -> ").unwrap();
    visit(addr.parse().unwrap(), 1_000);
    let text = known_hosts.to_str().unwrap().to_owned();
    let pids = with_argument(&text);
    assert_eq!(pids.len(), 1, "{pids:?}");
    rustix::process::kill_process(pids[0], Signal::TERM).unwrap();
    wait::until("the end of the tunnel", || {
        let left = with_argument(&text);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

#[test]
fn with_f_a_failure_before_is_told_with_its_exit_code() {
    require!("sshd", "ssh-keygen");
    let sshd = Sshd::builder().start();
    let known_hosts = sshd.known_hosts_path();
    let other = KeyPair::generate(sshd.folder(), "other", KeyKind::Ed25519);
    let key = other.private_path().to_str().unwrap().to_owned();
    let words = ["-fN", "-i", &key, "-R", "0:localhost:1"];
    let output = adit_command(&sshd, &known_hosts, &words).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("is not known there"), "{stderr}");
}

#[test]
fn an_encrypted_key_opens_with_what_was_left_for_it_and_never_with_a_word_of_the_command_line() {
    require!("sshd", "ssh-keygen");
    let sshd = Sshd::builder().start();
    let known_hosts = sshd.known_hosts_path();
    let locked = KeyPair::generate(sshd.folder(), "locked", KeyKind::Ed25519);
    sshd.authorize(locked.public_line());
    let done = Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "open sesame", "-a", "4", "-f"])
        .arg(locked.private_path())
        .status();
    assert!(done.unwrap().success());
    let key = locked.private_path().to_str().unwrap().to_owned();
    let forward = format!("127.0.0.1:0:localhost:{}", echo_service());
    let secret = sshd.folder().join("secret");
    std::fs::write(&secret, "open sesame\n").unwrap();
    let words = ["-i", &key, "-R", &forward];
    let by_variable = || {
        let mut command = adit_command(&sshd, &known_hosts, &words);
        command.env("ADIT_PASSPHRASE", "open sesame");
        command
    };
    let by_file = || {
        let mut words = words.to_vec();
        words.extend(["--passphrase-file", secret.to_str().unwrap()]);
        adit_command(&sshd, &known_hosts, &words)
    };
    // Others can read it as it is.
    let mut refused = Process::spawn(&mut by_file());
    let status = refused.wait(wait::DEADLINE);
    let stderr = refused.stderr();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("chmod 600"), "{stderr}");
    assert!(!stderr.contains("sesame"), "{stderr}");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&secret, mode).unwrap();
    for mut command in [by_variable(), by_file()] {
        let mut adit = Process::spawn(&mut command);
        visit(wait_for_up(&mut adit, 1), 1_000);
        adit.signal(Signal::TERM);
        adit.wait(wait::DEADLINE);
        assert!(!adit.stderr().contains("sesame"), "{}", adit.stderr());
    }
}

#[test]
fn an_interrupt_has_an_exit_code_of_its_own_and_the_log_can_be_for_programs() {
    require!("sshd");
    let sshd = Sshd::builder().start();
    let (known_hosts, key) = (sshd.known_hosts_path(), key(&sshd));
    let words = ["-i", &key, "-R", "0:localhost:1", "--log-format", "json"];
    let mut adit = adit(&sshd, &known_hosts, &words);
    adit.wait_for_text("forward up: ");
    adit.signal(Signal::INT);
    let status = adit.wait(wait::DEADLINE);
    let stderr = adit.stderr();
    assert_eq!(status.code(), Some(130), "{stderr}");
    assert!(stderr.lines().count() >= 2, "{stderr}");
    for line in stderr.lines() {
        assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
        assert!(line.contains("\"message\":"), "{line}");
    }
}

#[test]
fn a_refused_forward_ends_it_where_that_was_asked_for() {
    require!("sshd");
    let sshd = Sshd::builder().config_line("PermitListen none").start();
    let (known_hosts, key) = (sshd.known_hosts_path(), key(&sshd));
    let flag = ["--exit-on-forward-failure"].as_slice();
    let option = ["-o", "ExitOnForwardFailure=yes"].as_slice();
    for words in [flag, option] {
        let words = [&["-i", &key, "-R", "0:localhost:1"], words].concat();
        let mut adit = adit(&sshd, &known_hosts, &words);
        let status = adit.wait(wait::DEADLINE);
        let stderr = adit.stderr();
        assert_eq!(status.code(), Some(1), "{stderr}");
        assert!(
            stderr.contains("forward was refused: localhost:0"),
            "{stderr}"
        );
    }
}
