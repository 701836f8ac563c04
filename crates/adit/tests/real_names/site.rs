//! A gateway with a domain, and services behind names.

use std::path::PathBuf;
use std::process::Command;

use adit_testkit::key_pair::KeyPair;
use adit_testkit::port::Port;
use adit_testkit::process::Process;
use adit_testkit::wait;

use crate::world::World;

/// A gateway that serves names under `gw.test`.
pub(crate) struct Site {
    pub(crate) world: World,
    pub(crate) gateway: Process,
    pub(crate) http: u16,
    pub(crate) https: u16,
    _ports: [Port; 2],
}

/// How a service reaches the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tunnel {
    /// Stock `ssh -R`.
    Ssh,
    /// `adit forward`.
    Agent,
}

impl Site {
    /// With these lines of keys.
    pub(crate) fn start(lines: impl FnOnce(&World) -> Vec<String>, settings: &str) -> Self {
        let world = World::new();
        let lines = lines(&world);
        world.keys(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let config = world.path("gateway.yml");
        std::fs::write(&config, settings).unwrap();
        let ports = [Port::reserve(), Port::reserve()];
        let [http, https] = [ports[0].number(), ports[1].number()];
        let mut serve = Command::new(env!("CARGO_BIN_EXE_adit"));
        serve
            .args(["serve", "--domain", "gw.test", "--data"])
            .arg(world.path("data"))
            .args(["--ssh", &format!("127.0.0.1:{}", world.ssh.number())])
            .args(["--ports", &world.public.number().to_string()])
            .args(["--http", &format!("127.0.0.1:{http}")])
            .args(["--https", &format!("127.0.0.1:{https}")])
            .arg("--config")
            .arg(config)
            .arg("--authorized-keys")
            .arg(world.path("keys"));
        let mut gateway = Process::spawn(&mut serve);
        gateway.wait_for_text("try: ");
        Self {
            world,
            gateway,
            http,
            https,
            _ports: ports,
        }
    }

    /// Names that lead to ports, by one tunnel.
    pub(crate) fn forward(
        &self,
        tunnel: Tunnel,
        key: &KeyPair,
        forwards: &[(String, u16)],
    ) -> Process {
        let mut command = match tunnel {
            Tunnel::Ssh => self.world.ssh(key, &[]),
            Tunnel::Agent => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
                command
                    .args(["forward", "-F", "none", "-o", "IdentitiesOnly=yes"])
                    .args(["-o", "StrictHostKeyChecking=accept-new", "-o"])
                    .arg(format!(
                        "UserKnownHostsFile={}",
                        self.world.path("known_hosts").display()
                    ))
                    .arg("-i")
                    .arg(key.private_path())
                    .args(["-p", &self.world.ssh.number().to_string()]);
                command
            }
        };
        let mut words = Vec::new();
        for (name, port) in forwards {
            words.extend([String::from("-R"), format!("{name}:80:127.0.0.1:{port}")]);
        }
        match tunnel {
            Tunnel::Ssh => {
                command
                    .args(["-N", "-o", "ExitOnForwardFailure=yes"])
                    .args(words);
            }
            Tunnel::Agent => {
                command.args(words).arg("me@127.0.0.1");
            }
        }
        Process::spawn(&mut command)
    }

    /// curl with what it needs to find names here.
    pub(crate) fn curl(&self, words: &[&str]) -> Command {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--max-time", "120"])
            .args(["--noproxy", "*"])
            .args(["--connect-to", &format!("::127.0.0.1:{}", self.http)])
            .args(words);
        command
    }

    /// curl by TLS, which trusts the gateway's own authority.
    pub(crate) fn secure_curl(&self, words: &[&str]) -> Command {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--max-time", "120"])
            .args(["--noproxy", "*"])
            .args(["--connect-to", &format!("::127.0.0.1:{}", self.https)])
            .arg("--cacert")
            .arg(self.authority())
            .args(words);
        command
    }

    /// What the gateway's certificates are trusted by.
    pub(crate) fn authority(&self) -> PathBuf {
        self.world.path("data/tls/authority.pem")
    }

    /// Waits until a name leads somewhere, whatever is said there: a service of gRPC has no word of HTTP/1.1.
    pub(crate) fn wait_for_route(&self, name: &str, tunnel: &mut Process) {
        let url = format!("http://{name}.gw.test/");
        wait::until("the name leads somewhere", || {
            assert_eq!(tunnel.exit_status(), None, "{}", tunnel.stderr());
            let words = ["--output", "/dev/null", "--write-out", "%{http_code}", &url];
            let status = output(&mut self.curl(&words))?;
            if status == "404" || status == "503" {
                return Err((status, tunnel.stderr(), self.gateway.stderr()));
            }
            Ok(())
        });
    }

    /// Waits until a name answers at all.
    pub(crate) fn wait_for(&self, name: &str, tunnel: &mut Process) {
        let url = format!("http://{name}.gw.test/");
        wait::until("the name answers", || {
            assert_eq!(tunnel.exit_status(), None, "{}", tunnel.stderr());
            let words = ["--output", "/dev/null", "--write-out", "%{http_code}", &url];
            let status = output(&mut self.curl(&words))?;
            if ["404", "502", "503"].contains(&&*status) {
                return Err((status, tunnel.stderr(), self.gateway.stderr()));
            }
            Ok(())
        });
    }
}

/// What a program that succeeds says.
pub(crate) fn output(command: &mut Command) -> Result<String, (String, String, String)> {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err((
            output.status.to_string(),
            text(output.stdout),
            text(output.stderr),
        ))
    }
}
