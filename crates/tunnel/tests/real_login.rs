//! Logging in at a stock sshd with all that an agent may have: keys under a passphrase, certificates,
//! the keys of an ssh-agent.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::ssh_agent::{Key, Request, SshAgent};
use adit_testkit::sshd::Sshd;
use adit_testkit::{require, wait};
use adit_tunnel::agent::chain;
use adit_tunnel::agent::connect::{HostKeyLook, SshConnect, TrustError, Trusted};
use adit_tunnel::agent::dial::Way;
use adit_tunnel::agent::login::algorithms::AlgorithmLists;
use adit_tunnel::agent::login::credentials::{AgentKeys, KeyChoice, LoginConfig};
use adit_tunnel::agent::login::known_hosts::{
    HostKeyRefusal, HostKeys, HostVerdict, NameForm, NewHosts, PinnedKey,
};
use adit_tunnel::agent::login::prompt::{Ask, Question, Told};
use adit_tunnel::agent::supervise::{Connect as _, ConnectError, KeepAlive, Peer, PeerConfig};
use adit_tunnel::transport::ssh::Memory;

/// Knows a list of passphrases and remembers what it was asked; is asked about hosts, too.
#[derive(Debug, Default)]
struct Knows {
    secrets: Mutex<Vec<&'static str>>,
    asked: Mutex<Vec<String>>,
    trusts: Option<bool>,
}

