//! What a callback survives: the end of a connection, a server that hangs, a server that starts anew.

use adit_testkit::process::Process;
use adit_testkit::require;

use crate::support::{FORWARDING, Follower, RUN, id_of_result, said, wait_for_count};

/// A run whose request is out, and whose callback is held back.
fn waiting(follower: &Follower) -> Process {
    follower.folder.write("hold", "");
    let run = follower.folder.start(RUN);
    follower.folder.wait_for_journal("/process ");
    run
}

fn let_go(follower: &Follower) {
    std::fs::remove_file(follower.folder.work().join("hold")).unwrap();
}

/// The run has what it waited for, at the port that it told.
#[track_caller]
fn ends_well(follower: &Follower, mut run: Process) {
    let said = said(&mut run);
    id_of_result(&said);
    // The run may know it before the sender does.
    follower.folder.wait_for_journal("called back 200");
    let journal = follower.folder.journal();
    assert_eq!(journal.matches("called back").count(), 1, "{journal}");
}

#[track_caller]
fn same_port(follower: &Follower, up: &Process, count: usize) {
    wait_for_count(up, FORWARDING, count);
    let line = format!("{FORWARDING}127.0.0.1:{} -> ", follower.ports.of(9834));
    assert_eq!(up.stderr().matches(&line).count(), count, "{}", up.stderr());
}

#[test]
fn a_run_that_waits_has_its_callback_after_its_connection_was_killed() {
    require!("sshd", "ssh-keygen", "python3");
    let follower = Follower::new();
    let mut up = follower.up();
    let run = waiting(&follower);
    follower.sshd.kill_connections();
    up.wait_for_text("SSH connection lost: ");
    same_port(&follower, &up, 2);
    let_go(&follower);
    ends_well(&follower, run);
    up.kill();
}

/// The sender finds nobody, and tries again as often as it would anyway: five times, each second.
#[test]
fn the_callback_survives_a_cut_between_the_request_and_the_callback() {
    require!("sshd", "ssh-keygen", "python3");
    let mut follower = Follower::new();
    let mut up = follower.up();
    let run = waiting(&follower);
    follower.sshd.close_port();
    follower.sshd.kill_connections();
    up.wait_for_text("SSH connection lost: ");
    let_go(&follower);
    follower.folder.wait_for_journal("failed ");
    follower.sshd.open_port();
    ends_well(&follower, run);
    same_port(&follower, &up, 2);
    // And the next one knows of nothing.
    id_of_result(&follower.run());
    up.kill();
}

/// No byte comes any more and nothing is closed: only asking finds that out.
#[test]
fn a_run_that_waits_has_its_callback_after_the_server_hung() {
    require!("sshd", "ssh-keygen", "python3");
    let follower = Follower::with(|text| {
        text.replace(
            "  connection:\n",
            "  connection:\n    keepalive_interval: 1s\n",
        )
    });
    let mut up = follower.up();
    let run = waiting(&follower);
    follower.sshd.freeze();
    up.wait_for_text("SSH connection lost: ");
    follower.sshd.thaw();
    same_port(&follower, &up, 2);
    let_go(&follower);
    ends_well(&follower, run);
    up.kill();
}

#[test]
fn a_run_that_asks_for_the_address_while_the_server_starts_anew_waits_for_it() {
    require!("sshd", "ssh-keygen", "python3");
    let mut follower = Follower::new();
    let mut up = follower.up();
    follower.sshd.close_port();
    follower.sshd.kill_connections();
    up.wait_for_text("SSH connection lost: ");
    let run = follower.folder.start(RUN);
    up.wait_for_text("Job '__job__' started.");
    assert!(
        !follower.folder.journal().contains("/process"),
        "{}",
        follower.folder.journal()
    );
    follower.sshd.open_port();
    ends_well(&follower, run);
    same_port(&follower, &up, 2);
    up.kill();
}
