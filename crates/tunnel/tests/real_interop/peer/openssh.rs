//! OpenSSH: `sshd -i` for our client, `ssh -N -R` for our server.

use std::cell::Cell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use adit_testkit::real;
use adit_testkit::ssh_agent::SshAgent;
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{Client, Order, Running, Server, Skills, inetd};
use crate::disguise::Disguise;
use crate::keys::{Keys, PASSWORD};
use crate::terms::Login;

/// One version of it, installed or unpacked.
#[derive(Debug, Clone)]
pub(crate) struct OpenSsh {
    name: &'static str,
    ssh: PathBuf,
    sshd: PathBuf,
    /// Where the parts are that an unpacked sshd would look for in `/usr`.
    parts: Option<PathBuf>,
}

impl OpenSsh {
    /// The one that is installed.
    pub(crate) fn installed() -> Option<Self> {
        Some(Self {
            name: "OpenSSH 9.2",
            ssh: real::find("ssh")?,
            sshd: real::find("sshd")?,
            parts: None,
        })
    }

    /// Packages unpacked in a folder.
    pub(crate) fn unpacked(folder: &Path) -> Option<Self> {
        let sshd = folder.join("usr/sbin/sshd");
        sshd.is_file().then(|| Self {
            name: "OpenSSH 10.0",
            ssh: folder.join("usr/bin/ssh"),
            sshd,
            parts: Some(folder.join("usr/lib/openssh")),
        })
    }

    /// The name in the table.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Its server, which lets the user in by any key of `keys`.
    pub(crate) fn server(&self, keys: &Keys) -> SshServer {
        let folder = keys.folder();
        std::fs::create_dir_all("/run/sshd").ok();
        std::fs::write(folder.join("authorized_keys"), keys.authorized_keys()).unwrap();
        let mut config = String::from(CONFIG);
        for path in keys.host_paths() {
            let path = path.display();
            writeln!(config, "HostKey {path}\nHostCertificate {path}-cert.pub").unwrap();
        }
        if let Some(parts) = &self.parts {
            let parts = parts.display();
            writeln!(config, "SshdSessionPath {parts}/sshd-session").unwrap();
            writeln!(config, "SshdAuthPath {parts}/sshd-auth").unwrap();
        }
        let keys_file = folder.join("authorized_keys");
        writeln!(config, "AuthorizedKeysFile {}", keys_file.display()).unwrap();
        let config_path = folder.join("sshd_config");
        std::fs::write(&config_path, config).unwrap();
        SshServer {
            version: self.clone(),
            config_path,
            disguise: Disguise::new(keys),
        }
    }

    /// Its client.
    pub(crate) fn client(&self, keys: &Keys) -> SshClient {
        let agent = SshAgent::start();
        for login in Login::all() {
            let Login::Key(algorithm) = login else {
                continue;
            };
            if let Some(key) = keys.security_key(algorithm) {
                agent.add(key);
            }
        }
        let askpass = keys.folder().join("askpass");
        std::fs::write(&askpass, format!("#!/bin/sh\necho '{PASSWORD}'\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&askpass, mode).unwrap();
        SshClient {
            version: self.clone(),
            agent,
            askpass,
            count: Cell::new(0),
        }
    }
}

/// Everything it can do that one of ours can, whether it would by itself or not.
const CONFIG: &str = "\
PidFile none
StrictModes no
PermitRootLogin yes
UseDNS no
LogLevel VERBOSE
UsePAM yes
KexAlgorithms +ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521
PubkeyAcceptedAlgorithms +sk-*
";

/// The server.
#[derive(Debug)]
pub(crate) struct SshServer {
    version: OpenSsh,
    config_path: PathBuf,
    disguise: Disguise,
}

impl Server for SshServer {
    fn name(&self) -> &'static str {
        self.version.name
    }

    fn logins(&self) -> Vec<Login> {
        let is_root = Disguise::is_possible();
        let needs_root = |login: &Login| matches!(login, Login::Password | Login::Dialog);
        Login::all()
            .filter(|login| is_root || !needs_root(login))
            .collect()
    }

    fn skills(&self) -> Skills {
        Skills {
            rekeys: true,
            listens: true,
        }
    }

    async fn connect(&mut self, order: &Order<'_>) -> Result<(TcpStream, Running), String> {
        let mut command = match order.terms.login {
            Login::Key(_) => Command::new(&self.version.sshd),
            Login::Password | Login::Dialog => self.disguise.command(&self.version.sshd),
        };
        command.args(["-i", "-e", "-f"]).arg(&self.config_path);
        let methods = match order.terms.login {
            Login::Key(algorithm) => {
                let accepted = format!("PubkeyAcceptedAlgorithms={algorithm}");
                command.args(["-o", &accepted]);
                "publickey"
            }
            Login::Password => "password",
            Login::Dialog => "keyboard-interactive",
        };
        command.args(["-o", &format!("AuthenticationMethods={methods}")]);
        if let Some(bytes) = order.rekey_bytes {
            command.args(["-o", &format!("RekeyLimit={bytes}")]);
        }
        inetd(&mut command, order.keys.folder().join("log")).await
    }
}

/// The client.
#[derive(Debug)]
pub(crate) struct SshClient {
    version: OpenSsh,
    agent: SshAgent,
    askpass: PathBuf,
    count: Cell<u32>,
}

impl Client for SshClient {
    fn name(&self) -> &'static str {
        self.version.name
    }

    fn logins(&self) -> Vec<Login> {
        Login::all().collect()
    }

    fn skills(&self) -> Skills {
        Skills {
            rekeys: true,
            listens: false,
        }
    }

    async fn start(&self, order: &Order<'_>, port: u16, service: u16) -> Result<Running, String> {
        let (keys, folder) = (order.keys, order.keys.folder());
        self.count.set(self.count.get() + 1);
        let known_hosts = folder.join(format!("known_hosts-{}", self.count.get()));
        std::fs::write(&known_hosts, keys.known_hosts(port)).unwrap();
        let mut command = Command::new(&self.version.ssh);
        let options = [
            "StrictHostKeyChecking=yes",
            "GlobalKnownHostsFile=none",
            "UpdateHostKeys=no",
            "KexAlgorithms=+ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521",
            "ExitOnForwardFailure=yes",
            "IdentitiesOnly=yes",
        ];
        command.args(["-F", "none", "-N", "-T"]);
        command.args(options.iter().flat_map(|option| ["-o", option]));
        command.args([
            "-o",
            &format!("UserKnownHostsFile={}", known_hosts.display()),
        ]);
        if let Login::Key(algorithm) = order.terms.login {
            let path = keys.user_path(algorithm);
            if keys.security_key(algorithm).is_some() {
                // The public half is enough to find the other one in the ssh-agent.
                command.arg("-i").arg(path.with_extension("pub"));
            } else {
                command.arg("-i").arg(path);
            }
            if algorithm.is_certificate() {
                let certificate = keys.certificate_path("user", algorithm);
                let option = format!("CertificateFile={}", certificate.display());
                command.args(["-o", &option]);
            }
        }
        if let Some(bytes) = order.rekey_bytes {
            command.args(["-o", &format!("RekeyLimit={bytes}")]);
        }
        let forward = format!("127.0.0.1:4022:127.0.0.1:{service}");
        command
            .args(["-R", &forward, "-p", &port.to_string()])
            .arg(format!("{}@127.0.0.1", keys.user()))
            .env("SSH_AUTH_SOCK", self.agent.socket())
            .env("SSH_ASKPASS", &self.askpass)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null());
        Running::spawn(&mut command, folder.join("log"))
    }
}
