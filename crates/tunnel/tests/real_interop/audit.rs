//! What `ssh-audit` says about our server, word for word.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use adit_ssh::algorithm::{KeyAlgorithm, SignatureAlgorithm};
use adit_ssh::auth::Method;
use adit_ssh::auth::server::{
    DelaySecret, KeyVerdict, LoginVerdict, PresentedKey, ServerLogin, ServerQuestion,
};
use adit_ssh::connection::{ServerConfig, TransportConfig};
use adit_ssh::kex::HostKey;
use adit_ssh::negotiate::Preferences;
use adit_ssh::provider::aws_lc::{self, AesSpeed};
use adit_testkit::real;
use adit_tunnel::transport::ssh::{Admission, Answer, Decision, Memory, accept};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::keys::{Keys, lasting_rsa_key};
use crate::whole;

/// The version whose words the tests know.
const VERSION: &str = "3.9.0";

/// The program, got from PyPI into the build directory if it is not there yet. `None` is a printed
/// skip, and a failure where `ADIT_REAL` is 1.
pub(crate) async fn program() -> Option<PathBuf> {
    let folder = whole::folder().join("audit");
    let program = folder.join("bin/ssh-audit");
    if program.is_file() {
        return Some(program);
    }
    let package = format!("ssh-audit=={VERSION}");
    let pip = folder.join("bin/pip");
    let is_there = run(Command::new("python3").args(["-m", "venv"]).arg(&folder)).await
        && run(Command::new(pip).args(["install", "--quiet", &package])).await;
    if !is_there {
        real::skip("ssh-audit cannot be had from PyPI");
        return None;
    }
    Some(program)
}

async fn run(command: &mut Command) -> bool {
    let output = command.output().await;
    output.is_ok_and(|output| output.status.success())
}

/// What it prints about our server with these preferences, without the lines that name a version
/// or a key of this run.
pub(crate) async fn report(
    program: &Path,
    host_keys: &Arc<[HostKey]>,
    change: fn(Preferences) -> Preferences,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = config(Arc::clone(host_keys), change);
    let mut connections = JoinSet::new();
    let mut command = Command::new(program);
    command.args(["-n", "-b", "--skip-rate-test", "-p", &port.to_string()]);
    let output = command.arg("127.0.0.1").output();
    let mut output = std::pin::pin!(output);
    let output = loop {
        tokio::select! {
            output = &mut output => break output.unwrap(),
            stream = listener.accept() => {
                let (stream, _) = stream.unwrap();
                let config = config.clone();
                connections.spawn(async move {
                    let memory = Memory::of_this_machine();
                    // None of these connections logs in; how each ends is the program's business.
                    drop(accept(stream, &config, memory, &mut Nobody).await);
                });
            }
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().filter(|line| {
        !line.is_empty() && !line.starts_with("(gen) banner") && !line.starts_with("(fin)")
    });
    lines
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

/// Fails at the first line that differs, with all that was said.
#[track_caller]
pub(crate) fn assert_lines(said: &str, expected: &str) {
    for (line, wanted) in said.lines().zip(expected.lines()) {
        assert_eq!(line, wanted, "in:\n{said}");
    }
    assert_eq!(said.lines().count(), expected.lines().count(), "{said}");
}

/// Lets nobody in.
struct Nobody;

impl Admission for Nobody {
    fn key<'a>(&'a mut self, _: &'a str, _: &'a PresentedKey) -> Answer<'a, KeyVerdict> {
        Box::pin(async { KeyVerdict::Refused })
    }

    fn login<'a>(&'a mut self, _: &'a ServerQuestion) -> Answer<'a, Decision> {
        Box::pin(async { Decision::Verdict(LoginVerdict::Reject) })
    }
}

/// Every host key that a server may have by default.
pub(crate) fn host_keys(keys: &Keys) -> Arc<[HostKey]> {
    let ed25519 = keys.signer("host", KeyAlgorithm::Ed25519);
    let rsa = lasting_rsa_key(keys.folder());
    Arc::new([HostKey::plain(ed25519), HostKey::plain(rsa)])
}

/// The defaults of a server.
fn config(host_keys: Arc<[HostKey]>, change: fn(Preferences) -> Preferences) -> ServerConfig {
    let provider = Arc::new(aws_lc::provider_with(AesSpeed::Fast));
    let random = Arc::clone(&provider.random);
    let pool = Memory::of_this_machine().pool;
    let mut transport = TransportConfig::server(provider, pool);
    transport.preferences = change(transport.preferences);
    ServerConfig {
        transport,
        host_keys,
        login: ServerLogin {
            methods: vec![Method::PublicKey],
            banner: None,
            signature_algorithms: SignatureAlgorithm::ALL.to_vec(),
            anonymous: false,
        },
        delay_secret: DelaySecret::generate(random.as_ref()).unwrap(),
    }
}
