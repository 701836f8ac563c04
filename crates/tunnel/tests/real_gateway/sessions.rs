//! What a client sees that asks for more than forwards: the page, and reasons.

use std::process::Command;
use std::time::Duration;

use adit_model::grant::Grant;
use adit_testkit::process::Process;
use adit_testkit::ssh_agent::SshAgent;
use adit_testkit::{echo, real, require};

use crate::world::{SOON, alone, generous};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_refused_with_a_clear_line_and_a_failure() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(Grant::default()).await;
    for arguments in [&["-T"][..], &["-tt"]] {
        let mut ssh = Process::spawn(&mut gateway.command_with(&user, arguments, &["ls", "-l"]));
        let status = ssh.wait(SOON);
        let told = ssh.stderr();
        assert!(!status.success(), "{told}");
        assert!(
            told.contains("adit: this gateway runs no commands, so not \"ls -l\""),
            "{told}"
        );
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sftp_and_other_subsystems_are_refused_with_a_reason() {
    require!("ssh", "ssh-keygen", "sftp");
    let (gateway, user) = alone(Grant::default()).await;
    let mut ssh = Process::spawn(&mut gateway.command_with(&user, &["-s"], &["nonsense"]));
    assert!(!ssh.wait(SOON).success());
    let told = ssh.stderr();
    assert!(told.contains("no subsystem \"nonsense\""), "{told}");
    let mut sftp = Command::new(real::find("sftp").unwrap());
    sftp.args(gateway.options(&user)).args([
        "-P",
        &gateway.port().to_string(),
        "somebody@127.0.0.1",
    ]);
    let mut sftp = Process::spawn(&mut sftp);
    assert!(!sftp.wait(SOON).success());
    assert!(
        sftp.stderr().contains("no sftp or scp"),
        "{}",
        sftp.stderr()
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agent_and_x11_forwarding_are_refused_with_a_reason_and_variables_are_ignored() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(Grant::default()).await;
    let agent = SshAgent::start();
    let socket = format!("IdentityAgent={}", agent.socket().display());
    let mut command = Command::new(real::find("ssh").unwrap());
    command
        .args(["-o", &socket, "-A", "-X", "-o", "XAuthLocation=/bin/false"])
        .args(["-o", "SetEnv=SECRET=1"])
        .args(gateway.options(&user))
        .args([
            "-T",
            "-p",
            &gateway.port().to_string(),
            "somebody@127.0.0.1",
        ])
        .env("DISPLAY", "localhost:99")
        .env("SSH_AUTH_SOCK", agent.socket());
    let mut ssh = Process::spawn(&mut command);
    ssh.wait_for_text("no ssh-agent is forwarded here");
    ssh.wait_for_text("You are alice");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_names_the_addresses_counts_visitors_and_ends_with_the_client() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(generous()).await;
    let service = echo::service();
    let forward = format!("0:127.0.0.1:{service}");
    let mut ssh = gateway.ssh(&user, &["-T", "-R", &forward]);
    let text = ssh.wait_for_text("Allocated port");
    let port: u16 = text
        .split("Allocated port ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .unwrap()
        .parse()
        .unwrap();
    ssh.wait_for_text(&format!("127.0.0.1:{port}"));
    crate::world::answers(port);
    assert_eq!(ssh.exit_status(), None, "a closed input does not end it");
    drop(ssh);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q_ends_the_page_on_a_terminal_and_ssh_with_it() {
    require!("ssh", "ssh-keygen", "mkfifo");
    let (gateway, user) = alone(generous()).await;
    for key in ["q", "\x03"] {
        let fifo = gateway.folder.path().join("keys");
        let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        let ssh = gateway.command(&user, &["-tt"]);
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(format!("exec \"$@\" < {}", fifo.display()))
            .arg("sh")
            .arg(ssh.get_program())
            .args(ssh.get_args());
        let mut ssh = Process::spawn(&mut shell);
        let mut keys = std::fs::OpenOptions::new().write(true).open(&fifo).unwrap();
        ssh.wait_for_text("Stop with q or Ctrl-C");
        assert!(ssh.stdout().starts_with("\x1b[H"), "it is drawn in place");
        std::io::Write::write_all(&mut keys, key.as_bytes()).unwrap();
        let status = ssh.wait(Duration::from_secs(10));
        assert!(status.success(), "{}", ssh.stderr());
        std::fs::remove_file(&fifo).unwrap();
    }
    gateway.stop().await;
}
