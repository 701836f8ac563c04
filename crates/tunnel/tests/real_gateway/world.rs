//! A gateway, its users, and their ssh.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use adit_model::grant::Grant;
use adit_model::id::{LeaseId, PrincipalId};
use adit_model::lease::{Holding, Lease};
use adit_model::port::PortSet;
use adit_model::source::SourceSet;
use adit_ssh::key::PublicKey;
use adit_ssh::provider::aws_lc;
use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::process::Process;
use adit_testkit::{real, wait};
use adit_tunnel::gateway::accept::{Acceptor, Direct, Parts, Settings};
use adit_tunnel::gateway::admission::fingerprint;
use adit_tunnel::gateway::desk::{self, Clock, Desk, Seams};
use adit_tunnel::gateway::host_keys::HostKeys;
use adit_tunnel::gateway::limit::Usages;
use adit_tunnel::gateway::open::{Resolve, SystemResolver};
use adit_tunnel::gateway::policy::{Key, Kind, Policy, Principal};
use adit_tunnel::gateway::seam::{Later, Ledger, LedgerError, Publish, Sockets};
use adit_tunnel::transport::ssh::Memory;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long anything may take here.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A running gateway. Dropped, it is gone.
pub(crate) struct Gateway {
    pub(crate) folder: TempDir,
    pub(crate) acceptor: Arc<Acceptor>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) stop: CancellationToken,
    addr: SocketAddr,
    policy: watch::Sender<Arc<Policy>>,
    tasks: JoinSet<()>,
}

/// What a test may want otherwise.
pub(crate) struct Wishes {
    pub(crate) settings: Settings,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) clock: Clock,
}

impl Default for Wishes {
    fn default() -> Self {
        let host = aws_lc::sign::ed25519(&[2; 32]).unwrap();
        Self {
            settings: Settings::with_host_keys(HostKeys::of(&[host])),
            resolver: Arc::new(SystemResolver),
            clock: Clock::system(),
        }
    }
}

/// Keeps leases for as long as the test runs.
#[derive(Debug, Default)]
struct Numbers(AtomicI64);

impl Ledger for Numbers {
    fn keep<'a>(&'a self, lease: &'a Lease) -> Later<'a, Result<LeaseId, LedgerError>> {
        let id = match lease.id.get() {
            0 => LeaseId::new(self.0.fetch_add(1, Ordering::Relaxed) + 1),
            _ => lease.id,
        };
        Box::pin(async move { Ok(id) })
    }
}

/// Accepts visitors and copies, without any of the checks that a real edge makes.
#[derive(Debug, Default)]
struct Carry(Arc<OnceLock<Weak<Desk>>>);

impl Publish for Carry {
    fn serve(
        &self,
        sockets: Sockets,
        holding: Holding,
        stop: CancellationToken,
    ) -> Later<'static, ()> {
        let desk = Arc::clone(&self.0);
        Box::pin(async move {
            let mut visitors = JoinSet::new();
            match sockets {
                Sockets::Tcp(listeners) => {
                    for listener in listeners {
                        let listener = TcpListener::from_std(listener).unwrap();
                        let (desk, holding) = (Arc::clone(&desk), holding.clone());
                        visitors.spawn(async move {
                            let mut each = JoinSet::new();
                            while let Ok((socket, peer)) = listener.accept().await {
                                each.spawn(visit(desk.clone(), holding.clone(), socket, peer));
                            }
                        });
                    }
                }
                Sockets::Unix(listener) => {
                    let listener = tokio::net::UnixListener::from_std(listener).unwrap();
                    visitors.spawn(async move {
                        let mut each = JoinSet::new();
                        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
                        while let Ok((socket, _)) = listener.accept().await {
                            each.spawn(visit(desk.clone(), holding.clone(), socket, nowhere));
                        }
                    });
                }
            }
            stop.cancelled().await;
            visitors.shutdown().await;
        })
    }
}