impl Knows {
    fn passphrases(secrets: &[&'static str]) -> Arc<Self> {
        let secrets = secrets.iter().rev().copied().collect();
        Arc::new(Self {
            secrets: Mutex::new(secrets),
            ..Self::default()
        })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Ask for Knows {
    fn secret(&self, question: &Question<'_>) -> Option<Told> {
        let Question::Passphrase { file, attempt } = question else {
            return None;
        };
        let name = file.file_name().unwrap().to_string_lossy();
        self.asked.lock().unwrap().push(format!("{name} {attempt}"));
        let secret = self.secrets.lock().unwrap().pop()?;
        Some(Told::new(secret.to_owned()))
    }

    fn trusts(&self, _: &str, shown: &str) -> Option<bool> {
        self.asked.lock().unwrap().push(shown.to_owned());
        self.trusts
    }

    fn passwords(&self) -> usize {
        0
    }

    fn is_person(&self) -> bool {
        self.trusts.is_some()
    }
}

fn login(keys: &[&Path], ssh_agent: Option<PathBuf>) -> LoginConfig {
    let mut login = LoginConfig::with_keys(keys.iter().map(|key| key.to_path_buf()).collect());
    login.ssh_agent = ssh_agent;
    login
}

fn config(sshd: &Sshd, login: LoginConfig) -> PeerConfig {
    PeerConfig {
        peer: Peer {
            host: sshd.addr().ip().to_string(),
            port: sshd.addr().port(),
            user: sshd.user().to_owned(),
        },
        login,
        way: Way::direct(),
        host_key_alias: None,
        host_keys: HostKeys {
            files: vec![sshd.known_hosts_path()],
            global_files: Vec::new(),
            new_hosts: NewHosts::Refuse,
            names: NameForm::Plain,
            pinned: Vec::new(),
        },
        algorithms: AlgorithmLists::default(),
        keep_alive: KeepAlive::default(),
        congestion: None,
    }
}

/// Logs in and leaves.
async fn try_config(config: &PeerConfig) -> Result<(), ConnectError> {
    let connect = SshConnect::new(config, Memory::of_this_machine()).unwrap();
    connect.connect().await.map(drop)
}

async fn log_in(sshd: &Sshd, login: LoginConfig) -> Result<(), ConnectError> {
    try_config(&config(sshd, login)).await
}

#[tokio::test]
async fn a_key_of_the_ssh_agent_logs_in_and_the_agent_knows_where() {
    require!("sshd", "ssh-keygen");
    let sshd = Sshd::builder().start();
    let agent = SshAgent::start();
    let (stranger, known) = (Key::ed25519([8; 32]), Key::rsa_2048());
    sshd.authorize(&known.public_line());
    agent.add(stranger);
    agent.add(known);
    let mut login = login(&[], Some(agent.socket()));
    login.choice = KeyChoice::Usual;
    login.agent_keys = AgentKeys::All;
    log_in(&sshd, login).await.unwrap();
    let requests = agent.requests();
    assert!(
        matches!(
            requests.as_slice(),
            [
                Request::List,
                Request::SessionBind {
                    forwarding: false,
                    ..
                },
                Request::Sign { .. }
            ]
        ),
        "{requests:?}"
    );
}

#[tokio::test]
async fn the_real_ssh_agent_signs_for_a_key_that_is_named_by_its_public_half() {
    require!("sshd", "ssh-keygen", "ssh-agent", "ssh-add");
    let sshd = Sshd::builder().start();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent");
    let mut real = Command::new("ssh-agent")
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait::until("the ssh-agent listens", || {
        socket.exists().then_some(()).ok_or("there is no socket")
    });
    let added = Command::new("ssh-add")
        .arg("-q")
        .arg(sshd.user_key().private_path())
        .env("SSH_AUTH_SOCK", &socket)
        .status();
    assert!(added.unwrap().success());
    let half = folder.path().join("half.pub");
    std::fs::write(&half, sshd.user_key().public_line()).unwrap();
    let result = log_in(&sshd, login(&[&half], Some(socket))).await;
    real.kill().unwrap();
    real.wait().unwrap();
    result.unwrap();
}

#[tokio::test]
async fn an_ssh_agent_that_is_gone_costs_only_its_keys() {
    require!("sshd", "ssh-keygen");
    let sshd = Sshd::builder().start();
    let nowhere = sshd.folder().join("no-agent");
    let file = sshd.user_key().private_path();
    log_in(&sshd, login(&[file], Some(nowhere))).await.unwrap();
}

#[tokio::test]
async fn a_passphrase_is_asked_until_it_fits_and_then_never_again() {
    require!("sshd", "ssh-keygen");
    let sshd = Sshd::builder().start();
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate(folder.path(), "locked", KeyKind::Ed25519);
    sshd.authorize(key.public_line());
    let locked = Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "open sesame", "-a", "4", "-f"])
        .arg(key.private_path())
        .status();
    assert!(locked.unwrap().success());
    let knows = Knows::passphrases(&["wrong", "open sesame"]);
    let mut login = login(&[key.private_path()], None);
    login.ask = Arc::clone(&knows) as Arc<dyn Ask>;
    let config = config(&sshd, login);
    let connect = SshConnect::new(&config, Memory::of_this_machine()).unwrap();
    for _ in 0..2 {
        connect.connect().await.unwrap();
    }
    assert_eq!(knows.asked(), ["locked 0", "locked 1"]);
    let nobody = Knows::passphrases(&[]);
    let mut config = config;
    config.login.ask = nobody;
    let error = try_config(&config).await.unwrap_err();
    assert!(error.is_permanent());
    assert!(
        chain(&error).contains("ADIT_PASSPHRASE"),
        "{}",
        chain(&error)
    );
}

#[tokio::test]
async fn a_certificate_beside_the_key_or_by_its_name_logs_in_where_the_key_alone_does_not() {
    require!("sshd", "ssh-keygen");
    let folder = tempfile::tempdir().unwrap();
    let authority = KeyPair::generate(folder.path(), "authority", KeyKind::Ed25519);
    let sshd = Sshd::builder()
        .config_line(&format!(
            "TrustedUserCAKeys {}",
            authority.public_path().display()
        ))
        .start();
    let key = KeyPair::generate(folder.path(), "key", KeyKind::EcdsaP256);
    let alone = log_in(&sshd, login(&[key.private_path()], None)).await;
    let refusal = chain(&alone.unwrap_err());
    assert!(
        refusal.contains("is not known there") && refusal.contains("publickey"),
        "{refusal}"
    );
    let certificate = authority.certify(
        &key.public_path(),
        &["-I", "of a test", "-n", sshd.user(), "-V", "+1h"],
    );
    log_in(&sshd, login(&[key.private_path()], None))
        .await
        .unwrap();
    // By its name, for a key that only the ssh-agent has.
    let elsewhere = folder.path().join("elsewhere.pub");
    std::fs::rename(certificate, &elsewhere).unwrap();
    let agent = SshAgent::start();
    let held = Key::ed25519([9; 32]);
    let half = folder.path().join("held.pub");
    std::fs::write(&half, held.public_line()).unwrap();
    agent.add(held);
    let held = authority.certify(&half, &["-I", "of another", "-n", sshd.user(), "-V", "+1h"]);
    let mut login = login(&[], Some(agent.socket()));
    login.certificates = vec![held];
    log_in(&sshd, login).await.unwrap();
}

#[tokio::test]
async fn a_new_host_is_trusted_as_a_person_says_and_without_one_for_keys_alone() {
    require!("sshd", "ssh-keygen");
    let sshd = Sshd::builder().start();
    let folder = tempfile::tempdir().unwrap();
    for (answer, is_in) in [(Some(false), false), (Some(true), true), (None, true)] {
        let known_hosts = folder.path().join(format!("{answer:?}"));
        let knows = Arc::new(Knows {
            trusts: answer,
            ..Knows::default()
        });
        let mut login = login(&[sshd.user_key().private_path()], None);
        login.ask = Arc::clone(&knows) as Arc<dyn Ask>;
        let mut config = config(&sshd, login);
        config.host_keys.files = vec![known_hosts.clone()];
        config.host_keys.new_hosts = NewHosts::Ask;
        let result = try_config(&config).await;
        assert_eq!(result.is_ok(), is_in, "{answer:?}: {result:?}");
        assert_eq!(known_hosts.exists(), is_in, "{answer:?}");
        let asked = knows.asked();
        assert!(
            matches!(asked.as_slice(), [shown] if shown.contains("SHA256:")),
            "{asked:?}"
        );
    }
}

/// The pin of a host key or authority: its fingerprint, as `ssh-keygen -l` has it.
fn fingerprint(key: &KeyPair) -> String {
    let output = Command::new("ssh-keygen")
        .args(["-l", "-f"])
        .arg(key.public_path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn a_host_with_a_pinned_key_is_trusted_and_any_other_is_not() {
    require!("sshd", "ssh-keygen");
    let kinds = [KeyKind::Ed25519, KeyKind::EcdsaP256, KeyKind::Rsa3072];
    let sshd = Sshd::builder().host_keys(&kinds).start();
    let nowhere = sshd.folder().join("nowhere");
    let key = sshd.user_key().private_path();
    let mut config = config(&sshd, login(&[key], None));
    config.host_keys.files = vec![nowhere.clone()];
    let stranger = KeyPair::generate(sshd.folder(), "stranger", KeyKind::Ed25519);
    // By the fingerprint alone nobody can tell the type, and by the key one can.
    for host_key in sshd.host_keys() {
        for pin in [fingerprint(host_key), host_key.public_line().to_owned()] {
            config.host_keys.pinned = vec![pin.parse().unwrap()];
            try_config(&config).await.unwrap();
        }
    }
    config.host_keys.pinned = vec![stranger.public_line().parse().unwrap()];
    let error = try_config(&config).await.unwrap_err();
    assert!(error.is_permanent());
    let text = chain(&error);
    assert!(text.contains(&fingerprint(&stranger)), "{text}");
    for host_key in sshd.host_keys() {
        assert!(text.contains(&fingerprint(host_key)), "{text}");
    }
    // What is revoked stays so.
    let first = &sshd.host_keys()[0];
    let line = format!("@revoked * {}\n", first.public_key());
    std::fs::write(&nowhere, &line).unwrap();
    config.host_keys.pinned = vec![first.public_line().parse().unwrap()];
    let error = try_config(&config).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::HostKey(HostKeyRefusal::Revoked { .. })),
        "{error:?}"
    );
    assert_eq!(std::fs::read_to_string(&nowhere).unwrap(), line);
}

#[tokio::test]
async fn a_pin_may_be_the_authority_that_certifies_the_host() {
    require!("sshd", "ssh-keygen");
    let sshd = Sshd::builder().start();
    let authority = KeyPair::generate(sshd.folder(), "authority", KeyKind::Ed25519);
    let host_key = sshd.host_keys()[0].public_path();
    let certificate = authority.certify(&host_key, &["-h", "-I", "lab", "-n", "127.0.0.1"]);
    sshd.add_config_line(&format!("HostCertificate {}", certificate.display()));
    let mut config = config(&sshd, login(&[sshd.user_key().private_path()], None));
    let pins: Vec<PinnedKey> = [&authority, &sshd.host_keys()[0]]
        .map(|key| fingerprint(key).parse().unwrap())
        .to_vec();
    for pin in pins {
        config.host_keys.pinned = vec![pin];
        try_config(&config).await.unwrap();
    }
    // A certificate for another name is worth nothing, and its authority vouches for nobody.
    let other = authority.certify(&host_key, &["-h", "-I", "lab", "-n", "elsewhere.example"]);
    assert_eq!(other, certificate);
    config.host_keys.pinned = vec![fingerprint(&authority).parse().unwrap()];
    let error = try_config(&config).await.unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::HostKey(HostKeyRefusal::Unpinned { .. })
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_key_is_written_down_by_its_fingerprint_and_no_other_is() {
    require!("sshd", "ssh-keygen");
    let kinds = [KeyKind::Ed25519, KeyKind::Rsa3072];
    let sshd = Sshd::builder().host_keys(&kinds).start();
    let file = sshd.folder().join("new/known_hosts");
    // Nothing to log in with, and new hosts are refused otherwise.
    let mut config = config(&sshd, login(&[], None));
    config.host_keys.files = vec![file.clone()];
    let look = HostKeyLook::new(&config, Memory::of_this_machine()).unwrap();
    let [first, second] = sshd.host_keys() else {
        panic!("two keys")
    };
    let stranger = KeyPair::generate(sshd.folder(), "stranger", KeyKind::Ed25519);
    let wanted = |key: &KeyPair| -> PinnedKey { fingerprint(key).parse().unwrap() };
    let error = look.trust(&wanted(&stranger)).await.unwrap_err();
    let text = chain(&error);
    for key in [first, second, &stranger] {
        assert!(text.contains(&fingerprint(key)), "{text}");
    }
    assert!(!file.exists());
    let seen = look.look().await.unwrap();
    assert!(matches!(
        seen.verdict,
        HostVerdict::Refused(HostKeyRefusal::New { .. })
    ));
    assert!(!file.exists());
    // The one that it shows last.
    let Ok(Trusted::Written(place)) = look.trust(&wanted(second)).await else {
        panic!("it was not written")
    };
    assert_eq!((place.line, &*place.file), (1, file.as_path()));
    let text = std::fs::read_to_string(&file).unwrap();
    let port = sshd.addr().port();
    assert_eq!(
        text,
        format!("[127.0.0.1]:{port} {}\n", second.public_key())
    );
    assert_eq!(
        look.trust(&wanted(second)).await.unwrap(),
        Trusted::Already(place)
    );
    // It is known by that one, so another of its keys is a change.
    let error = look.trust(&wanted(first)).await.unwrap_err();
    assert!(matches!(
        &error,
        TrustError::Refused(HostKeyRefusal::Changed { .. })
    ));
    assert!(chain(&error).contains("ssh-keygen -R"), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    assert_eq!(sshd.log().matches("Accepted").count(), 0);
}
