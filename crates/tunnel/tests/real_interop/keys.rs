//! The keys of the table: one host key and one user key of each type, certificates for all of them,
//! security keys that the lab's ssh-agent plays, and a password.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use adit_ssh::algorithm::KeyAlgorithm;
use adit_ssh::certificate::Certificate;
use adit_ssh::key::PublicKey;
use adit_ssh::key_file;
use adit_ssh::provider::Signer;
use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::ssh_agent::Key;

/// Everything that logs in or is logged in to.
#[derive(Debug)]
pub(crate) struct Keys {
    folder: tempfile::TempDir,
    user: String,
    authority: KeyPair,
    hardware: [Key; 2],
}

/// The password of every login by one.
pub(crate) const PASSWORD: &str = "correct horse";

/// Types of keys in files: our name and what `ssh-keygen` calls them. RSA of 2048 bits, the least
/// that everybody takes, since these live for a minute.
const TYPES: [(&str, &str, &str); 5] = [
    ("ed25519", "ed25519", "256"),
    ("ecdsa256", "ecdsa", "256"),
    ("ecdsa384", "ecdsa", "384"),
    ("ecdsa521", "ecdsa", "521"),
    ("rsa", "rsa", "2048"),
];

/// A host key of 3072 bits, as one that is meant to last would be.
pub(crate) fn lasting_rsa_key(folder: &Path) -> Arc<dyn Signer> {
    let pair = KeyPair::generate(folder, "lasting", KeyKind::Rsa3072);
    let file = std::fs::read(pair.private_path()).unwrap();
    key_file::parse(&file, None).unwrap()
}

/// The file's name, without what it is for, of a key that does that algorithm.
fn type_of(algorithm: KeyAlgorithm) -> &'static str {
    let name = algorithm.name();
    let types = [
        ("sk-ssh-ed25519", "sk-ed25519"),
        ("sk-ecdsa", "sk-ecdsa"),
        ("ssh-ed25519", "ed25519"),
        ("ecdsa-sha2-nistp256", "ecdsa256"),
        ("ecdsa-sha2-nistp384", "ecdsa384"),
        ("ecdsa-sha2-nistp521", "ecdsa521"),
        ("rsa-", "rsa"),
    ];
    let mut found = types.iter().filter(|(start, _)| name.starts_with(start));
    found.next().expect("every algorithm has a type").1
}

