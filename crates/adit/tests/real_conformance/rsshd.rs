//! The command lines of the programs that a gateway replaces, word for word (R5, R6): those of rsshd, an sshd in a
//! container for reverse tunnels, and of hand-made rows of ports.
//!
//! The gateway and its client have a machine each, a network namespace, since `autossh -M` takes one port on both.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::namespace::{Namespace, Subnet};
use adit_testkit::process::Process;
use adit_testkit::{echo, require, wait};
use tempfile::TempDir;

use crate::seen::{is_turned_away, visit};

/// What rsshd lets its clients have.
const BLOCK: &str = "10000-10100";

/// A gateway on a machine of its own, and a client's machine with a service at `localhost:22`.
struct World {
    gateway: Option<Process>,
    public: Namespace,
    client: Namespace,
    subnet: Subnet,
    ended: RefCell<Vec<Process>>,
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let (public, client) = (Namespace::new(), Namespace::new());
        let subnet = public.join(&client);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let lines = ["autossh", "other"].map(|name| {
            let key = KeyPair::generate(folder.path(), name, KeyKind::Ed25519);
            format!("{}\n", key.public_line())
        });
        std::fs::write(folder.path().join("keys"), lines.concat()).expect("keys are written");
        let world = Self {
            gateway: None,
            public,
            client,
            subnet,
            ended: RefCell::default(),
            folder,
        };
        world.config("autossh");
        world.config("other");
        world.serve_at(Ipv4Addr::LOCALHOST.into(), 22);
        world
    }

    /// What a client's `~/.ssh/config` says of the gateway `gw`.
    fn config(&self, key: &str) {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let text = format!(
            "Host gw\n  HostName {}\n  Port 2222\n  IdentityFile {}\n  UserKnownHostsFile {}\n  IdentitiesOnly yes\n  \
             IdentityAgent none\n  StrictHostKeyChecking accept-new\n  BatchMode yes\n  LogLevel verbose\n",
            self.gateway_at(),
            path(key),
            path("known_hosts"),
        );
        std::fs::write(self.folder.path().join(format!("{key}.config")), text)
            .expect("a configuration is written");
    }

    fn gateway_at(&self) -> IpAddr {
        self.subnet.v4(1).into()
    }

    /// A service of the client's machine that says back what it hears.
    fn serve_at(&self, address: IpAddr, port: u16) {
        let listener = self.client.enter(|| TcpListener::bind((address, port)));
        echo::serve(listener.expect("the port is free there"), Vec::new());
    }

    /// Starts the gateway, again if it has run before, and gives what it said.
    fn start(&mut self, ports: &str, more: &[&str]) -> String {
        self.gateway = None;
        let mut command = self.public.command(env!("CARGO_BIN_EXE_adit"));
        command
            .args(["serve", "--ssh", "2222", "--ports", ports, "--data"])
            .arg(self.folder.path().join("data"))
            .arg("--authorized-keys")
            .arg(self.folder.path().join("keys"))
            .args(more);
        let mut gateway = Process::spawn(&mut command);
        let said = gateway.wait_for_text("try: ssh");
        self.gateway = Some(gateway);
        said
    }

    /// A program of the client's with that key's configuration of `gw`, and then these words.
    fn command(&self, program: &str, key: &str, words: &str) -> Command {
        let config = self.folder.path().join(format!("{key}.config"));
        let log = self.folder.path().join("autossh.log");
        let mut command = self.client.command("env");
        command
            .args([
                "AUTOSSH_POLL=1",
                "AUTOSSH_FIRST_POLL=1",
                "AUTOSSH_LOGLEVEL=7",
            ])
            .arg(format!("AUTOSSH_LOGFILE={}", log.display()))
            .arg(program);
        // autossh wants its own option first.
        let words: Vec<&str> = words.split(' ').collect();
        let own = if program == "autossh" { 2 } else { 0 };
        command.args(&words[..own]).arg("-F").arg(config);
        command.args(&words[own..]);
        command
    }

    fn spawn(&self, program: &str, key: &str, words: &str) -> Process {
        Process::spawn(&mut self.command(program, key, words))
    }

    /// Runs it to its end: the exit code, and what it said.
    fn run(&self, words: &str) -> (i32, String) {
        let mut ssh = self.spawn("ssh", "autossh", words);
        let status = ssh.wait(wait::DEADLINE);
        let said = ssh.stdout() + &ssh.stderr();
        // What it has put in the background may still be leaving its group, which ends with it.
        self.ended.borrow_mut().push(ssh);
        (status.code().unwrap_or(-1), said)
    }

    /// Waits until who comes from elsewhere is answered at that port of the gateway.
    fn wait_for_visit(&self, port: u16) {
        let addr = SocketAddr::new(self.gateway_at(), port);
        wait::until("a visitor from elsewhere is answered", || {
            self.client
                .enter(|| visit(addr))
                .map_err(|error| format!("{error:#}"))
        });
    }
}

