//! A stock ssh and our server.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::process::Process;
use adit_testkit::{real, require, wait};
use adit_tunnel::transport::ssh::{Memory, accept, tune};
use adit_tunnel::transport::{
    ByteStream, CloseReason, Connection, ForwardError, OpenError, Origin, PeerRequest, StreamHead,
    StreamKind, Transport,
};
use tempfile::TempDir;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use super::label::{Reserved, Sorted, label, listen};
use crate::gateway::{FREE, Granting, TAKEN, bind};
use crate::login;
use crate::suite::forwards::{self, Forwards};
use crate::suite::{self, Pair};

/// A connection of `ssh -N` with our server.
struct Ssh {
    process: Mutex<Process>,
    folder: TempDir,
    _task: JoinSet<()>,
}

impl Ssh {
    /// Starts ssh with these arguments, and serves it.
    async fn log_in(folder: TempDir, arguments: &[&str]) -> (Connection, Self) {
        let (listener, port) = listen().await;
        let key = KeyPair::generate(folder.path(), "user", KeyKind::Ed25519);
        let known_hosts = folder.path().join("known_hosts");
        let line = format!(
            "[127.0.0.1]:{port} {}\n",
            login::host_key().public_key().to_openssh_text()
        );
        std::fs::write(&known_hosts, line).unwrap();
        let mut command = Command::new(real::find("ssh").unwrap());
        command
            .args(["-F", "none", "-N", "-T", "-o", "BatchMode=yes"])
            .args(["-o", "StrictHostKeyChecking=yes"])
            .args(["-o", "GlobalKnownHostsFile=none", "-o"])
            .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
            .args(["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-i"])
            .arg(key.private_path())
            .args(arguments)
            .args(["-p", &port.to_string(), "contract@127.0.0.1"]);
        let process = Process::spawn(&mut command);
        let (socket, _) = listener.accept().await.unwrap();
        tune(&socket).unwrap();
        let memory = Memory::of_this_machine();
        let (config, mut open) = login::server(&memory);
        let accepted = accept(socket, &config, memory, &mut open).await;
        let (connection, driver) =
            accepted.unwrap_or_else(|error| panic!("{error}: {}", process.stderr()));
        let mut task = JoinSet::new();
        task.spawn(async move {
            driver.run().await;
        });
        let ssh = Self {
            process: Mutex::new(process),
            folder,
            _task: task,
        };
        (connection, ssh)
    }

    async fn has_ended(&self) {
        wait::until_async("ssh has ended", || async {
            let mut process = self.process.lock().unwrap();
            let ended = process.exit_status();
            ended.map(drop).ok_or_else(|| process.stderr())
        })
        .await;
    }
}