async fn visit<S>(
    desk: Arc<OnceLock<Weak<Desk>>>,
    holding: Holding,
    mut socket: S,
    peer: SocketAddr,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let Some(desk) = desk.get().and_then(Weak::upgrade) else {
        return;
    };
    if let Ok(mut stream) = desk.registry().open(&holding, peer.into()).await {
        let _: Option<_> = tokio::io::copy_bidirectional(&mut socket, &mut stream)
            .await
            .ok();
    }
}

/// The ports of these tests: none that the system gives to outgoing connections.
pub(crate) fn ports() -> PortSet {
    "20000-29999".parse().unwrap()
}

/// A grant of every port, and of any.
pub(crate) fn generous() -> Grant {
    Grant {
        ports: PortSet::all(),
        any_port: true,
        ..Grant::default()
    }
}

impl Gateway {
    pub(crate) async fn new(policy: Policy) -> Self {
        Self::with(policy, Wishes::default()).await
    }

    pub(crate) async fn with(policy: Policy, wishes: Wishes) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (policy, receiver) = watch::channel(Arc::new(policy));
        let publish = Carry::default();
        let desk_slot = Arc::clone(&publish.0);
        let sockets = folder.path().join("sockets");
        std::fs::create_dir(&sockets).unwrap();
        let settings = desk::Settings {
            sockets: Some(sockets),
            clock: wishes.clock.clone(),
            ..desk::Settings::with_ports(ports())
        };
        let seams = Seams {
            policy: receiver.clone(),
            ledger: Arc::new(Numbers::default()),
            publish: Arc::new(publish),
        };
        let desk = Desk::new(settings, seams, Vec::new());
        desk_slot.set(Arc::downgrade(&desk)).unwrap();
        let provider = Arc::new(aws_lc::provider());
        let parts = Parts {
            policy: receiver.clone(),
            desk: Arc::clone(&desk),
            usages: Usages::new(receiver.clone(), wishes.clock.clone(), 1_024),
            resolver: wishes.resolver,
            source: Arc::new(Direct),
            provider,
            memory: Memory::of_this_machine(),
            clock: wishes.clock,
        };
        let host_keys = wishes.settings.host_keys.clone();
        let acceptor = Arc::new(Acceptor::new(wishes.settings, parts).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (running, until) = (Arc::clone(&acceptor), stop.clone());
        tasks.spawn(async move { running.run(vec![listener], until).await });
        let (running, until) = (Arc::clone(&desk), stop.clone());
        tasks.spawn(async move { running.run(until).await });
        let lines: String = (host_keys.public().iter())
            .flat_map(|key| {
                let name = format!("[127.0.0.1]:{} ", addr.port());
                [name, key.to_openssh_text(), String::from("\n")]
            })
            .collect();
        std::fs::write(folder.path().join("known_hosts"), lines).unwrap();
        Self {
            folder,
            acceptor,
            desk,
            stop,
            addr,
            policy,
            tasks,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.addr.port()
    }

    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }

    /// From here on that policy holds.
    pub(crate) fn publish(&self, policy: Policy) {
        self.policy.send_replace(Arc::new(policy));
    }