#[test]
fn at20_stock_command_lines_of_port_rows_work_word_for_word() {
    require!(root);
    require!("ip", "ssh", "ssh-keygen");
    let mut world = World::new();
    world.start("1024-2221,2223-65535", &["--default-bind", "public"]);
    let (code, said) = world.run("-fN -R 40122:localhost:22 id@gw");
    assert_eq!(code, 0, "{said}");
    world.wait_for_visit(40_122);
    // A meter in the network of the client: the Modbus port of an inverter, for example.
    let meter = "192.168.42.227";
    let lo = format!("{meter}/32");
    world.client.ip(&["address", "add", &lo, "dev", "lo"]);
    world.serve_at(meter.parse().expect("an address"), 1_502);
    let _ssh = world.spawn("ssh", "autossh", "-N -R 2502:192.168.42.227:1502 id@gw");
    world.wait_for_visit(2_502);
}

#[test]
fn at21_command_lines_of_rsshd_work_and_autossh_sees_bytes_come_round() {
    require!(root);
    require!("ip", "ssh", "ssh-keygen", "autossh");
    let mut world = World::new();
    world.start(BLOCK, &["--default-bind", "public"]);
    let (code, said) = world.run("-fN -R 10000:localhost:22 -p 2222 autossh@gw");
    assert_eq!(code, 0, "{said}");
    world.wait_for_visit(10_000);
    let words = "-M 10099 -N -R 10001:localhost:22 -p 2222 autossh@gw";
    let mut autossh = world.spawn("autossh", "autossh", words);
    world.wait_for_visit(10_001);
    let log = || {
        let log = std::fs::read_to_string(world.folder.path().join("autossh.log"));
        log.unwrap_or_default()
    };
    wait::until("autossh has probed twice", || {
        let log = log();
        assert!(
            !log.contains("timeout polling") && !log.contains("restarting"),
            "{log}"
        );
        if log.matches("connection ok").count() >= 2 {
            Ok(())
        } else {
            Err((log, autossh.exit_status(), autossh.stderr()))
        }
    });
}

#[test]
fn at22_a_gateway_that_starts_again_is_the_same_host() {
    require!(root);
    require!("ip", "ssh", "ssh-keygen");
    let mut world = World::new();
    let host_keys = |said: &str| {
        let lines = said.lines().filter(|line| line.starts_with("host key "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let first = host_keys(&world.start(BLOCK, &[]));
    // accept-new: the key is written down now, and another one is refused from then on.
    let (code, said) = world.run("-fN -R 10000:localhost:22 gw");
    assert_eq!(code, 0, "{said}");
    let again = host_keys(&world.start(BLOCK, &[]));
    assert!(first.len() == 2 && first == again, "{first:?} {again:?}");
    let (code, said) = world.run("-fN -R 10001:localhost:22 gw");
    assert_eq!(code, 0, "{said}");
}

#[test]
fn at23_a_port_outside_of_the_block_is_refused_with_the_reason() {
    require!(root);
    require!("ip", "ssh", "ssh-keygen");
    let mut world = World::new();
    world.start(BLOCK, &[]);
    let (code, said) = world.run("-N -R 10101:localhost:22 autossh@gw");
    assert_eq!(code, 255, "{said}");
    assert!(said.contains("10101") && said.contains(BLOCK), "{said}");
}

#[test]
fn at24_shells_and_commands_are_refused_beside_a_forward_that_works() {
    require!(root);
    require!("ip", "ssh", "ssh-keygen");
    let mut world = World::new();
    world.start(BLOCK, &["--default-bind", "public"]);
    let mut shell = world.spawn("ssh", "autossh", "-T -R 10000:localhost:22 gw");
    shell.wait_for_text("adit gateway. You are ");
    world.wait_for_visit(10_000);
    let (code, said) = world.run("-R 10001:localhost:22 gw id");
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("runs no commands") && !said.contains("uid="),
        "{said}"
    );
    world.wait_for_visit(10_000);
}

#[test]
fn at25_local_only_holds_after_a_restart() {
    require!(root);
    require!("ip", "ssh", "ssh-keygen");
    let mut world = World::new();
    for _ in 0..2 {
        world.start(BLOCK, &["--local-only"]);
        let mut ssh = world.spawn("ssh", "autossh", "-N -R *:10000:localhost:22 gw");
        let near = SocketAddr::from((Ipv4Addr::LOCALHOST, 10_000));
        wait::until("a visitor on the gateway's machine is answered", || {
            let visited = world.public.enter(|| visit(near));
            visited.map_err(|error| (error.to_string(), ssh.exit_status(), ssh.stderr()))
        });
        let far = SocketAddr::new(world.gateway_at(), 10_000);
        assert!(world.client.enter(|| is_turned_away(far)));
    }
}

#[test]
fn at26_a_key_sees_and_has_its_own_ports_alone() {
    require!(root);
    require!("ip", "ssh", "ssh-keygen");
    let mut world = World::new();
    world.start(BLOCK, &["--default-bind", "public"]);
    let _other = world.spawn("ssh", "other", "-N -R 10001:localhost:22 gw");
    world.wait_for_visit(10_001);
    let mut own = world.spawn("ssh", "autossh", "-T -R 10000:localhost:22 gw");
    own.wait_for_text("10000");
    world.wait_for_visit(10_000);
    let page = own.stdout();
    assert!(page.contains("10000") && !page.contains("10001"), "{page}");
    let (code, said) = world.run("-N -R 10001:localhost:22 gw");
    assert_eq!(code, 255, "{said}");
    // Nor does it reach what is the other's: its own port it does.
    let (_, said) = world.run("-W localhost:10001 gw");
    assert!(said.contains("administratively prohibited"), "{said}");
}
