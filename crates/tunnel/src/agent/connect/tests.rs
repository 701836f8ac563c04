//! Logging in at a server of ours, over a pipe.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use adit_ssh::algorithm::SignatureAlgorithm;
use adit_ssh::auth::Method;
use adit_ssh::auth::server::{DelaySecret, KeyVerdict, PresentedKey, ServerLogin, ServerQuestion};
use adit_ssh::connection::ServerConfig;
use adit_ssh::kex::HostKey;
use adit_ssh::key_file;
use adit_ssh::provider::aws_lc;
use tokio::time::Instant;

use super::*;
use crate::agent::dial::Way;
use crate::agent::login::algorithms::AlgorithmLists;
use crate::agent::login::known_hosts::{NameForm, NewHosts};
use crate::transport::ssh::{Admission, Decision};

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
        keys: vec![key],
        host_keys: HostKeys {
            files: vec![folder.path().join("known_hosts")],
            global_files: Vec::new(),
            new_hosts: NewHosts::Accept,
            names: NameForm::Plain,
        },
        algorithms: AlgorithmLists::default(),
        congestion: None,
        way: Way::direct(),
        host_key_alias: None,
    };
    let memory = Memory::of_this_machine();
    let connect = SshConnect::new(&config, memory.clone()).unwrap();
    let provider = Arc::clone(&connect.provider);
    let server = ServerConfig {
        transport: TransportConfig::server(Arc::clone(&provider), memory.pool.clone()),
        host_keys: Arc::new([HostKey::plain(aws_lc::sign::ed25519(&[2; 32]).unwrap())]),
        login: ServerLogin {
            methods: vec![Method::PublicKey],
            banner: None,
            signature_algorithms: SignatureAlgorithm::ALL.to_vec(),
            anonymous: false,
        },
        delay_secret: DelaySecret::generate(provider.random.as_ref()).unwrap(),
    };
    let (near, far) = tokio::io::duplex(100_000);
    let mut undecided = Undecided;
    let began = Instant::now();
    let error = tokio::select! {
        result = connect.log_in(near, connect.preferences.host_key.clone()) => result.unwrap_err(),
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
