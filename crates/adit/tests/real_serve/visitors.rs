//! What `visitors:` of gateway.yml has to do with those who come: nginx behind stock ssh sees them as the gateway does,
//! and who may not come in is reset.

use std::net::TcpStream;
use std::process::Command;

use adit_testkit::port::Port;
use adit_testkit::process::Process;
use adit_testkit::{require, wait};
use rustix::process::Signal;

use crate::world::World;

/// A web server that says what the PROXY protocol told it.
fn nginx(world: &World, port: &Port) -> Process {
    let server = format!(
        "server {{ listen 127.0.0.1:{} proxy_protocol; return 200 \
         \"$proxy_protocol_addr $proxy_protocol_server_addr:$proxy_protocol_server_port\"; }}",
        port.number()
    );
    adit_testkit::nginx::serve(world.folder.path(), &server)
}

/// A balancer that passes connections on to the public port with that option of a `server` line.
fn haproxy(world: &World, port: &Port, option: &str) -> Process {
    let (number, public) = (port.number(), world.public.number());
    let config = format!(
        "global\n maxconn 64\n\
         defaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
         listen front\n bind 127.0.0.1:{number}\n server adit 127.0.0.1:{public} {option}\n"
    );
    let file = world.path("haproxy.cfg");
    std::fs::write(&file, config).unwrap();
    let program = adit_testkit::real::find("haproxy").unwrap();
    Process::spawn(Command::new(program).arg("-db").arg("-f").arg(file))
}

/// What is said to somebody who comes from there.
fn visit(from: &str, port: u16) -> Result<String, String> {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--max-time", "20"])
        .args(["--interface", from, &format!("http://127.0.0.1:{port}/")])
        .output()
        .unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

/// A reset that comes before curl has looked at its connection is one that it could not make (7).
fn is_reset(error: &str) -> bool {
    error.contains("reset") || error.contains("(7)")
}

/// Writes the settings.
fn settings(world: &World, text: &str) -> String {
    let file = world.path("gateway.yml");
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[test]
fn a_service_behind_stock_ssh_is_told_who_comes_and_who_may_not_come_is_reset() {
    require!("ssh", "ssh-keygen", "nginx", "curl");
    let world = World::new();
    let back = Port::reserve();
    let mut target = nginx(&world, &back);
    wait::until("nginx listens", || {
        TcpStream::connect(("127.0.0.1", back.number()))
    });
    let public = world.public.number();
    let rule = |version, rest| {
        format!("visitors:\n- ports: {public}\n  send_proxy: {version}\n  {rest}\n")
    };
    let config = settings(&world, &rule("v2", "deny: 127.0.0.66"));
    let gateway = world.start(&["--config", &config]);
    let forward = format!("{public}:127.0.0.1:{}", back.number());
    let mut ssh = Process::spawn(&mut world.ssh(&world.ann, &["-N", "-R", &forward]));
    wait::until("a visitor is served", || {
        assert_eq!(ssh.exit_status(), None, "{}", ssh.stderr());
        assert_eq!(target.exit_status(), None, "{}", target.stderr());
        visit("127.0.0.1", public)
    });
    let known = |from: &str| Ok(format!("{from} 127.0.0.1:{public}"));
    assert_eq!(visit("127.0.0.9", public), known("127.0.0.9"));
    // Reset, and in the log with the reason.
    let error = visit("127.0.0.66", public).unwrap_err();
    assert!(is_reset(&error), "{error}");
    wait::until("the refused visitor's line", || {
        let said = gateway.stderr();
        let is_told = |line: &str| line.contains("127.0.0.66:") && line.contains("not let in");
        said.lines().any(is_told).then_some(()).ok_or(said)
    });
    // The rules of a reload hold for who comes next; the tunnel stays.
    settings(&world, &rule("v1", "allow: [127.0.0.66, 127.0.0.67]"));
    gateway.signal(Signal::HUP);
    wait::until("the new rules", || visit("127.0.0.66", public));
    assert_eq!(visit("127.0.0.67", public), known("127.0.0.67"));
    visit("127.0.0.9", public).unwrap_err();
    // A file that says nothing where it means to close is refused whole.
    settings(&world, &rule("v1", "allow:"));
    gateway.signal(Signal::HUP);
    wait::until("the refusal", || {
        let said = gateway.stderr();
        said.contains("nothing stands there")
            .then_some(())
            .ok_or(said)
    });
    visit("127.0.0.9", public).unwrap_err();
    assert_eq!(ssh.exit_status(), None);
}

#[test]
fn a_load_balancer_in_front_of_a_port_says_who_comes_and_nobody_else_is_heard() {
    require!("ssh", "ssh-keygen", "nginx", "haproxy", "curl");
    let world = World::new();
    let (front, back) = (Port::reserve(), Port::reserve());
    let _target = nginx(&world, &back);
    let public = world.public.number();
    let rule = "visitors: {proxy_protocol: 127.0.0.1, send_proxy: v1, allow: 127.0.0.9}\n";
    let config = settings(&world, rule);
    let _gateway = world.start(&["--config", &config]);
    let forward = format!("{public}:127.0.0.1:{}", back.number());
    let _ssh = Process::spawn(&mut world.ssh(&world.ann, &["-N", "-R", &forward]));
    let _balancer = haproxy(&world, &front, "send-proxy-v2");
    let told = wait::until("a visitor of the balancer is served", || {
        visit("127.0.0.9", front.number())
    });
    assert_eq!(told, format!("127.0.0.9 127.0.0.1:{}", front.number()));
    // The list is about visitors, not about the balancer.
    visit("127.0.0.1", front.number()).unwrap_err();
    // One who comes by himself, or says himself who he is from elsewhere.
    visit("127.0.0.1", public).unwrap_err();
    visit("127.0.0.9", public).unwrap_err();
}
