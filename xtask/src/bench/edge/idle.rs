//! Connections at which something was asked once, and then nothing.

use std::process::Command;
use std::time::Duration;

use super::super::kit::Talker;
use super::super::page::Work as _;
use super::super::promise::{Measure, Wanted};
use super::super::usage::memory;
use super::front::HOST;
use super::{Bench, SLACK, Server};

const PLAIN: Measure = Measure {
    name: "memory of an idle connection, KiB (private dirty)",
    wanted: Wanted::AtMost(2.0),
};
const SECURE: Measure = Measure {
    name: "memory of an idle connection by TLS, KiB (private dirty)",
    wanted: Wanted::AtMost(16.0),
};

/// Ours gives up its buffers after 5 s.
const SETTLE: Duration = Duration::from_secs(8);

/// Opens connections, asks once on each, and holds them until its input ends.
const HOLDER: &str = r#"
import socket, ssl, sys
port, host, count, secure = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "tls"
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
held = []
for number in range(count):
    it = socket.create_connection(("127.0.0.1", port))
    if secure:
        it = context.wrap_socket(it, server_hostname=host)
    it.sendall(f"GET /small HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    got = b""
    while not got.endswith(b"ok"):
        more = it.recv(4096)
        assert more, got
        got += more
    held.append(it)
print("held", flush=True)
sys.stdin.read()
"#;

pub(super) fn idle(bench: &mut Bench) -> anyhow::Result<()> {
    for server in Server::ALL {
        for (measure, is_secure) in [(&PLAIN, false), (&SECURE, true)] {
            let outcome = hold(bench, server, measure, is_secure);
            bench.settle(&format!("{}, {server}", measure.name), outcome)?;
        }
    }
    Ok(())
}

fn hold(
    bench: &mut Bench,
    server: Server,
    measure: &'static Measure,
    is_secure: bool,
) -> anyhow::Result<()> {
    let front = bench.ground.front(&bench.kit, server)?;
    let (at, how) = if is_secure {
        (front.secure, "tls")
    } else {
        (front.plain, "plain")
    };
    let hold = |count: u32| {
        let mut python = Command::new("python3");
        python.args(["-c", HOLDER]);
        python.args([&at.port().to_string(), HOST, &count.to_string(), how]);
        let mut holder = Talker::start(&bench.kit, &mut python)?;
        holder.wait(&bench.kit, "who holds connections", SLACK, |said| {
            said.contains("held").then_some(())
        })?;
        anyhow::Ok(holder)
    };
    // What the first ones cost is the program's.
    drop(hold(100)?);
    bench.kit.stop.wait(SETTLE);
    let before = memory(&front.processes()).private_dirty;
    let holder = hold(bench.scale.idle)?;
    bench.kit.stop.wait(SETTLE);
    let after = memory(&front.processes()).private_dirty;
    drop(holder);
    let each = (after - before) / f64::from(bench.scale.idle);
    bench.results.add(measure, server, each);
    Ok(())
}
