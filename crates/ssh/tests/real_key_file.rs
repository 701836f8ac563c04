//! Private key files as ssh-keygen, puttygen and openssl write them.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed step of a test ends it, and a skip is printed"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use program::{is_there, keygen, public_of, run};

use adit_ssh::key::PublicKey;
use adit_ssh::key_file::{self, Form, KeyFileError};
use adit_ssh::provider::Signer;
use adit_ssh::provider::aws_lc::{provider, sign};

mod program;

const PASSPHRASE: &str = "correct horse";

/// Types as ssh-keygen names them, with a size where it matters.
const TYPES: [(&str, &str); 6] = [
    ("ed25519", "256"),
    ("ecdsa", "256"),
    ("ecdsa", "384"),
    ("ecdsa", "521"),
    ("rsa", "2048"),
    ("rsa", "3072"),
];

fn parse(path: &Path, passphrase: Option<&str>) -> Result<Arc<dyn Signer>, KeyFileError> {
    key_file::parse(&fs::read(path).unwrap(), passphrase.map(str::as_bytes))
}

/// The signer is that public key's, by every algorithm that it has.
fn check(signer: &dyn Signer, public: &PublicKey) {
    assert_eq!(signer.public_key(), public);
    let provider = provider();
    for algorithm in signer.algorithms() {
        let signature = signer.sign(*algorithm, b"message").unwrap();
        provider
            .verifier
            .verify(public, *algorithm, b"message", &signature)
            .unwrap();
    }
}

#[test]
fn every_type_is_read_from_every_form_that_ssh_keygen_writes() {
    if !is_there("ssh-keygen") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for (key_type, bits) in TYPES {
        let original = keygen(
            directory.path(),
            &format!("{key_type}{bits}"),
            &["-t", key_type, "-b", bits, "-N", ""],
        );
        let public = public_of(&original);
        for form in ["RFC4716", "PKCS8", "PEM"] {
            for passphrase in ["", PASSPHRASE] {
                let name = format!("{key_type}{bits}{form}{}", passphrase.len());
                let path = directory.path().join(&name);
                fs::copy(&original, &path).unwrap();
                run(Command::new("ssh-keygen")
                    .args(["-q", "-p", "-m", form, "-P", "", "-N", passphrase, "-f"])
                    .arg(&path));
                seen += 1;
                if passphrase.is_empty() {
                    check(parse(&path, None).unwrap().as_ref(), &public);
                    check(parse(&path, Some("unused")).unwrap().as_ref(), &public);
                    continue;
                }
                let error = parse(&path, None).unwrap_err();
                // OpenSSH's PEM with a passphrase is OpenSSL's old form.
                if form == "PEM" && error == KeyFileError::OldEncryption {
                    continue;
                }
                assert!(
                    matches!(error, KeyFileError::NeedsPassphrase { .. }),
                    "{name}: {error}"
                );
                check(parse(&path, Some(PASSPHRASE)).unwrap().as_ref(), &public);
                let wrong = parse(&path, Some("wrong")).unwrap_err();
                assert!(
                    matches!(wrong, KeyFileError::WrongPassphrase { .. }),
                    "{name}: {wrong}"
                );
            }
        }
    }
    assert_eq!(seen, TYPES.len() * 3 * 2);
}

#[test]
fn every_cipher_of_ssh_keygen_is_read() {
    if !is_there("ssh-keygen") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for (index, cipher) in [
        "aes128-cbc",
        "aes192-cbc",
        "aes256-cbc",
        "aes128-ctr",
        "aes192-ctr",
        "aes256-ctr",
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
    ]
    .into_iter()
    .enumerate()
    {
        let path = keygen(
            directory.path(),
            &index.to_string(),
            &["-t", "ed25519", "-Z", cipher, "-a", "3", "-N", PASSPHRASE],
        );
        let public = public_of(&path);
        check(parse(&path, Some(PASSPHRASE)).unwrap().as_ref(), &public);
        assert_eq!(
            parse(&path, Some("wrong")).unwrap_err(),
            KeyFileError::WrongPassphrase {
                form: Form::OpenSsh
            },
            "{cipher}"
        );
        assert_eq!(
            key_file::public_key(&fs::read(&path).unwrap()),
            Ok(public),
            "{cipher}"
        );
    }
}

/// One P-256 key in 256 has a scalar with a zero in front, which the file leaves out.
#[test]
fn scalars_with_leading_zeros_are_read() {
    if !is_there("openssl") || !is_there("ssh-keygen") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for zeros in [1_usize, 2, 8, 15] {
        // SEC 1 of that scalar without its public half, which openssl then computes.
        let mut scalar = [0; 32];
        scalar[zeros..].fill(0x5a);
        let der = [
            &[0x30, 0x31, 2, 1, 1, 4, 32][..],
            &scalar,
            &[0xa0, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
        ]
        .concat();
        let der_path = directory.path().join("der");
        fs::write(&der_path, der).unwrap();
        let path = directory.path().join(format!("zeros{zeros}"));
        run(Command::new("openssl")
            .args(["ec", "-inform", "DER", "-in"])
            .arg(&der_path)
            .arg("-out")
            .arg(&path));
        check_converted(&path);
    }
}

/// The same key in PEM and, after ssh-keygen rewrote it, in OpenSSH's format.
fn check_converted(path: &Path) {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let before = parse(path, None).unwrap();
    run(Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "", "-f"])
        .arg(path));
    assert!(fs::read_to_string(path).unwrap().contains("OPENSSH"));
    check(parse(path, None).unwrap().as_ref(), before.public_key());
}

