//! What is offered, in which order, and what is not.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use adit_ssh::key_file;
use adit_ssh::printable::Printable;
use adit_testkit::ssh_agent::Key;

use super::*;
use crate::agent::login::ssh_agent::SshAgent;

/// Writes a key file, gives its public half.
fn key_file(folder: &Path, name: &str, seed: u8) -> (PathBuf, PublicKey) {
    let file = folder.join(name);
    let text = key_file::write_ed25519(&[seed; 32], name).unwrap();
    let public = key_file::public_key(text.as_bytes()).unwrap();
    fs::write(&file, text.as_bytes()).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    (file, public)
}

fn identity(seed: u8) -> Identity {
    Identity {
        blob: Key::ed25519([seed; 32]).blob().to_vec(),
        comment: Printable::new(format!("agent's {seed}").as_bytes()),
    }
}

fn config(keys: &[&Path]) -> LoginConfig {
    LoginConfig::with_keys(keys.iter().map(|key| key.to_path_buf()).collect())
}

/// What is offered, by blob, with who signs.
fn offered(config: &LoginConfig, identities: &[Identity]) -> Vec<(Vec<u8>, &'static str)> {
    let credentials = Credentials::load(config).unwrap();
    let offers = credentials.offers(Some(identities)).unwrap();
    let each = offers.iter().map(|offer| {
        let Credential::Key(key) = &offer.credential else {
            return (Vec::new(), "person");
        };
        let holder = match offer.holder {
            Holder::Signer(_) => "here",
            Holder::SshAgent(_) => "agent",
            Holder::Person(_) => "person",
        };
        (key.blob().to_vec(), holder)
    });
    each.collect()
}

#[test]
fn where_keys_are_named_no_other_of_the_ssh_agent_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (file, public) = key_file(folder.path(), "a", 1);
    let agent = [identity(2), identity(1)];
    let offers = offered(&config(&[&file]), &agent);
    assert_eq!(offers, [(public.blob().to_vec(), "here")]);
}

#[test]
fn usual_keys_come_first_and_each_key_comes_once() {
    let folder = tempfile::tempdir().unwrap();
    let (first, one) = key_file(folder.path(), "a", 1);
    let (second, two) = key_file(folder.path(), "b", 2);
    let mut config = config(&[&first, &second, &first]);
    config.choice = KeyChoice::Usual;
    config.agent_keys = AgentKeys::All;
    let agent = [identity(3), identity(1), identity(3)];
    let offers = offered(&config, &agent);
    let expected = [
        (one.blob().to_vec(), "here"),
        (two.blob().to_vec(), "here"),
        (identity(3).blob, "agent"),
    ];
    assert_eq!(offers, expected);
}

#[test]
fn a_public_half_stands_for_the_key_that_the_ssh_agent_has() {
    let folder = tempfile::tempdir().unwrap();
    let (file, public) = key_file(folder.path(), "a", 1);
    let half = folder.path().join("half.pub");
    fs::write(&half, public.to_openssh_text()).unwrap();
    fs::remove_file(file).unwrap();
    let mut config = config(&[&half]);
    let nobody = Credentials::load(&config).unwrap_err().to_string();
    assert!(
        nobody.contains("half.pub") && nobody.contains("-i"),
        "{nobody}"
    );
    config.ssh_agent = Some(PathBuf::from("/socket"));
    let agent = [identity(2), identity(1)];
    assert_eq!(
        offered(&config, &agent),
        [(public.blob().to_vec(), "agent")]
    );
    let without = Credentials::load(&config).unwrap();
    let error = without.offers(Some(&agent[..1])).err().unwrap().to_string();
    assert!(error.contains("ssh-agent has none"), "{error}");
}

#[tokio::test]
async fn who_wants_the_ssh_agent_alone_is_told_of_no_key_files() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("gone");
    let why = SshAgent::connect(&socket).await.err().unwrap();
    let mut config = config(&[]);
    config.ssh_agent = Some(socket.clone());
    config.agent_keys = AgentKeys::All;
    let said = |config: &LoginConfig, agent| {
        let credentials = Credentials::load(config).unwrap();
        credentials.offers(agent).err().unwrap()
    };
    let trouble = format!(
        "the ssh-agent at {} cannot be reached: No such file or directory (os error 2)",
        socket.display()
    );
    assert_eq!(
        said(&config, None).without_agent(&why).to_string(),
        format!("nothing to log in with: {trouble}")
    );
    assert_eq!(
        said(&config, Some(&[])).to_string(),
        "nothing to log in with: the ssh-agent has no key (ssh-add)"
    );
    config.choice = KeyChoice::Usual;
    assert_eq!(
        said(&config, None).without_agent(&why).to_string(),
        format!(
            "nothing to log in with: no key file, and {trouble}; name a key file (-i; key: in a file)"
        )
    );
}

#[test]
fn a_usual_key_that_cannot_be_used_is_left_out_and_a_named_one_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (good, public) = key_file(folder.path(), "a", 1);
    let bad = folder.path().join("b");
    fs::write(&bad, "no key").unwrap();
    fs::set_permissions(&bad, Permissions::from_mode(0o600)).unwrap();
    let mut config = config(&[&bad, &good]);
    assert!(matches!(
        Credentials::load(&config),
        Err(CredentialError::Key(KeyError::Parse { .. }))
    ));
    config.choice = KeyChoice::Usual;
    assert_eq!(offered(&config, &[]), [(public.blob().to_vec(), "here")]);
}

#[test]
fn what_is_no_certificate_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = key_file(folder.path(), "a", 1);
    let mut config = config(&[&file]);
    let missing = folder.path().join("missing");
    config.certificates = vec![missing.clone()];
    let error = Credentials::load(&config).unwrap_err();
    assert!(matches!(error, CredentialError::ReadCertificate { .. }));
    fs::write(&missing, "ssh-ed25519 AAAA").unwrap();
    let error = Credentials::load(&config).unwrap_err();
    assert!(matches!(error, CredentialError::Certificate { .. }));
    fs::write(&missing, vec![b'a'; 40_000]).unwrap();
    let error = Credentials::load(&config).unwrap_err();
    assert!(matches!(error, CredentialError::ReadCertificate { .. }));
}
