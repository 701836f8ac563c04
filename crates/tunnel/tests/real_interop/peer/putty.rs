//! PuTTY: `plink -N -R` for our server. It has no server.

use std::path::PathBuf;
use std::process::Stdio;

use adit_ssh::algorithm::KeyAlgorithm;
use adit_testkit::real;
use tokio::process::Command;

use super::{Client, Order, Running, Skills};
use crate::keys::{Keys, PASSWORD};
use crate::terms::Login;

/// The client.
#[derive(Debug)]
pub(crate) struct Plink {
    program: PathBuf,
}

/// The logins by a key: PuTTY has no security keys.
fn algorithms() -> impl Iterator<Item = KeyAlgorithm> {
    let all = KeyAlgorithm::ALL.iter().copied();
    all.filter(|algorithm| !algorithm.name().starts_with("sk-"))
}

impl Plink {
    /// The one that is installed.
    pub(crate) fn installed(keys: &Keys) -> Option<Self> {
        let program = real::find("plink")?;
        for algorithm in algorithms() {
            convert(keys, algorithm);
        }
        let sessions = keys.folder().join(".putty/sessions");
        std::fs::create_dir_all(&sessions).unwrap();
        std::fs::write(sessions.join(PLAIN), "").unwrap();
        Some(Self { program })
    }
}

impl Client for Plink {
    fn name(&self) -> &'static str {
        "PuTTY 0.78"
    }

    fn logins(&self) -> Vec<Login> {
        let keys = algorithms().map(Login::Key);
        keys.chain([Login::Password, Login::Dialog]).collect()
    }

    fn skills(&self) -> Skills {
        Skills {
            rekeys: true,
            listens: false,
        }
    }

    async fn start(&self, order: &Order<'_>, port: u16, service: u16) -> Result<Running, String> {
        let keys = order.keys;
        let session = match order.rekey_bytes {
            Some(bytes) => {
                let file = keys.folder().join(".putty/sessions").join(REKEYING);
                std::fs::write(file, format!("RekeyBytes={bytes}\n")).unwrap();
                REKEYING
            }
            None => PLAIN,
        };
        let host_key = keys.public("host", order.terms.host_key).fingerprint();
        let mut command = Command::new(&self.program);
        command.args(["-load", session, "-ssh", "-batch", "-noagent", "-N", "-v"]);
        command.args(["-P", &port.to_string(), "-l", keys.user()]);
        command.args(["-hostkey", &host_key.to_string()]);
        command.args(["-R", &format!("4022:127.0.0.1:{service}")]);
        match order.terms.login {
            Login::Key(algorithm) => {
                command.arg("-i").arg(ppk(keys, algorithm));
            }
            Login::Password | Login::Dialog => {
                command.args(["-pw", PASSWORD]);
            }
        }
        command
            .arg("127.0.0.1")
            .env("HOME", keys.folder())
            .env_remove("XDG_CONFIG_HOME")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Running::spawn(&mut command, keys.folder().join("log"))
    }
}

/// Names of saved sessions.
const PLAIN: &str = "plain";
const REKEYING: &str = "rekeying";

fn ppk(keys: &Keys, algorithm: KeyAlgorithm) -> PathBuf {
    let ending = if algorithm.is_certificate() {
        "cert.ppk"
    } else {
        "ppk"
    };
    keys.user_path(algorithm).with_extension(ending)
}

/// Writes a private key in PuTTY's own form, with its certificate where that is asked for.
fn convert(keys: &Keys, algorithm: KeyAlgorithm) {
    let mut command = std::process::Command::new("puttygen");
    command.arg(keys.user_path(algorithm));
    if algorithm.is_certificate() {
        let certificate = keys.certificate_path("user", algorithm);
        command.arg("--certificate").arg(certificate);
    }
    let output = command
        .args(["-O", "private", "-o"])
        .arg(ppk(keys, algorithm))
        .output()
        .expect("puttygen starts");
    assert!(output.status.success(), "{output:?}");
}
