//! The container in the place of rsshd (R6), as compose.rsshd.yml starts it: the command lines of its README are those of
//! rsshd's own, from a machine elsewhere.

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use adit_testkit::namespace::{Namespace, Subnet};
use adit_testkit::process::Process;
use adit_testkit::{echo, require, wait};

use crate::ground::{Site, host_key, require_docker, root};

/// The block's ends.
const FIRST: u16 = 10_000;

/// The container's host, and a machine behind it all with a service at `localhost:22`.
struct World {
    site: Site,
    client: Namespace,
    subnet: Subnet,
    ended: RefCell<Vec<Process>>,
}

impl World {
    fn new(program: &Path, variables: &[(&str, &str)]) -> Self {
        let (host, client) = (Namespace::new(), Namespace::new());
        let subnet = host.join(&client);
        let site = Site::new(&host, program);
        let keys = ["autossh", "other"].map(|name| site.key(name, "0"));
        site.let_in(&[&keys[0], &keys[1]]);
        let listener = client.enter(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 22)));
        echo::serve(listener.unwrap(), Vec::new());
        site.compose("compose.rsshd.yml", &["up", "--detach"], variables);
        let world = Self {
            site,
            client,
            subnet,
            ended: RefCell::default(),
        };
        world.config("autossh");
        world.config("other");
        world.log();
        world
    }

    /// What the `~/.ssh/config` of a machine with that key says.
    fn config(&self, key: &str) {
        let text = format!(
            "Host gw.example.org\n  HostName {}\n  Port 2222\n  IdentityFile {}\n  UserKnownHostsFile {}\n  \
             IdentitiesOnly yes\n  IdentityAgent none\n  StrictHostKeyChecking accept-new\n  BatchMode yes\n  \
             LogLevel verbose\n",
            self.subnet.v4(1),
            self.site.shown(&format!("ssh-{key}/id_ed25519")),
            self.site.shown("known_hosts"),
        );
        self.site.write(&format!("{key}.config"), &text);
    }

    /// What the server has said once it serves.
    fn log(&self) -> String {
        self.site.docker.wait_for_log("test_rsshd_1", "try: ssh")
    }

    /// A line of the README, with that key's configuration of the host.
    fn command(&self, key: &str, line: &str) -> Command {
        let mut words = line.split(' ');
        let program = words.next().unwrap();
        let mut command = self.client.command("env");
        command
            .args([
                "AUTOSSH_POLL=1",
                "AUTOSSH_FIRST_POLL=1",
                "AUTOSSH_LOGLEVEL=7",
            ])
            .arg(format!(
                "AUTOSSH_LOGFILE={}",
                self.site.shown("autossh.log")
            ))
            .arg(program);
        // autossh wants its own option first.
        let own = if program == "autossh" { 2 } else { 0 };
        command.args(words.by_ref().take(own));
        command
            .arg("-F")
            .arg(self.site.path(&format!("{key}.config")));
        command.args(words);
        command
    }

    fn spawn(&self, key: &str, line: &str) -> Process {
        Process::spawn(&mut self.command(key, line))
    }

    /// Runs a line to its end: the exit code, and what it said.
    fn run(&self, line: &str) -> (i32, String) {
        let mut ssh = self.spawn("autossh", line);
        let status = ssh.wait(wait::DEADLINE);
        let said = ssh.stdout() + &ssh.stderr();
        // What it has put in the background may still be leaving its group, which ends with it.
        self.ended.borrow_mut().push(ssh);
        (status.code().unwrap_or(-1), said)
    }

    /// Whether who comes from elsewhere is answered at that port of the container's host.
    fn visit(&self, port: u16) -> anyhow::Result<()> {
        let addr = SocketAddr::new(IpAddr::from(self.subnet.v4(1)), port);
        self.client.enter(|| {
            let mut visitor = TcpStream::connect_timeout(&addr, wait::DEADLINE)?;
            visitor.set_read_timeout(Some(wait::DEADLINE))?;
            visitor.write_all(b"hello")?;
            visitor.shutdown(Shutdown::Write)?;
            let mut answer = String::new();
            visitor.read_to_string(&mut answer)?;
            anyhow::ensure!(answer == "hello", "{answer:?}");
            Ok(())
        })
    }

    #[track_caller]
    fn wait_for_visit(&self, port: u16) {
        wait::until("a visitor from elsewhere is answered", || {
            self.visit(port).map_err(|error| format!("{error:#}"))
        });
    }
}

/// The lines of the README that begin with this word, with what is beyond the example left out.
fn lines(program: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join("deploy/docker/README.md")).unwrap();
    let lines = text.lines().filter(|line| {
        let rest = line.strip_prefix(program);
        rest.is_some_and(|rest| rest.starts_with(' ')) && line.contains("autossh@gw.example.org")
    });
    lines.map(str::to_owned).collect()
}

