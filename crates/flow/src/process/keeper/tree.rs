//! The processes below this one.

use std::collections::HashMap;

use rustix::process::{Pid, Signal};

/// Sends a signal to each process below this one. One that has ended meanwhile is passed over, as is one
/// that is another user's by now.
pub(super) fn signal(signal: Signal) {
    for pid in below(rustix::process::getpid()) {
        rustix::process::kill_process(pid, signal).ok();
    }
}

/// The processes below one, nearest first.
fn below(root: Pid) -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for (pid, parent) in processes() {
        children.entry(parent).or_default().push(pid);
    }
    let mut found = children.remove(&root.as_raw_pid()).unwrap_or_default();
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let more = children.remove(pid).unwrap_or_default();
        found.extend(more);
        next += 1;
    }
    found.into_iter().filter_map(Pid::from_raw).collect()
}

/// Each process that can be seen, and its parent.
fn processes() -> Vec<(i32, i32)> {
    let Ok(folder) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let numbers = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    numbers
        .filter_map(|pid| {
            let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, parent(&String::from_utf8_lossy(&stat))?))
        })
        .collect()
}

/// The parent in a line of `/proc/PID/stat`: `pid (name) state parent ...`, where the name may hold
/// spaces and brackets (proc(5)).
fn parent(stat: &str) -> Option<i32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_found_whatever_the_name_of_the_process() {
        for (stat, found) in [
            ("7 (sh) S 5 7 7 0", Some(5)),
            ("7 (a) S 9 (b) c) Z 5 7", Some(5)),
            ("7 (sh", None),
            ("", None),
        ] {
            assert_eq!(parent(stat), found, "{stat}");
        }
    }

    #[test]
    fn this_process_is_below_its_parent() {
        let parent = rustix::process::getppid().unwrap();
        assert!(below(parent).contains(&rustix::process::getpid()));
    }
}
