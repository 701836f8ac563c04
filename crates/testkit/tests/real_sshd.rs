//! The private sshd, proved by the stock `ssh`.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::process::Process;
use adit_testkit::sshd::Sshd;
use adit_testkit::{require, wait};

/// Starts `ssh -N -R 0:service` and gives it with the port that sshd has allocated.
#[expect(clippy::unwrap_used, reason = "part of a test")]
fn remote_forward(sshd: &Sshd, service: &TcpListener) -> (Process, u16) {
    let forward = format!("0:{}", service.local_addr().unwrap());
    let mut ssh = Process::spawn(&mut sshd.ssh(&["-N", "-R", &forward]));
    let text = ssh.wait_for_text("Allocated port");
    let words = text.split("Allocated port ").nth(1).unwrap();
    let port = words.split_whitespace().next().unwrap().parse().unwrap();
    (ssh, port)
}

#[test]
fn a_command_runs_over_a_login_with_the_known_host_key() {
    require!("ssh", "sshd", "ssh-keygen");
    for kinds in [
        &[KeyKind::Ed25519][..],
        &[KeyKind::EcdsaP256],
        &[KeyKind::Rsa3072],
    ] {
        let sshd = Sshd::builder().host_keys(kinds).start();
        let output = sshd.ssh(&[]).arg("echo hello").output().unwrap();
        assert!(
            output.status.success(),
            "{kinds:?}: {output:?}\n{}",
            sshd.log()
        );
        assert_eq!(output.stdout, b"hello\n");
        assert_eq!(sshd.known_hosts().lines().count(), 1);
    }
}

#[test]
fn a_remote_forward_carries_bytes_both_ways_and_is_cut_by_kill_connections() {
    require!("ssh", "sshd", "ssh-keygen");
    let sshd = Sshd::builder().start();
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut ssh, port) = remote_forward(&sshd, &service);
    assert_eq!(sshd.connection_count(), 1);

    let mut visitor = TcpStream::connect(("127.0.0.1", port)).unwrap();
    visitor.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    let (mut served, _) = service.accept().unwrap();
    visitor.write_all(b"ping").unwrap();
    let mut bytes = [0; 4];
    served.read_exact(&mut bytes).unwrap();
    served.write_all(&bytes).unwrap();
    visitor.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"ping");

    sshd.kill_connections();
    assert_eq!(sshd.connection_count(), 0);
    assert_eq!(
        ssh.wait(wait::DEADLINE).code(),
        Some(255),
        "{}",
        ssh.stderr()
    );
    assert!(matches!(visitor.read(&mut bytes), Ok(0) | Err(_)));
    assert!(
        TcpStream::connect(("127.0.0.1", port)).is_err(),
        "the public port is still open"
    );

    let (_ssh, _) = remote_forward(&sshd, &service);
}

#[test]
fn a_frozen_server_answers_nothing_until_it_is_thawed() {
    require!("ssh", "sshd", "ssh-keygen");
    let sshd = Sshd::builder().start();
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut ssh, port) = remote_forward(&sshd, &service);

    sshd.freeze();
    let mut visitor = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut newcomer = TcpStream::connect(sshd.addr()).unwrap();
    visitor.write_all(b"x").unwrap();
    newcomer
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    assert!(
        newcomer.read(&mut [0; 1]).is_err(),
        "a frozen server greets nobody"
    );
    service.set_nonblocking(true).unwrap();
    assert!(
        service.accept().is_err(),
        "a frozen server forwards nothing"
    );
    service.set_nonblocking(false).unwrap();

    sshd.thaw();
    newcomer.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    let mut banner = [0; 8];
    newcomer.read_exact(&mut banner).unwrap();
    assert_eq!(&banner, b"SSH-2.0-");
    let (mut served, _) = service.accept().unwrap();
    served.read_exact(&mut [0; 1]).unwrap();
    assert_eq!(ssh.exit_status(), None);
}

#[test]
fn a_closed_port_refuses_and_serves_again_once_it_is_opened() {
    require!("ssh", "sshd", "ssh-keygen");
    let mut sshd = Sshd::builder().start();
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut ssh, _) = remote_forward(&sshd, &service);

    sshd.close_port();
    assert!(TcpStream::connect(sshd.addr()).is_err());
    assert_eq!(ssh.exit_status(), None, "an open connection stays");

    sshd.open_port();
    let output = sshd.ssh(&[]).arg("true").output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn nothing_of_the_server_is_left_after_drop() {
    require!("ssh", "sshd", "ssh-keygen");
    let sshd = Sshd::builder().start();
    let folder = sshd.folder().to_owned();
    let mut ssh = Process::spawn(sshd.ssh(&[]).arg("echo started; sleep 1000"));
    ssh.wait_for_text("started");
    drop(sshd);
    assert!(!folder.exists());
    ssh.wait(wait::DEADLINE);
    let marker = folder.display().to_string();
    wait::until("no process names the folder of the sshd", || {
        let output = Command::new("ps").args(["-eo", "args"]).output().unwrap();
        let all = String::from_utf8_lossy(&output.stdout).into_owned();
        match all
            .lines()
            .find(|line| line.contains(&marker) && line.contains("sshd"))
        {
            None => Ok(()),
            Some(line) => Err(line.to_owned()),
        }
    });
}

#[test]
fn a_key_authorized_later_may_log_in_and_the_log_says_so() {
    require!("ssh", "sshd", "ssh-keygen");
    let sshd = Sshd::builder()
        .config_line("GatewayPorts clientspecified")
        .start();
    let key = KeyPair::generate(sshd.folder(), "late", KeyKind::EcdsaP256);
    let path = key.private_path().display().to_string();
    let login = || {
        sshd.ssh_without_key(&["-i", &path])
            .arg("true")
            .output()
            .unwrap()
    };
    assert!(!login().status.success(), "the key is not authorised yet");
    sshd.authorize(key.public_line());
    assert!(login().status.success(), "{}", sshd.log());
    sshd.wait_for_log("Accepted publickey for");
}

#[test]
fn a_host_certificate_added_later_is_trusted_by_its_authority() {
    require!("ssh", "sshd", "ssh-keygen");
    let sshd = Sshd::builder().start();
    let authority = KeyPair::generate(sshd.folder(), "authority", KeyKind::Ed25519);
    let host_key = sshd.host_keys().first().unwrap().public_path();
    let certificate = authority.certify(&host_key, &["-h", "-I", "lab", "-n", "127.0.0.1"]);
    sshd.add_config_line(&format!("HostCertificate {}", certificate.display()));
    let known = format!("@cert-authority * {}\n", authority.public_line());
    std::fs::write(sshd.known_hosts_path(), known).unwrap();
    let output = sshd.ssh(&["-v"]).arg("true").output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && words.contains("Found CA key in"),
        "{words}"
    );
}

#[test]
fn a_configuration_that_sshd_refuses_is_told_in_its_words() {
    require!("sshd", "ssh-keygen");
    let start = || Sshd::builder().config_line("NoSuchKeyword yes").start();
    let panic = std::panic::catch_unwind(start).unwrap_err();
    let words = panic.downcast::<String>().unwrap();
    assert!(
        words.contains("Bad configuration option: NoSuchKeyword"),
        "{words}"
    );
}
