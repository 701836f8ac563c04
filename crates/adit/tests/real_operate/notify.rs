//! What systemd is told, and when.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;

use crate::gateway::{Gateway, command};

fn next(socket: &UnixDatagram) -> String {
    let mut words = [0; 4_096];
    let length = socket.recv(&mut words).unwrap();
    String::from_utf8_lossy(&words[..length]).into_owned()
}

/// The next word that is not a sign of life.
fn next_change(socket: &UnixDatagram) -> String {
    loop {
        let words = next(socket);
        if words != "WATCHDOG=1" {
            return words;
        }
    }
}

#[test]
fn systemd_is_told_of_the_start_a_reload_signs_of_life_and_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut command = command(&folder);
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "200000");
    let mut gateway = Gateway::spawn(folder, &mut command);
    assert_eq!(next_change(&systemd), "READY=1");
    for _ in 0..3 {
        assert_eq!(next(&systemd), "WATCHDOG=1");
    }
    let before = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    gateway.process.signal(Signal::HUP);
    let words = next_change(&systemd);
    let micros = words.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    let micros: i64 = micros.parse().unwrap();
    assert!(micros >= before.tv_sec * 1_000_000 + before.tv_nsec / 1_000);
    assert_eq!(next_change(&systemd), "READY=1");
    gateway.process.signal(Signal::TERM);
    let words = next_change(&systemd);
    assert!(
        words.starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC="),
        "{words}"
    );
    gateway.end();
}

/// A watchdog that is somebody else's is not told anything (sd_watchdog_enabled(3)).
#[test]
fn a_watchdog_of_another_process_hears_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    let mut command = command(&folder);
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "20000")
        .env("WATCHDOG_PID", "1");
    let mut gateway = Gateway::spawn(folder, &mut command);
    gateway.process.signal(Signal::HUP);
    gateway.says("everything was read again", 1);
    gateway.end();
    systemd.set_nonblocking(true).unwrap();
    let mut words = [0; 4_096];
    while let Ok(length) = systemd.recv(&mut words) {
        assert_ne!(&words[..length], b"WATCHDOG=1");
    }
}
