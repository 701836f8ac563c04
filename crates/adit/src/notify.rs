//! Tells systemd how far this process is (sd_notify(3)), where it was started by it.

use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;
use std::time::Duration;

use adit_fleet::unit::TOLD;

use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::debug;

/// Where systemd listens.
const SOCKET: &str = "NOTIFY_SOCKET";
/// After how many microseconds without a word it gives a process up, and which one.
const WATCHDOG: &str = "WATCHDOG_USEC";
const WATCHDOG_PID: &str = "WATCHDOG_PID";
/// What an end takes beside waiting for visitors: the store, the audit.
const SPARE: Duration = Duration::from_secs(20);

/// Whether systemd has started this process and wants to hear of it.
pub(crate) fn is_heard() -> bool {
    std::env::var_os(SOCKET).is_some()
}

/// The exit code of who was told to end by another command: systemd, which starts services again however they end,
/// leaves it at that (`adit_fleet::unit`).
pub(crate) fn told_to_end() -> ExitCode {
    if is_heard() {
        ExitCode::from(TOLD)
    } else {
        ExitCode::SUCCESS
    }
}

/// It serves.
pub(crate) fn ready() {
    say("READY=1");
}

/// It reads everything again.
pub(crate) fn reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let micros = i128::from(now.tv_sec)
        .saturating_mul(1_000_000)
        .saturating_add(i128::from(now.tv_nsec) / 1_000);
    say(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
}

/// It ends, within so long.
pub(crate) fn stopping(within: Duration) {
    let micros = within.saturating_add(SPARE).as_micros();
    say(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={micros}"));
}

/// Tells systemd that it lives, as often as systemd wants to hear it (sd_watchdog_enabled(3)).
#[derive(Debug)]
pub(crate) struct Watchdog(Option<Interval>);

impl Watchdog {
    /// As systemd has said.
    pub(crate) fn as_told() -> Self {
        let told = |name| std::env::var(name).ok();
        let pid = told(WATCHDOG_PID).is_none_or(|pid| pid.parse() == Ok(std::process::id()));
        let every = told(WATCHDOG)
            .filter(|_| pid)
            .and_then(|micros| period(&micros));
        Self(every.map(|every| {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        }))
    }

    /// Tells it when it is time; never, if systemd does not want to hear it.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn tell(&mut self) {
        match &mut self.0 {
            Some(ticks) => {
                ticks.tick().await;
                say("WATCHDOG=1");
            }
            None => std::future::pending().await,
        }
    }
}

/// How often: twice in the time after which it is given up, as the manual has it.
fn period(micros: &str) -> Option<Duration> {
    let micros: u64 = micros.parse().ok()?;
    Some(Duration::from_micros(micros / 2)).filter(|period| !period.is_zero())
}

fn say(words: &str) {
    let Some(path) = std::env::var_os(SOCKET) else {
        return;
    };
    if let Err(error) = send(&path, words) {
        debug!(%error, "systemd was not told");
    }
}

#[cfg(target_os = "linux")]
fn send(path: &std::ffi::OsStr, words: &str) -> std::io::Result<()> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::net::SocketAddr;

    let address = match path.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(path)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.send_to_addr(words.as_bytes(), &address)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn send(path: &std::ffi::OsStr, words: &str) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.send_to(words.as_bytes(), path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_told_twice_in_its_time() {
        assert_eq!(period("30000000"), Some(Duration::from_secs(15)));
        for text in ["", "0", "1", "-5", "soon"] {
            assert_eq!(period(text), None, "{text}");
        }
    }
}
