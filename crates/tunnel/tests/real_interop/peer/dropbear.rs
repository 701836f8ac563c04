//! Dropbear: `dropbear -i` for our client, `dbclient -N -R` for our server.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use adit_ssh::algorithm::KeyAlgorithm;
use adit_testkit::real;
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{Client, Order, Running, Server, Skills, inetd};
use crate::disguise::Disguise;
use crate::keys::{Keys, PASSWORD};
use crate::terms::Login;

/// The keys that Dropbear has a form for, each in a file of that form.
const KEYS: [KeyAlgorithm; 5] = [
    KeyAlgorithm::Ed25519,
    KeyAlgorithm::EcdsaP256,
    KeyAlgorithm::EcdsaP384,
    KeyAlgorithm::EcdsaP521,
    KeyAlgorithm::RsaSha256,
];

/// Host keys that it takes at most.
const HOST_KEYS: usize = 4;

/// The server, which believes that the user lives among the keys.
#[derive(Debug)]
pub(crate) struct DropbearServer {
    program: PathBuf,
    disguise: Disguise,
}

impl DropbearServer {
    /// The one that is installed. It finds `authorized_keys` in the user's home and nowhere else,
    /// so there must be a home of ours: see [`Disguise::is_possible`].
    pub(crate) fn installed(keys: &Keys) -> Option<Self> {
        let program = real::find("dropbear")?;
        for key in KEYS {
            convert(&keys.host_path(key));
        }
        let folder = keys.folder().join(".ssh");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("authorized_keys"), keys.authorized_keys()).unwrap();
        for path in [folder.clone(), folder.join("authorized_keys")] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(path, mode).unwrap();
        }
        Some(Self {
            program,
            disguise: Disguise::new(keys),
        })
    }
}

impl Server for DropbearServer {
    fn name(&self) -> &'static str {
        "Dropbear 2022.83"
    }

    fn logins(&self) -> Vec<Login> {
        let keys = KEYS.iter().copied().map(Login::Key);
        let security_keys = [KeyAlgorithm::SkEd25519, KeyAlgorithm::SkEcdsaP256];
        let others = security_keys.into_iter().map(Login::Key);
        keys.chain(others).chain([Login::Password]).collect()
    }

    fn further_host_keys(&self) -> Vec<KeyAlgorithm> {
        KEYS.into_iter().skip(HOST_KEYS).collect()
    }

    fn skills(&self) -> Skills {
        Skills {
            // Only after a gibibyte, and that is not a setting.
            rekeys: false,
            listens: true,
        }
    }

    async fn connect(&mut self, order: &Order<'_>) -> Result<(TcpStream, Running), String> {
        let mut command = self.disguise.command(&self.program);
        // It would speak to syslog alone: under inetd it refuses to do so to us.
        command.arg("-i");
        let wanted = order.terms.host_key;
        let others = KEYS.into_iter().filter(|key| *key != wanted);
        for key in [wanted].into_iter().chain(others).take(HOST_KEYS) {
            let path = order.keys.host_path(key).with_extension("dropbear");
            command.arg("-r").arg(path);
        }
        inetd(&mut command, order.keys.folder().join("log")).await
    }
}

/// The client.
#[derive(Debug)]
pub(crate) struct DropbearClient {
    program: PathBuf,
}

impl DropbearClient {
    /// The one that is installed.
    pub(crate) fn installed(keys: &Keys) -> Option<Self> {
        let program = real::find("dbclient")?;
        for key in KEYS {
            convert(&keys.user_path(key));
        }
        Some(Self { program })
    }
}

impl Client for DropbearClient {
    fn name(&self) -> &'static str {
        "Dropbear 2022.83"
    }

    fn logins(&self) -> Vec<Login> {
        let keys = KEYS.iter().copied().map(Login::Key);
        keys.chain([Login::Password, Login::Dialog]).collect()
    }

    fn skills(&self) -> Skills {
        Skills {
            rekeys: false,
            listens: false,
        }
    }

    async fn start(&self, order: &Order<'_>, port: u16, service: u16) -> Result<Running, String> {
        let keys = order.keys;
        let mut command = Command::new(&self.program);
        command.args(["-N", "-T", "-y", "-p", &port.to_string()]);
        command.args(["-R", &format!("127.0.0.1:4022:127.0.0.1:{service}")]);
        if let Login::Key(algorithm) = order.terms.login {
            command.arg("-i");
            command.arg(keys.user_path(algorithm).with_extension("dropbear"));
        }
        // It remembers a host key by the host alone, and hosts here change theirs all the time.
        std::fs::remove_file(keys.folder().join(".ssh/known_hosts")).ok();
        command
            .arg(format!("{}@127.0.0.1", keys.user()))
            .env("HOME", keys.folder())
            .env("DROPBEAR_PASSWORD", PASSWORD)
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Running::spawn(&mut command, keys.folder().join("log"))
    }
}

/// Copies a private key into Dropbear's own form, beside it.
fn convert(path: &Path) {
    let target = path.with_extension("dropbear");
    let output = std::process::Command::new("dropbearconvert")
        .args(["openssh", "dropbear"])
        .args([path, &target])
        .output()
        .expect("dropbearconvert starts");
    assert!(output.status.success(), "{output:?}");
}
