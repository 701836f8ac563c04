//! The document word for word, with every port as it stands there: one host to follow it on, one with the SSH server.

use std::net::IpAddr;

use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::require;
use adit_testkit::sshd::Sshd;

use crate::support::{
    FORWARDING, Folder, Follower, RUN, call_back, curl, fixture, forwarded_port, id_of_result,
    said, variables,
};

/// The two hosts.
struct Hosts {
    laptop: Folder,
    server: Folder,
    sshd: Sshd,
}

impl Hosts {
    fn new(gateway_ports: &str) -> Self {
        let (inside, public) = (Namespace::new(), Namespace::new());
        let addr = IpAddr::from(inside.join(&public).v4(2));
        let sshd = Sshd::builder()
            .config_line(&format!("GatewayPorts {gateway_ports}"))
            .start_in(&public, addr);
        let laptop = Folder::new().with_uvicorn().on(&inside);
        laptop.take_key(&sshd);
        laptop.write(".env", &variables(&sshd));
        laptop.write("model-compose.yml", &fixture("ssh-tunnel.yml"));
        Self {
            laptop,
            server: Folder::new().on(&public),
            sshd,
        }
    }

    /// Where the SSH server listens at the public port.
    fn listeners(&self) -> String {
        let mut sockets = self.server.command("ss", &["-Htln", "sport = :9834"]);
        said(&mut Process::spawn(&mut sockets)).stdout
    }
}

macro_rules! require_hosts {
    () => {
        require!(root);
        require!(
            "ip",
            "nsenter",
            "ss",
            "sshd",
            "ssh-keygen",
            "python3",
            "curl"
        );
    };
}

/// What the document's reader sees, with a server that lets everybody come.
fn follow(gateway_ports: &str, listens_at: &str) {
    let hosts = Hosts::new(gateway_ports);
    let host = hosts.sshd.addr().ip();
    let mut up = hosts.laptop.start(&["up"]);
    let log = up.wait_for_text(FORWARDING);
    assert!(
        log.contains(&format!("Establishing SSH tunnel to {host}:22\n")),
        "{log}"
    );
    let line = format!("[Gateway] Remote port forwarding started: {host}:9834 -> localhost:8090\n");
    assert!(log.contains(&line), "{log}");
    // A host that was never seen: one visible line, since nobody was asked.
    assert_eq!(log.matches("host was new").count(), 1, "{log}");
    assert!(
        hosts.listeners().contains(listens_at),
        "{}",
        hosts.listeners()
    );

    let attached = hosts.laptop.say(RUN);
    let first = id_of_result(&attached);
    hosts.laptop.wait_for_journal("called back 200");
    assert!(
        hosts
            .laptop
            .journal()
            .contains(&format!("http://{host}:9834/callback"))
    );

    // By hand: at the server, and without the tunnel.
    let by_hand = r#"{"task_id": "test-123", "result": {"data": "test"}}"#;
    let public = call_back(&hosts.server, "http://localhost:9834/callback", by_hand);
    let local = call_back(&hosts.laptop, "http://localhost:8090/callback", by_hand);
    assert_eq!(
        (public, local),
        ((200, String::new()), (200, String::new()))
    );
    let health = curl(&hosts.laptop, &["http://localhost:8080/api/health"]);
    assert_eq!(health, (200, r#"{"status":"ok"}"#.to_owned()));
    let status = hosts.laptop.say(&["status"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    for part in [
        "gateway ",
        "listener",
        "component",
        "controller",
        "workflows: ready, runs 0",
    ] {
        assert!(status.stdout.contains(part), "{part}: {status:?}");
    }

    assert_eq!(hosts.laptop.say(&["down"]).code, Some(0));
    assert_eq!(said(&mut up).code, Some(0));
    assert_eq!(hosts.listeners(), "");

    // Nothing is up: it does it all itself.
    let alone = hosts.laptop.say(RUN);
    assert_ne!(id_of_result(&alone), first);
    assert_eq!(alone.stderr, "");
    assert_eq!(hosts.listeners(), "");
}

#[test]
fn the_document_is_followed_where_the_server_opens_ports_to_all() {
    require_hosts!();
    follow("yes", "0.0.0.0:9834");
}

#[test]
fn the_document_is_followed_where_the_server_lets_its_client_say_who_may_come() {
    require_hosts!();
    follow("clientspecified", "0.0.0.0:9834");
}

/// The document's first trouble: it is told, and no run sends an address that nobody reaches.
#[test]
fn a_server_that_opens_ports_to_itself_alone_is_told_of_and_no_run_goes_out() {
    require_hosts!();
    let hosts = Hosts::new("no");
    let mut up = hosts.laptop.start(&["up"]);
    let log = up.wait_for_text("GatewayPorts clientspecified");
    assert!(
        hosts.listeners().contains("127.0.0.1:9834"),
        "{}",
        hosts.listeners()
    );
    assert!(!log.contains(FORWARDING), "{log}");
    let run = hosts.laptop.say(RUN);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert!(run.stderr.contains("GatewayPorts"), "{}", run.stderr);
    assert!(
        !hosts.laptop.journal().contains("/process"),
        "{}",
        hosts.laptop.journal()
    );
}

#[test]
fn a_port_that_the_server_chooses_is_logged_and_called_back() {
    require!("sshd", "ssh-keygen", "python3", "curl");
    let follower = Follower::with(|text| text.replace(r#""9834:8090""#, r#""0:8090""#));
    let mut up = follower.folder.start(&["up"]);
    let port = forwarded_port(&up.wait_for_text(FORWARDING));
    assert_ne!(port, 0);
    let local = follower.ports.of(8090);
    let line = format!("{FORWARDING}127.0.0.1:{port} -> localhost:{local}\n");
    assert!(up.stderr().contains(&line), "{}", up.stderr());
    id_of_result(&follower.run());
    let address = format!("http://127.0.0.1:{port}/callback");
    assert!(
        follower.folder.journal().contains(&address),
        "{}",
        follower.folder.journal()
    );
    up.kill();
}
