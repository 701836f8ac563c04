//! Logging in at a server of ours, over a pipe.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use adit_ssh::algorithm::SignatureAlgorithm;
use adit_ssh::auth::Method;
use adit_ssh::auth::server::{
    Claim, DelaySecret, KeyVerdict, LoginVerdict, PresentedKey, ServerLogin, ServerQuestion,
};
use adit_ssh::connection::{ServerConfig, TransportConfig};
use adit_ssh::kex::HostKey;
use adit_ssh::key_file;
use adit_ssh::provider::aws_lc;
use tokio::time::Instant;

use super::answers::Answers;
use super::attempt::LOGIN_DEADLINE;
use super::*;
use crate::agent::dial::Way;
use crate::agent::login::algorithms::AlgorithmLists;
use crate::agent::login::credentials::LoginConfig;
use crate::agent::login::known_hosts::NameForm;
use crate::agent::login::prompt::{Question, Told};
use crate::agent::supervise::KeepAlive as Silence;
use crate::transport::ssh::{self, Admission, Answer, Decision};

/// Never makes up its mind.
struct Undecided;

impl Admission for Undecided {
    fn key<'a>(&'a mut self, _: &'a str, _: &'a PresentedKey) -> Answer<'a, KeyVerdict> {
        Box::pin(std::future::pending())
    }

    fn login<'a>(&'a mut self, _: &'a ServerQuestion) -> Answer<'a, Decision> {
        Box::pin(std::future::pending())
    }
}

/// A server with one way to log in.
fn server(connect: &SshConnect, memory: &Memory, method: Method) -> ServerConfig {
    let provider = Arc::clone(&connect.provider);
    ServerConfig {
        transport: TransportConfig::server(Arc::clone(&provider), memory.pool.clone()),
        host_keys: Arc::new([HostKey::plain(aws_lc::sign::ed25519(&[2; 32]).unwrap())]),
        login: ServerLogin {
            methods: vec![method],
            banner: None,
            signature_algorithms: SignatureAlgorithm::ALL.to_vec(),
            anonymous: false,
        },
        delay_secret: DelaySecret::generate(provider.random.as_ref()).unwrap(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_decides_is_left_in_half_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let text = key_file::write_ed25519(&[1; 32], "test").unwrap();
    std::fs::write(&key, text.as_bytes()).unwrap();
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let config = PeerConfig {
        peer: Peer {
            host: String::from("gateway.example"),
            port: 22,
            user: String::from("me"),
        },
        login: LoginConfig::with_keys(vec![key]),
        way: Way::direct(),
        host_key_alias: None,
        host_keys: HostKeys {
            files: vec![folder.path().join("known_hosts")],
            global_files: Vec::new(),
            new_hosts: NewHosts::Accept,
            names: NameForm::Plain,
            pinned: Vec::new(),
        },
        algorithms: AlgorithmLists::default(),
        keep_alive: Silence::default(),
        congestion: None,
    };
    let memory = Memory::of_this_machine();
    let connect = SshConnect::new(&config, memory.clone()).unwrap();
    let server = server(&connect, &memory, Method::PublicKey);
    let (near, far) = tokio::io::duplex(100_000);
    let offers = connect.credentials.offers(None).unwrap();
    let answers = Answers::new(&connect, &offers, None, None);
    let order = connect.preferences.host_key.clone();
    let mut undecided = Undecided;
    let began = Instant::now();
    let error = tokio::select! {
        result = connect.log_in(near, order, answers) => result.unwrap_err(),
        result = ssh::accept(far, &server, memory, &mut undecided) => {
            panic!("{:?}", result.map(drop))
        }
    };
    // The clock of the runtime has steps of a millisecond.
    let took = began.elapsed();
    assert!(took >= LOGIN_DEADLINE && took < LOGIN_DEADLINE + Duration::from_secs(1));
    assert!(!error.is_permanent(), "it is tried again: {error}");
    assert!(
        folder.path().join("known_hosts").exists(),
        "it got that far"
    );
}

/// Takes one password.
struct OnePassword(&'static str, Vec<String>);

impl Admission for OnePassword {
    fn key<'a>(&'a mut self, _: &'a str, _: &'a PresentedKey) -> Answer<'a, KeyVerdict> {
        Box::pin(std::future::ready(KeyVerdict::Refused))
    }

    fn login<'a>(&'a mut self, question: &'a ServerQuestion) -> Answer<'a, Decision> {
        let mut verdict = LoginVerdict::Reject;
        if let Claim::Password(password) = &question.claim {
            self.1.push(password.expose().clone());
            if password.expose() == self.0 {
                verdict = LoginVerdict::Accept;
            }
        }
        Box::pin(std::future::ready(Decision::Verdict(verdict)))
    }
}

/// Gives the same passwords in each login.
#[derive(Debug)]
struct Passwords(&'static [&'static str]);

