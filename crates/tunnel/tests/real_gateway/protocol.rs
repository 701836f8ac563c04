//! What of the protocol only a stock client can prove.

use adit_model::grant::Grant;
use adit_ssh::key_file;
use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::process::Process;
use adit_testkit::{echo, require, wait};
use adit_tunnel::gateway::accept::Settings;
use adit_tunnel::gateway::host_keys;
use adit_tunnel::gateway::policy::Kind;

use crate::world::{Gateway, SOON, User, Wishes, alone, free_port, generous, policy};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_exchange_extensions_and_renewed_keys_are_agreed_on() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(Grant::default()).await;
    let arguments = ["-vvv", "-T", "-o", "RekeyLimit=default 1"];
    let mut ssh = gateway.ssh(&user, &arguments);
    ssh.wait_for_text("You are alice");
    // Every second the client wants new keys once something moves.
    ssh.wait_for_text("SSH2_MSG_NEWKEYS received");
    let told = ssh.stderr();
    for sign in [
        "will use strict KEX ordering",
        "SSH2_MSG_EXT_INFO received",
        "server-sig-algs",
        "publickey-hostbound@openssh.com",
        "sntrup761x25519-sha512",
    ] {
        assert!(told.contains(sign), "{sign} in {told}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_learns_new_host_keys_and_then_forgets_old_ones() {
    require!("ssh", "ssh-keygen");
    let user = User::new(1, "alice");
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("ssh");
    let old = host_keys::load_or_make(&keys).unwrap();
    let wishes = Wishes {
        settings: Settings::with_host_keys(old.clone()),
        ..Wishes::default()
    };
    let gateway = Gateway::with(policy(&[(&user, Kind::User, Grant::default())]), wishes).await;
    // The client knows the first key alone.
    let first = std::fs::read_to_string(gateway.known_hosts()).unwrap();
    let first = first.lines().next().unwrap().to_owned();
    std::fs::write(gateway.known_hosts(), format!("{first}\n")).unwrap();
    let known = || std::fs::read_to_string(gateway.known_hosts()).unwrap();
    let learn = ["-T", "-o", "UpdateHostKeys=yes"];
    let mut ssh = gateway.ssh(&user, &learn);
    wait::until_within(SOON, "all keys in known_hosts", || {
        let text = known();
        let has_all = (old.public().iter()).all(|key| text.contains(&key.to_openssh_text()));
        has_all.then_some(()).ok_or_else(|| (text, ssh.stderr()))
    });
    drop(ssh);
    // The Ed25519 key is replaced: the new one is announced beside the others, then comes into use.
    let text = key_file::write_ed25519(&[9; 32], "new").unwrap();
    let path = keys.join("ssh_host_ed25519_key");
    std::fs::write(&path, text.as_bytes()).unwrap();
    let new = host_keys::load_or_make(&keys).unwrap();
    gateway.acceptor.set_host_keys(&new);
    // It still knows the gateway by its RSA key, and learns the rest from there.
    let by_rsa = [
        "-T",
        "-o",
        "UpdateHostKeys=yes",
        "-o",
        "HostKeyAlgorithms=rsa-sha2-512,ssh-ed25519",
    ];
    ssh = gateway.ssh(&user, &by_rsa);
    wait::until_within(
        SOON,
        "the new key in known_hosts and the old one gone",
        || {
            let text = known();
            let has_new = text.contains(&new.public()[0].to_openssh_text());
            let has_old = text.contains(&old.public()[0].to_openssh_text());
            (has_new && !has_old)
                .then_some(())
                .ok_or_else(|| (text, ssh.stderr()))
        },
    );
    drop(ssh);
    let mut ssh = Process::spawn(&mut gateway.command_with(&user, &["-T"], &["x"]));
    let _: std::process::ExitStatus = ssh.wait(SOON);
    assert!(
        ssh.stderr().contains("runs no commands"),
        "{}",
        ssh.stderr()
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_for_signs_of_life_gets_them() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(Grant::default()).await;
    let arguments = [
        "-vvv",
        "-T",
        "-o",
        "ServerAliveInterval=1",
        "-o",
        "ServerAliveCountMax=1",
    ];
    let mut ssh = gateway.ssh(&user, &arguments);
    // Three answers: the client would have left after two that did not come.
    wait::until_within(SOON, "three answers", || {
        assert_eq!(ssh.exit_status(), None);
        let text = ssh.stderr();
        let answers = text.matches("receive packet: type 82").count();
        (answers >= 3).then_some(()).ok_or(text)
    });
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_renewed_by_volume_while_bytes_flow_and_none_is_lost() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(generous()).await;
    let service = echo::service();
    let port = free_port();
    let forward = format!("localhost:{port}:127.0.0.1:{service}");
    let ssh = gateway.tunnel(
        &user,
        &[
            "-o",
            "RekeyLimit=64K",
            "-o",
            "KexAlgorithms=curve25519-sha256",
            "-R",
            &forward,
        ],
    );
    let text = "0123456789abcdef".repeat(65_536);
    let addr = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let answer = tokio::task::spawn_blocking(move || crate::world::echo_at_once(addr, &text)).await;
    let told = ssh.stderr();
    assert!(
        matches!(answer, Ok(true)),
        "what came back is what was sent: {told}"
    );
    let renewed = ssh.stderr().matches("SSH2_MSG_NEWKEYS received").count();
    assert!(renewed > 3, "{renewed} times");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_trusts_an_authority_knows_the_gateway_by_its_certificate() {
    require!("ssh", "ssh-keygen");
    let user = User::new(1, "alice");
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("ssh");
    let plain = host_keys::load_or_make(&keys).unwrap();
    let authority = KeyPair::generate(user.folder(), "authority", KeyKind::Ed25519);
    let public = keys.join("ssh_host_ed25519_key.pub");
    authority.certify(&public, &["-h", "-I", "gateway", "-n", "127.0.0.1"]);
    let certified = host_keys::load_or_make(&keys).unwrap();
    assert_eq!(certified.public(), plain.public());
    let wishes = Wishes {
        settings: Settings::with_host_keys(certified),
        ..Wishes::default()
    };
    let gateway = Gateway::with(policy(&[(&user, Kind::User, Grant::default())]), wishes).await;
    let line = format!(
        "@cert-authority [127.0.0.1]:{} {}\n",
        gateway.port(),
        authority.public_key()
    );
    std::fs::write(gateway.known_hosts(), line).unwrap();
    let mut ssh = Process::spawn(&mut gateway.command_with(&user, &["-T"], &["x"]));
    let _: std::process::ExitStatus = ssh.wait(SOON);
    assert!(
        ssh.stderr().contains("runs no commands"),
        "{}",
        ssh.stderr()
    );
    gateway.stop().await;
}