impl Keys {
    /// Makes them all. Certificates are for the user who runs this and for 127.0.0.1.
    pub(crate) fn generate() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let user = Command::new("id").arg("-un").output().unwrap();
        let user = String::from_utf8(user.stdout).unwrap().trim().to_owned();
        let authority = KeyPair::generate(path, "authority", KeyKind::Ed25519);
        for (name, kind, bits) in TYPES {
            for (purpose, arguments) in [
                ("user", ["-n", &user].as_slice()),
                ("host", &["-h", "-n", "127.0.0.1"]),
            ] {
                let file = path.join(format!("{purpose}-{name}"));
                keygen(&["-t", kind, "-b", bits, "-f", file.to_str().unwrap()]);
                let arguments = [&["-I", purpose], arguments].concat();
                authority.certify(&file.with_extension("pub"), &arguments);
            }
        }
        let hardware = [
            Key::security_key_ed25519([7; 32], "ssh:"),
            Key::security_key_ecdsa_p256("ssh:"),
        ];
        for (name, key) in ["sk-ed25519", "sk-ecdsa"].iter().zip(&hardware) {
            let file = path.join(format!("user-{name}.pub"));
            std::fs::write(&file, key.public_line()).unwrap();
            authority.certify(&file, &["-I", "user", "-n", &user]);
        }
        Self {
            folder,
            user,
            authority,
            hardware,
        }
    }

    /// Where they are, and where a peer may keep files of its own.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The name to log in by: of the user who runs this, as whom a stock server has to run.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// The private key file of that login.
    pub(crate) fn user_path(&self, algorithm: KeyAlgorithm) -> PathBuf {
        self.path("user", algorithm)
    }

    /// The private key file of that host key.
    pub(crate) fn host_path(&self, algorithm: KeyAlgorithm) -> PathBuf {
        self.path("host", algorithm)
    }

    /// The private key files of all host keys.
    pub(crate) fn host_paths(&self) -> Vec<PathBuf> {
        let paths = TYPES.iter().map(|(name, ..)| format!("host-{name}"));
        paths.map(|name| self.folder().join(name)).collect()
    }

    fn path(&self, purpose: &str, algorithm: KeyAlgorithm) -> PathBuf {
        let name = format!("{purpose}-{}", type_of(algorithm));
        self.folder().join(name)
    }

    /// The security key of that login, as an ssh-agent holds it.
    pub(crate) fn security_key(&self, algorithm: KeyAlgorithm) -> Option<Key> {
        let index = match type_of(algorithm) {
            "sk-ed25519" => 0,
            "sk-ecdsa" => 1,
            _ => return None,
        };
        let key = self.hardware[index].clone();
        if algorithm.is_certificate() {
            let line = std::fs::read_to_string(self.certificate_path("user", algorithm));
            Some(key.with_certificate(&line.unwrap()))
        } else {
            Some(key)
        }
    }

    /// The certificate of a key in a file, `user` or `host`.
    pub(crate) fn certificate_path(&self, purpose: &str, algorithm: KeyAlgorithm) -> PathBuf {
        let name = format!("{purpose}-{}-cert.pub", type_of(algorithm));
        self.folder().join(name)
    }

    /// That certificate.
    pub(crate) fn certificate(&self, purpose: &str, algorithm: KeyAlgorithm) -> Certificate {
        let line = std::fs::read_to_string(self.certificate_path(purpose, algorithm)).unwrap();
        Certificate::from_openssh_text(&two_words(&line)).unwrap()
    }

    /// The private key in a file.
    pub(crate) fn signer(&self, purpose: &str, algorithm: KeyAlgorithm) -> Arc<dyn Signer> {
        let file = std::fs::read(self.path(purpose, algorithm)).unwrap();
        key_file::parse(&file, None).unwrap()
    }

    /// The public half of a key, `user` or `host`.
    pub(crate) fn public(&self, purpose: &str, algorithm: KeyAlgorithm) -> PublicKey {
        let file = self.path(purpose, algorithm).with_extension("pub");
        let line = std::fs::read_to_string(file).unwrap();
        PublicKey::from_openssh_text(&two_words(&line)).unwrap()
    }

    /// Who signed the certificates.
    pub(crate) fn authority(&self) -> PublicKey {
        PublicKey::from_openssh_text(self.authority.public_key()).unwrap()
    }

    /// The authority's public key file.
    pub(crate) fn authority_path(&self) -> PathBuf {
        self.authority.public_path()
    }

    /// Every user key and the authority, in the form of `authorized_keys`.
    pub(crate) fn authorized_keys(&self) -> String {
        let names = TYPES.iter().map(|(name, ..)| *name);
        let lines = names.chain(["sk-ed25519", "sk-ecdsa"]).map(|name| {
            let line = std::fs::read_to_string(self.folder().join(format!("user-{name}.pub")));
            line.unwrap().trim_end().to_owned() + "\n"
        });
        let authority = format!("cert-authority {}\n", self.authority.public_line());
        lines.collect::<String>() + &authority
    }

    /// Every host key and the authority, in the form of `known_hosts`.
    pub(crate) fn known_hosts(&self, port: u16) -> String {
        let host = format!("[127.0.0.1]:{port}");
        let lines = TYPES.iter().map(|(name, ..)| {
            let line = std::fs::read_to_string(self.folder().join(format!("host-{name}.pub")));
            format!("{host} {}", line.unwrap())
        });
        // A certificate's name is without the port; OpenSSH looks for both.
        let authority = format!(
            "@cert-authority 127.0.0.1,{host} {}\n",
            self.authority.public_key()
        );
        lines.collect::<String>() + &authority
    }
}

/// `type base64` of a line with a comment.
fn two_words(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().take(2).collect();
    words.join(" ")
}

fn keygen(arguments: &[&str]) {
    let output = Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-C", "interop"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("ssh-keygen starts");
    assert!(output.status.success(), "{output:?}");
}
