//! A key pair in OpenSSH's files, made by the real `ssh-keygen`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::real;

/// The kinds of keys that tests use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// `ssh-ed25519`; made in milliseconds.
    Ed25519,
    /// `ssh-rsa` of 3072 bits; made in about a second.
    Rsa3072,
    /// `ecdsa-sha2-nistp256`.
    EcdsaP256,
}

/// A key pair in two files, without a passphrase.
#[derive(Debug, Clone)]
pub struct KeyPair {
    private_path: PathBuf,
    public_line: String,
}

impl KeyPair {
    /// Makes a key pair in `folder`, in the files `name` and `name.pub`.
    ///
    /// # Panics
    ///
    /// When `ssh-keygen` is missing or fails, for example because the file is there already.
    #[track_caller]
    pub fn generate(folder: &Path, name: &str, kind: KeyKind) -> Self {
        let private_path = folder.join(name);
        let kind_arguments: &[&str] = match kind {
            KeyKind::Ed25519 => &["-t", "ed25519"],
            KeyKind::Rsa3072 => &["-t", "rsa", "-b", "3072"],
            KeyKind::EcdsaP256 => &["-t", "ecdsa", "-b", "256"],
        };
        run(ssh_keygen()
            .args(["-q", "-N", "", "-C", name, "-f"])
            .arg(&private_path)
            .args(kind_arguments));
        let public_line = std::fs::read_to_string(private_path.with_extension("pub"))
            .expect("ssh-keygen has written the public key");
        Self {
            private_path,
            public_line: public_line.trim_end().into(),
        }
    }

    /// The file of the private key.
    pub fn private_path(&self) -> &Path {
        &self.private_path
    }

    /// The file of the public key.
    pub fn public_path(&self) -> PathBuf {
        self.private_path.with_extension("pub")
    }

    /// The public key as one line of a `.pub` file: algorithm, base64 blob, comment.
    pub fn public_line(&self) -> &str {
        &self.public_line
    }

    /// The public key's algorithm and base64 blob, as in a `known_hosts` line.
    pub fn public_key(&self) -> &str {
        let end = self
            .public_line
            .match_indices(' ')
            .nth(1)
            .map(|(end, _)| end);
        end.and_then(|end| self.public_line.get(..end))
            .unwrap_or(&self.public_line)
    }

    /// Signs the public key in a `.pub` file as a certificate authority, and gives the certificate's file beside it.
    ///
    /// `arguments` are those of `ssh-keygen -s`: `["-I", "id", "-n", "root"]`, for example, and `-h` for a host.
    ///
    /// # Panics
    ///
    /// When `ssh-keygen` is missing or fails, with its words.
    #[track_caller]
    pub fn certify(&self, public_path: &Path, arguments: &[&str]) -> PathBuf {
        run(ssh_keygen()
            .args(["-q", "-s"])
            .arg(&self.private_path)
            .args(arguments)
            .arg(public_path));
        let name = public_path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy();
        public_path.with_file_name(format!("{name}-cert.pub"))
    }
}

fn ssh_keygen() -> Command {
    Command::new(real::find("ssh-keygen").expect("ssh-keygen is installed"))
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("ssh-keygen starts");
    assert!(output.status.success(), "{command:?} failed: {output:?}");
}
