//! Tells systemd how far a gateway is (sd_notify(3)), where it was started by it.

use std::os::unix::net::UnixDatagram;

use tracing::debug;

/// Where systemd listens.
const SOCKET: &str = "NOTIFY_SOCKET";

/// It serves.
pub(super) fn ready() {
    say("READY=1");
}

/// It reads everything again.
pub(super) fn reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let micros = i128::from(now.tv_sec)
        .saturating_mul(1_000_000)
        .saturating_add(i128::from(now.tv_nsec) / 1_000);
    say(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
}

/// It ends.
pub(super) fn stopping() {
    say("STOPPING=1");
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
