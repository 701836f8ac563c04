//! What a process costs: its processor time and its memory, from `/proc`.

use std::time::Duration;

use rustix::process::Pid;

/// The memory of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Resident set size in bytes: every page that is in memory, shared ones in full.
    pub rss_bytes: u64,
    /// Proportional set size in bytes: shared pages divided by the number of processes that share them.
    pub pss_bytes: u64,
    /// Bytes in pages that this process alone has and has written.
    pub private_dirty_bytes: u64,
}

/// The processor time that a process has used, in user and in kernel mode, over all its threads; `None` once it is gone.
///
/// The kernel counts in ticks of 10 ms (`sysconf(_SC_CLK_TCK)`). Children that have ended are not in it.
pub fn cpu_time(pid: Pid) -> Option<Duration> {
    cpu_time_of_line(&read(pid, "stat")?)
}

/// The memory that a process has now; `None` once it is gone or where it belongs to somebody else.
pub fn memory(pid: Pid) -> Option<Memory> {
    memory_of_rollup(&read(pid, "smaps_rollup")?)
}

fn read(pid: Pid, file: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()
}

/// Of `pid (name) state ...`, where the name may hold anything, `utime` and `stime` are fields 14 and 15 (proc(5)).
fn cpu_time_of_line(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let nanoseconds = (ticks()? + ticks()?).checked_mul(1_000_000_000)?;
    Some(Duration::from_nanos(
        nanoseconds / rustix::param::clock_ticks_per_second(),
    ))
}

fn memory_of_rollup(rollup: &str) -> Option<Memory> {
    let bytes = |key: &str| {
        let value = rollup
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        value
            .trim()
            .strip_suffix(" kB")?
            .parse::<u64>()
            .ok()?
            .checked_mul(1024)
    };
    Some(Memory {
        rss_bytes: bytes("Rss")?,
        pss_bytes: bytes("Pss")?,
        private_dirty_bytes: bytes("Private_Dirty")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_user_and_kernel_time_after_any_name() {
        let line = "42 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 13 14 15";
        let ticks = rustix::param::clock_ticks_per_second();
        assert_eq!(
            cpu_time_of_line(line),
            Some(Duration::from_secs(200) / u32::try_from(ticks).unwrap())
        );
    }

    #[test]
    fn this_process_works_and_has_memory() {
        let own = rustix::process::getpid();
        crate::wait::until("the kernel has counted some work", || {
            let time = cpu_time(own).unwrap();
            std::hint::black_box((0..1_000_000u64).fold(0, u64::wrapping_add));
            if time.is_zero() { Err(time) } else { Ok(()) }
        });
        let memory = memory(own).unwrap();
        assert!(memory.pss_bytes > 100_000, "{memory:?}");
        assert!(memory.rss_bytes >= memory.pss_bytes, "{memory:?}");
    }

    #[test]
    fn a_process_that_is_gone_costs_nothing_that_could_be_read() {
        let nobody = Pid::from_raw(i32::MAX).unwrap();
        assert_eq!((cpu_time(nobody), memory(nobody)), (None, None));
    }
}
