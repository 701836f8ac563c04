//! The end of programs whose test was killed and could not end them itself.
//!
//! Programs of the lab run in process groups of their own, so a signal to the test's group passes them by, and a killed
//! test drops nothing. So one shell stands beside each test process and reads from a pipe which groups there are. When
//! the test process ends, however it ends, the system closes the pipe, and the shell kills the groups that are left.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use rustix::process::Pid;

/// This group ends with the test process.
pub(crate) fn watch(group: Pid) {
    tell("watch", group);
}

/// This group has ended already, and its number may become somebody else's.
pub(crate) fn forget(group: Pid) {
    tell("forget", group);
}

fn tell(verb: &str, group: Pid) {
    static REAPER: LazyLock<Mutex<ChildStdin>> = LazyLock::new(|| Mutex::new(start()));
    let mut reaper = REAPER.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(reaper, "{verb} {group}").expect("the shell lives as long as this process");
}

fn start() -> ChildStdin {
    let shell = Command::new("sh")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    shell
        .ok()
        .and_then(|shell| shell.stdin)
        .expect("a shell starts")
}

const SCRIPT: &str = r#"
groups=" "
while read -r verb group; do
    case $verb in
        watch) groups="$groups$group " ;;
        forget) groups="${groups%% $group *} ${groups#* $group }" ;;
    esac
done
for group in $groups; do kill -s KILL -- "-$group"; done
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{process, wait};

    fn sleeper() -> std::process::Child {
        Command::new("sleep")
            .arg("1000")
            .process_group(0)
            .spawn()
            .unwrap()
    }

    #[test]
    fn groups_still_watched_end_with_the_pipe_and_forgotten_ones_do_not() {
        let mut sleepers = [sleeper(), sleeper(), sleeper()];
        let mut reaper = start();
        for sleeper in &sleepers {
            writeln!(reaper, "watch {}", sleeper.id()).unwrap();
        }
        writeln!(reaper, "forget {}", sleepers[1].id()).unwrap();
        drop(reaper);
        for index in [0, 2] {
            wait::until("a watched sleeper has ended", || {
                sleepers[index].try_wait().unwrap().ok_or("sleeps")
            });
        }
        assert_eq!(sleepers[1].try_wait().unwrap(), None);
        process::kill_tree(Pid::from_child(&sleepers[1]));
        sleepers[1].wait().unwrap();
    }
}
