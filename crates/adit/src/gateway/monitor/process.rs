//! What this process uses of the machine.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// What this process uses; `None` where the system does not say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process {
    /// Open file descriptors.
    pub(super) descriptors: Option<u64>,
    /// How many there may be.
    pub(super) most_descriptors: Option<u64>,
    /// Memory that it has, in bytes.
    pub(super) resident: Option<u64>,
    /// Time that processors have spent on it.
    pub(super) processors: Duration,
}

impl Process {
    /// Looks. Takes a moment for each ten thousand descriptors, so it is no task's to do.
    pub(super) fn look() -> Self {
        let spent = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = u64::try_from(spent.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(spent.tv_nsec).unwrap_or_default();
        Self {
            descriptors: descriptors(),
            most_descriptors: getrlimit(Resource::Nofile).current,
            resident: fs::read_to_string("/proc/self/status")
                .ok()
                .and_then(|status| resident(&status)),
            processors: Duration::new(seconds, nanos),
        }
    }
}

/// How many descriptors are open. Since Linux 6.2 the folder says it by its size (proc_pid_fd(5)); before, it has
/// to be read, and the reading is one of them.
fn descriptors() -> Option<u64> {
    const FOLDER: &str = "/proc/self/fd";
    match fs::metadata(FOLDER).ok()?.len() {
        0 => {
            let count = fs::read_dir(FOLDER).ok()?.count();
            u64::try_from(count.saturating_sub(1)).ok()
        }
        count => Some(count),
    }
}

/// The line `VmRSS:` of proc_pid_status(5), which is in KiB.
fn resident(status: &str) -> Option<u64> {
    let rest = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = rest.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_uses_is_seen() {
        let before = Process::look();
        let memory = before.resident.unwrap();
        assert!((1 << 20..1 << 36).contains(&memory), "{memory}");
        let files: Vec<_> = (0..100)
            .map(|_| fs::File::open("/proc/self/status").unwrap())
            .collect();
        let after = Process::look();
        assert!(after.descriptors.unwrap() >= before.descriptors.unwrap() + 90);
        assert!(after.descriptors <= after.most_descriptors);
        assert!(after.processors > Duration::ZERO);
        drop(files);
        assert_eq!(resident("VmRSS:\t    17 kB\n"), Some(17_408));
        assert_eq!(resident("VmRSS:\t17 MB\n"), None);
    }
}