async fn close(transport: &dyn Transport, ssh: &Ssh) {
    transport.close(CloseReason::Stopping);
    transport.end().wait().await;
    ssh.has_ended().await;
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Streams that our server opens, to services that ssh dials: `-R`.
struct Opened {
    transport: Arc<dyn Transport>,
    service: Sorted<TcpStream>,
    ssh: Ssh,
    _nowhere: Reserved,
}

/// What our server grants for the service.
const SERVICE: u16 = 8_080;
/// And for where nobody listens.
const NOWHERE: u16 = 8_081;

impl Opened {
    async fn new() -> Self {
        let (service, service_port) = Sorted::service().await;
        let nowhere = Reserved::new();
        let arguments = [
            "-R",
            &format!("127.0.0.1:{SERVICE}:127.0.0.1:{service_port}"),
            "-R",
            &format!("127.0.0.1:{NOWHERE}:127.0.0.1:{}", nowhere.port()),
        ];
        let (connection, ssh) = Ssh::log_in(folder(), &arguments).await;
        let Connection {
            transport,
            mut requests,
        } = connection;
        for _ in 0..2 {
            match requests.recv().await {
                Some(PeerRequest::Forward(request)) => {
                    let port = request.bind.port().unwrap();
                    request.answer.grant(port);
                }
                other => panic!("{other:?} instead of a forward"),
            }
        }
        Self {
            transport,
            service,
            ssh,
            _nowhere: nowhere,
        }
    }

    async fn open(&self, port: u16) -> Result<ByteStream, OpenError> {
        let head = StreamHead {
            kind: StreamKind::Forwarded(bind(port)),
            origin: Origin {
                host: String::from("192.0.2.7"),
                port: 5,
            },
        };
        self.transport.open(head).await
    }
}

impl Pair for Opened {
    type Near = ByteStream;
    type Far = TcpStream;

    async fn dial(&self, token: u16) -> Result<ByteStream, OpenError> {
        let stream = self.open(SERVICE).await?;
        label(stream, token).await.map_err(|_| OpenError::Closed)
    }

    async fn accept(&self, token: u16) -> TcpStream {
        self.service.accept(token).await
    }

    async fn dial_nowhere(&self) -> Result<ByteStream, OpenError> {
        self.open(NOWHERE).await
    }

    async fn close(&self) {
        close(&*self.transport, &self.ssh).await;
    }
}

/// Streams that ssh opens, for visitors of a socket where it listens: `-L`.
struct Visited {
    transport: Arc<dyn Transport>,
    visitors: Sorted<ByteStream>,
    door: PathBuf,
    ssh: Ssh,
}

impl Visited {
    async fn new() -> Self {
        let folder = folder();
        let door = folder.path().join("door");
        let arguments = ["-L", &format!("{}:service.test:80", door.display())];
        let (connection, ssh) = Ssh::log_in(folder, &arguments).await;
        let Connection {
            transport,
            requests,
        } = connection;
        wait::until_async("ssh listens", || UnixStream::connect(&door)).await;
        Self {
            transport,
            visitors: Sorted::visitors(requests),
            door,
            ssh,
        }
    }
}

impl Pair for Visited {
    type Near = UnixStream;
    type Far = ByteStream;

    async fn dial(&self, token: u16) -> Result<UnixStream, OpenError> {
        let visitor = UnixStream::connect(&self.door).await;
        let visitor = visitor.map_err(|_| OpenError::Closed)?;
        label(visitor, token).await.map_err(|_| OpenError::Closed)
    }

    async fn accept(&self, token: u16) -> ByteStream {
        self.visitors.accept(token).await
    }

    async fn dial_nowhere(&self) -> Result<UnixStream, OpenError> {
        unreachable!("a visitor is not told why nobody serves it")
    }

    async fn close(&self) {
        close(&*self.transport, &self.ssh).await;
    }
}

/// Forwards that ssh asks for and takes back while it runs, through its control socket.
struct Granted {
    granting: Granting,
    service: tokio::net::TcpListener,
    service_port: u16,
    ssh: Ssh,
}

impl Granted {
    async fn new() -> Self {
        let folder = folder();
        let (service, service_port) = listen().await;
        let socket = folder.path().join("control");
        let arguments = ["-M", "-S", socket.to_str().unwrap()];
        let (connection, ssh) = Ssh::log_in(folder, &arguments).await;
        wait::until_async("ssh takes orders", || UnixStream::connect(&socket)).await;
        Self {
            granting: Granting::new(connection),
            service,
            service_port,
            ssh,
        }
    }

    /// Has ssh do something with a forward; what it says, if it could.
    async fn order(&self, order: &str, port: u16) -> Option<String> {
        let forward = format!("127.0.0.1:{port}:127.0.0.1:{}", self.service_port);
        let output = tokio::process::Command::new(real::find("ssh").unwrap())
            .args(["-F", "none", "-S"])
            .arg(self.ssh.folder.path().join("control"))
            .args(["-O", order, "-R", &forward, "contract@127.0.0.1"])
            .kill_on_drop(true)
            .output();
        let output = output.await.unwrap();
        let words = String::from_utf8(output.stdout).unwrap();
        output.status.success().then_some(words)
    }
}

impl Forwards for Granted {
    type Visitor = ByteStream;
    type Stream = TcpStream;

    async fn ask(&self, port: u16) -> Result<u16, ForwardError> {
        let words = self.order("forward", port).await;
        let words = words.ok_or(ForwardError::Refused)?;
        // Of port 0 it prints what it became.
        Ok(if port == 0 {
            words.trim().parse().unwrap()
        } else {
            port
        })
    }

    fn taken_and_free(&self) -> (u16, u16) {
        (TAKEN, FREE)
    }

    async fn take_back(&self, asked: u16, granted: u16) {
        let cancelled = self.order("cancel", asked).await;
        assert!(cancelled.is_some(), "ssh takes nothing back");
        self.granting.has_lost(granted).await;
    }

    async fn visit(&self, port: u16) -> (ByteStream, TcpStream) {
        let (visitor, accepted) = tokio::join!(self.granting.visitor(port), self.service.accept());
        (visitor, accepted.unwrap().0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_our_server_opens_at_ssh_keep_their_promises() {
    require!("ssh", "ssh-keygen");
    suite::streams(async || Opened::new().await).await;
    suite::opens(async || Opened::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_visitors_of_ssh_keep_their_promises() {
    require!("ssh", "ssh-keygen");
    suite::streams(async || Visited::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forwards_that_ssh_asks_for_keep_their_promises() {
    require!("ssh", "ssh-keygen");
    forwards::all(&Granted::new().await).await;
}