#[test]
fn at21_command_lines_of_the_readme_work_word_for_word_and_autossh_sees_bytes_come_round() {
    let program = require_docker!();
    require!("ssh", "autossh");
    let world = World::new(&program, &[]);
    let [ssh] = lines("ssh -fN").try_into().unwrap();
    let (code, said) = world.run(&ssh);
    assert_eq!(code, 0, "{said}");
    world.wait_for_visit(FIRST);
    let [autossh] = lines("autossh").try_into().unwrap();
    let mut autossh = world.spawn("autossh", &autossh);
    world.wait_for_visit(FIRST + 1);
    wait::until("autossh has probed twice", || {
        let log = std::fs::read_to_string(world.site.path("autossh.log")).unwrap_or_default();
        assert!(!log.contains("timeout polling"), "{log}");
        if log.matches("connection ok").count() >= 2 {
            Ok(())
        } else {
            Err((log, autossh.exit_status(), autossh.stderr()))
        }
    });
}

#[test]
fn at22_to_at24_it_stays_the_same_host_and_lends_its_block_and_no_shell() {
    let program = require_docker!();
    require!("ssh");
    let world = World::new(&program, &[]);
    let host_keys = host_key(&world.log());

    // AT24: the line that has a shell elsewhere ends with a message.
    let [login] = lines("ssh -p").try_into().unwrap();
    let mut shell = world.spawn("autossh", &login);
    shell.wait_for_text("adit gateway. You are ");
    let (code, said) = world.run("ssh -R 10001:localhost:22 autossh@gw.example.org id");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("runs no commands"), "{said}");
    assert!(!said.contains("uid="), "{said}");

    // AT23.
    let (code, said) = world.run("ssh -N -R 10101:localhost:22 autossh@gw.example.org");
    assert_eq!(code, 255, "{said}");
    assert!(
        said.contains("10101") && said.contains("10000-10100"),
        "{said}"
    );

    drop(shell);

    // AT22: made anew, from the image alone; its volume is what it keeps. OpenSSH knows it by accept-new.
    world
        .site
        .compose("compose.rsshd.yml", &["rm", "--stop", "--force"], &[]);
    world
        .site
        .compose("compose.rsshd.yml", &["up", "--detach"], &[]);
    assert_eq!(host_key(&world.log()), host_keys);
    let (code, said) = world.run("ssh -fN -R 10000:localhost:22 autossh@gw.example.org");
    assert_eq!(code, 0, "{said}");
    world.wait_for_visit(FIRST);
}

#[test]
fn at25_local_is_the_container_alone() {
    let program = require_docker!();
    require!("ssh");
    let world = World::new(&program, &[("LOCAL", "1")]);
    let mut ssh = world.spawn(
        "autossh",
        "ssh -N -R *:10000:localhost:22 autossh@gw.example.org",
    );
    // Another container that shares its network is as good as a program in it.
    let inside = |address: &str| {
        let script = format!(
            "import socket; s=socket.create_connection(('{address}',10000),5); s.sendall(b'hello'); s.shutdown(1); print(s.recv(5))"
        );
        let words = ["run", "--rm", "--network", "container:test_rsshd_1"];
        let python = ["/usr/bin/python3", "-c", &script];
        let output = world
            .site
            .docker
            .output(&[&words[..], &crate::ground::MACHINE, &python].concat());
        adit_testkit::docker::said(&output)
    };
    wait::until("a visitor in the container is answered", || {
        let said = inside("127.0.0.1");
        if said.contains("hello") {
            Ok(())
        } else {
            Err((said, ssh.exit_status(), ssh.stderr()))
        }
    });
    let address = world.site.docker.address("test_rsshd_1", "test_default");
    let said = inside(&address);
    assert!(said.contains("ConnectionRefusedError"), "{said}");
    assert!(world.visit(FIRST).is_err());
}

#[test]
fn at26_a_key_sees_and_has_its_own_ports_alone() {
    let program = require_docker!();
    require!("ssh");
    let world = World::new(&program, &[]);
    let _other = world.spawn(
        "other",
        "ssh -N -R 10001:localhost:22 autossh@gw.example.org",
    );
    world.wait_for_visit(FIRST + 1);
    let mut own = world.spawn(
        "autossh",
        "ssh -T -R 10000:localhost:22 autossh@gw.example.org",
    );
    own.wait_for_text("10000");
    world.wait_for_visit(FIRST);
    let page = own.stdout();
    assert!(page.contains("10000") && !page.contains("10001"), "{page}");
    let (code, said) = world.run("ssh -N -R 10001:localhost:22 autossh@gw.example.org");
    assert_eq!(code, 255, "{said}");

    // Who is written down later comes in after a signal, and nobody is disconnected by that.
    let late = world.site.key("late", "0");
    let keys = world.site.path("clients/authorized_keys");
    let text = std::fs::read_to_string(&keys).unwrap();
    std::fs::write(&keys, format!("{text}{}\n", late.public_line())).unwrap();
    world
        .site
        .compose("compose.rsshd.yml", &["kill", "-s", "HUP"], &[]);
    world.config("late");
    wait::until("the new key's own page", || {
        let mut ssh = world.spawn(
            "late",
            "ssh -fN -R 10002:localhost:22 autossh@gw.example.org",
        );
        let code = ssh.wait(wait::DEADLINE).code();
        let said = ssh.stderr();
        world.ended.borrow_mut().push(ssh);
        if code == Some(0) { Ok(()) } else { Err(said) }
    });
    world.wait_for_visit(FIRST + 2);
    assert_eq!(own.exit_status(), None);
}