#[test]
fn pkcs8_with_every_key_derivation_of_openssl_is_read() {
    if !is_there("openssl") || !is_there("ssh-keygen") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let plain = keygen(
        directory.path(),
        "plain",
        &["-t", "ecdsa", "-m", "PKCS8", "-N", ""],
    );
    let public = public_of(&plain);
    for (name, arguments) in [
        ("scrypt", &["-scrypt"][..]),
        (
            "sha256",
            &["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256"],
        ),
        (
            "sha512",
            &["-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"],
        ),
        ("iterations", &["-v2", "aes-256-cbc", "-iter", "100000"]),
    ] {
        let path = directory.path().join(name);
        run(Command::new("openssl")
            .args(["pkcs8", "-topk8", "-in"])
            .arg(&plain)
            .arg("-out")
            .arg(&path)
            .args(["-passout", &format!("pass:{PASSPHRASE}")])
            .args(arguments));
        check(parse(&path, Some(PASSPHRASE)).unwrap().as_ref(), &public);
        assert_eq!(
            parse(&path, Some("wrong")).unwrap_err(),
            KeyFileError::WrongPassphrase {
                form: Form::EncryptedPkcs8
            },
            "{name}"
        );
    }
}

#[test]
fn puttys_files_of_both_versions_are_read() {
    if !is_there("puttygen") || !is_there("ssh-keygen") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let passphrase_path = directory.path().join("passphrase");
    fs::write(&passphrase_path, PASSPHRASE).unwrap();
    let mut sources: Vec<PathBuf> = TYPES
        .iter()
        .map(|(key_type, bits)| {
            keygen(
                directory.path(),
                &format!("{key_type}{bits}"),
                &["-t", key_type, "-b", bits, "-N", ""],
            )
        })
        .collect();
    // PuTTY writes Ed25519's seed as a number, so zeros at its end are not in the file.
    for (index, zeros) in [1_usize, 2, 31].into_iter().enumerate() {
        let mut seed = [0x42; 32];
        seed[32 - zeros..].fill(0);
        let path = directory.path().join(format!("zeros{index}"));
        fs::write(&path, &*key_file::write_ed25519(&seed, "zeros").unwrap()).unwrap();
        let text = sign::ed25519(&seed).unwrap().public_key().to_openssh_text();
        fs::write(path.with_extension("pub"), text).unwrap();
        sources.push(path);
    }
    for source in sources {
        let public = public_of(&source);
        for parameters in [
            "version=2",
            "version=3",
            "version=3,kdf=argon2d,memory=256,passes=2",
            "version=3,kdf=argon2i,memory=1024,passes=1,parallelism=4",
        ] {
            for passphrase in [None, Some(PASSPHRASE)] {
                let path = source.with_extension("ppk");
                let mut command = Command::new("puttygen");
                command
                    .arg(&source)
                    .args(["-O", "private", "--ppk-param", parameters, "-o"])
                    .arg(&path)
                    .arg("--new-passphrase");
                command.arg(if passphrase.is_some() {
                    &passphrase_path
                } else {
                    Path::new("/dev/null")
                });
                run(&mut command);
                check(parse(&path, passphrase).unwrap().as_ref(), &public);
                let file = fs::read(&path).unwrap();
                assert_eq!(key_file::public_key(&file).as_ref(), Ok(&public));
                if passphrase.is_some() {
                    for (given, expected) in [(None, "needs"), (Some("wrong"), "not open")] {
                        let error = parse(&path, given).unwrap_err().to_string();
                        assert!(error.contains(expected), "{error}");
                    }
                }
                let text = String::from_utf8(file).unwrap();
                let damaged = text.replace("Comment: ", "Comment: x");
                assert!(
                    key_file::parse(damaged.as_bytes(), passphrase.map(str::as_bytes)).is_err()
                );
            }
        }
    }
}

#[test]
fn ssh_keygen_reads_what_we_write() {
    if !is_there("ssh-keygen") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for comment in ["", "gateway host key", "12345"] {
        let sign::NewKey { seed, signer } = sign::generate_ed25519().unwrap();
        let path = directory.path().join("key");
        fs::write(
            &path,
            &*key_file::write_ed25519(seed.expose(), comment).unwrap(),
        )
        .unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let text = run(Command::new("ssh-keygen").args(["-y", "-f"]).arg(&path));
        let expected = format!("{} {comment}", signer.public_key().to_openssh_text());
        assert_eq!(text.trim_end(), expected.trim_end());
    }
}
