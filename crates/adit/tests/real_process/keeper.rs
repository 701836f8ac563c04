//! The keeper itself.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use adit_flow::process::{Keeper, SpawnError};
use adit_testkit::process::Process;
use adit_testkit::wait;
use rustix::process::{Pid, Signal};
use tokio::io::AsyncReadExt as _;

use crate::{Folder, is_alive, the_keeper, wait_for_end};

/// Starts a grandchild that has left its parent, its group and its session, and stays.
const LEAVES: &str = "setsid sh -c 'sh -c \"echo \\$\\$ > leaf.new; mv leaf.new leaf; trap : TERM; \
                      while :; do sleep 1000 & wait; done\" &' ; ";

#[tokio::test]
async fn what_forked_twice_ends_with_the_program() {
    let folder = Folder::new();
    let mut child = the_keeper()
        .spawn(&folder.script(&format!("{LEAVES} exec sleep 1000")))
        .unwrap();
    let leaf = folder.pid("leaf");
    assert!(is_alive(leaf));
    let exit = child.stop(Duration::from_millis(100)).await.unwrap();
    assert_eq!(exit.code, 143);
    assert!(!is_alive(leaf));
}

#[tokio::test]
async fn a_program_that_ends_by_itself_leaves_nothing_behind() {
    let folder = Folder::new();
    let mut child = the_keeper()
        .spawn(&folder.script(&format!(
            "{LEAVES} while ! test -e leaf; do sleep 0.01; done; exit 7"
        )))
        .unwrap();
    let leaf = folder.pid("leaf");
    assert_eq!(child.wait().await.unwrap().code, 7);
    assert!(!is_alive(leaf));
}

#[tokio::test]
async fn a_dropped_child_ends_and_all_that_it_has_started() {
    let folder = Folder::new();
    let script = format!("{LEAVES} echo $$ > own.new; mv own.new own; exec sleep 1000");
    let child = the_keeper().spawn(&folder.script(&script)).unwrap();
    let (own, leaf) = (folder.pid("own"), folder.pid("leaf"));
    drop(child);
    wait_for_end(own);
    wait_for_end(leaf);
}

/// Runs [`parent`] in a process of its own.
fn a_parent(folder: &Folder) -> Process {
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new(this);
    command
        .args(["--exact", "keeper::parent", "--ignored", "--nocapture"])
        .env(FOLDER, folder.path());
    Process::spawn(&mut command)
}

const FOLDER: &str = "REAL_PROCESS_FOLDER";

#[tokio::test]
#[ignore = "the process that another test kills"]
async fn parent() {
    let folder = std::env::var_os(FOLDER).expect("a folder");
    let program = adit_flow::process::Program {
        dir: folder.into(),
        ..Folder::new().script(&format!(
            "{LEAVES} echo $$ > own.new; mv own.new own; trap : TERM; while :; do sleep 1000 & wait; done"
        ))
    };
    let mut child = the_keeper().spawn(&program).unwrap();
    child.wait().await.unwrap();
}

#[test]
fn kill_9_of_the_parent_leaves_no_grandchild() {
    let folder = Folder::new();
    let parent = a_parent(&folder);
    let (own, leaf) = (folder.pid("own"), folder.pid("leaf"));
    assert!(is_alive(own) && is_alive(leaf));
    rustix::process::kill_process(parent.id(), Signal::KILL).unwrap();
    wait_for_end(leaf);
    wait_for_end(own);
}

#[test]
fn a_program_outlives_the_thread_and_the_runtime_that_have_started_it() {
    let folder = Folder::new();
    let program = folder.script("echo $$ > own.new; mv own.new own; read line; exec sleep 1000");
    let start = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { the_keeper().spawn(&program).unwrap() })
    });
    let child = start.join().unwrap();
    let own = folder.pid("own");
    // Long enough for a signal that came with the end of the thread: the program has written its file meanwhile.
    assert!(is_alive(own));
    drop(child);
    wait_for_end(own);
}

