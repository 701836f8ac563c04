//! Ports that are drawn, and services that are opened by name.

use std::path::Path;
use std::process::Command;

use adit_testkit::key_pair::KeyPair;
use adit_testkit::process::Process;
use adit_testkit::{echo, require, wait};
use rustix::process::Signal;

use crate::gateway::{Gateway, text, visit};

/// Port 0 twice, with a service each: what stock ssh was given for them, in their order.
#[track_caller]
fn allocated(gateway: &Gateway, key: &KeyPair, services: [u16; 2]) -> (Process, [String; 2]) {
    let [first, second] = services.map(|service| format!("0:127.0.0.1:{service}"));
    let ssh = gateway.ssh_with(key, &["-N", "-R", &first, "-R", &second]);
    let ports = wait::until("both ports are given", || {
        let told = ssh.stderr();
        let port = |service: u16| {
            let to = format!("for remote forward to 127.0.0.1:{service}");
            let line = told.lines().find(|line| line.trim_end().ends_with(&to))?;
            line.split(' ').nth(2).map(String::from)
        };
        match services.map(port) {
            [Some(first), Some(second)] => Ok([first, second]),
            _ => Err((told, gateway.stderr())),
        }
    });
    (ssh, ports)
}

#[test]
fn port_0_is_the_same_port_after_a_kill_of_the_gateway_and_of_the_client() {
    require!("ssh", "ssh-keygen");
    let mut gateway = Gateway::new();
    let services = [echo::service(), echo::service()];
    let key = gateway.user("alice", &format!("{},{}", gateway.port(0), gateway.port(1)));
    gateway.done(&["grant", "add", "alice", "--any-port"]);
    gateway.start();
    let (mut ssh, ports) = allocated(&gateway, &key, services);
    assert_ne!(ports[0], ports[1]);
    // Its client is killed, and comes back at once.
    ssh.kill();
    let (ssh, again) = allocated(&gateway, &key, services);
    assert_eq!(again, ports, "{}", gateway.stderr());
    gateway.stop(Signal::KILL);
    drop(ssh);
    gateway.start();
    let (_ssh, again) = allocated(&gateway, &key, services);
    assert_eq!(again, ports, "{}", gateway.stderr());
    for port in ports {
        visit(port.parse().unwrap()).unwrap();
    }
}

/// A stock ssh offers services of a name, and another opens them by it: `-W`, `-L` and two at one name.
#[test]
fn services_of_a_name_are_offered_and_opened_by_stock_ssh() {
    require!("ssh", "ssh-keygen");
    let mut gateway = Gateway::new();
    let keys = ["red001", "alice"].map(|name| {
        let key = gateway.key(name);
        gateway.done(&["device", "add", name]);
        gateway.done(&["key", "add", name, text(&key.public_path())]);
        key
    });
    gateway.done(&["grant", "add", "red001", "--name", "red001"]);
    gateway.done(&["grant", "add", "alice", "--open", "red001:22,80"]);
    gateway.start();
    let services = [echo::named_service(), echo::named_service()];
    let [first, second] = services.map(|service| format!("127.0.0.1:{service}"));
    let (first, second) = (format!("red001:22:{first}"), format!("red001:80:{second}"));
    let words = [
        "-N",
        "-o",
        "ExitOnForwardFailure=yes",
        "-R",
        &first,
        "-R",
        &second,
    ];
    let device = gateway.ssh_with(&keys[0], &words);
    wait::until("both are held", || {
        let table = gateway.done(&["lease", "list"]);
        let is_there = table.contains("red001:22") && table.contains("red001:80");
        if is_there {
            Ok(())
        } else {
            Err((table, device.stderr()))
        }
    });
    for (target, service) in [("red001:22", services[0]), ("red001:80", services[1])] {
        let answer = through(&gateway, &keys[1], target);
        assert_eq!(answer, format!("hello{service}"), "{target}");
    }
    let shown = gateway.done(&["lease", "show", "red001:80", "--json"]);
    assert!(shown.contains("\"red001:80\""), "{shown}");
    let none = through(&gateway, &keys[1], "red001:443");
    assert_eq!(none, "");
}

/// What comes back through `ssh -W`.
fn through(gateway: &Gateway, key: &KeyPair, target: &str) -> String {
    let (_, address) = gateway.running.as_ref().unwrap();
    let script = "printf hello | ssh -F none -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no \
        -o UserKnownHostsFile=/dev/null -i \"$1\" -W \"$2\" -p \"$3\" anybody@127.0.0.1";
    let mut command = Command::new("sh");
    let private: &Path = key.private_path();
    command.args(["-c", script, "sh"]).arg(private).arg(target);
    let mut ssh = Process::spawn(
        command
            .arg(address.port().to_string())
            .env_remove("SSH_AUTH_SOCK"),
    );
    ssh.wait(wait::DEADLINE);
    ssh.stdout()
}