impl Ask for Passwords {
    fn secret(&self, question: &Question<'_>) -> Option<Told> {
        let Question::Password { attempt, .. } = question else {
            return None;
        };
        let word: &str = self.0.get(*attempt)?;
        Some(Told::new(word.to_owned()))
    }

    fn trusts(&self, _: &str, _: &str) -> Option<bool> {
        None
    }

    fn passwords(&self) -> usize {
        self.0.len()
    }

    fn is_person(&self) -> bool {
        false
    }
}

fn by_password(folder: &std::path::Path, new_hosts: NewHosts) -> PeerConfig {
    let mut login = LoginConfig::with_keys(Vec::new());
    login.ask = Arc::new(Passwords(&["first", "second"]));
    PeerConfig {
        peer: Peer {
            host: String::from("gateway.example"),
            port: 22,
            user: String::from("me"),
        },
        login,
        way: Way::direct(),
        host_key_alias: None,
        host_keys: HostKeys {
            files: vec![folder.join("known_hosts")],
            global_files: Vec::new(),
            new_hosts,
            names: NameForm::Plain,
            pinned: Vec::new(),
        },
        algorithms: AlgorithmLists::default(),
        keep_alive: Silence::default(),
        congestion: None,
    }
}

/// One login over a pipe, and the passwords that the server saw.
async fn log_in_by_password(
    connect: &SshConnect,
) -> (Result<Connected, ConnectError>, Vec<String>) {
    let memory = Memory::of_this_machine();
    let server = server(connect, &memory, Method::Password);
    let (near, far) = tokio::io::duplex(100_000);
    let offers = connect.credentials.offers(None).unwrap();
    let answers = Answers::new(connect, &offers, None, None);
    let order = connect.preferences.host_key.clone();
    let mut admission = OnePassword("second", Vec::new());
    // A server that is refused ends; one that has let us in stays until we have seen it.
    let accepted = ssh::accept(far, &server, memory, &mut admission);
    let (result, accepted) = tokio::join!(connect.log_in(near, order, answers), accepted);
    drop(accepted);
    (result, admission.1)
}

#[tokio::test]
async fn a_password_goes_to_a_known_host_and_to_no_stranger() {
    let folder = tempfile::tempdir().unwrap();
    let memory = Memory::of_this_machine();
    let config = by_password(folder.path(), NewHosts::Accept);
    let stranger = SshConnect::new(&config, memory.clone()).unwrap();
    // The second attempt finds the key in the file, where the first has written it.
    for _ in 0..2 {
        let (result, seen) = log_in_by_password(&stranger).await;
        let error = chain(&result.unwrap_err());
        assert!(error.contains("no password is sent"), "{error}");
        assert_eq!(seen, [""; 0]);
    }
    let config = by_password(folder.path(), NewHosts::Refuse);
    let known = SshConnect::new(&config, memory).unwrap();
    let (result, seen) = log_in_by_password(&known).await;
    result.unwrap();
    assert_eq!(seen, ["first", "second"]);
}
