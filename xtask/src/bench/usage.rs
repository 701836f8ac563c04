//! What processes use, as `/proc` says (proc(5)).

use std::fs;

use rustix::process::Pid;

/// CPU time, user and system, of these processes and of their children that have ended, in seconds.
/// A process that has ended meanwhile is with its parent.
pub(super) fn cpu_seconds(processes: &[Pid]) -> f64 {
    let ticks: u32 = processes.iter().filter_map(|pid| ticks(*pid)).sum();
    f64::from(ticks) / TICKS_PER_SECOND
}

/// `utime`, `stime`, `cutime` and `cstime` of `/proc/PID/stat`, the 14th to the 17th field.
fn ticks(pid: Pid) -> Option<u32> {
    let text = fs::read_to_string(proc(pid, "stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    let times = fields.split(' ').skip(11).take(4);
    Some(times.filter_map(|time| time.parse::<u32>().ok()).sum())
}

/// Memory of processes, in KiB.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// Every page that is in memory, shared ones in full.
    pub(super) resident: f64,
    /// Each page divided by how many share it.
    pub(super) proportional: f64,
    /// Pages that nobody shares and that were written to.
    pub(super) private_dirty: f64,
}

/// The memory of these processes together.
pub(super) fn memory(processes: &[Pid]) -> Memory {
    let mut memory = Memory {
        resident: 0.0,
        proportional: 0.0,
        private_dirty: 0.0,
    };
    for pid in processes {
        let text = fs::read_to_string(proc(*pid, "smaps_rollup")).unwrap_or_default();
        memory.resident += kibibytes(&text, "Rss:");
        memory.proportional += kibibytes(&text, "Pss:");
        memory.private_dirty += kibibytes(&text, "Private_Dirty:");
    }
    memory
}

/// The most memory that each of these processes ever had, together, in KiB; `None` where one is not
/// there.
pub(super) fn most_resident(processes: &[Pid]) -> Option<f64> {
    let most = processes.iter().map(|pid| {
        let text = fs::read_to_string(proc(*pid, "status")).ok()?;
        Some(kibibytes(&text, "VmHWM:"))
    });
    most.sum()
}

/// The value of a line `Pss:   123 kB`, 0 without one.
fn kibibytes(text: &str, name: &str) -> f64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let number = value.and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok());
    number.unwrap_or(0.0)
}

fn proc(pid: Pid, file: &str) -> String {
    format!("/proc/{}/{file}", pid.as_raw_nonzero())
}

/// USER_HZ: 100 wherever Linux runs that adit is built for, whatever the kernel's own clock is.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_time_and_memory() {
        let own = [rustix::process::getpid()];
        while cpu_seconds(&own) < 0.02 {
            std::hint::spin_loop();
        }
        let memory = memory(&own);
        assert!(memory.proportional > 100.0, "{memory:?}");
        assert!(memory.private_dirty > 0.0, "{memory:?}");
        let most = most_resident(&own).unwrap();
        assert!(most > 100.0, "{most}");
    }

    #[test]
    fn a_process_that_is_gone_uses_nothing() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_child(&child);
        child.wait().unwrap();
        assert!(cpu_seconds(&[pid]).abs() < f64::EPSILON);
        assert!(memory(&[pid]).proportional.abs() < f64::EPSILON);
        assert_eq!(most_resident(&[pid]), None);
    }
}
