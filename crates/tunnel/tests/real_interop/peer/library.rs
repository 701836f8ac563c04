//! Libraries: a small program of each, which is told its part by `name=value` words.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use adit_ssh::algorithm::KeyAlgorithm;
use adit_testkit::ssh_agent::SshAgent;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::{Client, Fault, Order, Running, Server, Skills};
use crate::keys::{Keys, PASSWORD};
use crate::terms::Login;

/// A library and what can be had of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Library {
    /// The name in the table.
    pub(crate) name: &'static str,
    /// The program, and the script that it runs if it is an interpreter.
    program: &'static str,
    script: Option<&'static str>,
    /// The logins that its client can do.
    client: fn(Login) -> bool,
    /// The logins that its server can ask for.
    server: fn(Login) -> bool,
    skills: Skills,
    /// What its client names and cannot do.
    faults: &'static [Fault],
}

/// All of them.
pub(crate) const ALL: &[Library] = &[
    Library {
        name: "asyncssh 2.24",
        program: PYTHON,
        script: Some("asyncssh_peer.py"),
        client: everything,
        server: everything,
        skills: BOTH,
        faults: &[],
    },
    Library {
        name: "paramiko 5.1",
        program: PYTHON,
        script: Some("paramiko_peer.py"),
        client: files_and_certificates,
        server: files,
        skills: BOTH,
        faults: &[],
    },
    Library {
        name: "Go x/crypto 0.4",
        program: "go-peer",
        script: None,
        client: files_and_certificates,
        server: everything,
        skills: BOTH,
        faults: &[],
    },
    Library {
        name: "russh 0.65",
        program: "russh-peer",
        script: None,
        client: files_and_certificates,
        server: files_and_certificates,
        skills: BOTH,
        faults: &[
            Fault {
                ending: "rsa-sha2-512-cert-v01@openssh.com",
                axis: "login",
                reason: RUSSH_RSA_CERTIFICATES,
            },
            Fault {
                ending: "rsa-sha2-256-cert-v01@openssh.com",
                axis: "login",
                reason: RUSSH_RSA_CERTIFICATES,
            },
        ],
    },
    Library {
        name: "libssh2 1.11",
        program: PYTHON,
        script: Some("libssh2_peer.py"),
        client: files_and_certificates,
        server: |_| false,
        skills: Skills {
            rekeys: false,
            listens: false,
        },
        faults: &[Fault {
            ending: "-cert-v01@openssh.com",
            axis: "host key",
            reason: "libssh2 names host certificates and then cannot read one: its key exchange \
                     fails on its side, whoever the server is",
        }],
    },
];

const RUSSH_RSA_CERTIFICATES: &str = "russh asks for a login by an RSA certificate under the name \
                                      of SHA-1, ssh-rsa-cert-v01@openssh.com, which we do not have";

const PYTHON: &str = "venv/bin/python3";

const BOTH: Skills = Skills {
    rekeys: true,
    listens: true,
};

fn everything(_: Login) -> bool {
    true
}

fn files_and_certificates(login: Login) -> bool {
    match login {
        Login::Key(algorithm) => !is_security_key(algorithm),
        Login::Password | Login::Dialog => true,
    }
}

fn files(login: Login) -> bool {
    files_and_certificates(login)
        && !matches!(login, Login::Key(algorithm) if algorithm.is_certificate())
}

fn is_security_key(algorithm: KeyAlgorithm) -> bool {
    algorithm.name().starts_with("sk-")
}

impl Library {
    /// Its program, if it was built or installed.
    fn command(&self, folder: &Path) -> Option<Command> {
        let program = folder.join(self.program);
        if !program.is_file() {
            return None;
        }
        let mut command = Command::new(program);
        if let Some(script) = self.script {
            let scripts = Path::new(env!("CARGO_MANIFEST_DIR"));
            let scripts = scripts.join("tests/real_interop/peer/programs");
            command.arg(scripts.join(script));
        }
        Some(command)
    }

    /// Its server, out of the folder where peers were made ready.
    pub(crate) fn server(self, folder: &Path, keys: &Keys) -> Option<LibraryServer> {
        let asks_for_one = Login::all().any(|login| (self.server)(login));
        self.command(folder).filter(|_| asks_for_one)?;
        std::fs::write(
            keys.folder().join("authorized_keys"),
            keys.authorized_keys(),
        )
        .unwrap();
        Some(LibraryServer {
            library: self,
            folder: folder.to_owned(),
            serving: None,
        })
    }

