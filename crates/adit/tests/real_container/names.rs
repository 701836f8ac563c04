//! Names in a network of containers: a static program asks docker for them, anew for each visitor (AT35), whoever it
//! runs as.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use adit_testkit::namespace::Namespace;
use adit_testkit::wait;

use crate::ground::{Site, require_docker};

/// Nobody in particular.
const SOMEBODY: &str = "12345";
/// A service that tells its visitors its own address.
const TARGET: &str = "import socketserver,socket
class Handler(socketserver.BaseRequestHandler):
    def handle(self): self.request.sendall(self.request.getsockname()[0].encode())
socketserver.ThreadingTCPServer(('0.0.0.0', 7000), Handler).serve_forever()
";

fn start_target(site: &Site) -> String {
    site.start("target", "wp", &["/usr/bin/python3", "-c", TARGET]);
    site.docker.address("target", "wp")
}

/// Waits until a visitor of the published port gets that answer.
#[track_caller]
fn wait_for_answer(host: &Namespace, expected: &str) {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 10_000));
    wait::until("the target's answer", || {
        let mut answer = String::new();
        let read = host.enter(|| {
            let mut visitor = TcpStream::connect(addr)?;
            visitor.set_read_timeout(Some(wait::DEADLINE))?;
            visitor.read_to_string(&mut answer)
        });
        if answer == expected {
            return Ok(());
        }
        Err((answer, read.map_err(|error| error.to_string())))
    });
}

#[test]
fn at35_a_target_that_is_made_anew_elsewhere_is_found_by_the_next_visitor() {
    let program = require_docker!();
    let host = Namespace::new();
    let site = Site::new(&host, &program);
    let docker = &site.docker;
    // Docker's own rule leads who comes by loopback to a container.
    docker.run(&["network", "create", "wp"]);
    let key = site.key("client", SOMEBODY);
    site.let_in(&[&key]);
    site.write(
        "ssh-client/config",
        "Host remote-server\n  HostName rsshd\n  Port 2222\n  User autossh\n  StrictHostKeyChecking accept-new\n",
    );
    site.give("ssh-client", SOMEBODY);

    // Read-only, by a user that no file knows, with the state volume alone.
    let clients = format!("{}:/etc/adit/clients:ro", site.shown("clients"));
    let folder = format!("{}:/home/adit/.ssh:ro", site.shown("ssh-client"));
    let run = [
        "run",
        "--detach",
        "--read-only",
        "--user",
        SOMEBODY,
        "--network",
        "wp",
    ];
    let soon = ["--health-interval", "1s"];
    let server = [
        "--name",
        "rsshd",
        "--publish",
        "10000:10000",
        "--volume",
        &clients,
    ];
    let state = ["--volume", "server:/var/lib/adit", "adit"];
    let serve = ["serve", "--config", "/etc/adit/rsshd.yml"];
    docker.run(&[&run[..], &soon, &server, &state, &serve].concat());
    docker.wait_for_log("rsshd", "try: ssh");
    let before = start_target(&site);
    let client = [
        "--name",
        "adit-client",
        "--volume",
        &folder,
        "--volume",
        "client:/var/lib/adit",
    ];
    let variables = [
        "--env",
        "SSH_CONFIG_NAME=remote-server",
        "--env",
        "SSH_REVERSE_HOST=target",
        "--env",
        "SSH_REVERSE_PORT=7000",
        "--env",
        "SSH_BIND_PORT=10000",
    ];
    let up = ["adit", "up", "--file", "/etc/adit/client.yml"];
    docker.run(&[&run[..], &soon, &client, &variables, &up].concat());
    docker.wait_for_log("adit-client", "forward up");
    wait_for_answer(&host, &before);
    for container in ["rsshd", "adit-client"] {
        wait::until("a healthy container", || {
            let health = docker.run(&["inspect", "--format", "{{json .State.Health}}", container]);
            if health.contains("\"Status\":\"healthy\"") {
                Ok(())
            } else {
                Err(health)
            }
        });
    }

    docker.run(&["rm", "--force", "target"]);
    // Somebody else has its address meanwhile.
    site.start("squatter", "wp", &["sleep", "1000"]);
    assert_eq!(docker.address("squatter", "wp"), before);
    let after = start_target(&site);
    assert_ne!(before, after);
    wait_for_answer(&host, &after);
}