    /// The same with a change.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Policy)) {
        let mut policy = Policy::clone(&self.policy.borrow());
        change(&mut policy);
        self.publish(policy);
    }

    /// An ssh of that user to this gateway, with these arguments ahead of the destination.
    pub(crate) fn command(&self, user: &User, arguments: &[&str]) -> Command {
        self.command_with(user, arguments, &[])
    }

    /// The same, with these behind the destination.
    pub(crate) fn command_with(&self, user: &User, ahead: &[&str], behind: &[&str]) -> Command {
        let mut command = Command::new(real::find("ssh").unwrap());
        command
            .args(self.options(user))
            .args(["-p", &self.port().to_string()])
            .args(ahead)
            .arg("somebody@127.0.0.1")
            .args(behind);
        command
    }

    /// What makes an ssh, sftp or scp independent of this machine's configuration.
    pub(crate) fn options(&self, user: &User) -> Vec<String> {
        let mut options: Vec<String> = ["-F", "none"].map(String::from).into();
        for option in [
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "GlobalKnownHostsFile=none",
            &format!("UserKnownHostsFile={}", self.known_hosts().display()),
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "LogLevel=VERBOSE",
            &format!("IdentityFile={}", user.key.private_path().display()),
        ] {
            options.extend([String::from("-o"), option.to_owned()]);
        }
        options
    }

    pub(crate) fn ssh(&self, user: &User, arguments: &[&str]) -> Process {
        Process::spawn(&mut self.command(user, arguments))
    }

    /// `ssh -N` with these arguments, once every forward of it was answered.
    pub(crate) fn tunnel(&self, user: &User, arguments: &[&str]) -> Process {
        let mut all = vec!["-N", "-v"];
        all.extend(arguments);
        let mut ssh = self.ssh(user, &all);
        ssh.wait_for_text("Entering interactive session");
        let wanted = arguments
            .iter()
            .filter(|argument| **argument == "-R")
            .count();
        wait::until_within(SOON, "answers to all forwards", || {
            let text = ssh.stderr();
            let answered = text.matches("remote forward success").count()
                + text.matches("remote forward failure").count();
            (answered >= wanted).then_some(()).ok_or(text)
        });
        ssh
    }

    /// Stops it, and says that nothing of it is left.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(SOON, async {
            while let Some(ended) = self.tasks.join_next().await {
                ended.unwrap();
            }
        });
        ended.await.unwrap();
    }
}

/// Somebody with a key.
pub(crate) struct User {
    pub(crate) id: PrincipalId,
    pub(crate) name: String,
    pub(crate) key: KeyPair,
    folder: TempDir,
}

impl User {
    pub(crate) fn new(row: i64, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate(folder.path(), name, KeyKind::Ed25519);
        Self {
            id: PrincipalId::new(row),
            name: name.to_owned(),
            key,
            folder,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn public(&self) -> PublicKey {
        PublicKey::from_openssh_text(self.key.public_key()).unwrap()
    }
}

/// A policy of these users.
pub(crate) fn policy(users: &[(&User, Kind, Grant)]) -> Policy {
    let mut policy = Policy {
        version: 1,
        principals: HashMap::new(),
        ..Policy::default()
    };
    for (user, kind, grant) in users {
        let principal = Principal {
            id: user.id,
            name: user.name.clone(),
            kind: *kind,
            grant: grant.clone(),
        };
        policy.principals.insert(user.id, Arc::new(principal));
        let public = user.public();
        let key = Key {
            principal: user.id,
            blob: public.blob().to_vec(),
            sources: SourceSet::default(),
            not_after: None,
            touch_required: true,
            verify_required: false,
        };
        policy
            .keys
            .insert(fingerprint(&public).unwrap(), Arc::new(key));
    }
    policy
}

/// One user with that grant, and a gateway that knows only it.
pub(crate) async fn alone(grant: Grant) -> (Gateway, User) {
    let user = User::new(1, "alice");
    let gateway = Gateway::new(policy(&[(&user, Kind::User, grant)])).await;
    (gateway, user)
}

/// What a service answers at that address.
pub(crate) fn echo(addr: SocketAddr, text: &str) -> Result<String, std::io::Error> {
    let mut socket = StdStream::connect_timeout(&addr, SOON)?;
    socket.set_read_timeout(Some(SOON))?;
    socket.write_all(text.as_bytes())?;
    socket.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Says that a service answers at that port of the loopback.
pub(crate) fn answers(port: u16) {
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    wait::until_within(SOON, "an echo through the tunnel", || {
        match echo(addr, "hello") {
            Ok(answer) if answer == "hello" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

/// Whether a service gives a large text back, which is read while it is written.
pub(crate) fn echo_at_once(addr: SocketAddr, text: &str) -> bool {
    let mut socket = StdStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut writing = socket.try_clone().unwrap();
    let sent = text.to_owned();
    let writer = std::thread::spawn(move || {
        writing.write_all(sent.as_bytes()).unwrap();
        writing.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    writer.join().unwrap();
    answer == text
}

/// A port of these tests that nothing else uses now.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
