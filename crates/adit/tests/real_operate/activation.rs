//! Sockets that were bound by whoever started the gateway.

use std::io::Read as _;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use adit_testkit::process::Process;
use adit_testkit::require;

use crate::gateway::{Gateway, arguments};

/// Binds a socket, puts it where sd_listen_fds(3) has it, and becomes the program.
const PARENT: &str = "
import os, socket, sys
listener = socket.socket()
listener.bind(('127.0.0.1', 0))
if sys.argv[2] == 'listens':
    listener.listen()
print(listener.getsockname()[1], flush=True)
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=sys.argv[1])
os.execv(sys.argv[3], sys.argv[3:])
";

fn parent(folder: &tempfile::TempDir, name: &str, state: &str) -> Command {
    let mut command = Command::new("python3");
    command
        .args(["-c", PARENT, name, state, env!("CARGO_BIN_EXE_adit")])
        .args(arguments(folder))
        .env("HOME", folder.path());
    command
}

#[test]
fn a_gateway_serves_the_socket_that_it_is_given() {
    require!("python3");
    let folder = tempfile::tempdir().unwrap();
    let mut command = parent(&folder, "ssh", "listens");
    let mut gateway = Gateway::spawn(folder, &mut command);
    let port: u16 = gateway.process.stdout().trim().parse().unwrap();
    assert_eq!(gateway.ssh().port(), port);
    let mut greeting = [0; 8];
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"SSH-2.0-");
    drop(socket);
    gateway.end();
}

#[test]
fn a_socket_for_something_else_or_that_does_not_listen_is_refused() {
    require!("python3");
    for (name, state, expected) in [
        ("http", "listens", "FileDescriptorName=ssh"),
        ("ssh", "deaf", "it does not listen"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::spawn(&mut parent(&folder, name, state));
        let status = process.wait(Duration::from_secs(20));
        assert_eq!(status.code(), Some(1));
        let said = process.stderr();
        assert!(said.contains(expected), "{said}");
    }
}