#[tokio::test]
async fn a_program_gets_an_empty_input_no_terminal_a_group_of_its_own_and_few_files() {
    let folder = Folder::new();
    let script = "readlink /proc/self/fd/0; umask; ls /proc/self/fd | wc -l; cut -d' ' -f5,6,7 /proc/$$/stat; echo $$";
    let mut child = the_keeper().spawn(&folder.script(script)).unwrap();
    let mut said = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .await
        .unwrap();
    let lines: Vec<&str> = said.lines().collect();
    // Those that whoever has started the test has left open are not ours to close.
    let plain = Command::new("sh")
        .args(["-c", "ls /proc/self/fd | wc -l"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let plain = String::from_utf8(plain.stdout).unwrap();
    assert_eq!(lines[..3], ["/dev/null", "0022", plain.trim()]);
    let ids: Vec<&str> = lines[3].split(' ').collect();
    assert_eq!(ids[0], lines[4], "its group is its own");
    assert_ne!(ids[1], lines[4], "its session is the keeper's");
    assert_eq!(ids[2], "0", "there is no terminal");
    assert!(child.wait().await.unwrap().is_success());
}

#[tokio::test]
async fn a_program_has_the_limit_of_open_files_that_it_is_to_have() {
    let folder = Folder::new();
    let ours = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let ours = ours
        .current
        .map_or_else(|| "unlimited".to_owned(), |it| it.to_string());
    for (open_files, wanted) in [(Some(99), "99"), (None, ours.as_str())] {
        let keeper = Keeper {
            open_files,
            ..the_keeper()
        };
        let mut child = keeper.spawn(&folder.script("ulimit -Sn")).unwrap();
        let mut said = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        stdout.read_to_string(&mut said).await.unwrap();
        assert_eq!(said.trim(), wanted);
        assert!(child.wait().await.unwrap().is_success());
    }
}

#[tokio::test]
async fn exit_codes_are_those_of_shells() {
    let folder = Folder::new();
    folder.executable("no-interpreter", "");
    fs::write(folder.path().join("no-interpreter"), "#!/gone\n").unwrap();
    fs::write(folder.path().join("not-a-program"), "\u{7f}ELF").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder.path().join("not-a-program"), mode).unwrap();
    for (argv, code, told) in [
        (&["sh", "-c", "exit 0"][..], 0, ""),
        (&["sh", "-c", "exit 255"], 255, ""),
        (&["sh", "-c", "kill -9 $$"], 137, ""),
        (
            &["./no-interpreter"],
            127,
            "adit: cannot run ./no-interpreter: No such file",
        ),
        (
            &["./not-a-program"],
            126,
            "adit: cannot run ./not-a-program: Exec format error",
        ),
    ] {
        let mut child = the_keeper().spawn(&folder.program(argv)).unwrap();
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .await
            .unwrap();
        assert_eq!(child.wait().await.unwrap().code, code, "{argv:?}");
        assert!(said.starts_with(told), "{argv:?}: {said}");
    }
}

#[tokio::test]
async fn a_missing_program_is_an_error_at_once() {
    let folder = Folder::new();
    folder.executable("uvicorn", "exit 0");
    let error = the_keeper()
        .spawn(&folder.program(&["uvicorn", "server:app"]))
        .unwrap_err();
    assert!(matches!(error, SpawnError::NotInPath { .. }), "{error}");
    let told = "uvicorn: not found in PATH";
    assert_eq!(error.to_string(), told);
}

#[tokio::test]
async fn a_signal_to_the_keeper_ends_the_program_too() {
    let folder = Folder::new();
    let mut child = the_keeper()
        .spawn(&folder.script("echo $PPID > keeper.new; mv keeper.new keeper; exec sleep 1000"))
        .unwrap();
    let keeper: Pid = folder.pid("keeper");
    rustix::process::kill_process(keeper, Signal::TERM).unwrap();
    assert_eq!(child.wait().await.unwrap().code, 143);
}

#[test]
fn nobody_else_can_use_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_adit"))
        .args(["__keeper", "-", "/bin/sh", "--", "sh", "-c", "echo ran"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(126));
    assert_eq!(output.stdout, b"");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.starts_with("adit: cannot keep /bin/sh: "), "{told}");
    let help = Command::new(env!("CARGO_BIN_EXE_adit"))
        .arg("--help")
        .output()
        .unwrap();
    assert!(!String::from_utf8(help.stdout).unwrap().contains("__keeper"));
}

#[test]
fn a_stopped_parent_is_no_lost_parent() {
    let folder = Folder::new();
    let parent = a_parent(&folder);
    let own = folder.pid("own");
    rustix::process::kill_process(parent.id(), Signal::STOP).unwrap();
    wait::until("the parent is stopped", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", parent.id())).unwrap();
        if stat.contains(") T ") {
            Ok(())
        } else {
            Err(stat)
        }
    });
    assert!(is_alive(own));
    rustix::process::kill_process(parent.id(), Signal::CONT).unwrap();
}
