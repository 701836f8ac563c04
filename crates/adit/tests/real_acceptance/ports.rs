//! Several ports at one gateway.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;

use adit_testkit::echo::named_service;
use adit_testkit::port::Port;
use adit_testkit::require;
use adit_testkit::sshd::Sshd;

use crate::support::{FORWARDING, Folder, PATIENCE, variables, wait_for_count};

/// How many visitors there are at once.
const VISITORS: usize = 200;

/// How much all of them send, and get back, together: 100 MB.
const BYTES: usize = 100_000_000;

/// Sends, finishes and gives what came back, which comes after the finish alone.
fn visit(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut visitor = TcpStream::connect(("127.0.0.1", port)).unwrap();
    visitor.set_read_timeout(Some(PATIENCE)).unwrap();
    visitor.write_all(bytes).unwrap();
    visitor.shutdown(Shutdown::Write).unwrap();
    let mut got = Vec::new();
    visitor.read_to_end(&mut got).unwrap();
    got
}

/// Visitors of all three at once, each with bytes that nobody else has; a service adds its own port to what it
/// gives back.
#[test]
fn each_of_three_ports_leads_to_its_own_service_under_load_and_both_ways() {
    require!("sshd", "ssh-keygen");
    let sshd = Sshd::builder().start();
    let folder = Folder::new();
    folder.take_key(&sshd);
    folder.write(".env", &variables(&sshd));
    let ports: Vec<(Port, u16)> = (0..3).map(|_| (Port::reserve(), named_service())).collect();
    let mappings = ports
        .iter()
        .map(|(public, local)| format!("    - '{}:{local}'\n", public.number()));
    let mappings: String = mappings.collect();
    folder.write(
        "model-compose.yml",
        &format!(
            "gateway:\n  type: ssh-tunnel\n  port:\n{mappings}  connection:\n    \
             host: ${{env.SSH_TUNNEL_HOST}}\n    port: ${{env.SSH_TUNNEL_PORT}}\n    \
             auth: {{type: keyfile, username: '${{env.SSH_USERNAME}}', keyfile: ~/.ssh/id_rsa}}\n"
        ),
    );
    let mut up = folder.start(&["up"]);
    wait_for_count(&up, FORWARDING, 3);
    let log = up.stderr();
    for (public, local) in &ports {
        let line = format!(
            "{FORWARDING}127.0.0.1:{} -> localhost:{local}\n",
            public.number()
        );
        assert!(log.contains(&line), "{log}");
    }
    thread::scope(|scope| {
        for number in 0..VISITORS {
            let (public, local) = &ports[number % ports.len()];
            let mine = format!("visitor {number} ");
            scope.spawn(move || {
                let mut bytes = mine.repeat(BYTES / VISITORS / mine.len()).into_bytes();
                let got = visit(public.number(), &bytes);
                bytes.extend_from_slice(local.to_string().as_bytes());
                assert!(got == bytes, "visitor {number} got {} bytes", got.len());
            });
        }
    });
    up.kill();
}