    /// Its client, out of the same folder.
    pub(crate) fn client(self, folder: &Path) -> Option<LibraryClient> {
        self.command(folder)?;
        Some(LibraryClient {
            library: self,
            folder: folder.to_owned(),
        })
    }
}

/// The server: one process for many connections.
#[derive(Debug)]
pub(crate) struct LibraryServer {
    library: Library,
    folder: PathBuf,
    serving: Option<Serving>,
}

#[derive(Debug)]
struct Serving {
    _process: Child,
    port: u16,
    rekey_bytes: Option<u64>,
}

impl Server for LibraryServer {
    fn name(&self) -> &'static str {
        self.library.name
    }

    fn logins(&self) -> Vec<Login> {
        Login::all()
            .filter(|login| (self.library.server)(*login))
            .collect()
    }

    fn skills(&self) -> Skills {
        self.library.skills
    }

    async fn connect(&mut self, order: &Order<'_>) -> Result<(TcpStream, Running), String> {
        let log = order.keys.folder().join("log");
        let fitting = self.serving.take();
        let fitting = fitting.filter(|serving| serving.rekey_bytes == order.rekey_bytes);
        let serving = if let Some(serving) = fitting {
            serving
        } else {
            let command = self.library.command(&self.folder);
            let mut command = command.ok_or("its program is gone")?;
            command.arg("server").args(words(order));
            start(&mut command, order.rekey_bytes, &log).await?
        };
        let port = serving.port;
        self.serving = Some(serving);
        let stream = TcpStream::connect(("127.0.0.1", port)).await;
        let stream = stream.map_err(|error| error.to_string())?;
        Ok((stream, Running::elsewhere(Some(log))))
    }
}

/// Starts a server and reads the port from the line `listening PORT`.
async fn start(
    command: &mut Command,
    rekey_bytes: Option<u64>,
    log: &Path,
) -> Result<Serving, String> {
    let file = std::fs::File::create(log).map_err(|error| error.to_string())?;
    let mut process = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(file)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot start {command:?}: {error}"))?;
    let stdout = process.stdout.take().ok_or("no standard output")?;
    let line = BufReader::new(stdout).lines().next_line().await;
    let line = line.ok().flatten().unwrap_or_default();
    let port = line.strip_prefix("listening ");
    let port = port.and_then(|port| port.trim().parse().ok());
    Ok(Serving {
        port: port.ok_or_else(|| format!("no port in {line:?}"))?,
        _process: process,
        rekey_bytes,
    })
}

/// The client.
#[derive(Debug)]
pub(crate) struct LibraryClient {
    library: Library,
    folder: PathBuf,
}

impl Client for LibraryClient {
    fn name(&self) -> &'static str {
        self.library.name
    }

    fn logins(&self) -> Vec<Login> {
        Login::all()
            .filter(|login| (self.library.client)(*login))
            .collect()
    }

    fn skills(&self) -> Skills {
        Skills {
            listens: false,
            ..self.library.skills
        }
    }

    fn faults(&self) -> &'static [Fault] {
        self.library.faults
    }

    async fn start(&self, order: &Order<'_>, port: u16, service: u16) -> Result<Running, String> {
        let keys = order.keys;
        let command = self.library.command(&self.folder);
        let mut command = command.ok_or("its program is gone")?;
        command.arg("client").args(words(order)).args([
            format!("port={port}"),
            format!("service={service}"),
            format!("login={}", order.terms.login),
        ]);
        let host_key = keys.host_path(order.terms.host_key).with_extension("pub");
        command.arg(format!("host_key={}", host_key.display()));
        let mut agent = None;
        if let Login::Key(algorithm) = order.terms.login {
            if let Some(key) = keys.security_key(algorithm) {
                let agent = agent.insert(SshAgent::start());
                agent.add(key);
                command.arg(format!("agent={}", agent.socket().display()));
            } else {
                command.arg(format!("key={}", keys.user_path(algorithm).display()));
                if algorithm.is_certificate() {
                    let certificate = keys.certificate_path("user", algorithm);
                    command.arg(format!("certificate={}", certificate.display()));
                }
            }
        }
        command
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let running = Running::spawn(&mut command, keys.folder().join("log"))?;
        Ok(running.with_agent(agent))
    }
}

/// What every part is told.
fn words(order: &Order<'_>) -> Vec<String> {
    let keys = order.keys;
    let mut words = vec![
        format!("folder={}", keys.folder().display()),
        format!("user={}", keys.user()),
        format!("password={PASSWORD}"),
        format!("authority={}", keys.authority_path().display()),
    ];
    words.extend(order.rekey_bytes.map(|bytes| format!("rekey={bytes}")));
    words
}
