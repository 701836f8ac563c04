//! `adit trust`, and keys that are pinned on a command line, against a stock sshd.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::Command;

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::process::Process;
use adit_testkit::require;
use adit_testkit::sshd::Sshd;
use adit_testkit::wait;

fn fingerprint(key: &KeyPair) -> String {
    let mut command = Command::new("ssh-keygen");
    let output = command.arg("-lf").arg(key.public_path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(' ').nth(1).unwrap().to_owned()
}

/// Exit code, standard output and standard error of `adit`, without a terminal.
fn adit(words: &[&str], known_hosts: &Path) -> (Option<i32>, String, String) {
    let mut command = Command::new("setsid");
    command
        .args(["-w", env!("CARGO_BIN_EXE_adit")])
        .args(words)
        .args(["-F", "none", "-o"])
        .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
        .env("ADIT_PASSWORD", "hunter4711")
        .env_remove("SSH_AUTH_SOCK");
    let mut adit = Process::spawn(&mut command);
    let status = adit.wait(wait::DEADLINE);
    (status.code(), adit.stdout(), adit.stderr())
}

#[test]
fn a_password_is_sent_to_a_host_that_is_trusted_by_its_fingerprint_and_to_no_new_one() {
    require!("sshd", "ssh-keygen", "setsid");
    let sshd = Sshd::builder()
        .config_line("PasswordAuthentication yes")
        .start();
    let known_hosts = sshd.folder().join("own");
    let (port, user) = (sshd.addr().port().to_string(), sshd.user());
    let key = fingerprint(&sshd.host_keys()[0]);
    let destination = format!("{user}@127.0.0.1");
    let home = tempfile::tempdir().unwrap();
    let log_in = |more: &[&str]| {
        // A key that is there and not known.
        let stranger = home.path().join("stranger");
        if !stranger.exists() {
            KeyPair::generate(home.path(), "stranger", KeyKind::Ed25519);
        }
        let stranger = stranger.to_str().unwrap();
        let words = [
            "forward",
            "-R",
            "0:localhost:1",
            "-p",
            &port,
            "-i",
            stranger,
        ];
        let (code, _, stderr) = adit(&[&words, more, &[&destination]].concat(), &known_hosts);
        assert_eq!(code, Some(1), "{stderr}");
        stderr
    };
    let tries = || sshd.log().matches("Failed password").count();
    let stderr = log_in(&["-o", "StrictHostKeyChecking=ask"]);
    assert!(stderr.contains("no password is sent"), "{stderr}");
    assert_eq!(tries(), 0);
    std::fs::remove_file(&known_hosts).unwrap();

    // By a pin it goes there, and by the wrong one it does not; neither is written down.
    let other = "SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM";
    let stderr = log_in(&["--host-key", other]);
    assert!(stderr.contains(other) && stderr.contains(&key), "{stderr}");
    assert_eq!(tries(), 0);
    log_in(&["--host-key", other, "--host-key", &key]);
    assert_eq!(tries(), 1);
    assert!(!known_hosts.exists());

    let host = format!("127.0.0.1:{port}");
    let (code, _, stderr) = adit(&["trust", &host, other], &known_hosts);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains(other) && stderr.contains(&key), "{stderr}");
    assert!(!known_hosts.exists());
    for said in ["written to", "already"] {
        // A port may be written either way.
        for words in [
            &["trust", &host, &key][..],
            &["trust", "-p", &port, "127.0.0.1", &key],
        ] {
            let (code, stdout, stderr) = adit(words, &known_hosts);
            assert_eq!(code, Some(0), "{stderr}");
            let place = format!("{}:1", known_hosts.display());
            assert!(stdout.contains(&place) && stdout.contains(&key), "{stdout}");
            if said == "already" {
                assert!(stdout.contains(said), "{stdout}");
            }
        }
    }
    assert_eq!(
        std::fs::read_to_string(&known_hosts)
            .unwrap()
            .lines()
            .count(),
        1
    );
    assert_eq!(tries(), 1, "trust never logs in");
    let stderr = log_in(&[]);
    assert!(stderr.contains("password was refused"), "{stderr}");
    assert_eq!(tries(), 2);
    assert!(!stderr.contains("hunter4711"), "{stderr}");
}

#[test]
fn a_host_that_is_known_by_another_key_is_not_trusted_by_this_one() {
    require!("sshd", "ssh-keygen", "setsid");
    let (sshd, other) = (Sshd::builder().start(), Sshd::builder().start());
    let known_hosts = sshd.folder().join("own");
    let host = format!("127.0.0.1:{}", sshd.addr().port());
    let (key, old) = (&sshd.host_keys()[0], &other.host_keys()[0]);
    let line = format!("[127.0.0.1]:{} {}\n", sshd.addr().port(), old.public_key());
    std::fs::write(&known_hosts, &line).unwrap();
    let (code, stdout, stderr) = adit(&["trust", &host, &fingerprint(key)], &known_hosts);
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    for part in [
        &fingerprint(key),
        &fingerprint(old),
        "ssh-keygen -R",
        "nothing was written",
    ] {
        assert!(stderr.contains(part), "{part} is not in {stderr}");
    }
    assert_eq!(std::fs::read_to_string(&known_hosts).unwrap(), line);
}

#[test]
fn a_host_behind_another_is_trusted_through_it() {
    require!("sshd", "ssh-keygen", "setsid");
    let [bastion, target] = [(); 2].map(|()| Sshd::builder().start());
    let known_hosts = target.folder().join("own");
    let config = target.folder().join("config");
    let text = format!(
        "Host bastion\n HostName 127.0.0.1\n Port {}\n User {}\n IdentityFile {}\n UserKnownHostsFile {}\n\
         Host target\n HostName 127.0.0.1\n Port {}\n ProxyJump bastion\n UserKnownHostsFile {}\n",
        bastion.addr().port(),
        bastion.user(),
        bastion.user_key().private_path().display(),
        bastion.known_hosts_path().display(),
        target.addr().port(),
        known_hosts.display(),
    );
    std::fs::write(&config, text).unwrap();
    let key = fingerprint(&target.host_keys()[0]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command.args(["trust", "target", &key, "-F"]).arg(&config);
    let mut adit = Process::spawn(command.env_remove("SSH_AUTH_SOCK"));
    let status = adit.wait(wait::DEADLINE);
    assert!(status.success(), "{}", adit.stderr());
    let text = std::fs::read_to_string(&known_hosts).unwrap();
    assert!(text.contains(target.host_keys()[0].public_key()), "{text}");
    assert!(bastion.log().contains("Accepted publickey"));
    assert!(!target.log().contains("Accepted"));
}
