//! Gateways that cannot be had: one line says why, and it is tried again only where that can help.

use std::net::TcpListener;

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::process::Process;
use adit_testkit::require;
use adit_testkit::sshd::Sshd;

use crate::support::{FORWARDING, Follower, id_of_result, is_alive, variables};

/// What `adit up` says that only a person can mend: one line, and nothing is left to be up.
#[track_caller]
fn one_line(follower: &Follower) -> String {
    let said = follower.folder.say(&["up"]);
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (Some(1), ""),
        "{}",
        said.stderr
    );
    let lines: Vec<&str> = said
        .stderr
        .lines()
        .filter(|line| line.starts_with("adit: "))
        .collect();
    assert_eq!(lines.len(), 1, "{}", said.stderr);
    let stand_ins = follower.folder.stand_ins();
    assert!(!stand_ins.into_iter().any(is_alive), "{}", said.stderr);
    lines[0].to_owned()
}

/// With a password in place of the key file, as the document's section has it.
fn with_password() -> Follower {
    let sshd = Sshd::builder()
        .config_line("PasswordAuthentication yes")
        .start();
    let follower = Follower::of(sshd, |text| {
        let key = "      keyfile: ${env.SSH_KEYFILE | ~/.ssh/id_rsa}\n";
        assert!(text.contains(key));
        text.replace(key, "      password: ${env.SSH_PASSWORD}\n")
    });
    let variables = variables(&follower.sshd);
    let variables = variables
        .replace("SSH_AUTH_TYPE=keyfile", "SSH_AUTH_TYPE=password")
        .replace("# SSH_PASSWORD=your-password", "SSH_PASSWORD=hunter4711");
    follower.folder.write(".env", &variables);
    follower
}

#[test]
fn a_key_that_the_server_does_not_know_is_named() {
    require!("sshd", "ssh-keygen");
    let follower = Follower::new();
    let key = follower.folder.home().join(".ssh/id_rsa");
    std::fs::remove_file(&key).unwrap();
    KeyPair::generate(
        &follower.folder.home().join(".ssh"),
        "id_rsa",
        KeyKind::Ed25519,
    );
    let line = one_line(&follower);
    for part in [
        "did not let",
        &key.display().to_string(),
        "is not known there",
        "server accepts publickey",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[test]
fn a_password_that_is_wrong_is_told_and_not_shown() {
    require!("sshd", "ssh-keygen");
    let follower = with_password();
    let known_hosts = follower.folder.home().join(".ssh/known_hosts");
    std::fs::write(known_hosts, follower.sshd.known_hosts()).unwrap();
    let line = one_line(&follower);
    assert!(line.contains("password was refused"), "{line}");
    assert!(!line.contains("hunter4711"), "{line}");
}

#[test]
fn a_password_goes_to_no_unknown_host() {
    require!("sshd", "ssh-keygen");
    let follower = with_password();
    let line = one_line(&follower);
    for part in ["is not known", "SHA256:", "host_key: "] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_eq!(follower.sshd.log().matches("Failed password").count(), 0);
}

/// `SSH_AUTH_TYPE=password` alone, as the example's variables offer it, needs a line in the file as well.
#[test]
fn a_password_that_the_file_does_not_name_is_told_before_anything_starts() {
    require!("sshd", "ssh-keygen");
    let follower = Follower::new();
    let said = follower.folder.say(&["up", "-e", "SSH_AUTH_TYPE=password"]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(
        said.stderr.contains("password: ${env.SSH_PASSWORD}"),
        "{}",
        said.stderr
    );
    assert_eq!(follower.sshd.connection_count(), 0);
}

#[test]
fn a_host_key_that_has_changed_is_refused_with_both_fingerprints() {
    require!("sshd", "ssh-keygen");
    let follower = Follower::new();
    let ssh = follower.folder.home().join(".ssh");
    let other = KeyPair::generate(&ssh, "other", KeyKind::Ed25519);
    let addr = follower.sshd.addr();
    let line = format!("[{}]:{} {}\n", addr.ip(), addr.port(), other.public_key());
    std::fs::write(ssh.join("known_hosts"), line).unwrap();
    let line = one_line(&follower);
    assert!(line.contains("has changed"), "{line}");
    assert_eq!(line.matches("SHA256:").count(), 2, "{line}");
}

#[test]
fn a_server_that_forwards_for_nobody_is_told_of_and_asked_again() {
    require!("sshd", "ssh-keygen", "python3");
    let sshd = Sshd::builder().config_line("AllowTcpForwarding no").start();
    let follower = Follower::of(sshd, |text| text);
    let mut up = follower.folder.start(&["up"]);
    let line = line_of(&mut up, "refuses port");
    assert!(line.contains("AllowTcpForwarding"), "{line}");
    follower.sshd.wait_for_log("tcpip-forward");
    assert!(up.exit_status().is_none());
    up.kill();
}

#[test]
fn a_port_that_is_busy_is_told_of_and_had_as_soon_as_it_is_free() {
    require!("sshd", "ssh-keygen", "python3");
    let follower = Follower::new();
    let public = follower.ports.of(9834);
    // At every address, since the server is content with some.
    let holder = TcpListener::bind(("::", public)).unwrap();
    let mut up = follower.folder.start(&["up"]);
    let line = line_of(&mut up, "refuses port");
    assert!(
        line.contains(&format!("refuses port {public}: it is taken there")),
        "{line}"
    );
    drop(holder);
    up.wait_for_text(FORWARDING);
    id_of_result(&follower.run());
    assert_eq!(
        up.stderr().matches("refuses port").count(),
        1,
        "{}",
        up.stderr()
    );
    up.kill();
}

/// The one line with this text.
#[track_caller]
fn line_of(up: &mut Process, text: &str) -> String {
    up.wait_for_text(text);
    let log = up.stderr();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(text)).collect();
    assert_eq!(lines.len(), 1, "{log}");
    lines[0].to_owned()
}

#[test]
fn a_port_of_this_machine_that_is_busy_ends_it() {
    require!("sshd", "ssh-keygen", "python3");
    let follower = Follower::new();
    for number in [8090, 9000, 8080] {
        let port = follower.ports.of(number);
        let holder = TcpListener::bind(("0.0.0.0", port)).unwrap();
        let line = one_line(&follower);
        assert!(line.contains(&port.to_string()), "{number}: {line}");
        drop(holder);
    }
}
