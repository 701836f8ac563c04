//! How things end: whatever ends `adit up`, nothing that it started stays.

use std::net::TcpStream;
use std::time::Duration;

use adit_testkit::process::Process;
use adit_testkit::{require, wait};
use rustix::process::{Signal, kill_process};

use crate::support::{Follower, RUN, id_of_result, said, wait_for_ends};

/// Waits until nothing of it is left: no process, no port, no file of its own making.
#[track_caller]
fn nothing_is_left(follower: &Follower) {
    let stand_ins = follower.folder.stand_ins();
    assert!(
        stand_ins.len() >= 2,
        "the service and its child: {stand_ins:?}"
    );
    wait_for_ends(&stand_ins);
    for number in crate::support::DOCUMENT_PORTS {
        let port = follower.ports.of(*number);
        wait::until("no port is open", || {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(_) => Err(*number),
                Err(_) => Ok(()),
            }
        });
    }
    let names = std::fs::read_dir(follower.folder.work()).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [".env", "journal", "model-compose.yml"]);
    wait::until("the server is left", || {
        match follower.sshd.connection_count() {
            0 => Ok(()),
            left => Err(left),
        }
    });
}

/// Up and used, so that all of it runs.
fn used() -> (Follower, Process) {
    let follower = Follower::new();
    let up = follower.up();
    id_of_result(&follower.run());
    (follower, up)
}

macro_rules! require_programs {
    () => {
        require!("sshd", "ssh-keygen", "python3");
    };
}

#[test]
fn down_and_stop_leave_nothing_and_return_when_that_is_so() {
    require_programs!();
    for word in ["down", "stop"] {
        let (follower, mut up) = used();
        let ended = follower.folder.say(&[word]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        nothing_is_left(&follower);
        assert_eq!(said(&mut up).code, Some(0), "{word}");
        // Again there is nothing to end, and the next one starts as the first did.
        let again = follower.folder.say(&[word]);
        assert_eq!(again.code, Some(0));
        assert_eq!(again.stderr, "nothing is up here\n");
        assert!(!follower.folder.work().join(".stop").exists());
        let mut up = follower.up();
        up.kill();
    }
}

#[test]
fn ctrl_c_and_a_termination_leave_nothing() {
    require_programs!();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 0)] {
        let (follower, mut up) = used();
        kill_process(up.id(), signal).unwrap();
        let ended = said(&mut up);
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        nothing_is_left(&follower);
    }
}

/// A terminal's Ctrl-C goes to everything in its foreground.
#[test]
fn ctrl_c_that_reaches_its_children_as_well_leaves_nothing() {
    require_programs!();
    let (follower, mut up) = used();
    up.signal(Signal::INT);
    assert_eq!(said(&mut up).code, Some(130));
    nothing_is_left(&follower);
}

#[test]
fn a_kill_that_nobody_hears_leaves_no_process_and_no_port() {
    require_programs!();
    let (follower, mut up) = used();
    kill_process(up.id(), Signal::KILL).unwrap();
    up.wait(wait::DEADLINE);
    nothing_is_left(&follower);
    // What it left behind in the runtime directory is no obstacle.
    let mut up = follower.up();
    id_of_result(&follower.run());
    up.kill();
}

#[test]
fn a_run_of_its_own_that_is_interrupted_leaves_nothing() {
    require_programs!();
    for (signal, code) in [(Signal::INT, Some(130)), (Signal::KILL, None)] {
        let follower = Follower::new();
        follower.folder.write("hold", "");
        let mut run = follower.folder.start(RUN);
        follower.folder.wait_for_journal("/process ");
        std::fs::remove_file(follower.folder.work().join("hold")).unwrap();
        kill_process(run.id(), signal).unwrap();
        let ended = said(&mut run);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (code, ""),
            "{}",
            ended.stderr
        );
        nothing_is_left(&follower);
    }
}

#[test]
fn a_second_up_in_the_same_folder_is_told_of_the_first() {
    require_programs!();
    let (follower, mut up) = used();
    let second = follower.folder.say(&["up"]);
    assert_eq!(second.code, Some(1));
    let words = format!("is up already, as process {}", up.id());
    assert!(second.stderr.contains(&words), "{}", second.stderr);
    // The first does not notice.
    id_of_result(&follower.run());
    up.kill();
}

/// A callback that never comes keeps nothing up for longer than the file says.
#[test]
fn down_does_not_wait_for_a_callback_for_ever_and_the_run_is_told() {
    require_programs!();
    let follower = Follower::with(|text| {
        text.replace(
            "  base_path: /api\n",
            "  base_path: /api\n  shutdown_timeout: 1s\n",
        )
    });
    let mut up = follower.up();
    follower.folder.write("hold", "");
    let mut run = follower.folder.start(RUN);
    follower.folder.wait_for_journal("/process ");
    let down = follower.folder.say(&["down"]);
    assert_eq!(down.code, Some(0), "{}", down.stderr);
    let ended = said(&mut run);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.starts_with("adit: "), "{}", ended.stderr);
    assert_eq!(said(&mut up).code, Some(0));
    std::fs::remove_file(follower.folder.work().join("hold")).unwrap();
    nothing_is_left(&follower);
}

/// The file by which model-compose was stopped ends this, too, and an old one does not.
#[test]
fn the_stop_file_ends_it_and_a_stale_one_is_removed() {
    require_programs!();
    let follower = Follower::new();
    follower.folder.write(".stop", "");
    let mut up = follower.up();
    id_of_result(&follower.run());
    assert!(!follower.folder.work().join(".stop").exists());
    follower.folder.write(".stop", "");
    assert_eq!(said(&mut up).code, Some(0));
    nothing_is_left(&follower);
}

#[test]
fn a_service_that_is_not_installed_ends_it_with_the_reason_within_seconds() {
    require_programs!();
    let follower = Follower::new();
    std::fs::remove_file(follower.folder.work().join("../bin/uvicorn")).unwrap();
    for words in [&["up"][..], RUN] {
        let mut up = follower.folder.start(words);
        let code = up.wait(Duration::from_secs(20)).code();
        assert_eq!(code, Some(1), "{}", up.stderr());
        assert!(up.stderr().contains("uvicorn"), "{}", up.stderr());
    }
}

#[test]
fn a_service_that_dies_at_once_ends_it_with_its_last_words() {
    require_programs!();
    let follower = Follower::new();
    let script = "#!/bin/sh\necho 'ImportError: No module named server' >&2\nexit 1\n";
    follower.folder.program("uvicorn", script);
    let mut up = follower.folder.start(&["up"]);
    assert_eq!(up.wait(Duration::from_secs(20)).code(), Some(1));
    let said = up.stderr();
    assert!(
        said.contains("ImportError: No module named server"),
        "{said}"
    );
}

/// Nobody's terminal is needed.
#[test]
fn detached_it_is_ready_when_the_command_returns_and_down_ends_it() {
    require_programs!();
    let follower = Follower::new();
    let up = follower.folder.say(&["up", "--detach"]);
    assert_eq!(up.code, Some(0), "{}", up.stderr);
    id_of_result(&follower.run());
    assert_eq!(follower.folder.say(&["down"]).code, Some(0));
    nothing_is_left(&follower);
}
